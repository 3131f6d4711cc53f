"""What the demo tells: figures from what the API answered, never from what we hoped."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cli import show
from cli.client import Api
from cli.reading import payload

Job = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Moves:
    """What happened to queued jobs, from their own events."""

    moved: int
    requeued: int
    by_way: Mapping[tuple[str, str], int]


def where(jobs: Iterable[Job]) -> Counter[str]:
    """How many jobs each provider has completed."""
    done = (show.deployment(job) or "?" for job in jobs if job.get("status") == "completed")
    return Counter(name.partition("/")[0] for name in done)


def waits_s(jobs: Iterable[Job]) -> list[float]:
    """How long each job waited before it started, in seconds (to the second), sorted."""
    return sorted(
        float(job["started_at"] - job["created_at"])
        for job in jobs
        if isinstance(job.get("started_at"), int | float)
    )


def output_tokens(jobs: Iterable[Job]) -> int:
    """The tokens that came back."""
    return sum(int((job.get("usage") or {}).get("output_tokens") or 0) for job in jobs)


async def moves(api: Api, ids: Iterable[str]) -> Moves:
    """Reads the events of ended jobs; each stream ends with the job's last event."""
    moved = requeued = 0
    ways: Counter[tuple[str, str]] = Counter()
    for job_id in ids:
        async for event in api.follow(job_id):
            if event.event == "job.requeued":
                requeued += 1
            if event.event == "job.moved":
                moved += 1
                data = payload(event)
                ways[provider(data.get("from")), provider(data.get("to"))] += 1
    return Moves(moved, requeued, ways)


def provider(lane: Any) -> str:
    """The provider of a lane or deployment."""
    return str(lane or "?").partition("/")[0]


def depths(queues: Mapping[str, Any]) -> dict[str, int]:
    """Queued jobs by provider, from `/v1/queues`."""
    found: Counter[str] = Counter()
    for lane in queues.get("data") or []:
        queued = lane.get("queued") or {}
        number = sum(queued.values()) if isinstance(queued, dict) else int(queued)
        found[provider(lane.get("deployment") or lane.get("id"))] += number
    return dict(found)
