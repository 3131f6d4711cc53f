"""Every recorded stream, through every adapter: whole, in any pieces, and cut at every byte."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_streams import BASE, PIECES, STREAMS, USAGE, Stream, chunk, sse
from wire_answers import read
from worker_claims import CHAT, deployment

from shared.core.model import Kind
from shared.core.outcome import Failed, FailureKind, Outcome, Succeeded
from shared.quirks import Quirks
from workers.providers.base import Adapter, Call, StreamReader
from workers.providers.openai_compatible import OpenAICompatible

ADAPTERS: list[Adapter] = [OpenAICompatible()]
ADAPTER = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda each: type(each).__name__)
RECORDED = pytest.mark.parametrize("stream", STREAMS, ids=lambda each: each.name)


def call(stream: Stream | None = None, **request: Any) -> Call:
    asked = {**CHAT, **(stream.request if stream else {}), **request}
    where = deployment("http://x")
    return Call(Kind.CHAT, asked, where, Quirks(), True, 12, job_id="job_1", created_s=5)


def reader_of(adapter: Adapter, asked: Call) -> StreamReader:
    return adapter.parse_stream(asked, 200, {})


def check(stream: Stream, outcome: Outcome, exact_usage: bool = True) -> None:
    assert isinstance(outcome, Succeeded), outcome
    body = orjson.loads(outcome.body)
    assert body["object"] == "chat.completion"
    assert body["id"]
    assert body["choices"][0]["message"] == stream.message
    assert body["choices"][0]["finish_reason"] == stream.finish_reason
    if exact_usage:
        assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == stream.usage
        assert outcome.usage.estimated == stream.estimated
        assert body["usage"]["prompt_tokens"] == stream.usage[0]
        assert body["usage"]["total_tokens"] == sum(stream.usage)
        assert body["usage"].get("estimated", False) == stream.estimated


@ADAPTER
@RECORDED
def test_a_whole_stream_becomes_its_message_and_openais_chunks(adapter, stream):
    chunks, outcome = read(reader_of(adapter, call(stream)), [stream.raw])
    check(stream, outcome)
    for each in chunks:
        assert isinstance(each, dict)
        assert each["object"] == "chat.completion.chunk"
        assert each["id"]
        assert each["created"]
        assert each["choices"], "a caller who did not ask for usage gets no chunk without choices"
        assert each.get("usage") is None
        for choice in each["choices"]:
            assert isinstance(choice["index"], int)
            assert isinstance(choice["delta"].get("content", ""), str | None)
    said = "".join(
        choice["delta"].get("content") or ""
        for each in chunks
        for choice in each["choices"]
        if choice["index"] == 0
    )
    assert said == (stream.message["content"] or "")


@ADAPTER
@RECORDED
def test_a_caller_who_asks_for_usage_gets_it_once_and_last(adapter, stream):
    asked = call(stream, stream_options={"include_usage": True})
    chunks, _ = read(reader_of(adapter, asked), [stream.raw])
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["completion_tokens"] == stream.usage[1]
    assert all(each["choices"] for each in chunks[:-1])


@ADAPTER
@RECORDED
def test_pieces_of_any_size_make_the_same_answer(adapter, stream):
    whole = read(reader_of(adapter, call(stream)), [stream.raw])
    for size in (1, 2, 3, 7, 61):
        pieces = [stream.raw[at : at + size] for at in range(0, len(stream.raw), size)]
        assert read(reader_of(adapter, call(stream)), pieces) == whole


@ADAPTER
@RECORDED
def test_a_stream_cut_at_any_byte_is_complete_and_right_or_failed(adapter, stream):
    complete = 0
    for cut in range(len(stream.raw)):
        _, outcome = read(reader_of(adapter, call(stream)), [stream.raw[:cut]])
        if isinstance(outcome, Failed):
            assert outcome.kind is FailureKind.MALFORMED_REPLY
            assert outcome.uncertain
            continue
        complete += 1
        check(stream, outcome, exact_usage=False)
    assert complete < len(stream.raw) // 2


@ADAPTER
def test_nothing_is_given_out_before_the_first_word(adapter):
    reader = reader_of(adapter, call())
    assert list(reader.feed(sse(chunk({"role": "assistant", "content": ""}), done=False))) == []
    assert not reader.started
    assert len(reader.feed(sse(PIECES[1], done=False))) == 2
    assert reader.started


@ADAPTER
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"error": {"message": "oops", "code": "server_error"}}, FailureKind.MALFORMED_REPLY),
        ({"error": {"message": "busy", "type": "overloaded_error"}}, FailureKind.OVERLOADED),
        ({"error": {"message": "x", "code": 429}}, FailureKind.RATE_LIMITED),
        ({"error": {"code": 502, "message": "x"}, **chunk({}, "error")}, FailureKind.OVERLOADED),
        ({"error": {"message": "x", "code": "rate_limit_exceeded"}}, FailureKind.RATE_LIMITED),
        ({**chunk({}), "x_groq": {"error": "over capacity"}}, FailureKind.MALFORMED_REPLY),
        (chunk({}, "error"), FailureKind.MALFORMED_REPLY),
        ({"message": "internal", "type": "server_error"}, FailureKind.MALFORMED_REPLY),
        ("no object", FailureKind.MALFORMED_REPLY),
        ({**BASE, "choices": [{"delta": 5}]}, FailureKind.MALFORMED_REPLY),
        ({**BASE, "choices": "x"}, FailureKind.MALFORMED_REPLY),
        ({**BASE, "choices": [7]}, FailureKind.MALFORMED_REPLY),
        (chunk({"tool_calls": "x"}), FailureKind.MALFORMED_REPLY),
        (chunk({"tool_calls": [5]}), FailureKind.MALFORMED_REPLY),
        (chunk({"content": {"a": 1}}), FailureKind.MALFORMED_REPLY),
    ],
)
@pytest.mark.parametrize("before", [0, 3])
def test_an_error_inside_a_stream_is_a_failure(adapter, error, kind, before):
    raw = sse(*PIECES[:before], error, chunk({"content": "more"}, "stop", usage=USAGE))
    reader = reader_of(adapter, call())
    _, outcome = read(reader, [raw])
    assert isinstance(outcome, Failed)
    assert outcome.kind is kind
    assert reader.done
    assert reader.started == (before > 1)


@ADAPTER
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"data: [DONE]\n\n",
        sse(chunk({"role": "assistant", "content": ""}), chunk({}, "stop", usage=USAGE)),
        sse(*PIECES),
        sse(*PIECES, done=False),
        b"data: {broken\n\ndata: [DONE]\n\n",
        b"<html>not a stream</html>",
        b"data: " + b"x" * (17 << 20),
    ],
    ids=["nothing", "done only", "no word", "no finish", "cut", "broken json", "html", "huge"],
)
def test_a_stream_without_a_whole_answer_is_a_failure(adapter, raw):
    _, outcome = read(reader_of(adapter, call()), [raw])
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.MALFORMED_REPLY


@ADAPTER
def test_two_asked_for_and_one_ended_is_cut(adapter):
    raw = sse(chunk({"content": "A"}, "stop"), done=False)
    _, outcome = read(reader_of(adapter, call(n=2)), [raw])
    assert isinstance(outcome, Failed)


@ADAPTER
@settings(max_examples=300)
@given(data=st.lists(st.binary(max_size=200) | st.sampled_from([s.raw for s in STREAMS])))
def test_no_bytes_make_a_reader_raise(adapter, data):
    read(reader_of(adapter, call()), data)
