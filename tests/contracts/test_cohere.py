"""Cohere's v2 API: what it is sent, what it answers, chat and embeddings."""

from collections.abc import Iterable
from typing import Any

import orjson
import pytest
import wire_answers
from cohere.types.embed_by_type_response import EmbedByTypeResponse
from cohere.v2.client import V2Client
from cohere.v2.types import V2ChatResponse
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletionChunk
from pydantic import ValidationError
from raw_server import always, json_reply, serving
from recorded_cohere import (
    BARE,
    CALL,
    CITATION,
    HELLO,
    REPLIES,
    STREAMS,
    USAGE,
    answer,
    event,
    said,
    stream,
    words,
)
from recorded_cohere import call as call_events
from recorded_hosts import Reply
from recorded_streams import Stream
from sdk_types import valid_arguments
from wire_answers import check_reply, check_stream, whole_when_cut
from wire_talks import EVERYTHING, JSON, LONG_ID, PNG, SCHEMA, TALK
from worker_claims import catalog as catalog_of
from worker_claims import claim, context, deployment

from shared.catalog import build
from shared.catalog_schema import Config
from shared.core.model import Kind
from shared.core.outcome import Failed, FailureKind, Succeeded
from shared.credentials import Secret
from shared.queue.types import Verdict
from shared.quirks import Quirks
from workers import attempt
from workers.providers.base import Call, HttpReply, HttpRequest
from workers.providers.cohere import Cohere
from workers.providers.registry import adapter_for
from workers.transport import AioTransport, Transport

ADAPTER = Cohere()
ASKED = [{"role": "user", "content": "Look a up."}]
TOOLS = EVERYTHING["tools"]
LOOK, STOP = TOOLS


def quirks(name: str = "cohere") -> Quirks:
    provider = {"type": "cohere", "base_url": "http://x/v2", "models": [{"id": "m1"}]}
    return build(Config.model_validate({"providers": {name: provider}}), Config()).quirks(name)


KNOWN = quirks()


def call(*, streamed: bool = False, **request: Any) -> Call:
    where = deployment("http://x/v2", "cohere", type="cohere", max_output_tokens=8_000)
    asked = {"messages": ASKED, **request}
    return Call(Kind.CHAT, asked, where, KNOWN, streamed, 12, job_id="job_1", created_s=5)


def embedding(**request: Any) -> Call:
    where = deployment("http://x/v2", "cohere", type="cohere")
    return Call(Kind.EMBEDDING, request, where, KNOWN, False, 12, job_id="job_1", created_s=5)


def built(asked: Call) -> tuple[dict[str, Any], tuple[str, ...]]:
    request = ADAPTER.build(asked, None)
    assert isinstance(request, HttpRequest)
    body = orjson.loads(request.body)
    streamed = body.pop("stream", False)
    assert streamed is asked.stream
    if asked.kind is Kind.EMBEDDING:
        valid_arguments(V2Client.embed, body)
    else:
        valid_arguments(V2Client.chat_stream if streamed else V2Client.chat, body)
    return body, request.dropped


def body_of(**request: Any) -> dict[str, Any]:
    return built(call(**request))[0]


def test_the_check_itself_refuses_what_the_sdk_does_not_know():
    for body in (
        {"model": "m", "seeds": 1},
        {"messages": [{"role": "user", "content": "a", "colour": "red"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "b": 1}]}]},
    ):
        with pytest.raises(AssertionError):
            valid_arguments(V2Client.chat, body)
    with pytest.raises(ValidationError):
        valid_arguments(V2Client.chat, {"messages": [{"role": "tool", "content": "a"}]})


@pytest.mark.parametrize("streamed", [False, True])
def test_a_request_is_one_of_its_sdk_and_what_it_does_not_take_is_told(streamed):
    body, dropped = built(call(streamed=streamed, **EVERYTHING))
    assert dropped == (
        *("logit_bias", "logprobs", "messages[].name", "metadata", "n", "parallel_tool_calls"),
        *("presence_penalty=-0.1", "prompt_cache_key", "response_format=json_schema"),
        *("safety_identifier", "service_tier", "store", "top_logprobs", "user", "verbosity"),
    )
    expected = {"max_tokens": 50, "seed": 7, "p": 0.9, "stop_sequences": ["END"]}
    assert expected.items() <= body.items()
    assert (body["frequency_penalty"], body["presence_penalty"]) == (0.1, 0)
    assert body["tool_choice"] == "REQUIRED"
    assert body["thinking"] == {"type": "enabled", "token_budget": 10}


def test_it_is_asked_at_its_own_paths():
    chat = ADAPTER.build(call(), Secret("k1"))
    embed = ADAPTER.build(embedding(input="a"), Secret("k1"))
    assert isinstance(chat, HttpRequest)
    assert isinstance(embed, HttpRequest)
    assert (chat.url, embed.url) == ("http://x/v2/chat", "http://x/v2/embed")
    assert chat.headers["Authorization"] == "Bearer k1"


def test_the_catalogs_own_and_any_of_its_type_speak_its_wire():
    ours = build(Config.model_validate({"providers": {"mine": {"type": "cohere"}}}))
    for name in ("cohere", "mine"):
        assert ours.quirks(name).chat_path == "/chat"
        assert all(isinstance(adapter_for(d.type), Cohere) for d in ours.by_provider[name])
        assert ours.by_provider[name][0].base_url == "https://api.cohere.com/v2"
    compatible = {"type": "openai-compatible", "base_url": "http://x/compatibility/v1"}
    theirs = build(Config.model_validate({"providers": {"cohere": compatible}}))
    assert theirs.quirks("cohere").chat_path == "/chat/completions"


def test_words_beside_calls_are_the_plan_and_thoughts_of_such_turns_go_back():
    talk = [
        *TALK[:2],
        {**TALK[2], "content": "I look."},
        *TALK[3:],
        {"role": "assistant", "content": "No.", "reasoning_content": "Hm"},
        {"role": "user", "content": "Why?"},
    ]
    sent = body_of(messages=talk)["messages"]
    assert sent[0] == {"role": "system", "content": "Be brief."}
    assert sent[2]["tool_plan"] == "I look."
    assert sent[2]["content"] == [{"type": "thinking", "thinking": "Hm"}]
    assert sent[2]["tool_calls"][0]["id"] == sent[3]["tool_call_id"] == LONG_ID
    assert sent[3] == {"role": "tool", "tool_call_id": LONG_ID, "content": "42"}
    assert sent[6] == {"role": "assistant", "content": "No."}


def test_what_it_answered_goes_back_whole():
    replied = next(each for each in REPLIES if "plan" in each.name)
    outcome = ADAPTER.parse(call(), HttpReply(200, {}, orjson.dumps(replied.body)))
    assert isinstance(outcome, Succeeded)
    back = orjson.loads(outcome.body)["choices"][0]["message"]
    body, dropped = built(call(messages=[*ASKED, {**back, "citations": [CITATION]}]))
    assert body["messages"][1]["tool_plan"] == "I look."
    assert dropped == ()


def test_pictures_go_as_parts_and_sound_is_told_as_lost():
    parts = [
        {"type": "text", "text": "See:"},
        {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "wav"}},
    ]
    body, dropped = built(call(messages=[{"role": "user", "content": parts}]))
    assert body["messages"][0]["content"] == parts[:2]
    assert dropped == ("messages[].content[].type=input_audio",)


@pytest.mark.parametrize(
    ("choice", "names", "sent"),
    [
        (None, ["look", "stop"], None),
        ("auto", ["look", "stop"], None),
        ("none", ["look", "stop"], "NONE"),
        ("required", ["look", "stop"], "REQUIRED"),
        ({"type": "function", "function": {"name": "stop"}}, ["stop"], "REQUIRED"),
    ],
)
def test_a_wish_for_tools_is_theirs(choice, names, sent):
    body = body_of(tools=TOOLS, tool_choice=choice)
    assert [tool["function"]["name"] for tool in body["tools"]] == names
    assert body.get("tool_choice") == sent


def test_a_wish_for_a_tool_that_is_not_there_is_told():
    choice = {"type": "function", "function": {"name": "gone"}}
    body, dropped = built(call(tools=TOOLS, tool_choice=choice))
    assert "tools" not in body
    assert dropped == ("tool_choice",)


def test_strict_is_for_all_tools_or_none():
    schema = {**SCHEMA, "required": ["q"], "minProperties": 1}
    strict = {"type": "function", "function": {"name": "f", "parameters": schema, "strict": True}}
    body, dropped = built(call(tools=[strict]))
    assert body["strict_tools"] is True
    assert "minProperties" not in body["tools"][0]["function"]["parameters"]
    assert dropped == ()
    body, dropped = built(call(tools=[strict, STOP]))
    assert "strict_tools" not in body
    assert dropped == ("tools[].function.strict",)
    assert body_of(tools=[LOOK], strict_tools=True)["strict_tools"] is True


def test_json_is_theirs_and_not_beside_tools():
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 5}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
    made = body_of(response_format=wanted)["response_format"]
    assert made["type"] == "json_object"
    assert made["json_schema"]["properties"]["n"] == {
        "type": "integer",
        "description": "(maximum: 5)",
    }
    any_json = {"type": "json_object"}
    assert body_of(response_format=any_json)["response_format"] == any_json
    body, dropped = built(call(response_format=any_json, tools=TOOLS))
    assert "response_format" not in body
    assert dropped == ("response_format=json_object",)


@pytest.mark.parametrize(
    ("effort", "more", "sent"),
    [
        ("none", {}, {"type": "disabled"}),
        ("low", {}, {"type": "enabled", "token_budget": 1_600}),
        ("high", {"max_tokens": 1_000}, {"type": "enabled", "token_budget": 800}),
        ("default", {}, None),
        ("low", {"thinking": {"type": "disabled"}}, {"type": "disabled"}),
    ],
)
def test_effort_is_a_budget(effort, more, sent):
    body, dropped = built(call(reasoning_effort=effort, **more))
    assert body.get("thinking") == sent
    assert dropped == (() if sent else ("reasoning_effort",))


def test_numbers_are_kept_in_their_range_and_told():
    body, dropped = built(
        call(temperature=1.5, frequency_penalty=-1, top_p=1, top_k=4, stop=list("abcdefg"))
    )
    assert (body["temperature"], body["frequency_penalty"], body["p"], body["k"]) == (1, 0, 0.99, 4)
    assert body["stop_sequences"] == list("abcde")
    assert dropped == ("frequency_penalty=-1", "stop", "temperature=1.5")
    assert body_of(max_tokens=90_000)["max_tokens"] == 8_000


@settings(max_examples=300)
@given(JSON, JSON, JSON)
def test_no_request_makes_it_raise_or_changes_what_the_caller_sent(talk, tools, other):
    request = {
        "messages": talk,
        "tools": tools,
        "tool_choice": tools,
        "n": other,
        "stop": other,
        "response_format": other,
        "reasoning_effort": other,
        "temperature": other,
        "max_tokens": other,
        "top_p": other,
        "input": talk,
        "input_type": other,
    }
    before = orjson.dumps(request)
    ADAPTER.build(call(**request), None)
    ADAPTER.build(embedding(**request), None)
    assert orjson.dumps(request) == before


@pytest.mark.parametrize("reply", REPLIES, ids=lambda each: each.name)
def test_a_reply_becomes_one_of_openais_own(reply: Reply):
    V2ChatResponse.model_validate(reply.body)
    check_reply(ADAPTER, call(), reply)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (answer("ERROR", content=[words("Hi")]), FailureKind.MALFORMED_REPLY),
        (answer("TIMEOUT", content=[words("Hi")]), FailureKind.MALFORMED_REPLY),
        (answer(None, content=[words("Hi")]), FailureKind.MALFORMED_REPLY),
        (answer(content=[]), FailureKind.MALFORMED_REPLY),
        (answer(tool_calls=[5]), FailureKind.MALFORMED_REPLY),
        ({"id": "x", "message": "invalid api token"}, FailureKind.MALFORMED_REPLY),
        ([], FailureKind.MALFORMED_REPLY),
    ],
)
def test_what_is_no_answer_is_a_failure(body, kind):
    outcome = ADAPTER.parse(call(), HttpReply(200, {}, orjson.dumps(body)))
    assert isinstance(outcome, Failed)
    assert outcome.kind is kind


def test_without_usage_it_is_estimated_and_says_so():
    body = {**answer(content=[words("Hello")]), "usage": None}
    outcome = ADAPTER.parse(call(), HttpReply(200, {}, orjson.dumps(body)))
    assert isinstance(outcome, Succeeded)
    assert outcome.usage.estimated
    billed = {**body, "usage": {"billed_units": USAGE["billed_units"]}}
    outcome = ADAPTER.parse(call(), HttpReply(200, {}, orjson.dumps(billed)))
    assert isinstance(outcome, Succeeded)
    assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (5, 2)


RECORDED = pytest.mark.parametrize("recorded", STREAMS, ids=lambda each: each.name)


def read(pieces: Iterable[bytes], **more: Any) -> tuple[list[Any], Any]:
    return wire_answers.read(ADAPTER.parse_stream(call(streamed=True, **more), 200, {}), pieces)


@RECORDED
def test_a_stream_becomes_openais_chunks_and_their_message(recorded: Stream):
    chunks, outcome = read([recorded.raw], stream_options={"include_usage": True})
    check_stream(recorded, outcome)
    state: ChatCompletionStreamState[Any] = ChatCompletionStreamState()
    for each in chunks:
        assert each["id"] == "c-1"
        list(state.handle_chunk(ChatCompletionChunk.model_validate(each)))
    assert chunks[-1]["usage"]["total_tokens"] == 12
    final = state.current_completion_snapshot.choices[0].message.model_dump()
    for name in ("content", "citations", "reasoning_content"):
        assert final.get(name) == recorded.message.get(name)


@RECORDED
def test_a_stream_cut_at_any_byte_is_complete_and_right_or_failed(recorded: Stream):
    assert whole_when_cut(read, recorded) == 2, "only the end of the last line may be missing"


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (stream(HELLO, finish="ERROR", error="it broke"), FailureKind.MALFORMED_REPLY),
        (stream(HELLO, finish="ERROR"), FailureKind.MALFORMED_REPLY),
        (stream(finish="TIMEOUT"), FailureKind.TIMEOUT),
        (stream(), FailureKind.MALFORMED_REPLY),
        (stream(HELLO, finish_reason=None), FailureKind.MALFORMED_REPLY),
        (b'data: {"message":"too many tokens"}\n\n', FailureKind.MALFORMED_REPLY),
        (stream(said("tool-call-start", tool_calls=CALL)), FailureKind.MALFORMED_REPLY),
        (stream(said("tool-call-delta", 3, tool_calls=CALL)), FailureKind.MALFORMED_REPLY),
        (
            stream(call_events(0, BARE), said("tool-call-delta", 0, tool_calls=CALL)),
            FailureKind.MALFORMED_REPLY,
        ),
    ],
)
def test_a_stream_that_breaks_its_form_is_a_failure(raw, kind):
    _, outcome = read([raw])
    assert isinstance(outcome, Failed)
    assert outcome.kind is kind


def test_the_words_of_an_error_are_kept():
    _, outcome = read([stream(HELLO, finish="ERROR", error="it broke")])
    assert outcome.message == "it broke"


@settings(max_examples=200)
@given(
    st.lists(
        st.builds(
            lambda kind, value: event(kind, index=0, delta={"message": value, "usage": value}),
            st.sampled_from(
                [
                    *("message-start", "content-start", "content-delta", "tool-plan-delta"),
                    *("tool-call-start", "tool-call-delta", "citation-start", "message-end"),
                ]
            ),
            JSON,
        )
        | st.just(HELLO)
    )
)
def test_no_events_make_a_reader_raise(events):
    read(events)


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        ({"input": "a"}, {"texts": ["a"], "input_type": "search_document"}),
        ({"input": ["a", "b"], "input_type": "query"}, {"input_type": "search_query"}),
        ({"input": "a", "input_type": "clustering"}, {"input_type": "clustering"}),
        ({"input": "a", "dimensions": 256}, {"output_dimension": 256}),
        ({"input": "a", "encoding_format": "base64"}, {"embedding_types": ["base64"]}),
        ({"input": "a", "encoding_format": "float"}, {"embedding_types": ["float"]}),
        ({"input": "a", "truncate": "NONE"}, {"truncate": "NONE"}),
    ],
)
def test_an_embedding_is_asked_for_as_they_want_it(request_, body):
    made, dropped = built(embedding(model="auto", **request_))
    assert body.items() <= made.items()
    assert made["model"] == "m1"
    assert dropped == ()


def test_what_an_embedding_does_not_take_is_told():
    assert built(embedding(input="a", user="u", colour="red"))[1] == ("colour", "user")


@pytest.mark.parametrize(
    ("given_", "kind"),
    [
        ([1, 2], FailureKind.UNSUITED),
        ([[1, 2], [3]], FailureKind.UNSUITED),
        (["a"] * 97, FailureKind.TOO_LONG),
    ],
)
def test_inputs_it_cannot_embed_are_not_sent_and_the_field_is_named(given_, kind):
    failed = ADAPTER.build(embedding(input=given_), None)
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.param, failed.sent) == (kind, "input", False)
    assert "input" in failed.message


VECTORS = {"id": "e1", "embeddings": {"float": [[0.5, 1], [0.25, 2]]}, "texts": ["a", "b"]}
BILLED = {"meta": {"api_version": {"version": "2"}, "billed_units": {"input_tokens": 4.0}}}


@pytest.mark.parametrize("made", [VECTORS["embeddings"], {"base64": ["AAA=", "AAA="]}])
def test_embeddings_become_openais_own(made):
    body = {**VECTORS, **BILLED, "embeddings": made}
    EmbedByTypeResponse.model_validate(body)
    outcome = ADAPTER.parse(embedding(input=["a", "b"]), HttpReply(200, {}, orjson.dumps(body)))
    assert isinstance(outcome, Succeeded), outcome
    listed = orjson.loads(outcome.body)
    if "float" in made:
        CreateEmbeddingResponse.model_validate(listed)
    assert [each["embedding"] for each in listed["data"]] == next(iter(made.values()))
    assert listed["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert listed["model"] == "m1"
    assert outcome.usage.input_tokens == 4
    assert not outcome.usage.estimated


@pytest.mark.parametrize(
    "body",
    [
        {**VECTORS, "embeddings": {"float": [[0.5]]}},
        {**VECTORS, "embeddings": {"int8": [[1], [2]]}},
        {**VECTORS, "embeddings": {"float": [[0.5], []]}},
        {"id": "x", "message": "broken"},
    ],
)
def test_embeddings_that_are_not_all_there_are_a_failure(body):
    outcome = ADAPTER.parse(embedding(input=["a", "b"]), HttpReply(200, {}, orjson.dumps(body)))
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.MALFORMED_REPLY


async def attempted(reply: dict[str, Any], **changes: Any) -> tuple[Any, list[Any]]:
    transport = Transport(AioTransport(proxies={}))
    try:
        async with serving(always(json_reply(reply))) as server:
            where = deployment(f"{server.url}/v2", type="cohere")
            known = catalog_of(where, quirks={"alpha": KNOWN})
            report = await attempt.run(claim(**changes), context(transport, known))
            return report, server.requests
    finally:
        await transport.aclose()


async def test_an_attempt_speaks_to_it_through_the_wired_worker():
    asked = {"model": "auto", "messages": ASKED, "logprobs": True}
    report, requests = await attempted(answer(content=[words("Hi")]), request=asked)
    assert report.verdict is Verdict.COMPLETE
    assert report.attempt["dropped"] == ["logprobs"]
    assert requests[0][0].startswith(b"POST /v2/chat ")


async def test_inputs_it_cannot_embed_end_an_attempt_before_anything_is_sent():
    asked = {"model": "auto", "input": [1, 2]}
    report, requests = await attempted(VECTORS, request=asked, kind=Kind.EMBEDDING)
    assert requests == []
    assert report.verdict is Verdict.FAIL
    assert report.error is not None
    assert (report.error["param"], report.error["status"]) == ("input", 400)
    assert not report.reached
    assert report.cooldowns == ()
