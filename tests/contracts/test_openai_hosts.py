"""The hosts that speak OpenAI's dialect: what they are sent, what they answer, what they refuse."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import groq.types.chat.completion_create_params as groq_params
import mistralai.client.models as mistral
import openai.types.chat.completion_create_params as openai_params
import orjson
import pytest
import wire_answers
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import ConfigDict, TypeAdapter, ValidationError
from raw_server import COMPLETION, always, json_reply, serving
from recorded_hosts import BROKEN_CHOICE, PROVIDER_ERROR, REPLIES, STREAMS, Recorded, Reply, answer
from recorded_streams import PIECES, chunk, sse
from sdk_types import unknown_to, valid
from wire_answers import check_stream, whole_when_cut
from wire_talks import EVERYTHING, JSON, LONG_ID, TALK
from worker_claims import catalog as catalog_of
from worker_claims import claim, context, deployment

from shared.catalog import build
from shared.catalog_schema import Config
from shared.core.model import Kind
from shared.core.outcome import Failed, FailureKind, Succeeded
from shared.credentials import Secret
from shared.queue.types import Verdict
from shared.quirks import Quirks
from shared.wires import WIRES
from workers import attempt
from workers.providers import messages, normalise, parameters, thinking
from workers.providers.base import Call, HttpReply
from workers.providers.openai_compatible import OpenAICompatible
from workers.transport import AioTransport, Transport

ADAPTER = OpenAICompatible()
STRICT = ConfigDict(extra="forbid")
OPENAI = TypeAdapter(list[openai_params.CompletionCreateParamsNonStreaming], config=STRICT)
OPENAI_STREAM = TypeAdapter(list[openai_params.CompletionCreateParamsStreaming], config=STRICT)
GROQ = TypeAdapter(list[groq_params.CompletionCreateParams], config=STRICT)
DROPPED = {
    "openai": (),
    "azure-openai": (),
    "deepseek": (),
    "vllm": (),
    "openrouter": (),
    "groq": (
        *("logit_bias", "logprobs", "messages[].name", "n", "prompt_cache_key"),
        *("safety_identifier", "top_logprobs", "verbosity"),
    ),
    "mistral": (
        *("logit_bias", "messages[].name", "safety_identifier", "service_tier=flex"),
        *("store", "user", "verbosity"),
    ),
    "cerebras": ("frequency_penalty", "logit_bias", "presence_penalty", "service_tier"),
    "nvidia": (
        *("logit_bias", "metadata", "prompt_cache_key", "safety_identifier", "service_tier"),
        *("store", "user", "verbosity"),
    ),
    "ollama": (
        *("logit_bias", "metadata", "n", "parallel_tool_calls", "service_tier", "store", "user"),
    ),
}


def quirks(wire: str) -> Quirks:
    """As a provider of this name gets them through the whole catalog."""
    provider = {"type": "openai-compatible", "base_url": "http://x/v1", "models": [{"id": "m1"}]}
    return build(Config.model_validate({"providers": {wire: provider}}), Config()).quirks(wire)


def call(wire: str, *, stream: bool = False, **request: Any) -> Call:
    where = deployment("http://x/v1/", wire, type="openai-compatible")
    asked = request or EVERYTHING
    known = quirks(wire)
    return Call(Kind.CHAT, asked, where, known, stream, 12, job_id="job_1", created_s=5)


def body_of(wire: str, *, stream: bool = False, **request: Any) -> dict[str, Any]:
    made = ADAPTER.build(call(wire, stream=stream, **request), None)
    body = orjson.loads(made.body)
    assert isinstance(body, dict)
    return body


def valid_for_mistral(body: dict[str, Any], *, stream: bool) -> None:
    model = mistral.ChatCompletionStreamRequest if stream else mistral.ChatCompletionRequest
    dumped = model.model_validate(body).model_dump(mode="json", by_alias=True)
    assert unknown_to(dumped, body) == []


@pytest.mark.parametrize(
    ("wire", "model", "asked", "sent", "told"),
    [
        ("groq", "openai/gpt-oss-20b", "low", "low", ()),
        ("groq", "openai/gpt-oss-20b", "minimal", "low", ()),
        ("groq", "openai/gpt-oss-20b", "none", "low", ("reasoning_effort=none",)),
        ("groq", "qwen/qwen3.8-27b", "none", "none", ()),
        ("groq", "qwen/qwen3.8-27b", "high", None, ("reasoning_effort",)),
        ("groq", "qwen/qwen3.8-27b", "default", "default", ()),
        ("groq", "allam-2-7b", "low", None, ("reasoning_effort",)),
        ("groq", "allam-2-7b", "none", None, ()),
        ("groq", "not-yet-known", "low", "low", ()),
        ("mistral", "mistral-large-4", "xhigh", "high", ()),
        ("mistral", "mistral-medium-3-5", "medium", "high", ()),
        ("mistral", "mistral-small-2603", "none", "none", ()),
        ("mistral", "zai-glm-5-3", "medium", "low", ()),
        ("openai", "gpt-4o-mini", "low", None, ("reasoning_effort",)),
        ("openai", "gpt-6-luna", "max", "max", ()),
        ("openai", "gpt-6-astra", "none", "low", ("reasoning_effort=none",)),
        ("openai", "gpt-5.6-terra", "max", "xhigh", ()),
        ("openai", "gpt-5.1", "xhigh", "high", ()),
        ("openai", "gpt-5-mini", "minimal", "minimal", ()),
        ("openai", "o3", "minimal", "low", ()),
        ("azure-openai", "gpt-5-nano", "none", "minimal", ("reasoning_effort=none",)),
        ("vllm", "any", "max", "max", ()),
    ],
)
def test_a_model_is_asked_for_the_nearest_effort_it_takes(wire, model, asked, sent, told):
    request = {"messages": [{"role": "user", "content": "a"}], "reasoning_effort": asked}
    where = deployment("http://x/v1/", wire, type="openai-compatible", model=model)
    made = ADAPTER.build(Call(Kind.CHAT, request, where, quirks(wire)), None)
    assert orjson.loads(made.body).get("reasoning_effort") == sent
    assert made.dropped == told


def test_every_model_that_reasons_of_hosts_with_known_efforts_has_them():
    built = build(Config(), env={})
    unknown = [
        each.id
        for each in built.deployments
        if each.provider in ("openai", "groq")
        and "reasoning" in (each.capabilities or ())
        and not thinking.levels(built.quirks(each.provider, each.model), each.model)
    ]
    assert unknown == ["openai/chat-latest"]  # it is another model every few months


STREAMED = pytest.mark.parametrize("stream", [False, True])


def test_the_checks_themselves_refuse_what_the_sdks_do_not_know():
    body = {"model": "m", "messages": [{"role": "user", "content": "a", "colour": "red"}]}
    for adapter in (OPENAI, GROQ):
        with pytest.raises(ValidationError, match="colour"):
            valid(adapter, body)
    with pytest.raises(AssertionError, match="colour"):
        valid_for_mistral(body, stream=False)
    with pytest.raises(ValidationError):
        valid(OPENAI, {**body, "messages": [], "verbose": True})


@STREAMED
@pytest.mark.parametrize("wire", ["openai", "azure-openai", "cerebras", "nvidia", "ollama"])
def test_a_request_is_one_of_openais_own(wire, stream):
    valid(OPENAI_STREAM if stream else OPENAI, body_of(wire, stream=stream))


@STREAMED
def test_a_request_to_groq_is_one_of_its_sdk(stream):
    body = body_of("groq", stream=stream)
    valid(GROQ, body)
    assert body["max_completion_tokens"] == 50
    assert body.get("n") is None
    assert body_of("groq", messages=TALK, service_tier="priority")["service_tier"] == "performance"


@STREAMED
def test_a_request_to_mistral_is_one_of_its_sdk(stream):
    body = body_of("mistral", stream=stream)
    valid_for_mistral(body, stream=stream)
    assert body["random_seed"] == 7
    assert body["max_tokens"] == 50
    assert body["tool_choice"] == "any"
    assert "stream_options" not in body
    assert [each["role"] for each in body["messages"]] == [
        *("system", "user", "assistant", "tool", "assistant", "user")
    ]
    assert body["messages"][-1]["content"] == [
        {"type": "text", "text": "And?"},
        {"type": "text", "text": "Say it."},
    ]


@pytest.mark.parametrize("wire", DROPPED)
def test_what_a_host_does_not_take_is_told(wire):
    assert ADAPTER.build(call(wire), None).dropped == tuple(sorted(DROPPED[wire]))


@pytest.mark.parametrize("wire", WIRES)
def test_what_asks_for_nothing_special_is_never_told(wire):
    plain = {"n": 1, "logprobs": False, "store": False, "service_tier": "default", "user": None}
    asked = call(wire, messages=TALK[3:4], parallel_tool_calls=True, logit_bias={}, **plain)
    assert ADAPTER.build(asked, None).dropped == ()


def test_mistrals_ids_are_nine_characters_and_a_call_and_its_result_agree():
    sent = body_of("mistral")["messages"]
    id_ = sent[2]["tool_calls"][0]["id"]
    assert sent[3]["tool_call_id"] == id_
    assert len(id_) == 9
    assert id_.isalnum()
    assert id_.isascii()
    assert messages.tool_call_id("Abcdefgh9", "alnum9") == "Abcdefgh9"


def test_openais_ids_are_no_longer_than_it_takes():
    sent = body_of("openai")["messages"]
    assert len(sent[2]["tool_calls"][0]["id"]) == 40
    assert sent[3]["tool_call_id"] == sent[2]["tool_calls"][0]["id"]
    assert messages.tool_call_id("call_1", "max40") == "call_1"


@given(st.sets(st.text(), max_size=20), st.sampled_from(["alnum9", "max40"]))
def test_ids_stay_different_and_the_same_id_stays_the_same(ids, rule):
    made = {messages.tool_call_id(each, rule) for each in ids}
    assert len(made) == len(ids)
    assert {messages.tool_call_id(each, rule) for each in made} == made


@pytest.mark.parametrize(
    ("wire", "reasoning"),
    [
        ("openai", [None, None]),
        ("groq", [None, None]),
        ("deepseek", [None, {"reasoning_content": "two"}]),
        ("vllm", [{"reasoning_content": "one"}, {"reasoning_content": "two"}]),
        ("openrouter", [{"reasoning": "one"}, {"reasoning": "two"}]),
    ],
)
def test_reasoning_goes_back_only_where_a_host_wants_it(wire, reasoning):
    tool = TALK[2]["tool_calls"]
    talk = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b", "reasoning_content": "one"},
        {"role": "user", "content": "c"},
        {"role": "assistant", "reasoning": "two", "tool_calls": tool},
        {"role": "tool", "tool_call_id": LONG_ID, "content": "d"},
    ]
    sent = body_of(wire, messages=talk)["messages"]
    for at, expected in zip((1, 3), reasoning, strict=True):
        names = {"reasoning", "reasoning_content"} & sent[at].keys()
        assert {name: sent[at][name] for name in names} == (expected or {})


def test_a_call_another_model_made_reaches_deepseek_with_empty_reasoning():
    talk = [TALK[1], {**TALK[2], "reasoning_content": None}, TALK[3]]
    assert body_of("deepseek", messages=talk)["messages"][1]["reasoning_content"] == ""


def test_mistral_gets_a_last_word_of_the_assistant_as_a_prefix():
    talk = [*TALK[4:5], {"role": "assistant", "content": "It is"}]
    assert body_of("mistral", messages=talk)["messages"][-1]["prefix"] is True
    assert "prefix" not in body_of("groq", messages=talk)["messages"][-1]


def test_mistral_gets_audio_and_files_as_parts_of_its_own():
    parts = [
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
        {
            "type": "file",
            "file": {"file_data": "data:application/pdf;base64,QQ==", "filename": "f"},
        },
        {"type": "image_url", "image_url": {"url": "http://x/a.png", "detail": "low"}},
    ]
    body = body_of("mistral", messages=[{"role": "user", "content": parts}])
    valid_for_mistral(body, stream=False)
    assert [each["type"] for each in body["messages"][0]["content"]] == [
        *("input_audio", "document_url", "image_url")
    ]


def test_azure_is_asked_by_deployment_or_as_openai_is():
    legacy = ADAPTER.build(call("azure-deployments"), Secret("k1"))
    assert legacy.url == "http://x/v1/deployments/m1/chat/completions?api-version=2024-10-21"
    modern = ADAPTER.build(call("azure-openai"), Secret("k1"))
    assert modern.url == "http://x/v1/chat/completions"
    for request in (legacy, modern):
        assert request.headers["api-key"] == "k1"
        assert "Authorization" not in request.headers


def test_a_provider_of_another_name_says_what_it_is_like():
    provider = {
        "type": "openai-compatible",
        "base_url": "http://x/v1",
        "models": [{"id": "m1"}],
        "quirks": {"like": "mistral", "stream_usage": True},
    }
    known = build(Config.model_validate({"providers": {"alpha": provider}}), Config())
    assert known.quirks("alpha").tool_ids == "alnum9"
    assert known.quirks("alpha").stream_usage
    with pytest.raises(ValidationError, match="mistral"):
        Config.model_validate({"providers": {"a": {**provider, "quirks": {"like": "mistrl"}}}})


def test_our_own_catalog_and_types_named_after_it_speak_the_hosts_dialects():
    config = {"providers": {"mine": {"type": "mistral", "credentials": [{"key": "k"}]}}}
    known = build(Config.model_validate(config))
    assert known.quirks("mistral").tool_ids == known.quirks("mine").tool_ids == "alnum9"
    assert "verbosity" not in known.quirks("groq").takes
    assert known.quirks("groq").rate_dialect == "groq"
    assert known.quirks("openai").max_tokens_field == "max_completion_tokens"


@given(JSON, JSON, st.sampled_from(sorted(WIRES)))
def test_no_messages_make_an_adapter_raise_or_change_what_the_caller_sent(talk, tools, wire):
    request = {"messages": talk, "tools": tools, "tool_choice": tools, "n": talk}
    before = orjson.dumps(request)
    ADAPTER.build(call(wire, **request), None)
    assert orjson.dumps(request) == before


@pytest.mark.parametrize("reply", REPLIES, ids=lambda each: f"{each.wire}: {each.name}")
def test_a_reply_becomes_one_of_openais_own(reply: Reply):
    asked = call(reply.wire, messages=TALK)
    outcome = ADAPTER.parse(asked, HttpReply(200, {}, orjson.dumps(reply.body)))
    assert isinstance(outcome, Succeeded), outcome
    body = orjson.loads(outcome.body)
    ChatCompletion.model_validate(body)
    choice = body["choices"][0]
    said = {name: value for name, value in choice["message"].items() if name != "role"}
    assert {k: v for k, v in said.items() if v is not None or k == "content"} == reply.message
    assert choice["finish_reason"] == reply.finish_reason
    usage = outcome.usage
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == reply.usage
    assert body["usage"]["completion_tokens"] == usage.output_tokens
    cached = (body["usage"].get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    assert cached == usage.cached_tokens
    for name, value in reply.kept.items():
        assert body[name] == value


RECORDED = pytest.mark.parametrize("recorded", STREAMS, ids=lambda each: each.stream.name)


def read(recorded: Recorded, pieces: Iterable[bytes], **more: Any) -> tuple[list[Any], Any]:
    asked = {"messages": TALK, **recorded.stream.request, **more}
    reader = ADAPTER.parse_stream(call(recorded.wire, stream=True, **asked), 200, {})
    return wire_answers.read(reader, pieces)


@RECORDED
def test_a_stream_becomes_openais_chunks_and_their_message(recorded: Recorded):
    chunks, outcome = read(recorded, [recorded.stream.raw], stream_options={"include_usage": True})
    check_stream(recorded.stream, outcome)
    for each in chunks:
        ChatCompletionChunk.model_validate(each)
    assert chunks[-1]["usage"]["total_tokens"] == 12
    pieces = [
        call for each in chunks[:-1] for call in each["choices"][0]["delta"].get("tool_calls") or ()
    ]
    wanted = recorded.stream.message.get("tool_calls") or []
    for index, made in enumerate(wanted):
        mine = [each for each in pieces if each["index"] == index]
        assert (
            "".join(each["function"]["arguments"] for each in mine)
            == (made["function"]["arguments"])
        )
        assert {each["id"] for each in mine if "id" in each} == {made["id"]}
    assert {each["index"] for each in pieces} == set(range(len(wanted)))


@RECORDED
def test_a_stream_cut_at_any_byte_is_complete_and_right_or_failed(recorded: Recorded):
    stream = recorded.stream
    whole = whole_when_cut(partial(read, recorded), stream, exact_usage=False)
    assert whole < len(stream.raw) // 2


def test_an_error_inside_a_choice_is_its_provider_speaking():
    asked = call("openrouter", messages=TALK)
    whole = ADAPTER.parse(asked, HttpReply(200, {}, orjson.dumps(BROKEN_CHOICE)))
    raw = sse(
        *PIECES, {**chunk({}, "error"), "choices": [{**BROKEN_CHOICE["choices"][0], "delta": {}}]}
    )
    _, streamed = read(Recorded("openrouter", STREAMS[0].stream), [raw])
    for outcome in (whole, streamed):
        assert isinstance(outcome, Failed)
        assert outcome.kind is FailureKind.OVERLOADED
        assert outcome.message == PROVIDER_ERROR["message"]


@pytest.mark.parametrize("reason", ["error", "insufficient_system_resource", "abort"])
def test_an_answer_that_ended_in_an_error_is_none(reason):
    body = orjson.dumps(answer({"content": "Hal"}, reason))
    outcome = ADAPTER.parse(call("deepseek", messages=TALK), HttpReply(200, {}, body))
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.MALFORMED_REPLY


async def attempted(policy: dict[str, Any], **request: Any) -> tuple[Any, int]:
    transport = Transport(AioTransport(proxies={}))
    try:
        async with serving(always(json_reply(COMPLETION))) as server:
            where = deployment(f"{server.url}/v1")
            known = catalog_of(where, quirks={"alpha": quirks("groq")})
            asked = {"model": "auto", "messages": TALK[4:5], **request}
            run = attempt.run(claim(request=asked, policy=policy), context(transport, known))
            return await run, len(server.requests)
    finally:
        await transport.aclose()


async def test_an_attempt_tells_what_was_not_sent():
    report, requests = await attempted({}, verbosity="low", n=2)
    assert report.verdict is Verdict.COMPLETE
    assert report.attempt["dropped"] == ["n", "verbosity"]
    assert requests == 1
    report, _ = await attempted({}, n=1)
    assert "dropped" not in report.attempt


async def test_a_job_that_wants_nothing_dropped_is_refused_before_anything_is_sent():
    report, requests = await attempted({"unsupported": "refuse"}, verbosity="low")
    assert requests == 0
    assert report.verdict is Verdict.FAIL
    assert report.error is not None
    assert report.error["param"] == "verbosity"
    assert report.attempt["dropped"] == ["verbosity"]
    assert not report.reached
    report, requests = await attempted({"unsupported": "refuse"}, seed=5)
    assert report.verdict is Verdict.COMPLETE
    assert requests == 1


def test_embeddings_know_drop_only():
    known = Quirks(drop=frozenset({"user"}), takes=frozenset({"messages"}))
    fitted = parameters.fit({"input": "a", "user": "u", "dimensions": 8}, known, chat=False)
    assert fitted == parameters.Fitted({"input": "a", "dimensions": 8}, ("user",))


ABSURD_USAGES = [
    {"prompt_tokens": 1e18, "completion_tokens": 1},
    {"prompt_tokens": 5, "completion_tokens": 10**12},
    {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 10**17},
    {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 1e300}},
]


@pytest.mark.parametrize("usage", ABSURD_USAGES, ids=str)
def test_a_usage_that_no_call_can_have_is_estimated_instead(usage):
    message = {"role": "assistant", "content": "hi"}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
    asked = call("groq", messages=TALK)
    outcome = ADAPTER.parse(asked, HttpReply(200, {}, orjson.dumps(body)))
    assert isinstance(outcome, Succeeded)
    assert outcome.usage.estimated
    assert outcome.usage.input_tokens == asked.input_tokens
    assert orjson.loads(outcome.body)["usage"]["prompt_tokens"] == asked.input_tokens


def test_no_number_is_too_large_or_too_odd_to_be_read_as_a_usage():
    for odd in (float("inf"), float("nan"), 1e309, -1, True, 10**400):
        assert normalise.read_usage({"usage": {"prompt_tokens": odd}}) is None
        assert normalise.usage_of({"prompt_tokens": odd}).input_tokens == 0
