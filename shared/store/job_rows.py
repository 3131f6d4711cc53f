"""What the store keeps of a job, as a `JobRecord`: pure reading of its hash, texts and lists."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from shared.core.model import Kind, Priority, Status
from shared.queue.claims import usage_of
from shared.queue.types import Event
from shared.store.types import JobRecord, Progress


def events_of(first: int, lines: Sequence[bytes]) -> tuple[Event, ...]:
    """The stored lines of an event list, numbered from `first`."""
    return tuple(
        Event(first + at, kind.decode(), data)
        for at, (kind, _, data) in enumerate(line.partition(b"\n") for line in lines)
    )


def _text(value: bytes | None) -> str | None:
    return value.decode() if value else None


def _int(value: bytes | None) -> int | None:
    return int(value) if value else None


def _attempts(h: Mapping[bytes, bytes]) -> tuple[dict[str, Any], ...]:
    """The records a1, a2, … in order; a claim that left none leaves a gap, and so do very many."""
    found = sorted(int(name[1:]) for name in h if name[:1] == b"a" and name[1:].isdigit())
    return tuple(orjson.loads(h[b"a%d" % n]) for n in found)


def led(record: JobRecord, leader: Sequence[bytes | None] | None) -> JobRecord:
    """A job that follows another, as that one stands. It may have ended since: then as it was."""
    status, stepped, started, lane = leader or (None,) * 4
    if record.status.final or not status or not lane or Status(status.decode()).final:
        return record
    shown = Status.IN_PROGRESS if stepped else Status(status.decode())
    began = None if started is None else max(int(started), record.created_ms)
    return replace(record, status=shown, started_ms=began, lane=lane.decode())


def record_of(job_id: str, row: Sequence[Any], tenant: str | None) -> JobRecord | None:
    """A job of its hash, document, outcome and count of events; None where it is not `tenant`'s."""
    h: Mapping[bytes, bytes] = row[0]
    if not h or b"status" not in h or (tenant is not None and h[b"tenant"].decode() != tenant):
        return None
    return JobRecord(
        id=job_id,
        tenant=h[b"tenant"].decode(),
        kind=Kind(h[b"kind"].decode()),
        status=_status(h),
        priority=Priority(int(h[b"priority"])),
        created_ms=int(h[b"created"]),
        started_ms=_int(h.get(b"started")),
        completed_ms=_int(h.get(b"ended")),
        deadline_ms=_int(h.get(b"deadline")),
        lane=h[b"lane"].decode(),
        due_ms=_int(h.get(b"due")),
        attempts=_attempts(h),
        requeues=int(h.get(b"requeues", 0)),
        uncertain_repeats=int(h.get(b"uncertain", 0)),
        doc=orjson.loads(row[1]) if row[1] else {},
        result=row[2][1:] if row[2] and row[2][:1] == b"R" else None,
        error=orjson.loads(row[2][1:]) if row[2] and row[2][:1] == b"E" else None,
        usage=usage_of(h.get(b"usage")),
        cost_microusd=int(h.get(b"cost", 0)),
        events=int(row[3]),
        parent=parent.decode() if (parent := h.get(b"parent")) else None,
        progress=_progress(h),
        shared_with=_text(h.get(b"lead")),
        cached_from=_text(h.get(b"from")),
    )


def _status(h: Mapping[bytes, bytes]) -> Status:
    """A parent between two steps is in progress, though no worker holds it."""
    status = Status(h[b"status"].decode())
    return Status.IN_PROGRESS if status is Status.QUEUED and b"stepped" in h else status


def _progress(h: Mapping[bytes, bytes]) -> Progress | None:
    if b"stepped" not in h:
        begun = h.get(b"begun") if _status(h) is Status.IN_PROGRESS else None
        return Progress(0, 0, 0, 0, orjson.loads(begun)["step"]) if begun else None
    step = h.get(b"progress")
    return Progress(
        total=int(h.get(b"kids", 0)),
        ended=int(h.get(b"kids_ended", 0)),
        completed=int(h.get(b"kids_completed", 0)),
        audio_seconds=int(h.get(b"kids_audio", 0)),
        step=orjson.loads(step) if step else None,
    )
