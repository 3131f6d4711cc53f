"""A streamed transcription: deltas as parts are heard, in order, then the end; as OpenAI's events.

Who speaks is told when all of it is heard: names hold for the whole recording.
"""

import time
from dataclasses import dataclass
from typing import Any, Final

import orjson

from api import hold, sse
from api.call import Call
from api.errors import body_of
from api.hold import TERMINAL, Hold
from api.options import Options
from api.outcome import Ended, job_headers, transparency
from api.wiring import Service
from shared.queue.types import Event
from shared.submission import Submission
from shared.wire.transcriptions import DIARIZED
from shared.wire.transcripts import DELTA, done, turns

DELTA_EVENT: Final = "job.delta"


@dataclass(slots=True)
class Told:
    """The text that the caller has by now."""

    text: str = ""

    def more(self, event: Event) -> str:
        """What of a delta is news: it may be told twice, and an early one may be gone."""
        said = orjson.loads(event.data)
        have = len(self.text) - int(said["offset"])
        delta = str(said["delta"])
        news = delta[have:] if 0 <= have < len(delta) else ""
        self.text += news
        return news


async def answer(
    service: Service, call: Call, job: Submission, wishes: Options, key: str | None
) -> None:
    """Holds the request, and tells what is heard meanwhile; comments where that takes long."""
    diarized = job.request.get("response_format") == DIARIZED
    async with hold.begin(service, call, job, wishes, key) as held:
        service.metrics.streams.inc()
        try:
            await _follow(call, held, diarized=diarized)
        finally:
            service.metrics.streams.dec()


async def _follow(call: Call, held: Hold, *, diarized: bool) -> None:
    bounds, told = held.service.bounds, Told()
    first_byte_at = held.began + bounds.first_byte_s
    while (left_s := held.until - time.monotonic()) > 0:
        quiet_s = bounds.keepalive_s if call.started else first_byte_at - time.monotonic()
        event = await held.next(min(left_s, quiet_s))
        if event is not None and event.type in TERMINAL:
            outcome = await held.end(event)
            held.departure.settled()
            return await _ended(call, held, outcome, told, diarized=diarized)
        if event is not None and event.type == DELTA_EVENT and (news := told.more(event)):
            await _open(call, held)
            await call.chunk(_said({"type": DELTA, "delta": news}))
        elif event is None and time.monotonic() >= first_byte_at:
            await _open(call, held)
            await call.chunk(sse.KEEP_ALIVE)
    held.departure.settled()
    if not call.started:
        return await hold.still_running(call, held)
    return await call.end(sse.data(body_of(hold.too_late(held))))


async def _open(call: Call, held: Hold) -> None:
    if not call.started:
        await call.start(200, [*sse.HEADERS, *job_headers(held.job_id)])


async def _ended(call: Call, held: Hold, outcome: Ended, told: Told, *, diarized: bool) -> None:
    if outcome.body is None and not call.started:
        return await hold.reply(call, outcome, held.held_ms)
    if outcome.body is None:
        return await call.end(sse.data(orjson.dumps({"error": outcome.error})))
    if not call.started:
        await call.start(200, [*sse.HEADERS, *transparency(outcome.way, held.held_ms)])
    result = orjson.loads(outcome.body)
    last = done(result)
    events: list[dict[str, Any]] = turns(result) if diarized else []
    rest = str(last["text"]).removeprefix(told.text)
    if not diarized and rest and str(last["text"]).startswith(told.text):
        events.append({"type": DELTA, "delta": rest})
    return await call.end(b"".join(map(_said, [*events, last])) + sse.DONE)


def _said(event: dict[str, Any]) -> bytes:
    return sse.data(orjson.dumps(event))
