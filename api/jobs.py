"""`/v1/jobs`: what became of the work. Creating jobs is in `submit.py`."""

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import orjson

from api import admit
from api.auth import scope_of
from api.call import Call, Header
from api.errors import not_found
from api.hold import TERMINAL
from api.hooks import deliveries
from api.options import Options, seconds
from api.outcome import common, job_headers
from api.partial import partial
from api.views import job_view, new_job_view
from api.wiring import Service
from shared.core.model import Kind, Status
from shared.errors import Refused
from shared.queue.types import Acceptance
from shared.store.types import JobRecord
from shared.submission import Submission

JOB_ID: Final = re.compile(r"job_[A-Za-z0-9_-]{1,60}")
MAX_WAIT_S: Final = 20.0
MAX_LIMIT: Final = 100
DEFAULT_LIMIT: Final = 20
SLOWER: Final = 2  # so many times the likely rest of a job of several parts is its p95
CURSOR: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
STATUSES: Final = {status.value: status for status in Status}
KINDS: Final = {kind.value: kind for kind in Kind if kind is not Kind.TASK}
Word = TypeVar("Word", Status, Kind)
_WHOLE: Final = re.compile(r"\d{1,6}")


def job_id(call: Call) -> str:
    """The id in the path. Refused: 404 where it can be no job's."""
    given = call.param("id")
    if not JOB_ID.fullmatch(given):
        raise not_found(
            "this is no job id: they look like job_0123456789abcdef", param="id",
            code="job_not_found",
        )  # fmt: skip
    return given


def no_such_job(given: str) -> Refused:
    """The 404 for a job that is not there, or not this caller's: the same for both."""
    return not_found(f"there is no job {given}", param="id", code="job_not_found")


async def respond_async(
    service: Service, call: Call, asked: Submission, wishes: Options, key: str | None
) -> None:
    """Accepts the job and answers with it: 202, or 200 where a repeated key's job has ended."""
    made = await admit.draft(service, call, asked, wishes, held=False, idempotency_key=key)
    admission = await admit.accept(service, made)
    accepted = admission.accepted
    headers: list[Header] = [
        (b"location", f"/v1/jobs/{accepted.job_id}".encode()),
        *job_headers(accepted.job_id),
    ]
    if wishes.asynchronous:
        headers.append((b"preference-applied", b"respond-async"))
    if accepted.how is Acceptance.NEW:
        eta = made.route.eta_ms
        moments = None if eta is None else (admission.now_ms + eta[0], admission.now_ms + eta[1])
        view = new_job_view(made.job, made.doc, accepted.created_ms, made.route.waiting, moments)
        return await call.json(202, view, headers)
    record = await service.jobs.get(accepted.job_id, made.job.tenant)
    if record is None:
        raise no_such_job(accepted.job_id)
    status = 200 if accepted.status.final else 202
    headers += common(record)
    return await call.json(status, await shown(service, record), headers)


async def shown(service: Service, record: JobRecord) -> dict[str, Any]:
    """A job with why it waits and when it should be done, or who was told of its end."""
    if record.status.final:
        return await _viewed(record) | {"deliveries": await deliveries(service, record)}
    waiting = await service.jobs.waiting(record)
    now_ms = service.clock.now_ms()
    if record.status is not Status.QUEUED:
        return job_view(record, waiting, _at_its_pace(record, now_ms))
    position = None if waiting is None else waiting.position
    eta = service.router.eta_ms(record, position, await service.lanes.lane_states(), now_ms)
    return job_view(record, waiting, None if eta is None else (now_ms + eta[0], now_ms + eta[1]))


async def _viewed(record: JobRecord) -> dict[str, Any]:
    """A job that has ended. What a transcription shows is made in a thread: it may be long."""
    if record.kind is Kind.TRANSCRIPTION:
        return await asyncio.to_thread(job_view, record)
    return job_view(record)


def _at_its_pace(record: JobRecord, now_ms: int) -> tuple[int, int] | None:
    """When a job of several parts should be done (moments p50, p95), by the parts that have ended.

    A summary finds more of them while it reads: that makes it later, not the estimate wrong.
    """
    parts, began_ms = record.progress, record.started_ms
    if parts is None or began_ms is None or not 0 < parts.ended < parts.total:
        return None
    left_ms = max(0, now_ms - began_ms) * (parts.total - parts.ended) // parts.ended
    return now_ms + left_ms, now_ms + SLOWER * left_ms


async def found(service: Service, call: Call) -> JobRecord:
    """The job of the path, if the caller may see it. Refused: 404."""
    given = job_id(call)
    record = await service.jobs.get(given, scope_of(call.key))
    if record is None:
        raise no_such_job(given)
    return record


async def get(service: Service, call: Call) -> None:
    """The job as it stands; with `?wait=` not before it has ended or that time has passed.

    With `?partial=true` what is done of a job of several parts comes with it.
    """
    asked = call.query(("wait", "partial"))
    wait, partly = asked.get("wait"), asked.get("partial", "false")
    if partly not in ("true", "false"):
        raise Refused("partial must be true or false", param="partial")
    wait_s = 0.0 if wait is None else seconds(wait, "wait", MAX_WAIT_S)
    record = await found(service, call)
    if wait_s > 0 and not record.status.final:
        record = await _ended_within(service, record, wait_s)
    view = await shown(service, record)
    if partly == "true":
        view["partial"] = await partial(service, record)
    await call.json(200, view, job_headers(record.id))


async def _ended_within(service: Service, record: JobRecord, wait_s: float) -> JobRecord:
    until = time.monotonic() + wait_s
    watch = await service.inbox.attach(record.id, record.events)
    if watch is None:
        raise no_such_job(record.id)
    try:
        while (left_s := until - time.monotonic()) > 0 and not service.draining:
            event = await watch.next(left_s)
            if event is None or event.type in TERMINAL:
                break
    except StopAsyncIteration:
        pass
    finally:
        watch.close()
    return await service.jobs.get(record.id, record.tenant) or record


async def index(service: Service, call: Call) -> None:
    """A page of the caller's jobs, newest first."""
    asked = call.query(("status", "kind", "batch", "parent", "after", "limit"))
    scope = scope_of(call.key)
    after = asked.get("after")
    if after is not None and (
        not CURSOR.fullmatch(after) or await service.jobs.get(after, scope) is None
    ):
        raise not_found("after must be the id of one of your jobs", param="after")
    page = await service.jobs.list(
        scope,
        status=_one_of(STATUSES, asked.get("status"), "status"),
        kind=_one_of(KINDS, asked.get("kind"), "kind"),
        batch=asked.get("batch"),
        parent=asked.get("parent"),
        after=after,
        limit=limit_of(asked.get("limit")),
    )
    data = [await _viewed(record) for record in page.jobs if record.kind is not Kind.TASK]
    answer = {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": page.next_after is not None,
        "next_after": page.next_after,
    }
    await call.reply(200, orjson.dumps(answer))


def _one_of(words: Mapping[str, Word], text: str | None, name: str) -> Word | None:
    if text is None:
        return None
    if text not in words:
        raise Refused(f"{name} must be one of {', '.join(words)}", param=name)
    return words[text]


def limit_of(text: str | None) -> int:
    """How many rows a page holds. Refused: no whole number in range."""
    if text is None:
        return DEFAULT_LIMIT
    if not _WHOLE.fullmatch(text) or not 1 <= int(text) <= MAX_LIMIT:
        raise Refused(f"limit must be a whole number from 1 to {MAX_LIMIT}", param="limit")
    return int(text)


async def cancel(service: Service, call: Call) -> None:
    """Cancels a job that has not ended; one that has stays as it is. Idempotent."""
    given = job_id(call)
    record = await service.jobs.cancel(given, scope_of(call.key))
    if record is None:
        raise no_such_job(given)
    await call.json(200, await shown(service, record), job_headers(given))


async def replay(service: Service, call: Call) -> None:
    """Queues a failed, cancelled or expired job again, with as much time as it first had."""
    service.admit()
    before = await found(service, call)
    deadline_ms = service.bounds.deadline_ms(before.priority, None)
    if before.deadline_ms is not None:
        deadline_ms = max(1, before.deadline_ms - before.created_ms)
    record = await service.jobs.replay(before.id, before.tenant, deadline_ms)
    if record is None:
        raise no_such_job(before.id)
    headers = [(b"location", f"/v1/jobs/{record.id}".encode()), *job_headers(record.id)]
    await call.json(202, await shown(service, record), headers)
