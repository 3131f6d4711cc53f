"""Part 3: the same work over three simulated free tiers; one says 429 to all after a third."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2

from cli import show
from cli.client import Api, Place
from cli.demo import measure, texts
from cli.demo.pace import Pace
from cli.demo.real import bulk
from cli.prompts import Ask
from cli.tracker import Tracked, Tracker
from shared.errors import GatewayError
from simulator import SimulatorConfig, load_config
from simulator.server import Address

JOBS = 240
MODEL = "sim-small"
CHARS = 1_200
SPEED = 10.0
FAILING = "gamma"
PER_MINUTE = {"alpha": (20, "sliding"), "beta": (30, "fixed"), "gamma": (60, "bucket")}
RETRY_AFTER = "10m"  # simulated: 60 s of ours, so it does not come back in time
LOOK_EVERY_S = 1.5

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What part 3 came to. `planned` is where each job was to run when it was accepted."""

    jobs: tuple[Tracked, ...]
    planned: Mapping[str, str]
    wall_s: float
    refused: int
    upstream: Mapping[str, Mapping[str, Any]]
    moves: measure.Moves


def providers() -> SimulatorConfig:
    """Three free tiers whose minute lasts 6 s."""
    return load_config(
        {
            "speed": SPEED,
            "providers": {
                name: {
                    "models": [{"id": MODEL}],
                    "limits": [{"requests": limit, "per": "1m", "kind": kind}],
                    "latency": {"median_ms": 3_000, "sigma": 0.3, "seed": 1},
                    "output": {"median_tokens": 40, "tokens_per_s": 30},
                }
                for name, (limit, kind) in PER_MINUTE.items()
            },
        }
    )


def asks() -> list[Ask]:
    """The same descriptions, whole: a bulk job a section."""
    found = list(texts.sections(texts.descriptions(), CHARS))[:JOBS]
    return [bulk(each, MODEL) for each in found]


async def run(place: Place, address: Address, say: Say, pace: Pace) -> Outcome:
    """Hands in most of the work, breaks a provider when a third is done, hands in the rest.

    So there is work left when it breaks, however quick the rest of it all is.
    """
    third = asyncio.Event()
    async with Api(place) as api, httpx2.AsyncClient(trust_env=False) as admin:
        work = asks()

        def ended(_job: Tracked) -> None:
            if sum(each.done for each in trackers) * 3 >= len(work):
                third.set()

        most = len(work) * 2 // 3
        trackers = [Tracker(api, part, ended=ended) for part in (work[:most], work[most:])]
        pace.moved = lambda: [(len(each.by_id), each.done) for each in trackers]
        began = time.monotonic()
        planned = await _hand_in(trackers[0], began, say)
        watching = asyncio.create_task(_watch(api, trackers, began, say))

        async def later() -> None:
            await third.wait()
            await _break(admin, address, began, say)
            planned.update(await _hand_in(trackers[1], began, say))
            await trackers[1].follow()

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(later())
                group.create_task(trackers[0].follow())
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        wall_s = time.monotonic() - began
        jobs = [job for each in trackers for job in each.jobs]
        moves = await measure.moves(api, [str(j.id) for j in jobs if j.id])
        state = (await admin.get(f"{address.admin_url}/state")).json()
        return Outcome(
            jobs=tuple(jobs),
            planned=planned,
            wall_s=wall_s,
            refused=api.statuses[429],
            upstream=state["providers"],
            moves=moves,
        )


async def _hand_in(tracker: Tracker, began: float, say: Say) -> dict[str, str]:
    """Hands in a part of the work; where each job is planned to run."""
    from_s = time.monotonic()
    await tracker.submit()
    took = show.span(time.monotonic() - from_s)
    say(f"  {time.monotonic() - began:5.1f} s  {len(tracker.jobs)} bulk jobs handed in, in {took}")
    return {str(j.id): measure.provider(show.deployment(j.doc)) for j in tracker.jobs}


async def _break(admin: httpx2.AsyncClient, address: Address, began: float, say: Say) -> None:
    """From now on one provider answers 429 to everything."""
    fault = {"kind": "rate_limited", "provider": FAILING, "retry_after": RETRY_AFTER}
    answer = await admin.post(f"{address.admin_url}/faults", json=fault)
    answer.raise_for_status()
    since_s = time.monotonic() - began
    say(f"  {since_s:5.1f} s  from now on {FAILING} answers 429 to everything")


async def _watch(api: Api, trackers: Sequence[Tracker], began: float, say: Say) -> None:
    """Says now and then what is queued where."""
    while True:
        with contextlib.suppress(GatewayError):
            queued = measure.depths(await api.get("/v1/queues"))
            rows = "  ".join(f"{name} {queued.get(name, 0):>3}" for name in PER_MINUTE)
            done = sum(each.done for each in trackers)
            total = sum(len(each.jobs) for each in trackers)
            say(f"  {time.monotonic() - began:5.1f} s  {done:>3}/{total} done   queued: {rows}")
        await asyncio.sleep(LOOK_EVERY_S)


def report(outcome: Outcome, say: Say) -> list[str]:
    """Says how it went; returns the reasons why it did not go well."""
    docs = [job.doc for job in outcome.jobs]
    done = sum(doc.get("status") == "completed" for doc in docs)
    ran = measure.where(docs)
    say(f"  jobs            {done} of {len(docs)} completed in {show.span(outcome.wall_s)}")
    planned = _count(outcome.planned.values())
    for name, (limit, kind) in PER_MINUTE.items():
        total = outcome.upstream[name]["total"]
        say(
            f"  {name:<15} planned {planned.get(name, 0):>3}, ran {ran[name]:>3};"
            f" {total['received']:>3} calls, {total['answered_429']:>2} answered 429"
            f"   ({limit} a simulated minute, {kind})"
        )
    ways = ", ".join(f"{a} → {b}: {n}" for (a, b), n in outcome.moves.by_way.items())
    say(f"  jobs moved      {outcome.moves.moved}" + (f" ({ways})" if ways else ""))
    say(f"  ran elsewhere   {_elsewhere(outcome)} than planned when they were accepted")
    say(f"  requeued        {outcome.moves.requeued}")
    say(f"  429s upstream   {_upstream_429(outcome)}")
    say(f"  429s callers    {outcome.refused}")
    return _reasons(outcome, done)


def _elsewhere(outcome: Outcome) -> int:
    return sum(
        measure.provider(show.deployment(job.doc)) != outcome.planned.get(str(job.id))
        for job in outcome.jobs
        if job.status == "completed"
    )


def _upstream_429(outcome: Outcome) -> int:
    return sum(int(each["total"]["answered_429"]) for each in outcome.upstream.values())


def _count(names: Any) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        found[name] = found.get(name, 0) + 1
    return found


def _reasons(outcome: Outcome, done: int) -> list[str]:
    reasons = []
    if done != len(outcome.jobs) or not done:
        reasons.append(f"{len(outcome.jobs) - done} of {len(outcome.jobs)} jobs did not complete")
    if not outcome.moves.moved and not _elsewhere(outcome):
        reasons.append("no queued job moved to another provider")
    if outcome.refused:
        reasons.append(f"a caller saw {outcome.refused} times 429")
    return reasons
