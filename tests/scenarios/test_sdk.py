"""The official openai SDK, unmodified, through `headrace up`."""

import openai
import pytest

from simulator import expected_answer


def asked(text):
    return [{"role": "user", "content": text}]


def test_the_sdk_chats(plain):
    answer = plain.sdk().chat.completions.create(model="sim-small", messages=asked("Who turns it?"))
    assert answer.choices[0].message.content.startswith(expected_answer(asked("Who turns it?")))
    assert answer.usage.total_tokens > 0


def test_the_sdk_streams_and_gets_usage_where_it_asks(plain):
    stream = plain.sdk().chat.completions.create(
        model="sim-small",
        messages=asked("Say it slowly"),
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text.startswith(expected_answer(asked("Say it slowly")))
    assert [c.usage.total_tokens > 0 for c in chunks if c.usage] == [True]


def test_the_sdk_embeds(plain):
    answer = plain.sdk().embeddings.create(model="sim-embed", input=["a wheel", "a mill"])
    assert [item.index for item in answer.data] == [0, 1]
    assert answer.data[0].embedding != answer.data[1].embedding


def test_the_sdk_lists_models(plain):
    names = {model.id for model in plain.sdk().models.list()}
    assert {"sim-small", "alpha/sim-small", "auto"} <= names


def test_the_sdk_gets_a_typed_error_for_an_unknown_model(plain):
    with pytest.raises(openai.NotFoundError) as caught:
        plain.sdk().chat.completions.create(model="sim-smal", messages=asked("?"))
    assert "sim-small" in str(caught.value)


def test_the_sdk_calls_tools(plain):
    tool = {
        "type": "function",
        "function": {
            "name": "grind",
            "parameters": {"type": "object", "properties": {"corn": {"type": "string"}}},
        },
    }
    answer = plain.sdk().chat.completions.create(
        model="sim-small", messages=asked("Grind"), tools=[tool], tool_choice="required"
    )
    assert answer.choices[0].message.tool_calls[0].function.name == "grind"
    assert answer.choices[0].finish_reason == "tool_calls"
