"""cohere's SDK, version 2 of its API, on the simulator."""

import json
from contextlib import contextmanager

import cohere
import httpx
import pytest
from cohere.core.api_error import ApiError
from simulated_hosts import ASKS, ASKS_TOOL, CHAT, SMALL, TINY, weather

from simulator import expected_answer

SAID = [{"role": "user", "content": ASKS}]
HEAD = expected_answer(SAID)
TOOLS = [{"type": "function", "function": weather()}]
ONCE = {"max_retries": 0}


@contextmanager
def client(plays, key="sk-cohere"):
    with httpx.Client() as http:
        yield cohere.ClientV2(api_key=key, base_url=plays.root("cohere"), httpx_client=http)


def chat(plays, key="sk-cohere", **more):
    asked = {"model": CHAT, "messages": SAID, "request_options": ONCE} | more
    with client(plays, key) as sdk:
        return sdk.chat(**asked)


def streamed(plays, **more):
    with client(plays) as sdk:
        return list(sdk.chat_stream(**{"model": CHAT, "messages": SAID} | more))


def test_a_chat_is_answered_with_real_and_billed_tokens(plays):
    answer = chat(plays)
    assert answer.message.content[0].text.startswith(HEAD)
    assert answer.finish_reason == "COMPLETE"
    assert answer.usage.tokens.input_tokens > answer.usage.billed_units.input_tokens > 0


def test_a_stream_is_typed_events_that_say_the_same(plays):
    events = streamed(plays)
    assert [events[0].type, events[1].type] == ["message-start", "content-start"]
    text = "".join(e.delta.message.content.text for e in events if e.type == "content-delta")
    assert text == chat(plays).message.content[0].text
    assert events[-1].type == "message-end"
    assert events[-1].delta.finish_reason == "COMPLETE"
    assert events[-1].delta.usage.tokens.output_tokens > 0


def test_a_tool_is_called_with_a_plan_and_takes_its_result(plays):
    said = [{"role": "user", "content": ASKS_TOOL}]
    answer = chat(plays, messages=said, tools=TOOLS)
    (call,) = answer.message.tool_calls
    assert answer.finish_reason == "TOOL_CALL"
    assert answer.message.tool_plan
    assert json.loads(call.function.arguments)["town"].startswith("sim-")
    result = {"role": "tool", "tool_call_id": call.id, "content": "wet"}
    done = chat(plays, messages=[*said, answer.message, result], tools=TOOLS)
    assert done.message.content[0].text.startswith("sim-")


def test_a_tool_call_streams_in_pieces(plays):
    events = streamed(plays, tools=TOOLS, tool_choice="REQUIRED")
    (start,) = [e for e in events if e.type == "tool-call-start"]
    assert start.delta.message.tool_calls.function.name == "weather_in"
    pieces = [
        e.delta.message.tool_calls.function.arguments for e in events if e.type == "tool-call-delta"
    ]
    assert len(pieces) > 1
    assert json.loads("".join(pieces))["town"].startswith("sim-")


def test_json_follows_its_schema_and_goes_with_no_tools(plays):
    rounds = {"rounds": {"type": "integer", "minimum": 3}}
    schema = {"type": "object", "properties": rounds, "required": ["rounds"]}
    wanted = {"type": "json_object", "json_schema": schema}
    answer = chat(plays, response_format=wanted)
    assert json.loads(answer.message.content[0].text) == {"rounds": 3}
    with pytest.raises(cohere.BadRequestError, match="tools"):
        chat(plays, response_format=wanted, tools=TOOLS)


def test_what_goes_wrong_is_the_sdks_own_exception(plays):
    with pytest.raises(cohere.UnauthorizedError, match="invalid api token"):
        chat(plays, key="sk-stranger")
    with pytest.raises(cohere.NotFoundError, match="model 'sim-none' not found"):
        chat(plays, model="sim-none")
    with pytest.raises(cohere.BadRequestError, match="too many tokens"):
        chat(plays, model=SMALL, max_tokens=4_000)
    with pytest.raises(cohere.BadRequestError, match="temperature"):
        chat(plays, temperature=1.5)


def test_a_minute_that_is_spent_is_told_in_words_and_without_a_wait(plays):
    with client(plays) as sdk:
        told = sdk.with_raw_response.chat(model=TINY, messages=SAID)
    assert told.headers["x-trial-endpoint-call-limit"] == "2"
    assert told.headers["x-trial-endpoint-call-remaining"] == "1"
    chat(plays, model=TINY)
    with pytest.raises(cohere.TooManyRequestsError, match="2 API calls / minute") as caught:
        chat(plays, model=TINY)
    assert not {"retry-after", "x-trial-endpoint-call-limit"} & set(caught.value.headers)


def test_a_denied_token_is_a_498_and_an_error_may_end_a_stream(plays):
    plays.arm("cohere", kind="filtered")
    with pytest.raises(ApiError) as caught:
        chat(plays)
    assert caught.value.status_code == 498
    plays.arm("cohere", kind="error_in_200")
    events = streamed(plays)
    assert events[-1].delta.finish_reason == "ERROR"


def test_texts_are_embedded_and_models_listed_by_version_one(plays):
    with client(plays) as sdk:
        answer = sdk.embed(
            model="sim-embed",
            texts=["a", "b"],
            input_type="search_query",
            embedding_types=["float"],
        )
        models = sdk.models.list().models
    assert [len(each) for each in answer.embeddings.float_] == [8, 8]
    assert CHAT in {model.name for model in models}
