"""Hedging: where a call is slower than its deployment's slowest, a second one starts elsewhere.

The first good answer wins; the other call is cancelled, which closes its socket. Only one of the
two ever speaks to the caller: who says the first word (`Gate`).
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from shared.core.outcome import Failed, Outcome, Succeeded

FEW = 20
KEPT = 200
MOST_DEPLOYMENTS = 2_000
MOST_SAVED = 10.0
_PERCENTILE = 0.95


class Budget:
    """Second calls by share of the first ones: never more of them, and few saved for later."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._saved = 0.0

    def earn(self) -> None:
        """One call that may be hedged began."""
        self._saved = min(MOST_SAVED, self._saved + self._share)

    @property
    def left(self) -> bool:
        """Whether a second call may be made."""
        return self._saved >= 1

    def spend(self) -> None:
        """A second call is to be made."""
        self._saved -= 1

    def give_back(self) -> None:
        """It was not made after all."""
        self._saved += 1


class Latencies:
    """How long each deployment takes to say its first word (or all of it), the last 200 times."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, bool], deque[int]] = {}

    def note(self, deployment: str, ms: int, *, stream: bool) -> None:
        """One call answered after so long."""
        key = deployment, stream
        if key not in self._seen and len(self._seen) >= MOST_DEPLOYMENTS:
            self._seen.clear()
        self._seen.setdefault(key, deque(maxlen=KEPT)).append(ms)

    def slow_ms(self, deployment: str, *, stream: bool) -> int | None:
        """The p95; None where fewer than 20 calls were seen."""
        seen = self._seen.get((deployment, stream), ())
        return sorted(seen)[int(len(seen) * _PERCENTILE)] if len(seen) >= FEW else None


class Gate:
    """Lets one of two calls speak: the one that says the first word."""

    def __init__(self) -> None:
        self.speaker: object | None = None
        self.spoke = asyncio.Event()

    async def enter(self, who: object) -> None:
        """Returns where `who` may speak; the other waits here until it is cancelled."""
        if self.speaker is None:
            self.speaker = who
            self.spoke.set()
        if self.speaker is not who:
            await asyncio.get_running_loop().create_future()


@dataclass(slots=True, eq=False)
class Runner:
    """One of the two calls. `who` is what it enters the gate as; `outcome` None: it was stopped."""

    run: Callable[[], Coroutine[Any, Any, Outcome]]
    who: object
    task: "asyncio.Task[Outcome] | None" = None
    outcome: Outcome | None = field(default=None)

    def start(self) -> "asyncio.Task[Outcome]":
        """Begins the call."""
        self.task = asyncio.get_running_loop().create_task(self.run())
        return self.task


async def race(
    gate: Gate,
    first: Runner,
    after_s: float,
    second: Callable[[], Awaitable[Runner | None]],
) -> tuple[Runner, Runner | None]:
    """The call that counts, and the other one where there was one.

    `second` is asked once the first has said nothing for `after_s`; a good answer wins, of two bad
    ones the first call's counts. Cancelling it stops both.
    """
    runners = [first]
    try:
        main = first.start()
        if not await _silent(gate, main, after_s):
            first.outcome = await main
            return first, None
        other = await second()
        if other is None:
            first.outcome = await main
            return first, None
        runners.append(other)
        if main.done() or gate.speaker is first.who:  # it spoke while the second was being reserved
            first.outcome = await main
            return first, other
        other.start()
        return await _decided(gate, first, other)
    finally:
        await _stop(runners)


async def _silent(gate: Gate, main: "asyncio.Task[Outcome]", after_s: float) -> bool:
    spoke = asyncio.get_running_loop().create_task(gate.spoke.wait())
    try:
        done, _ = await asyncio.wait(
            {main, spoke}, timeout=after_s, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        spoke.cancel()
    return not done


async def _decided(gate: Gate, first: Runner, second: Runner) -> tuple[Runner, Runner]:
    pairs = ((first, second), (second, first))
    while True:
        running = {one.task for one in (first, second) if one.task and not one.task.done()}
        for one, other in pairs:
            if one.task and one.task.done():
                one.outcome = one.task.result()
                if isinstance(one.outcome, Succeeded) or gate.speaker is one.who:
                    return one, other
        match first.outcome, second.outcome:
            case Failed(), Failed():
                return first, second
            case _:
                pass
        speaker = next((one for one, _ in pairs if gate.speaker is one.who), None)
        if speaker is not None and speaker.task is not None:
            other = second if speaker is first else first
            await _stop([other])
            speaker.outcome = await speaker.task
            return speaker, other
        spoke = asyncio.get_running_loop().create_task(gate.spoke.wait())
        try:
            await asyncio.wait({*running, spoke}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            spoke.cancel()


async def _stop(runners: list[Runner]) -> None:
    tasks = [one.task for one in runners if one.task is not None and not one.task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
