"""`/v1/responses`: chats in OpenAI's newer words. The job is a chat; here it is said otherwise.

Held, streamed, or in the background; a response is the job of the same letters (`resp_…`, `job_…`).
"""

import re
import time
from collections.abc import Iterable
from typing import Final

import orjson

from api import admit, hold, options, sse
from api.auth import scope_of
from api.body import parse
from api.call import Call
from api.departure import Departure
from api.errors import job_error, not_found, store_unavailable
from api.hold import TERMINAL, Hold, begin, still_running
from api.jobs import respond_async
from api.options import Options
from api.outcome import Ended, job_headers, transparency
from api.ports import Watch
from api.wiring import Service
from shared import submission
from shared.core.model import Status
from shared.errors import Refused, StoreError
from shared.queue.types import Event
from shared.store.types import JobRecord
from shared.submission import Submission, routed
from shared.truncating import fitted
from shared.wire.responding import Json, Responding, answered, heading, response_id, whole
from shared.wire.responses import renamed, responses_request

CANCELLED: Final = "job.cancelled"
RESPONSE_ID: Final = re.compile(r"resp_[A-Za-z0-9_-]{1,60}")
_NUMBER: Final = re.compile(r"\d{1,9}")
_LIVE: Final = {Status.QUEUED: "queued", Status.IN_PROGRESS: "in_progress"}


async def create(service: Service, call: Call) -> None:
    """Answers as OpenAI does: held, as a stream, or at once with what will be."""
    service.admit()
    raw = await call.body(service.bounds.max_body_bytes)
    wishes, key = options.read(call), options.idempotency_key(call)
    request = responses_request(parse(raw))
    try:
        asked = await submitted(service, call, request, raw, wishes)
        if wishes.asynchronous:
            await respond_async(service, call, asked, wishes, key)
        elif request.get("background"):
            await _background(service, call, asked, wishes, key)
        elif asked.stream:
            await _stream(service, call, asked, wishes, key)
        else:
            await _held(service, call, asked, wishes, key)
    except Refused as problem:
        if call.started:
            raise
        raise renamed(problem) from None


async def submitted(
    service: Service, call: Call, request: Json, raw: bytes, wishes: Options
) -> Submission:
    """A checked request with the turns before it, less what `truncation` leaves out."""
    before = await _before(service, call, request)
    more = {"policy": {"on_break": wishes.on_break}} if wishes.on_break else {}
    asked = submission.response(request, before, raw, **more)
    if request.get("truncation") != "auto":
        return asked
    lanes, now_ms = await service.lanes.lane_states(), service.clock.now_ms()

    def route(one: Submission) -> None:
        sized = admit.sized(service, call, one, wishes, held=True)
        routed(service.router, sized.features, sized.need, call.key.tenant, lanes, now_ms)

    return fitted(asked, route)


async def _before(service: Service, call: Call, request: Json) -> tuple[Json, ...]:
    """The turns up to and with `previous_response_id`. Refused where it has no answer here."""
    given = request.get("previous_response_id")
    if given is None:
        return ()
    record = await _record(service, call, given)
    if record is None:
        raise Refused(
            f"there is no response {given}",
            param="previous_response_id",
            code="previous_response_not_found",
        )
    answer = None if record.result is None else answered(orjson.loads(record.result))
    if answer is None:
        raise Refused(
            f"{given} has no answer that could be gone on from: it is {record.status.value}",
            param="previous_response_id",
            code="previous_response_not_answered",
        )
    turns = record.doc["request"]["messages"][record.doc.get("turns_from", 0) :]
    return (*turns, answer)


# -- the three ways to answer


async def _held(
    service: Service, call: Call, asked: Submission, wishes: Options, key: str | None
) -> None:
    async with begin(service, call, asked, wishes, key) as held:
        while (left_s := held.until - time.monotonic()) > 0:
            event = await held.next(left_s)
            if event is not None and event.type in TERMINAL:
                ended = await held.end(event)
                held.departure.settled()
                await _reply(call, held, ended)
                return
        held.departure.settled()
        await still_running(call, held)


async def _reply(call: Call, held: Hold, ended: Ended) -> None:
    if ended.body is None:
        return await hold.reply(call, ended, held.held_ms)
    at_s = held.service.clock.now_ms() // 1000
    said = whole(_head_of(held), orjson.loads(ended.body), at_s)
    return await call.json(200, said, transparency(ended.way, held.held_ms))


async def _stream(
    service: Service, call: Call, asked: Submission, wishes: Options, key: str | None
) -> None:
    """The status line waits for the first word, or 10 s: what fails before has its true status."""
    async with begin(service, call, asked, wishes, key) as held:
        service.metrics.streams.inc()
        made = Responding(_head_of(held))
        try:
            await _run(call, held, made)
        except (Refused, StoreError) as problem:
            if not call.started:
                raise
            refused = problem if isinstance(problem, Refused) else store_unavailable(problem)
            held.departure.settled()
            await call.end(_error_line(made, refused))
        finally:
            service.metrics.streams.dec()


async def _run(call: Call, held: Hold, made: Responding) -> None:
    bounds = held.service.bounds
    first_byte_at = held.began + bounds.first_byte_s
    owed: list[Json] = []
    while True:
        now = time.monotonic()
        if not made.said and now >= held.until:
            held.departure.settled()
            if call.started:
                return await call.end(_error_line(made, hold.too_late(held)))
            return await still_running(call, held)
        quiet_s = bounds.keepalive_s if call.started else first_byte_at - now
        event = await held.next(quiet_s if made.said else min(quiet_s, held.until - now))
        if event is not None and event.type in TERMINAL:
            return await _last(call, held, made, owed, event)
        if event is not None:
            owed += _told(made, event)
        late = not call.started and time.monotonic() >= first_byte_at
        if made.said or late or call.started:
            if not call.started:
                await call.start(200, [*sse.HEADERS, *job_headers(held.job_id)])
            await call.chunk(_lines(owed) or sse.KEEP_ALIVE)
            owed.clear()


async def _last(call: Call, held: Hold, made: Responding, owed: list[Json], event: Event) -> None:
    ended = await held.end(event)
    held.departure.settled()
    if ended.body is None and not call.started:
        return await hold.reply(call, ended, held.held_ms)
    if not call.started:
        await call.start(200, [*sse.HEADERS, *job_headers(held.job_id)])
    answer = None if ended.body is None else orjson.loads(ended.body)
    at_s = held.service.clock.now_ms() // 1000
    return await call.end(_lines([*owed, *made.finish(answer, ended.error, at_s)]))


async def _background(
    service: Service, call: Call, asked: Submission, wishes: Options, key: str | None
) -> None:
    made = await admit.draft(service, call, asked, wishes, held=False, idempotency_key=key)
    admission = await admit.accept(service, made)
    job_id = admission.accepted.job_id
    record = await service.jobs.get(job_id, call.key.tenant)
    if record is None:
        raise _not_there(job_id)
    if asked.stream:
        return await _follow(service, call, record, -1)
    return await call.json(200, _view(record), job_headers(job_id))


# -- a response that exists


async def get(service: Service, call: Call) -> None:
    """The response as it stands; with `stream=true` its events, those after `starting_after`."""
    asked = call.query(("stream", "starting_after", "include", "include[]", "include_obfuscation"))
    streamed = asked.get("stream", "false").lower()
    if streamed not in ("true", "false"):
        raise Refused("stream must be true or false", param="stream")
    after = asked.get("starting_after")
    if after is not None and not _NUMBER.fullmatch(after):
        raise Refused("starting_after must be a sequence number", param="starting_after")
    record = await found(service, call)
    if streamed == "false":
        return await call.json(200, _view(record), job_headers(record.id))
    if not record.doc.get("stream") or not record.doc["response"]["background"]:
        raise Refused(
            "only a response that was created with background=true and stream=true is streamed"
            " again",
            param="stream",
            code="not_streamable",
        )
    return await _follow(service, call, record, int(after) if after else -1)


async def cancel(service: Service, call: Call) -> None:
    """Cancels a response of the background; one that has ended stays as it is."""
    record = await found(service, call)
    if not record.doc["response"]["background"]:
        raise Refused(
            "only a response that was created with background=true can be cancelled; drop the"
            " connection of any other",
            param="id",
            code="not_cancellable",
        )
    now = await service.jobs.cancel(record.id, record.tenant)
    await call.json(200, _view(now or record), job_headers(record.id))


async def delete(service: Service, call: Call) -> None:
    """Removes a response and all that is kept of it; one on its way is cancelled first.

    Refused (409) while it is a line of a batch that is not done: its answer is to be written yet.
    """
    record = await found(service, call)
    await _no_line(service, record)
    await service.jobs.cancel(record.id, record.tenant)
    await service.jobs.forget(record.id, record.tenant)
    answer = {"id": response_id(record.id), "object": "response", "deleted": True}
    await call.json(200, answer)


async def _no_line(service: Service, record: JobRecord) -> None:
    given = record.doc.get("batch")
    batch = None if given is None else await service.bulk.batches.get(given, record.tenant)
    if batch is not None and not batch.status.final:
        raise Refused(
            f"{response_id(record.id)} is a line of {batch.id}, which is not done: cancel that"
            " first",
            status=409,
            param="id",
            code="response_in_use",
        )


async def _follow(service: Service, call: Call, record: JobRecord, after: int) -> None:
    """Every event with a number above `after`, then live ones; a dropped client changes nothing."""
    service.room_to_hold()
    watch = await service.inbox.attach(record.id, 0)
    if watch is None:
        raise _not_there(record.id)
    service.metrics.streams.inc()
    try:
        async with Departure(service, call.receive) as departure:
            await call.start(200, [*sse.HEADERS, *job_headers(record.id)])
            await _say_all(service, call, record, watch, after)
            departure.settled()
            await call.end()
    except (Refused, StoreError):
        if not call.started:
            raise
        await call.end()  # the client comes back with the last number it saw
    finally:
        watch.close()
        service.metrics.streams.dec()


async def _say_all(
    service: Service, call: Call, record: JobRecord, watch: Watch, after: int
) -> None:
    made = Responding(_head(record))
    while True:
        try:
            event = await watch.next(service.bounds.keepalive_s)
        except StopAsyncIteration:
            return
        if event is None:
            await call.chunk(sse.KEEP_ALIVE)
        elif event.type in TERMINAL:
            if event.type == CANCELLED:  # OpenAI has no event for it: its stream just ends
                return
            now = await service.jobs.get(record.id, record.tenant) or record
            await call.chunk(_lines(_ending(made, now), after))
            return
        elif lines := _lines(_told(made, event), after):
            await call.chunk(lines)


def _ending(made: Responding, record: JobRecord) -> Iterable[Json]:
    """The last events of one that has ended."""
    answer = orjson.loads(record.result) if record.result is not None else None
    error = job_error(record.status, record.error) if answer is None else None
    return made.finish(answer, error, (record.completed_ms or 0) // 1000)


def _told(made: Responding, event: Event) -> list[Json]:
    match event.type:
        case "job.queued":
            return [*made.created()]
        case "job.started":
            return [*made.started()]
        case "job.delta":
            return [*made.started(), *made.feed(orjson.loads(event.data))]
        case _:
            return []


def _lines(events: Iterable[Json], after: int = -1) -> bytes:
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (one["type"].encode(), orjson.dumps(one))
        for one in events
        if one["sequence_number"] > after
    )


def _error_line(made: Responding, refused: Refused) -> bytes:
    return _lines([made.error(refused.message, refused.code, refused.param)])


# -- views


def _head_of(held: Hold) -> Json:
    doc, accepted = held.admission.draft.doc, held.admission.accepted
    return heading(accepted.job_id, accepted.created_ms, doc)


def _head(record: JobRecord) -> Json:
    return heading(record.id, record.created_ms, record.doc)


def _view(record: JobRecord) -> Json:
    made = Responding(_head(record))
    if not record.status.final:
        return made.response(_LIVE[record.status])  # type: ignore[arg-type]  # its two live words
    if record.status is Status.CANCELLED:
        return made.response("cancelled")
    at_s = (record.completed_ms or 0) // 1000
    if record.result is not None:
        return whole(_head(record), orjson.loads(record.result), at_s)
    return made.response("failed", error=job_error(record.status, record.error), at_s=at_s)


async def found(service: Service, call: Call) -> JobRecord:
    """The job of the response of the path, if the caller may see it. Refused: 404."""
    given = call.param("id")
    if not RESPONSE_ID.fullmatch(given):
        raise not_found(
            "this is no response id: they look like resp_0123456789abcdef",
            param="id",
            code="response_not_found",
        )
    record = await _record(service, call, given)
    if record is None:
        raise _not_there(given)
    return record


async def _record(service: Service, call: Call, given: str) -> JobRecord | None:
    """The job of a response that is kept and the caller's; None otherwise."""
    job_id = "job_" + given.partition("_")[2]
    record = await service.jobs.get(job_id, scope_of(call.key))
    if record is None or "response" not in record.doc or not record.doc["response"]["store"]:
        return None
    return record


def _not_there(given: str) -> Refused:
    id_ = response_id(given)
    return not_found(f"there is no response {id_}", param="id", code="response_not_found")
