"""How a job that somebody waited for ended: its answer, its error, and what the headers tell."""

from dataclasses import dataclass
from typing import Any

from api.call import Header
from api.errors import job_error, job_status
from shared.core.model import Status, lane_deployment
from shared.store.types import JobRecord


def job_headers(job_id: str) -> list[Header]:
    """The header every answer about one job carries."""
    return [(b"x-headrace-job-id", job_id.encode())]


def transparency(record: JobRecord, held_ms: float | None) -> list[Header]:
    """The transparency headers of an ended job. `held_ms` is how long this caller waited.

    Overhead is what is left of that wait without the queue's and the provider's time.
    """
    started, ended = record.started_ms, record.completed_ms
    queue_ms = max(0, (started or ended or record.created_ms) - record.created_ms)
    headers = [
        *job_headers(record.id),
        (b"x-headrace-deployment", header_text(lane_deployment(record.lane))),
        (b"x-headrace-attempts", b"%d" % len(record.attempts)),
        (b"x-headrace-queue-ms", b"%d" % queue_ms),
        (b"x-headrace-cost-usd", b"%.6f" % (record.cost_microusd / 1e6)),
    ]
    upstream_ms = upstream(record.attempts)
    if held_ms is not None and upstream_ms is not None:
        overhead_ms = max(0.0, held_ms - queue_ms - upstream_ms)
        headers.append((b"x-headrace-overhead-ms", b"%.1f" % overhead_ms))
    return headers


def upstream(attempts: tuple[dict[str, Any], ...]) -> float | None:
    """The time the attempts spent at their providers, in ms; None where none was recorded."""
    spent = [
        float(attempt["duration_ms"])
        for attempt in attempts
        if isinstance(attempt.get("duration_ms"), int | float)
    ]
    return sum(spent) if spent else None


def header_text(text: str) -> bytes:
    """A value that a header can carry, whatever a model is called."""
    return text.encode("ascii", "backslashreplace").replace(b"\r", b"").replace(b"\n", b"")


@dataclass(frozen=True, slots=True)
class Ended:
    """A final job, as a waiting caller gets it."""

    record: JobRecord
    status: int
    body: bytes | None
    error: dict[str, Any] | None


def ended(record: JobRecord, inline: bytes | None = None) -> Ended:
    """What a final record comes to. `inline` is the result where the event brought it along."""
    result = inline if inline is not None else record.result
    if record.status is Status.COMPLETED and result is not None:
        return Ended(record, 200, result, None)
    if record.status is Status.COMPLETED:
        lost = {"message": "the result is no longer kept", "code": "result_expired"}
        return Ended(record, 502, None, job_error(Status.FAILED, lost))
    status = job_status(record.status, record.error)
    return Ended(record, status, None, job_error(record.status, record.error))
