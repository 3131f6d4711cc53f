"""What Gemini answers: whole, streamed, cut at every byte, blocked, broken."""

from typing import Any

import orjson
import pytest
from gemini_calls import ADAPTER, ASK, call, parsed, read
from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from recorded_gemini import (
    STREAMS,
    TOP,
    USAGE,
    WHOLE,
    Reply,
    calls,
    candidate,
    piece,
    shell,
    text,
)
from recorded_streams import sse

from shared.core.outcome import Failed, FailureKind, Outcome, Succeeded
from workers.providers.base import Call


def asked_for(reply: Reply, **more: Any) -> Call:
    return call(**{"messages": [ASK], **reply.request, **more})


def check(reply: Reply, outcome: Outcome, *, exact_usage: bool = True) -> None:
    assert isinstance(outcome, Succeeded), outcome
    body = orjson.loads(outcome.body)
    ChatCompletion.model_validate(body)
    assert (body["id"], body["model"]) == (TOP["responseId"], TOP["modelVersion"])
    assert body["choices"][0]["message"] == shell(reply)
    assert body["choices"][0]["finish_reason"] == reply.finish_reason
    if exact_usage:
        usage = outcome.usage
        assert not usage.estimated
        told = (usage.input_tokens, usage.output_tokens, usage.cached_tokens)
        assert (*told, usage.reasoning_tokens) == reply.usage
        assert body["usage"]["total_tokens"] == sum(reply.usage[:2])


EACH = pytest.mark.parametrize("reply", [*WHOLE, *STREAMS], ids=lambda each: each.name)


@EACH
def test_the_recorded_answers_are_in_googles_format(reply):
    for each in reply.pieces:
        types.GenerateContentResponse.model_validate_json(orjson.dumps(each))


@pytest.mark.parametrize("reply", WHOLE, ids=lambda each: each.name)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_whole_answer_becomes_one_of_openais(reply, wrapped):
    value = reply.pieces[0]
    check(reply, parsed([value] if wrapped else value, asked_for(reply)))


@EACH
def test_a_stream_becomes_openais_chunks_and_their_message(reply):
    asked = asked_for(reply, stream_options={"include_usage": True})
    chunks, outcome = read(asked, [reply.raw])
    check(reply, outcome)
    for each in chunks:
        ChatCompletionChunk.model_validate(each)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == sum(reply.usage[:2])
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for each in chunks:
        state.handle_chunk(construct_type(type_=ChatCompletionChunk, value=each))
    if reply.finish_reason in ("stop", "tool_calls"):
        final = state.get_final_completion().choices[0]
        assert final.message.content == (reply.message["content"] or None)
        calls_ = [each.model_dump() for each in final.message.tool_calls or []]
        for made, expected in zip(calls_, reply.message.get("tool_calls") or [], strict=True):
            assert made["id"] == expected["id"]
            assert made["function"]["arguments"] == expected["function"]["arguments"]


@EACH
def test_a_stream_cut_at_any_byte_is_complete_and_right_or_failed(reply):
    raw, asked = reply.raw, asked_for(reply)
    whole = read(asked, [raw])
    assert read(asked, [raw[at : at + 1] for at in range(len(raw))]) == whole
    failed = 0
    for cut in range(len(raw)):
        _, outcome = read(asked, [raw[:cut]])
        if isinstance(outcome, Succeeded):
            check(reply, outcome)
        else:
            failed += 1
            assert isinstance(outcome, Failed)
            assert outcome.kind is FailureKind.MALFORMED_REPLY
    assert failed >= len(raw) - len(b"\r\n\r\n")


def test_two_candidates_are_two_choices_and_one_of_them_is_half_an_answer():
    first = piece(candidate(text("A"), finish="STOP"))
    second = piece({**candidate(text("B"), finish="STOP"), "index": 1})
    asked = call(messages=[ASK], n=2)
    both = [*first["candidates"], *second["candidates"]]
    for outcome in (
        parsed(piece(*both), asked),
        read(asked, [sse(first, second, done=False)])[1],
    ):
        assert isinstance(outcome, Succeeded)
        choices = orjson.loads(outcome.body)["choices"]
        assert [each["message"]["content"] for each in choices] == ["A", "B"]
    _, outcome = read(asked, [sse(first, done=False)])
    assert isinstance(outcome, Failed)


def test_log_probabilities_are_openais():
    def token(value: str, logprob: float) -> dict[str, Any]:
        return {"token": value, "tokenId": 7, "logProbability": logprob}

    result = {
        "chosenCandidates": [token("é", -0.5), {"token": "!", "tokenId": 8}],
        "topCandidates": [{"candidates": [token("é", -0.5), token("e", -1)]}, {"candidates": []}],
    }
    value = piece(candidate(text("é!"), finish="STOP", logprobsResult=result))
    types.GenerateContentResponse.model_validate_json(orjson.dumps(value))
    for outcome in (parsed(value), read(call(messages=[ASK]), [sse(value, done=False)])[1]):
        assert isinstance(outcome, Succeeded)
        body = orjson.loads(outcome.body)
        ChatCompletion.model_validate(body)
        assert body["choices"][0]["logprobs"]["content"] == [
            {
                "token": "é",
                "logprob": -0.5,
                "bytes": [195, 169],
                "top_logprobs": [
                    {"token": "é", "logprob": -0.5, "bytes": [195, 169]},
                    {"token": "e", "logprob": -1, "bytes": [101]},
                ],
            },
            {"token": "!", "logprob": 0.0, "bytes": [33], "top_logprobs": []},
        ]


BUSY = {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (BUSY, FailureKind.OVERLOADED),
        ([BUSY], FailureKind.OVERLOADED),
        ({"error": {"code": 499, "status": "CANCELLED"}}, FailureKind.MALFORMED_REPLY),
        (piece(), FailureKind.MALFORMED_REPLY),
        ({"usageMetadata": USAGE}, FailureKind.MALFORMED_REPLY),
        (piece(candidate(finish="STOP")), FailureKind.MALFORMED_REPLY),
        (
            piece(candidate(text("", thoughtSignature="QQ=="), finish="STOP")),
            FailureKind.MALFORMED_REPLY,
        ),
        (piece(candidate(finish="MALFORMED_FUNCTION_CALL")), FailureKind.MALFORMED_REPLY),
        (piece(candidate(finish="MISSING_THOUGHT_SIGNATURE")), FailureKind.MALFORMED_REPLY),
        (
            piece(candidate({"functionCall": {"name": "a", "willContinue": True}}, finish="STOP")),
            FailureKind.MALFORMED_REPLY,
        ),
        (
            piece(candidate({"functionCall": {"args": {}}}, finish="STOP")),
            FailureKind.MALFORMED_REPLY,
        ),
        (
            piece(candidate(calls("a", [1]), finish="STOP")),  # type: ignore[arg-type]
            FailureKind.MALFORMED_REPLY,
        ),
        ({"candidates": "x"}, FailureKind.MALFORMED_REPLY),
        ({"candidates": [5]}, FailureKind.MALFORMED_REPLY),
        ({"candidates": [{"content": 5, "finishReason": "STOP"}]}, FailureKind.MALFORMED_REPLY),
        ({"candidates": [{"content": {"parts": [5]}}]}, FailureKind.MALFORMED_REPLY),
        ({}, FailureKind.MALFORMED_REPLY),
        ([], FailureKind.MALFORMED_REPLY),
        (5, FailureKind.MALFORMED_REPLY),
    ],
)
def test_what_is_no_answer_is_never_given_out_as_one(value, kind):
    _, streamed = read(call(messages=[ASK]), [sse(value, done=False)])
    for outcome in (parsed(value), streamed):
        assert isinstance(outcome, Failed)
        assert outcome.kind is kind


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "TOO_MANY_TOOL_CALLS"])
def test_a_model_that_lost_its_way_after_thoughts_alone_has_not_answered(reason):
    value = piece(candidate(text("Hm", thought=True), finish=reason))
    _, streamed = read(call(messages=[ASK]), [sse(value, done=False)])
    for outcome in (parsed(value), streamed):
        assert isinstance(outcome, Failed)
        assert outcome.kind is FailureKind.MALFORMED_REPLY
        assert reason in outcome.message


def test_an_error_after_words_ends_the_stream():
    raw = sse(piece(candidate(text("Hel"))), BUSY, piece(candidate(finish="STOP")), done=False)
    chunks, outcome = read(call(messages=[ASK]), [raw])
    assert len(chunks) == 1
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.OVERLOADED


def test_usage_that_is_not_told_is_estimated_and_says_so():
    value = {"candidates": [candidate(text("Hello"), finish="STOP")]}
    for outcome in (parsed(value), read(call(messages=[ASK]), [sse(value, done=False)])[1]):
        assert isinstance(outcome, Succeeded)
        assert outcome.usage.estimated
        assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == (12, 5)
        body = orjson.loads(outcome.body)
        assert body["usage"]["estimated"] is True
        assert body["id"] == "chatcmpl-job_1"


REPLY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("candidates", "content", "parts", "text", "functionCall", "name", "args"),
                    *("finishReason", "index", "usageMetadata", "promptTokenCount", "error"),
                    *("promptFeedback", "blockReason", "logprobsResult", "chosenCandidates"),
                    *("embedding", "embeddings", "values", "thoughtSignature", "message"),
                ]
            ),
            inner | st.sampled_from(["STOP", "SAFETY", "AA=="]),
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300)
@given(REPLY_JSON, st.sampled_from([{"messages": [ASK]}, {"input": "a"}, {"input": ["a", "b"]}]))
def test_no_answer_makes_the_adapter_raise(value, request_):
    assert isinstance(parsed(value, call(**request_)), Failed | Succeeded)
    read(call(messages=[ASK]), [sse(value, candidate(text("a")), done=False)])


@pytest.mark.parametrize(("told", "wait_ms"), [("3.5s", 600_000), ("1200s", 1_200_000)])
def test_a_cap_on_spending_rests_the_key_for_its_ten_minutes(told, wait_ms):
    error = {
        "code": 429,
        "message": "Your project has exceeded its spending cap. Please try again later.",
        "status": "RESOURCE_EXHAUSTED",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": told}],
    }
    body = orjson.dumps({"error": error})
    failed = ADAPTER.classify(call(messages=[ASK]), 429, {}, body, 1_000_000)
    assert (failed.kind, failed.scope) == (FailureKind.RATE_LIMITED, "credential")
    assert failed.retry_after_ms == wait_ms
