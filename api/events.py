"""`GET /v1/jobs/{id}/events`: a job's events as SSE, replayed from `Last-Event-ID`, then live."""

import re
from typing import Final

import orjson

from api import sse
from api.auth import scope_of
from api.call import Call
from api.departure import Departure
from api.hold import TERMINAL
from api.jobs import job_id, no_such_job, shown
from api.outcome import job_headers
from api.ports import Watch
from api.wiring import Service
from shared.errors import Refused, StoreError
from shared.queue.types import Event

_ID: Final = re.compile(r"\d{1,15}")


async def get(service: Service, call: Call) -> None:
    """Streams the events after `Last-Event-ID`; 204 where there are none left to come."""
    given, after = job_id(call), _last_event_id(call)
    record = await service.jobs.get(given, scope_of(call.key))
    if record is None:
        raise no_such_job(given)
    if record.status.final and after >= record.events:
        await call.start(204, job_headers(given))  # an EventSource stops asking at a 204
        await call.end()
        return
    service.room_to_hold()
    watch = await service.inbox.attach(given, after)
    if watch is None:
        raise no_such_job(given)
    service.metrics.streams.inc()
    try:
        async with Departure(service, call.receive) as departure:
            await call.start(200, [*sse.HEADERS, *job_headers(given)])
            await _follow(service, call, given, watch)
            departure.settled()
            await call.end()
    except (Refused, StoreError):
        if not call.started:
            raise
        await call.end()  # the client reconnects with the last id it saw
    finally:
        service.metrics.streams.dec()


async def _follow(service: Service, call: Call, given: str, watch: Watch | None) -> None:
    """Sends every event up to the one that ends the job; an end before a replay is not the end."""
    while watch is not None:
        try:
            event = await _until_end(service, call, watch)
        finally:
            watch.close()
        if event is None:
            return
        record = await service.jobs.get(given, None)
        over = record is None or record.status.final
        data = event.data
        if record is not None and over:
            data = orjson.dumps(await shown(service, record))
        await call.chunk(sse.event(event.id, event.type, data))
        watch = None if over else await service.inbox.attach(given, event.id)


async def _until_end(service: Service, call: Call, watch: Watch) -> Event | None:
    """Sends the events before the next terminal one, which is returned."""
    while True:
        try:
            event = await watch.next(service.bounds.keepalive_s)
        except StopAsyncIteration:
            return None
        if event is None:
            await call.chunk(sse.KEEP_ALIVE)
        elif event.type in TERMINAL:
            return event
        else:
            await call.chunk(sse.event(event.id, event.type, event.data))


def _last_event_id(call: Call) -> int:
    text = call.header(b"last-event-id")
    if not text:
        return 0
    if not _ID.fullmatch(text):
        raise Refused("Last-Event-ID must be the id of an event: a whole number",
                      param="Last-Event-ID")  # fmt: skip
    return int(text)
