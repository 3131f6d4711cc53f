"""Part 3: the same work over three simulated free tiers; halfway one of them says 429 to all."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from cli import show
from cli.client import Api, Place
from cli.demo import measure, texts
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
    fault_at_s: float | None
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


async def run(place: Place, address: Address, say: Say) -> Outcome:
    """Hands in the work, breaks one provider at half of it, and waits for its end."""
    half = asyncio.Event()
    async with Api(place) as api, httpx2.AsyncClient(trust_env=False) as admin:
        work = asks()

        def ended(_job: Tracked) -> None:
            if tracker.done * 2 >= len(work):
                half.set()

        tracker = Tracker(api, work, ended=ended)
        began = time.monotonic()
        await tracker.submit()
        planned = {str(j.id): measure.provider(show.deployment(j.doc)) for j in tracker.jobs}
        say(f"  {len(work)} bulk jobs handed in, in {show.span(time.monotonic() - began)}")
        watching = asyncio.create_task(_watch(api, tracker, began, say))
        breaking = asyncio.create_task(_break(admin, address, half, began, say))
        try:
            await tracker.follow()
        finally:
            for task in (watching, breaking):
                task.cancel()
        wall_s = time.monotonic() - began
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        fault_at_s = breaking.result() if breaking.done() and not breaking.cancelled() else None
        moves = await measure.moves(api, [str(j.id) for j in tracker.jobs if j.id])
        state = (await admin.get(f"{address.admin_url}/state")).json()
        return Outcome(
            jobs=tuple(tracker.jobs),
            planned=planned,
            fault_at_s=fault_at_s,
            wall_s=wall_s,
            refused=api.statuses[429],
            upstream=state["providers"],
            moves=moves,
        )


async def _break(
    admin: httpx2.AsyncClient, address: Address, half: asyncio.Event, began: float, say: Say
) -> float:
    """From half of the work on, one provider answers 429 to everything."""
    await half.wait()
    fault = {"kind": "rate_limited", "provider": FAILING, "retry_after": RETRY_AFTER}
    answer = await admin.post(f"{address.admin_url}/faults", json=fault)
    answer.raise_for_status()
    at_s = time.monotonic() - began
    say(f"  {at_s:5.1f} s  from now on {FAILING} answers 429 to everything")
    return at_s


async def _watch(api: Api, tracker: Tracker, began: float, say: Say) -> None:
    """Says now and then what is queued where."""
    while True:
        with contextlib.suppress(GatewayError):
            queued = measure.depths(await api.get("/v1/queues"))
            rows = "  ".join(f"{name} {queued.get(name, 0):>3}" for name in PER_MINUTE)
            say(
                f"  {time.monotonic() - began:5.1f} s  {tracker.done:>3}/{len(tracker.jobs)} done"
                f"   queued: {rows}"
            )
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
    if outcome.fault_at_s is None:
        reasons.append(f"{FAILING} was never made to fail")
    elif not outcome.moves.moved and not _elsewhere(outcome):
        reasons.append("no queued job moved to another provider")
    if outcome.refused:
        reasons.append(f"a caller saw {outcome.refused} times 429")
    return reasons
