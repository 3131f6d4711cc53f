"""Streamed chats: the job's deltas as OpenAI's chunks, as they come.

The status line waits for the first token, or 10 s: what fails before has its true status. Later
trouble is a `data: {"error": …}` line, which the SDKs raise. Quiet streams carry comments.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from api import sse
from api.call import Call
from api.errors import body_of, store_unavailable
from api.hold import TERMINAL, Hold, begin, reply, still_running, too_late
from api.options import Options
from api.outcome import Ended, header_text, job_headers
from api.wiring import Service
from shared.core.model import lane_deployment
from shared.errors import Refused, StoreError
from shared.queue.types import Event
from shared.submission import Submission


@dataclass(slots=True)
class Facts:
    """What a stream has seen so far, for its headers and its end."""

    deployment: str | None = None
    attempts: int = 0
    queue_ms: float = 0.0
    tokens: bool = False
    usage_sent: bool = False
    extra: list[tuple[bytes, bytes]] = field(default_factory=list)

    def started(self, event: Event, after_ms: float) -> None:
        """An attempt began."""
        told = orjson.loads(event.data)
        self.attempts += 1
        self.deployment = lane_deployment(str(told.get("lane", "")))
        self.queue_ms = after_ms


async def answer(
    service: Service, call: Call, asked: Submission, options: Options, key: str | None
) -> None:
    """Streams the job's deltas until it ends."""
    async with begin(service, call, asked, options, key) as hold:
        service.metrics.streams.inc()
        try:
            await _run(call, hold, include_usage=asked.include_usage)
        except (Refused, StoreError) as problem:
            if not call.started:
                raise
            refused = problem if isinstance(problem, Refused) else store_unavailable(problem)
            hold.departure.settled()
            await call.end(sse.data(body_of(refused)))
        finally:
            service.metrics.streams.dec()


async def _run(call: Call, hold: Hold, *, include_usage: bool) -> None:
    facts, bounds = Facts(), hold.service.bounds
    first_byte_at = hold.began + bounds.first_byte_s
    while True:
        now = time.monotonic()
        if not facts.tokens and now >= hold.until:
            return await _gave_up(call, hold)
        quiet_s = bounds.keepalive_s if call.started else first_byte_at - now
        if not facts.tokens:
            quiet_s = min(quiet_s, hold.until - now)
        event = await hold.next(quiet_s)
        if event is None:
            if call.started:
                await call.chunk(sse.KEEP_ALIVE)
            elif time.monotonic() >= first_byte_at:
                await _open(call, hold, facts)
                await call.chunk(sse.KEEP_ALIVE)
        elif event.type == "job.delta":
            await _delta(call, hold, facts, event.data, include_usage=include_usage)
        elif event.type == "job.started":
            facts.started(event, hold.held_ms)
        elif event.type in TERMINAL:
            return await _finish(call, hold, facts, event, include_usage=include_usage)


async def _open(call: Call, hold: Hold, facts: Facts) -> None:
    headers = [*sse.HEADERS, *job_headers(hold.job_id)]
    if facts.deployment is not None:
        headers += [
            (b"x-headrace-deployment", header_text(facts.deployment)),
            (b"x-headrace-attempts", b"%d" % facts.attempts),
            (b"x-headrace-queue-ms", b"%d" % facts.queue_ms),
        ]
    await call.start(200, headers)


async def _delta(
    call: Call, hold: Hold, facts: Facts, chunk: bytes, *, include_usage: bool
) -> None:
    if is_usage(chunk):
        if not include_usage:
            return
        facts.usage_sent = True
    if not call.started:
        await _open(call, hold, facts)
    facts.tokens = True
    await call.chunk(sse.data(chunk))


async def _finish(
    call: Call, hold: Hold, facts: Facts, event: Event, *, include_usage: bool
) -> None:
    outcome = await hold.end(event)
    hold.departure.settled()
    if outcome.body is None:
        if not call.started:
            return await reply(call, outcome, hold.held_ms)
        return await call.end(sse.data(orjson.dumps({"error": outcome.error})))
    if not call.started:
        await _open(call, hold, facts)
    return await call.end(_rest(outcome, facts, include_usage=include_usage))


def _rest(outcome: Ended, facts: Facts, *, include_usage: bool) -> bytes:
    """What a stream still owes at its end: the text if no delta told it, the usage if asked for."""
    lines: list[bytes] = []
    needs_usage = include_usage and not facts.usage_sent
    if (needs_usage or not facts.tokens) and outcome.body is not None:
        whole = orjson.loads(outcome.body)
        if not facts.tokens:
            lines += (sse.data(orjson.dumps(chunk)) for chunk in chunks_of(whole))
        if needs_usage and whole.get("usage"):
            lines.append(sse.data(orjson.dumps(_chunk(whole, [], usage=whole["usage"]))))
    lines.append(sse.DONE)
    return b"".join(lines)


async def _gave_up(call: Call, hold: Hold) -> None:
    hold.departure.settled()
    if not call.started:
        return await still_running(call, hold)
    return await call.end(sse.data(body_of(too_late(hold))))


def is_usage(chunk: bytes) -> bool:
    """Whether a chunk is the one that only tells the usage: it has no choices."""
    if b'"usage"' not in chunk or b'"choices":[' not in chunk.replace(b" ", b""):
        return False
    told = orjson.loads(chunk)
    return not told.get("choices") and bool(told.get("usage"))


def chunks_of(whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A complete chat answer as chunks: each choice whole, then its end."""
    for choice in whole.get("choices", ()):
        index, message = choice.get("index", 0), dict(choice.get("message") or {})
        calls = message.get("tool_calls")
        if calls:
            message["tool_calls"] = [{"index": i, **call} for i, call in enumerate(calls)]
        told = {"index": index, "delta": message, "finish_reason": None}
        yield _chunk(whole, [told])
        last = {"index": index, "delta": {}, "finish_reason": choice.get("finish_reason")}
        yield _chunk(whole, [last])


def _chunk(whole: dict[str, Any], choices: list[Any], **more: Any) -> dict[str, Any]:
    head: dict[str, Any] = {
        name: whole[name] for name in ("id", "created", "model") if name in whole
    }
    return {**head, "object": "chat.completion.chunk", "choices": choices, **more}
