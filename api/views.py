"""Jobs as the native API shows them. Moments are Unix seconds, as OpenAI's are."""

from typing import Any, Final

import orjson

from api.errors import job_error
from shared.core.model import Kind, Priority, Status, Usage, lane_deployment
from shared.core.waits import NAMES, NO_WORKER, Before, describe
from shared.queue.types import NewJob
from shared.store.types import JobRecord, Progress, Waiting
from shared.wire.transcripts import shown

WAITING: Final = ("reason", "window", "until", "position", "before", "message", "eta")


def seconds(ms: int | None) -> int | None:
    """Epoch ms to Unix seconds, rounded down; None stays None."""
    return None if ms is None else ms // 1000


def until(ms: int | None) -> int | None:
    """Epoch ms to Unix seconds, rounded up: nothing happens before it."""
    return None if ms is None else -(-ms // 1000)


def usage_view(usage: Usage | None) -> dict[str, Any] | None:
    """What a job used."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "cached_tokens": usage.cached_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "audio_seconds": usage.audio_seconds,
        "estimated": usage.estimated,
    }


def waiting_view(
    waiting: Waiting | None, eta_ms: tuple[int, int] | None, *, line: bool = False
) -> dict[str, Any] | None:
    """Why a job waits and when it should be done; `eta_ms` are moments (p50, p95).

    `line`: it is one of a batch. Where nobody would run it there is no moment.
    """
    if waiting is None and eta_ms is None:
        return None
    eta = None if eta_ms is None else {"p50": until(eta_ms[0]), "p95": until(eta_ms[1])}
    if waiting is None:
        return dict.fromkeys(WAITING) | {"eta": eta}
    reason, window, position, ahead = (
        waiting.reason, waiting.window, waiting.position, waiting.before,
    )  # fmt: skip
    return {
        "reason": reason,
        "window": window,
        "until": until(waiting.until_ms),
        "position": position,
        "before": None if ahead is None else before_view(ahead),
        "message": describe(reason, window, position, ahead, line=line),
        "eta": None if reason == NO_WORKER else eta,
    }


def before_view(ahead: Before) -> dict[str, Any]:
    """The jobs before one, by class."""
    by = dict(zip(NAMES, ahead.by, strict=True))
    return by | {"own": ahead.own, "running": ahead.running}


def progress_view(progress: Progress | None) -> dict[str, Any] | None:
    """How far a job of several steps is; the same shape as the data of `job.progress`."""
    if progress is None:
        return None
    children = {
        "total": progress.total,
        "ended": progress.ended,
        "completed": progress.completed,
        "audio_seconds": progress.audio_seconds,
    }
    return {"children": children, "step": progress.step}


def job_view(
    record: JobRecord, waiting: Waiting | None = None, eta_ms: tuple[int, int] | None = None
) -> dict[str, Any]:
    """The job object. Dump it with orjson: the result goes out as the bytes it came in."""
    status, doc = record.status, record.doc
    ended_badly = status in (Status.FAILED, Status.CANCELLED, Status.EXPIRED)
    result = None if record.result is None else orjson.Fragment(_result(record))
    return {
        **_head(record.id, record.kind.value, status, record.priority, record.created_ms),
        "started_at": seconds(record.started_ms),
        "completed_at": seconds(record.completed_ms),
        "deadline_at": until(record.deadline_ms),
        "model": doc.get("model"),
        "stream": bool(doc.get("stream")),
        "metadata": doc.get("metadata"),
        "batch": doc.get("batch"),
        "parent": record.parent,
        "progress": progress_view(record.progress),
        "result": result if status is Status.COMPLETED else None,
        "error": job_error(status, record.error) if ended_badly else None,
        "attempts": [attempt_view(attempt) for attempt in record.attempts],
        "requeues": record.requeues,
        "uncertain_repeats": record.uncertain_repeats,
        "webhook": doc.get("webhook"),
        "shared_with": record.shared_with,
        "cached_from": record.cached_from,
        "route": route_view(record.lane, doc),
        "waiting": waiting_view(waiting, eta_ms, line=doc.get("batch") is not None),
        "usage": usage_view(record.usage),
        "cost": record.cost_microusd / 1e6,
    }


def _result(record: JobRecord) -> bytes:
    """The body as it was asked for: a transcription is kept in one form, whatever that is."""
    assert record.result is not None  # noqa: S101 - the caller looked
    if record.kind is not Kind.TRANSCRIPTION:
        return record.result
    return shown(record.result, record.doc.get("request") or {})


def new_job_view(
    job: NewJob,
    doc: dict[str, Any],
    created_ms: int,
    waiting: Waiting | None,
    eta_ms: tuple[int, int] | None,
) -> dict[str, Any]:
    """The job object of a job that has just been accepted, without asking the store for it."""
    deadline = None if job.deadline_ms is None else created_ms + job.deadline_ms
    return {
        **_head(job.id, job.kind.value, Status.QUEUED, job.priority, created_ms),
        "started_at": None,
        "completed_at": None,
        "deadline_at": until(deadline),
        "model": doc.get("model"),
        "stream": bool(doc.get("stream")),
        "metadata": doc.get("metadata"),
        "batch": doc.get("batch"),
        "parent": None,
        "progress": None,
        "result": None,
        "error": None,
        "attempts": (),
        "requeues": 0,
        "uncertain_repeats": 0,
        "webhook": doc.get("webhook"),
        "shared_with": None,
        "cached_from": None,
        "route": route_view(job.lane, doc),
        "waiting": waiting_view(waiting, eta_ms),
        "usage": None,
        "cost": 0.0,
    }


def _head(
    job_id: str, kind: str, status: Status, priority: Priority, created_ms: int
) -> dict[str, Any]:
    return {
        "id": job_id,
        "object": "job",
        "kind": kind,
        "status": status.value,
        "priority": priority.name.lower(),
        "created_at": created_ms // 1000,
    }


def attempt_view(attempt: dict[str, Any]) -> dict[str, Any]:
    """One attempt as recorded, in seconds: `started_at`, and spans from there."""
    shown = {name: value for name, value in attempt.items() if not name.endswith("_ms")}
    began = attempt.get("started_ms")
    if began is not None:
        shown["started_at"] = began // 1000
        for name in ("sent", "first_delta", "ended"):
            if (moment := attempt.get(f"{name}_ms")) is not None:
                shown[f"{name}_after_s"] = max(0, moment - began) / 1000
    if (rest := attempt.get("retry_after_ms")) is not None:
        shown["retry_after_s"] = rest / 1000
    return shown


def route_view(lane: str, doc: dict[str, Any]) -> dict[str, Any]:
    """Where the job is, and what was looked at: `route` holds [deployment, kept, reason]."""
    return {
        "chosen": lane_deployment(lane),
        "type": doc.get("type"),
        "candidates": [
            {"deployment": deployment, "kept": bool(kept), "reason": reason}
            for deployment, kept, reason in doc.get("route") or ()
        ],
    }
