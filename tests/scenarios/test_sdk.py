"""The official openai SDK, unmodified, through `headrace up`."""

import json

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


def test_the_sdk_gets_json_of_any_shape_and_of_a_schema(plain):
    named = {
        "name": "grain",
        "schema": {"type": "object", "properties": {"kg": {"type": "integer"}}},
    }
    for wanted in ({"type": "json_object"}, {"type": "json_schema", "json_schema": named}):
        answer = plain.sdk().chat.completions.create(
            model="sim-small", messages=asked("How much? Say it in JSON"), response_format=wanted
        )
        assert isinstance(json.loads(answer.choices[0].message.content), dict)


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


def test_the_sdk_gets_responses_and_goes_on_from_them(plain):
    client = plain.sdk()
    first = client.responses.create(model="sim-small", input="Who turns it?")
    assert first.output_text.startswith(expected_answer(asked("Who turns it?")))
    assert first.usage.total_tokens > 0
    second = client.responses.create(
        model="sim-small", input="And now?", previous_response_id=first.id
    )
    turns = [
        *asked("Who turns it?"),
        {"role": "assistant", "content": first.output_text},
        *asked("And now?"),
    ]
    assert second.output_text.startswith(expected_answer(turns))
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_the_sdk_streams_a_response_in_the_background_and_takes_it_up_again(plain):
    client = plain.sdk()
    with client.responses.create(
        model="sim-small", input="Say it slowly", background=True, stream=True
    ) as stream:
        seen = []
        for event in stream:
            seen.append(event)
            if event.type == "response.output_text.delta":
                break
    id_, last = seen[0].response.id, seen[-1].sequence_number
    with client.responses.stream(response_id=id_, starting_after=last) as stream:
        rest = list(stream)
        final = stream.get_final_response()
    numbers = [event.sequence_number for event in (*seen, *rest)]
    assert numbers == list(range(len(numbers)))
    assert final.output_text.startswith(expected_answer(asked("Say it slowly")))
    kept = client.responses.retrieve(id_)
    assert (kept.status, kept.output_text) == ("completed", final.output_text)


def test_the_sdk_calls_the_tools_of_a_response(plain):
    parameters = {"type": "object", "properties": {"corn": {"type": "string"}}}
    tool = {"type": "function", "name": "grind", "strict": False, "parameters": parameters}
    answer = plain.sdk().responses.create(
        model="sim-small", input="Grind", tools=[tool], tool_choice="required"
    )
    assert [(item.type, item.name) for item in answer.output] == [("function_call", "grind")]
