"""Reads a wire's answers, and holds them against the messages they must become."""

from collections.abc import Callable, Iterable
from typing import Any

import orjson
from openai.types.chat import ChatCompletion
from recorded_hosts import Reply
from recorded_streams import Stream

from shared.core.outcome import Failed, FailureKind, Succeeded
from workers.providers.base import Adapter, Call, HttpReply, StreamReader

Read = Callable[[Iterable[bytes]], tuple[list[Any], Any]]


def read(reader: StreamReader, pieces: Iterable[bytes]) -> tuple[list[Any], Any]:
    """The chunks that a stream becomes, and what came of it."""
    chunks: list[bytes] = []
    for each in pieces:
        chunks += reader.feed(each)
    last, outcome = reader.finish()
    assert not any(b"\n" in each for each in (*chunks, *last)), "it must fit one line of ours"
    return [orjson.loads(each) for each in (*chunks, *last)], outcome


def check_reply(adapter: Adapter, asked: Call, reply: Reply) -> dict[str, Any]:
    """A recorded reply becomes its message, with its usage; the body in OpenAI's form."""
    outcome = adapter.parse(asked, HttpReply(200, {}, orjson.dumps(reply.body)))
    assert isinstance(outcome, Succeeded), outcome
    body: dict[str, Any] = orjson.loads(outcome.body)
    ChatCompletion.model_validate(body)
    choice, usage = body["choices"][0], outcome.usage
    assert {k: v for k, v in choice["message"].items() if k != "role"} == reply.message
    assert choice["finish_reason"] == reply.finish_reason
    assert (usage.input_tokens, usage.output_tokens, usage.cached_tokens) == reply.usage
    return body


def check_stream(recorded: Stream, outcome: Any, *, exact_usage: bool = True) -> None:
    """A recorded stream has become its message."""
    assert isinstance(outcome, Succeeded), outcome
    body = orjson.loads(outcome.body)
    ChatCompletion.model_validate(body)
    assert body["choices"][0]["message"] == recorded.message
    assert body["choices"][0]["finish_reason"] == recorded.finish_reason
    if exact_usage:
        assert (outcome.usage.input_tokens, outcome.usage.output_tokens) == recorded.usage


def whole_when_cut(read: Read, recorded: Stream, *, exact_usage: bool = True) -> int:
    """Cuts a stream at every byte: right or failed; how many of its beginnings are the answer."""
    raw, complete = recorded.raw, 0
    assert read([raw[at : at + 1] for at in range(len(raw))]) == read([raw])
    for cut in range(len(raw)):
        _, outcome = read([raw[:cut]])
        if isinstance(outcome, Failed):
            assert outcome.kind is FailureKind.MALFORMED_REPLY
            assert outcome.uncertain
        else:
            complete += 1
            check_stream(recorded, outcome, exact_usage=exact_usage)
    return complete
