"""kill -9 of a worker with hundreds of calls in flight: how soon all its jobs run again.

Two workers share the load. The simulator tells which jobs were called a second time and when;
the clock starts at the kill and stops when the last of them has been called again.
"""

import asyncio
import os
import signal
import time
from typing import Any

from bench import chats, load
from bench.client import Client
from bench.figures import Options, Result, judged
from bench.sim import Admin
from bench.stack import KEY, Stack
from simulator import Address, headrace_config, load_config, running

AGAIN_S = 8.0
LOOK_S = 0.02
LATENCY_MS = 4_000
SETTLED_S = 12.0
SLOW = {
    "providers": {
        "slow": {
            "models": ["sim-small"],
            "latency": {"median_ms": LATENCY_MS},
            "limits": [{"requests": 10_000_000, "per": "1m", "kind": "bucket"}],
        }
    }
}


def run(options: Options) -> Result:
    """Kills one of two workers while every job is in flight."""
    jobs = options.size(600, 60)
    config = load_config(SLOW)
    with running(config) as address:
        told = headrace_config(config, address)
        with Stack(told, workers=2) as stack:
            figures = load.run(_measure(stack, address, jobs))
    lines = [
        "in flight       {in_flight} at the kill; {called_again} of {jobs} jobs were called again",
        "again after     first {first_again_s:.2f} s, last {last_again_s:.2f} s",
        "in the end      {completed} of {jobs} answered",
    ]
    return judged(
        "recovery", figures, [line.format(**figures) for line in lines],
        ("last job called again after (s)", figures["last_again_s"], "<=", AGAIN_S),
        ("jobs lost", jobs - figures["completed"], "<=", 0),
        ("calls repeated beyond the killed worker's", figures["called_thrice"], "<=", 0),
    )  # fmt: skip


async def _measure(stack: Stack, address: Address, jobs: int) -> dict[str, Any]:
    admin = Admin(address)
    client = Client(f"{stack.url}/v1", KEY)
    await load.closed(chats.submitted(client, "k"), at_once=16, calls=jobs)

    async def all_run() -> bool:
        slow = (await admin.seen())["slow"]
        return slow.running >= jobs or slow.good > 0

    await load.until(all_run, 10)
    running_now = (await admin.seen())["slow"].running
    victim = _largest(stack)
    os.kill(victim, signal.SIGKILL)
    killed_s = time.monotonic()
    again: list[tuple[float, int]] = []
    while time.monotonic() - killed_s < SETTLED_S:
        count = await admin.count(received=2)
        if count and (not again or count > again[-1][1]):
            again.append((time.monotonic() - killed_s, count))
        await asyncio.sleep(LOOK_S)
    thrice = await admin.count(received=3)
    completed = await _completed(admin, jobs)
    admin.close()
    client.close()
    return {
        "jobs": jobs,
        "in_flight": running_now,
        "called_again": again[-1][1] if again else 0,
        "first_again_s": round(again[0][0], 3) if again else float("inf"),
        "last_again_s": round(again[-1][0], 3) if again else float("inf"),
        "called_thrice": thrice,
        "completed": completed,
    }


async def _completed(admin: Admin, jobs: int) -> int:
    """Ids answered, once all are or 15 s have passed."""

    async def all_are() -> bool:
        return await admin.count(answered=1) >= jobs

    await load.until(all_are, 15)
    return await admin.count(answered=1)


def _largest(stack: Stack) -> int:
    """The worker process that has worked most, so that it surely holds jobs."""
    workers = [one for one in stack.processes() if one.role == "workers"]
    return max(workers, key=lambda one: one.cpu_s).pid
