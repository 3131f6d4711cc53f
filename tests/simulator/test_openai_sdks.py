"""The SDKs of OpenAI and of Groq, and OpenAI's for OpenRouter, on the simulator."""

import json

import groq
import openai
import pytest
from simulated_hosts import ASKS, ASKS_TOOL, CHAT, SMALL, TINY, weather

from simulator import expected_answer

NAMES = ("openai", "groq", "openrouter")
HEAD = expected_answer([{"role": "user", "content": ASKS}])
SAID = [{"role": "user", "content": ASKS}]


def client(plays, name, key=None):
    key = key or f"sk-{name}"
    if name == "groq":
        return groq.Groq(base_url=plays.root(name), api_key=key, max_retries=0)
    return openai.OpenAI(base_url=plays.base(name), api_key=key, max_retries=0)


def errors(name):
    return groq if name == "groq" else openai


def chat(plays, name, key=None, **more):
    with client(plays, name, key) as sdk:
        answer = sdk.chat.completions.create(**{"model": CHAT, "messages": SAID} | more)
        return list(answer) if more.get("stream") else answer


@pytest.mark.parametrize("name", NAMES)
def test_a_chat_is_answered_with_its_usage(plays, name):
    answer = chat(plays, name)
    assert answer.choices[0].message.content.startswith(HEAD)
    assert answer.choices[0].finish_reason == "stop"
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 0


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_says_the_same_and_ends(plays, name):
    chunks = chat(plays, name, stream=True)
    parts = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    assert "".join(parts) == chat(plays, name).choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    if name == "groq":
        assert chunks[0].x_groq.id
        assert [c.x_groq.usage for c in chunks if c.x_groq][-1].total_tokens > 0
    if name == "openrouter":
        assert chunks[-1].usage.total_tokens > 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_that_the_question_names_is_called(plays, name, stream):
    tools = [{"type": "function", "function": weather()}]
    said = [{"role": "user", "content": ASKS_TOOL}]
    answer = chat(plays, name, messages=said, tools=tools, stream=stream)
    if stream:
        calls = [c.choices[0].delta.tool_calls for c in answer if c.choices]
        calls = [call for found in calls for call in found or ()]
        name_, arguments = calls[0].function.name, "".join(c.function.arguments for c in calls)
    else:
        (call,) = answer.choices[0].message.tool_calls
        name_, arguments = call.function.name, call.function.arguments
    assert name_ == "weather_in"
    assert json.loads(arguments)["town"].startswith("sim-")


@pytest.mark.parametrize("name", NAMES)
def test_json_follows_its_schema(plays, name):
    schema = {"type": "object", "properties": {"rounds": {"type": "integer", "minimum": 3}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = chat(plays, name, response_format=wanted)
    assert json.loads(answer.choices[0].message.content) == {"rounds": 3}


@pytest.mark.parametrize("name", NAMES)
def test_what_goes_wrong_is_the_sdks_own_exception(plays, name):
    sdk = errors(name)
    with pytest.raises(sdk.AuthenticationError):
        chat(plays, name, key="sk-stranger")
    with pytest.raises(sdk.NotFoundError):
        chat(plays, name, model="sim-none")
    with pytest.raises(sdk.BadRequestError, match=r"(?i)length"):
        chat(plays, name, model=SMALL, max_tokens=4_000)
    for _ in range(2):
        chat(plays, name, model=TINY)
    with pytest.raises(sdk.RateLimitError) as caught:
        chat(plays, name, model=TINY)
    body = caught.value.body
    if name == "openrouter":
        assert body["message"].startswith("Rate limit exceeded: free-models-per-min")
        assert int(body["metadata"]["headers"]["X-RateLimit-Reset"]) > 1e12
    else:
        assert body.get("error", body)["code"] == "rate_limit_exceeded"
        assert int(caught.value.response.headers["retry-after"]) > 0


def test_openai_tells_the_limits_and_its_own_headers(plays):
    with client(plays, "openai") as sdk:
        answer = sdk.chat.completions.with_raw_response.create(model=TINY, messages=SAID)
    assert answer.headers["x-ratelimit-limit-requests"] == "2"
    assert answer.headers["openai-organization"] == "org_openai-1"


def test_credit_that_ran_out_is_no_rate_limit_though_it_is_a_429(plays):
    plays.arm("openai", kind="error", row="insufficient_quota")
    with pytest.raises(openai.RateLimitError) as caught:
        chat(plays, "openai")
    assert caught.value.code == "insufficient_quota"
    assert "retry-after" not in caught.value.response.headers


def test_openrouter_tells_of_a_key_what_is_left_of_its_day(plays):
    with client(plays, "openrouter") as sdk:
        told = sdk.get("/key", cast_to=dict[str, object])
    assert told["data"]["is_free_tier"] is True


@pytest.mark.parametrize("name", ["openai", "openrouter"])
def test_inputs_are_embedded(plays, name):
    with client(plays, name) as sdk:
        answer = sdk.embeddings.create(model="sim-embed", input=["a", "b"])
        assert CHAT in {model.id for model in sdk.models.list()}
    assert [len(item.embedding) for item in answer.data] == [8, 8]


@pytest.mark.parametrize(
    "refused",
    [
        {"logprobs": True},
        {"messages": [{"role": "user", "content": "x", "name": "me"}]},
        {"reasoning_format": "raw", "response_format": {"type": "json_object"}},
    ],
)
def test_groq_refuses_what_it_does_not_support(plays, refused):
    with pytest.raises(groq.BadRequestError):
        chat(plays, "groq", **refused)


def test_an_error_in_a_stream_of_openrouter_ends_its_choice(plays):
    plays.arm("openrouter", kind="error_in_200", status=502)
    with pytest.raises(openai.APIError, match="Provider"):
        chat(plays, "openrouter", stream=True)


def test_a_filter_shows_where_the_provider_has_one(plays):
    plays.arm("openai", kind="filtered")
    assert chat(plays, "openai").choices[0].finish_reason == "content_filter"
    plays.arm("openrouter", kind="filtered")
    with pytest.raises(openai.PermissionDeniedError) as caught:
        chat(plays, "openrouter")
    assert caught.value.body["metadata"]["reasons"] == ["violence"]
