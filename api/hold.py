"""Held requests: wait for the job's end and answer as the provider would have.

A stream's answer is in `stream.py`; both begin with `begin` and treat a dropped client alike.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from api import admit
from api.admit import Admission, Draft
from api.body import ClientGone
from api.call import JSON, Call, Header
from api.departure import Departure
from api.errors import NO_RETRY, error_object, not_found, store_unavailable
from api.options import Options
from api.outcome import Ended, ended, job_headers, transparency, way_told
from api.ports import Watch
from api.wiring import Service
from shared.errors import Refused
from shared.queue.types import Acceptance, Event
from shared.submission import Submission

Render = Callable[[bytes], tuple[bytes, Header]]
TERMINAL = frozenset({"job.completed", "job.failed", "job.cancelled", "job.expired"})


@dataclass(slots=True)
class Hold:
    """One caller waiting for one job. `until` and `began` are on the monotonic clock, seconds."""

    service: Service
    call: Call
    admission: Admission
    watch: Watch
    departure: Departure
    wait_s: float
    began: float
    until: float

    @property
    def job_id(self) -> str:
        """The job waited for: an earlier one where this request repeats another."""
        return self.admission.accepted.job_id

    @property
    def tenant(self) -> str:
        """Whose job it is."""
        return self.admission.draft.job.tenant

    async def next(self, at_most_s: float) -> Event | None:
        """The next event within `at_most_s`, or None."""
        try:
            return await self.watch.next(max(0.0, at_most_s))
        except StopAsyncIteration:
            return None

    async def end(self, event: Event) -> Ended:
        """How the job ended; the job is read only where its terminal event says too little."""
        inline = self.watch.result if event.type == "job.completed" else None
        way = way_told(self.job_id, event) if inline else None
        if way is not None:
            self.service.metrics.delivered("completed")
            return Ended(way, 200, inline, None)
        record = await self.service.jobs.get(self.job_id, self.tenant)
        if record is None or not record.status.final:
            raise not_found(f"job {self.job_id} is no longer kept", code="job_not_found")
        self.service.metrics.delivered(record.status.value)
        return ended(record, inline)

    @property
    def held_ms(self) -> float:
        """How long this caller has waited."""
        return (time.monotonic() - self.began) * 1000


@asynccontextmanager
async def begin(
    service: Service, call: Call, asked: Submission, options: Options, key: str | None
) -> AsyncIterator[Hold]:
    """Accepts the job and holds the caller's connection to it.

    Where the client drops, the job is cancelled after a grace, unless it is to be kept, somebody
    came back for it, or it was not a held request that made it.
    """
    began = time.monotonic()
    service.room_to_hold()
    made = await admit.draft(service, call, asked, options, held=True, idempotency_key=key)
    admission, watch = await _accepted(service, made)
    job_id = admission.accepted.job_id
    wait_s = service.bounds.hold_s if options.wait_s is None else options.wait_s
    service.wait_for(job_id)
    try:
        async with Departure(service, call.receive) as departure:
            yield Hold(service, call, admission, watch, departure, wait_s, began, began + wait_s)
    except ClientGone:
        if not options.keep and admission.accepted.how is not Acceptance.REPEATED:
            service.abandon(job_id, made.job.tenant)
        raise
    finally:
        watch.close()
        service.wait_no_more(job_id)


async def _accepted(service: Service, made: Draft) -> tuple[Admission, Watch]:
    watch = service.inbox.expect(made.job.id, end_only=not made.job.follow)
    try:
        admission = await admit.accept(service, made)
    except BaseException:
        watch.close()
        raise
    if admission.created:  # one that has its answer already was told of it to this watch
        return admission, watch
    watch.close()
    joined = await service.inbox.attach(admission.accepted.job_id, 0)
    if joined is None:
        raise store_unavailable()
    return admission, joined


async def answer(
    service: Service,
    call: Call,
    asked: Submission,
    options: Options,
    key: str | None,
    *,
    render: Render | None = None,
) -> None:
    """Holds the request until its job has ended, at most as long as it may wait: then a 504.

    `render` makes what is sent of the result, where that is not the result itself.
    """
    async with begin(service, call, asked, options, key) as hold:
        while (left_s := hold.until - time.monotonic()) > 0:
            event = await hold.next(left_s)
            if event is not None and event.type in TERMINAL:
                outcome = await hold.end(event)
                hold.departure.settled()
                await reply(call, outcome, hold.held_ms, render)
                return
        hold.departure.settled()
        await still_running(call, hold)


async def reply(call: Call, outcome: Ended, held_ms: float, render: Render | None = None) -> None:
    """Sends a job's result, or its error with the status that belongs to it.

    What is made of a result is made in a thread: subtitles of a long talk take seconds.
    """
    headers = transparency(outcome.way, held_ms)
    if outcome.body is not None:
        body, kind = outcome.body, JSON
        if render is not None:
            body, kind = await asyncio.to_thread(render, outcome.body)
        await call.reply(200, body, headers, kind=kind)
        return
    headers.append(NO_RETRY)
    await call.json(outcome.status, {"error": outcome.error}, headers)


async def still_running(call: Call, hold: Hold) -> None:
    """The 504 of a job that takes longer than its caller may wait: it goes on."""
    late = too_late(hold)
    headers: list[Header] = [
        *job_headers(hold.job_id),
        (b"location", f"/v1/jobs/{hold.job_id}".encode()),
        NO_RETRY,
    ]
    body = error_object(late.message, late.type, late.param, late.code)
    body["error"]["job_id"] = hold.job_id
    await call.json(late.status, body, headers)


def too_late(hold: Hold) -> Refused:
    """What a caller is told whose wait is over while the job goes on."""
    return Refused(
        f"the job is not done after {hold.wait_s:g} s; it goes on: GET /v1/jobs/{hold.job_id}",
        status=504,
        type_="server_error",
        code="still_running",
    )
