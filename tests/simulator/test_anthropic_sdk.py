"""anthropic's SDK on the simulator."""

import json
from datetime import datetime

import anthropic
import pytest
from simulated_hosts import ASKS, ASKS_TOOL, CHAT, SMALL, TINY, weather

from simulator import expected_answer

SAID = [{"role": "user", "content": ASKS}]
HEAD = expected_answer(SAID)
TOOLS = [weather("input_schema")]


def client(plays, key="sk-anthropic"):
    return anthropic.Anthropic(api_key=key, base_url=plays.root("anthropic"), max_retries=0)


def chat(plays, key="sk-anthropic", **more):
    with client(plays, key) as sdk:
        asked = {"model": CHAT, "messages": SAID, "max_tokens": 500}
        return sdk.messages.create(**asked | more)


def test_a_chat_is_answered_with_its_usage(plays):
    answer = chat(plays, system="Be brief.")
    assert answer.content[0].text.startswith(HEAD)
    assert answer.stop_reason == "end_turn"
    assert answer.usage.input_tokens > 0
    assert chat(plays, max_tokens=3).stop_reason == "max_tokens"


def test_a_stream_is_named_events_that_say_the_same(plays):
    with (
        client(plays) as sdk,
        sdk.messages.stream(model=CHAT, messages=SAID, max_tokens=500) as stream,
    ):
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == chat(plays).content[0].text
    assert final.usage.output_tokens == 32
    assert final.stop_reason == "end_turn"


def test_a_tool_is_called_and_wants_its_result_in_the_very_next_turn(plays):
    said = [{"role": "user", "content": ASKS_TOOL}]
    answer = chat(plays, messages=said, tools=TOOLS)
    (block,) = answer.content
    assert (block.type, answer.stop_reason) == ("tool_use", "tool_use")
    assert block.input["town"].startswith("sim-")
    said.append({"role": "assistant", "content": answer.content})
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "wet"}
    done = chat(plays, messages=[*said, {"role": "user", "content": [result]}], tools=TOOLS)
    assert done.content[0].text.startswith("sim-")
    with pytest.raises(anthropic.BadRequestError, match="without `tool_result`"):
        chat(plays, messages=[*said, {"role": "user", "content": "and?"}], tools=TOOLS)


def test_a_tool_call_streams_in_pieces(plays):
    forced = {"type": "tool", "name": "weather_in"}
    with (
        client(plays) as sdk,
        sdk.messages.stream(
            model=CHAT, messages=SAID, max_tokens=500, tools=TOOLS, tool_choice=forced
        ) as stream,
    ):
        (block,) = stream.get_final_message().content
    assert block.input["town"].startswith("sim-")


def test_json_follows_its_schema(plays):
    schema = {"type": "object", "properties": {"rounds": {"type": "integer", "minimum": 3}}}
    wanted = {"format": {"type": "json_schema", "schema": schema}}
    answer = chat(plays, output_config=wanted)
    assert json.loads(answer.content[0].text) == {"rounds": 3}


def test_what_goes_wrong_is_the_sdks_own_exception(plays):
    with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key"):
        chat(plays, key="sk-stranger")
    with pytest.raises(anthropic.NotFoundError, match="model: sim-none"):
        chat(plays, model="sim-none")
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
        chat(plays, model=SMALL, max_tokens=4_000)
    with pytest.raises(anthropic.BadRequestError, match="non-empty"):
        chat(plays, messages=[{"role": "user", "content": ""}])


def test_a_minute_that_is_spent_tells_when_it_is_full_again(plays):
    for _ in range(2):
        chat(plays, model=TINY)
    with pytest.raises(anthropic.RateLimitError) as caught:
        chat(plays, model=TINY)
    headers = caught.value.response.headers
    assert int(headers["retry-after"]) > 0
    assert headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert datetime.fromisoformat(headers["anthropic-ratelimit-requests-reset"]).tzinfo
    assert headers["request-id"]


def test_overload_is_a_529_or_comes_after_the_first_words(plays):
    plays.arm("anthropic", kind="error", row="overloaded")
    with pytest.raises(anthropic.APIStatusError) as caught:
        chat(plays)
    assert caught.value.status_code == 529
    plays.arm("anthropic", kind="error_in_200", row="overloaded")
    with client(plays) as sdk, pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        list(sdk.messages.create(model=CHAT, messages=SAID, max_tokens=500, stream=True))


def test_a_refusal_is_a_reason_to_stop(plays):
    plays.arm("anthropic", kind="filtered")
    answer = chat(plays)
    assert (answer.stop_reason, answer.content) == ("refusal", [])


def test_tokens_are_counted_and_models_listed(plays):
    with client(plays) as sdk:
        counted = sdk.messages.count_tokens(model=CHAT, messages=SAID)
        assert CHAT in {model.id for model in sdk.models.list()}
    assert counted.input_tokens == chat(plays).usage.input_tokens


@pytest.mark.parametrize(
    "change",
    [
        {"max_tokens": None},
        {"temperature": 1.5},
        {"n": 2},
        {"messages": [{"role": "system", "content": "x"}]},
        {"messages": [{"role": "assistant", "content": "x"}]},
        {"tools": [{"name": "f"}]},
    ],
)
def test_a_request_that_anthropic_would_refuse_is_refused(plays, change):
    asked = {"model": CHAT, "messages": SAID, "max_tokens": 5} | change
    asked = {name: value for name, value in asked.items() if value is not None}
    headers = {"x-api-key": "sk-anthropic", "anthropic-version": "2023-06-01"}
    answer = plays.http.post(f"{plays.base('anthropic')}/messages", json=asked, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
