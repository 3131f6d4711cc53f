"""Ways to put load on a server, and what came of it."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from itertools import count
from typing import Any, TypeVar

import uvloop

Call = Callable[[int], Awaitable[int]]
"""Makes the i-th call and returns its status: 0 where the answer was not the question's."""
T = TypeVar("T")


@dataclass(slots=True)
class Load:
    """What came of it: latencies, statuses, `elapsed_s` from the first call to the last answer."""

    latencies_ms: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    elapsed_s: float = 0.0
    lag_ms: list[float] = field(default_factory=list)

    @property
    def calls(self) -> int:
        """How many calls were answered, whatever the answer."""
        return sum(self.statuses.values())

    @property
    def per_s(self) -> float:
        """Calls a second."""
        return self.calls / self.elapsed_s if self.elapsed_s else 0.0

    def failed(self, good: int = 200) -> int:
        """Calls with another status than this."""
        return self.calls - self.statuses[good]


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine on uvloop, as the server does."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


async def until(ready: Callable[[], Awaitable[bool]], within_s: float) -> bool:
    """Asks again and again: True once it is so, False after `within_s`."""
    late = time.monotonic() + within_s
    while True:
        if await ready():
            return True
        if time.monotonic() > late:
            return False
        await asyncio.sleep(0.02)


async def _timed(call: Call, index: int, load: Load, since_s: float | None = None) -> None:
    began = time.monotonic() if since_s is None else since_s
    try:
        status = await call(index)
    except (ConnectionError, OSError):
        status = -1
    load.latencies_ms.append((time.monotonic() - began) * 1000)
    load.statuses[status] += 1


async def closed(
    call: Call, *, at_once: int, calls: int | None = None, for_s: float | None = None
) -> Load:
    """`at_once` callers, each with one call after the other, for so many calls or seconds."""
    load, numbers, began = Load(), count(), time.monotonic()
    until = began + for_s if for_s is not None else float("inf")
    most = calls if calls is not None else float("inf")

    async def caller() -> None:
        while time.monotonic() < until and (index := next(numbers)) < most:
            await _timed(call, index, load)

    await asyncio.gather(*(caller() for _ in range(at_once)))
    load.elapsed_s = time.monotonic() - began
    return load


async def open_loop(call: Call, *, rate_per_s: float, for_s: float) -> Load:
    """Calls at fixed moments, whether or not earlier ones have been answered.

    Latencies run from the moment a call was due, so a stall counts for all that wait behind it.
    """
    load, tasks, began = Load(), set[asyncio.Task[None]](), time.monotonic()
    for index in range(int(rate_per_s * for_s)):
        due = began + index / rate_per_s
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        load.lag_ms.append((time.monotonic() - due) * 1000)
        task = asyncio.ensure_future(_timed(call, index, load, due))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    load.elapsed_s = time.monotonic() - began
    return load
