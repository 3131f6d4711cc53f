"""Why a paid call of `seven` was needless, and why a job was not done: from what was kept of it.

A job's events say where it was put and why, its attempts when it was called; the scheduler's log
says what its plans saw of the free lanes when they paid (`pays`) and when they looked (`planned`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson
from redis.asyncio import Redis

from bench.figures import spread
from shared.core.model import Status
from shared.store.types import JobRecord

Told = Mapping[str, Any]
AROUND_MS = 5_000
GRAIN_MS = 64
BEFORE_MS, AFTER_MS = 3_000, 2_000
TOLD = 20


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store keeps of jobs beside their records: reserved tokens, and what happened.

    `held` is (input, output) by job; `events` of each job in order: kind and data.
    """

    held: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    events: Mapping[str, Sequence[tuple[str, Told]]] = field(default_factory=dict)


async def kept(redis: Redis, records: Sequence[JobRecord], prefix: str = "{hr}:") -> Kept:
    """Reads it: of paid jobs and of those that were not done also the events."""
    held: dict[str, tuple[int, int]] = {}
    events: dict[str, list[tuple[str, Told]]] = {}
    for record in records:
        need = _bytes(await redis.hget(f"{prefix}job:{record.id}", "need") or b"0,0")
        into, out, *_ = (int(each) for each in need.split(b","))
        held[record.id] = into, out
        if record.cost_microusd or record.status is not Status.COMPLETED:
            lines = await redis.lrange(f"{prefix}ev:{record.id}", 0, -1)
            events[record.id] = [_event(_bytes(line)) for line in lines]
    return Kept(held, events)


def _bytes(text: bytes | str) -> bytes:
    return text if isinstance(text, bytes) else text.encode()


def _event(line: bytes) -> tuple[str, Told]:
    kind, _, data = line.partition(b"\n")
    told = orjson.loads(data or b"{}") if kind != b"job.delta" else {}
    return kind.decode(), told


def story(record: JobRecord, kept: Kept, pays: Sequence[Told], plans: Sequence[Told]) -> Told:
    """What happened to one job, spans in ms from when it was accepted."""
    since = record.created_ms
    deadline = record.deadline_ms or since
    calls = record.attempts
    begun = calls[-1]["started_ms"] if calls else record.completed_ms or deadline
    looks = [each for each in plans if since <= each["at_ms"] <= deadline]
    return {
        "job": record.id,
        "class": record.priority.name.lower(),
        "status": record.status.value,
        "deadline_ms": deadline - since,
        "held": kept.held.get(record.id),
        "used": _used(record),
        "put": [_put(kind, told) for kind, told in kept.events.get(record.id, ()) if _moves(kind)],
        "attempts": [_attempt(one, since) for one in calls],
        "started_ms": record.started_ms and record.started_ms - since,
        "ended_ms": (record.completed_ms or deadline) - since,
        "begun_by": begun_by(kept.events.get(record.id, ())),
        "plans_ms": [each["at_ms"] - since for each in looks][-10:],
        "lead_ms": [each["lead_ms"] for each in looks][-10:],
        "plan": _belief(pays, begun, deadline, since),
    }


def begun_by(events: Sequence[tuple[str, Told]]) -> str:
    """Who put it where it was called last: accepted, or the reason of its last move."""
    by = "accepted"
    for kind, told in events:
        if kind == "job.moved":
            by = str(told.get("reason"))
        elif kind == "job.requeued":
            by = f"failover ({told.get('reason')})"
    return by


def _moves(kind: str) -> bool:
    return kind in ("job.queued", "job.moved", "job.requeued", "job.started")


def _put(kind: str, told: Told) -> str:
    where = told.get("to") or told.get("lane") or ""
    return f"{kind.removeprefix('job.')} {where} {told.get('reason', '')}".strip()


def _attempt(one: Told, since: int) -> Told:
    return {
        "lane": one["deployment"],
        "key": one.get("credential"),
        "outcome": one["outcome"],
        "began_ms": one["started_ms"] - since,
        "sent_ms": one.get("sent_ms", one["started_ms"]) - since,
        "ended_ms": one["ended_ms"] - since,
    }


def _used(record: JobRecord) -> tuple[int, int] | None:
    usage = record.usage
    return None if usage is None else (usage.input_tokens, usage.output_tokens)


def _belief(pays: Sequence[Told], begun: int, deadline: int, since: int) -> Told | None:
    """The last payment for jobs due like it that was decided before it began, and the free lanes.

    `free`: by lane what it would start in time, and how many others had of that.
    """
    for each in reversed(pays):
        near = 0 <= begun - each["at_ms"] <= AROUND_MS
        if near and 0 <= each["deadline_ms"] - deadline <= GRAIN_MS:
            told = {name: each[name] for name in ("source", "target", "jobs", "free")}
            return told | {"at_ms": each["at_ms"] - since, "due_ms": each["deadline_ms"] - since}
    return None


def passes(plans: Sequence[Told]) -> Told:
    """How the scheduler kept up: its passes, their leads, and how late it looked."""
    late_ms = [
        max(0, after["at_ms"] - max(before["look_ms"], before["at_ms"]))
        for before, after in pairwise(plans)
        if before["look_ms"] is not None
    ]
    spans = {
        name: [each[name] for each in plans]
        for name in ("lead_ms", "read_ms", "plan_ms", "carry_ms", "moves")
    }
    return {"looks": len(plans), "late_ms": spread(late_ms, 0)} | {
        name: spread(values, 0) for name, values in spans.items()
    }


def calls(provider: str, at_ms: int, records: Sequence[JobRecord]) -> list[Told]:
    """What a provider was called for around a moment, in order: its keys, spans from then."""
    found = [
        {
            "key": one["credential"],
            "class": record.priority.name.lower(),
            "began_ms": one["started_ms"] - at_ms,
            "sent_ms": one.get("sent_ms", one["started_ms"]) - at_ms,
            "ended_ms": one["ended_ms"] - at_ms,
            "outcome": one["outcome"],
        }
        for record in records
        for one in record.attempts
        if one["deployment"].startswith(f"{provider}/")
        and -BEFORE_MS <= one["started_ms"] - at_ms <= AFTER_MS
    ]
    return sorted(found, key=lambda one: one["began_ms"])
