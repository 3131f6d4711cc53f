"""Resident memory of the API and the worker, before, during and after many jobs."""

import time
from typing import Any

from bench import chats, load
from bench.client import Client
from bench.figures import Options, Result, judged
from bench.stack import KEY, Stack
from bench.wide import wide
from simulator import headrace_config, running

API_MB = 120.0
WORKER_MB = 150.0
GROWTH = 1.10
AT_ONCE = 48
STEPS = 10


def run(options: Options) -> Result:
    """Runs held chats in ten steps and looks after each."""
    jobs = options.size(100_000, 1_000)
    config = wide()
    with running(config) as address, Stack(headrace_config(config, address)) as stack:
        time.sleep(options.span_s(3, 0.2))
        seen, failed = load.run(_steps(stack, jobs))
    first, last, peak = seen[1], seen[-1], _peak(seen)
    growth = {role: round(last[role] / first[role], 3) for role in ("api", "workers")}
    figures: dict[str, Any] = {
        "jobs": jobs,
        "before_mb": seen[0],
        "after_mb": last,
        "peak_mb": peak,
        "growth_from_first_tenth": growth,
        "steps_mb": [{role: one[role] for role in ("api", "workers")} for one in seen],
        "failed": failed,
    }
    lines = [
        f"{role:<15} {seen[0][role]:.0f} MB at the start, {last[role]:.0f} MB after {jobs} jobs"
        f" ({growth[role]:.2f} times what it was after the first tenth)"
        for role in ("api", "workers")
    ]
    return judged(
        "memory", figures, lines,
        ("api at most (MB)", peak["api"], "<=", API_MB),
        ("worker at most (MB)", peak["workers"], "<=", WORKER_MB),
        ("api, growth after the first tenth", growth["api"], "<=", GROWTH),
        ("worker, growth after the first tenth", growth["workers"], "<=", GROWTH),
        ("failed calls", failed, "<=", 0),
    )  # fmt: skip


def _peak(seen: list[dict[str, float]]) -> dict[str, float]:
    return {role: max(one[role] for one in seen) for role in ("api", "workers")}


async def _steps(stack: Stack, jobs: int) -> tuple[list[dict[str, float]], int]:
    client = Client(f"{stack.url}/v1", KEY)
    seen, failed = [stack.rss_mb()], 0
    for step in range(STEPS):
        call = chats.held(client, f"m{step}")
        taken = await load.closed(call, at_once=AT_ONCE, calls=jobs // STEPS)
        failed += taken.failed()
        seen.append(stack.rss_mb())
    client.close()
    return seen, failed
