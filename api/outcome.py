"""How a job that somebody waited for ended: its answer, its error, and what the headers tell."""

from dataclasses import dataclass
from typing import Any

import orjson

from api.call import Header
from api.errors import job_error, job_status
from shared.core.model import Status, lane_deployment
from shared.queue.types import Event
from shared.store.types import JobRecord


def job_headers(job_id: str) -> list[Header]:
    """The header every answer about one job carries."""
    return [(b"x-headrace-job-id", job_id.encode())]


def common(job: "JobRecord | Way") -> list[Header]:
    """The headers of a job whose answer is another's: of a call they share, or a kept one."""
    headers = []
    if job.shared_with:
        headers.append((b"x-headrace-shared-with", job.shared_with.encode()))
    if job.cached_from:
        headers.append((b"x-headrace-cache", b"hit"))
    return headers


@dataclass(frozen=True, slots=True)
class Way:
    """The way a job took, for the transparency headers."""

    job_id: str
    lane: str
    attempts: int
    queue_ms: int
    upstream_ms: int
    cost_microusd: int
    shared_with: str | None = None
    cached_from: str | None = None


def way_of(record: JobRecord) -> Way:
    """The way of a job as its record tells it."""
    queue_ms, upstream_ms = spans(record)
    attempts, cost = len(record.attempts), record.cost_microusd
    another = record.shared_with, record.cached_from
    return Way(record.id, record.lane, attempts, queue_ms, upstream_ms, cost, *another)


def way_told(job_id: str, event: Event) -> Way | None:
    """The way as the completing event tells it, sparing a read of the job.

    None where there was more than one attempt: then only the record knows the spans between them.
    """
    told = orjson.loads(event.data)
    another = told.get("shared_with"), told.get("cached_from")
    attempts = 0 if any(another) else 1
    if told.get("attempts") != attempts or told.get("requeues") != 0:
        return None
    spans = int(told["queued_ms"]), int(told["held_ms"])
    return Way(job_id, told["lane"], attempts, *spans, int(told["cost"]), *another)


def transparency(way: Way, held_ms: float | None) -> list[Header]:
    """The transparency headers of an ended job. `held_ms` is how long this caller waited.

    Overhead is what is left of that wait without the queue's and the provider's time.
    """
    headers = [
        *job_headers(way.job_id),
        *common(way),
        (b"x-headrace-deployment", header_text(lane_deployment(way.lane))),
        (b"x-headrace-attempts", b"%d" % way.attempts),
        (b"x-headrace-queue-ms", b"%d" % way.queue_ms),
        (b"x-headrace-cost-usd", b"%.6f" % (way.cost_microusd / 1e6)),
    ]
    if held_ms is not None:
        overhead_ms = max(0.0, held_ms - way.queue_ms - way.upstream_ms)
        headers.append((b"x-headrace-overhead-ms", b"%.1f" % overhead_ms))
    return headers


def spans(record: JobRecord) -> tuple[int, int]:
    """How long the job waited in queues, before and between its attempts, and at providers."""
    free_since, queue_ms, upstream_ms = record.created_ms, 0, 0
    for attempt in record.attempts:
        began, over = attempt.get("started_ms"), attempt.get("ended_ms")
        if began is None or over is None:
            continue
        queue_ms += max(0, began - free_since)
        upstream_ms += max(0, over - attempt.get("sent_ms", began))
        free_since = over
    if free_since == record.created_ms:
        reached = record.started_ms or record.completed_ms or record.created_ms
        queue_ms = max(0, reached - record.created_ms)
    return queue_ms, upstream_ms


def header_text(text: str) -> bytes:
    """A value that a header can carry, whatever a model is called."""
    return text.encode("ascii", "backslashreplace").replace(b"\r", b"").replace(b"\n", b"")


@dataclass(frozen=True, slots=True)
class Ended:
    """A final job, as a waiting caller gets it."""

    way: Way
    status: int
    body: bytes | None
    error: dict[str, Any] | None


def ended(record: JobRecord, inline: bytes | None = None) -> Ended:
    """What a final record comes to. `inline` is the result where the event brought it along."""
    result = inline if inline is not None else record.result
    way = way_of(record)
    if record.status is Status.COMPLETED and result is not None:
        return Ended(way, 200, result, None)
    if record.status is Status.COMPLETED:
        lost = {"message": "the result is no longer kept", "code": "result_expired"}
        return Ended(way, 502, None, job_error(Status.FAILED, lost))
    status = job_status(record.status, record.error)
    return Ended(way, status, None, job_error(record.status, record.error))
