"""mistralai's SDK on the simulator."""

import json

import pytest
from mistralai.client import Mistral
from mistralai.client.errors import MistralError
from simulated_hosts import ASKS, ASKS_TOOL, CHAT, SMALL, TINY, weather

from simulator import expected_answer

SAID = [{"role": "user", "content": ASKS}]
TOOLS = [{"type": "function", "function": weather()}]


def chat(plays, key="sk-mistral", **more):
    with Mistral(api_key=key, server_url=plays.root("mistral")) as sdk:
        return sdk.chat.complete(**{"model": CHAT, "messages": SAID} | more)


def streamed(plays, **more):
    asked = {"model": CHAT, "messages": SAID} | more
    with (
        Mistral(api_key="sk-mistral", server_url=plays.root("mistral")) as sdk,
        sdk.chat.stream(**asked) as events,
    ):
        return [event.data for event in events]


def test_a_chat_is_answered_with_its_usage(plays):
    answer = chat(plays, random_seed=3)
    assert answer.choices[0].message.content.startswith(expected_answer(SAID))
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens > answer.usage.completion_tokens > 0


def test_a_stream_says_the_same_and_counts_on_its_last_chunk(plays):
    chunks = streamed(plays)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == chat(plays).choices[0].message.content
    assert [bool(chunk.usage) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


def test_a_tool_call_comes_whole_and_its_id_has_nine_letters(plays):
    said = [{"role": "user", "content": ASKS_TOOL}]
    (call,) = chat(plays, messages=said, tools=TOOLS).choices[0].message.tool_calls
    assert json.loads(call.function.arguments)["town"].startswith("sim-")
    assert len(call.id) == 9
    chunks = streamed(plays, tools=TOOLS, tool_choice="any")
    calls = [c for chunk in chunks for c in chunk.choices[0].delta.tool_calls or ()]
    assert [c.function.name for c in calls] == ["weather_in"]
    assert json.loads(calls[0].function.arguments)
    asked = {"role": "assistant", "content": "", "tool_calls": [call.model_dump()]}
    result = {"role": "tool", "tool_call_id": call.id, "name": "weather_in", "content": "wet"}
    done = chat(plays, messages=[*said, asked, result], tools=TOOLS)
    assert done.choices[0].message.content.startswith("sim-")
    asked["tool_calls"][0]["id"] = result["tool_call_id"] = "call_from_elsewhere"
    with pytest.raises(MistralError, match="length of 9"):
        chat(plays, messages=[*said, asked, result], tools=TOOLS)


def test_json_follows_its_schema(plays):
    schema = {"type": "object", "properties": {"rounds": {"type": "integer", "minimum": 3}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = chat(plays, response_format=wanted)
    assert json.loads(answer.choices[0].message.content) == {"rounds": 3}


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({"key": "sk-stranger"}, 401, "Unauthorized"),
        ({"model": "sim-none"}, 400, "1500"),
        ({"model": SMALL, "max_tokens": 4_000}, 400, "too large for model"),
        ({"messages": [*SAID, {"role": "assistant", "content": "x"}]}, 422, "last role"),
    ],
)
def test_what_goes_wrong_is_the_sdks_own_exception(plays, asked, status, words):
    with pytest.raises(MistralError, match=words) as caught:
        chat(plays, **asked)
    assert caught.value.status_code == status


def test_a_minute_that_is_spent_is_told_by_its_headers(plays):
    for _ in range(2):
        chat(plays, model=TINY)
    with pytest.raises(MistralError) as caught:
        chat(plays, model=TINY)
    assert caught.value.status_code == 429
    assert json.loads(caught.value.body)["code"] == "1300"
    assert caught.value.headers["x-ratelimit-limit-req-minute"] == "2"
    assert caught.value.headers["x-ratelimit-remaining-req-minute"] == "0"
    assert "retry-after" not in caught.value.headers


def test_texts_are_embedded_and_models_listed(plays):
    with Mistral(api_key="sk-mistral", server_url=plays.root("mistral")) as sdk:
        answer = sdk.embeddings.create(model="sim-embed", inputs=["a", "b"])
        assert CHAT in {model.id for model in sdk.models.list().data}
    assert [len(each.embedding) for each in answer.data] == [8, 8]
