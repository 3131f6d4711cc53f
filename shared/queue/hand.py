"""What a running attempt holds, and the settings and counters of the engine that runs it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from shared.queue.emitter import Emitter
from shared.queue.types import Claim, Report

RESTAMP_MS = 5


class Holder(Protocol):
    """The engine, as an attempt sees it."""

    emitter: Emitter
    worker: str

    def now_ms(self) -> int: ...  # noqa: D102 - described by the class
    def mark_sent(self, claim: Claim, at_ms: int) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Times in ms. `batch` bounds one tick; `block_ms` how long an idle engine waits in Redis.

    A worker is dead `lease_ms` after its last heartbeat; a loop that gives no sign of life for
    `hung_after_ms` gets none from its process either.
    """

    max_inflight: int = 1000
    batch: int = 64
    lease_ms: int = 5000
    beat_ms: int = 1000
    hung_after_ms: int = 30_000
    drain_ms: int = 30_000
    block_ms: int = 30_000
    prefix: str = "{hr}:"


@dataclass(slots=True)
class Hand:
    """One running attempt: the claim, the way to say something of it, the store's clock."""

    claim: Claim
    engine: Holder
    task: "asyncio.Task[None] | None" = None
    dropped: bool = False
    emitted: int = 0
    was_sent: bool = False
    report: Report | None = None

    async def emit(self, kind: str, data: bytes) -> None:
        """Appends an event to the job's stream; waits where the store is behind."""
        self.emitted += 1
        await self.engine.emitter.emit(self.claim, kind, data)

    def sent(self) -> None:
        """Says that the request is being written to the socket: the quota counts from here."""
        self.was_sent = True
        now = self.engine.now_ms()
        if now - self.claim.claimed_ms > RESTAMP_MS:
            self.engine.mark_sent(self.claim, now)

    def now_ms(self) -> int:
        """The moment by the store's clock."""
        return self.engine.now_ms()


Run = Callable[[Hand], Awaitable[Report]]


@dataclass(slots=True)
class Stats:
    """Counters since the start."""

    ticks: int = 0
    claimed: int = 0
    finished: int = 0
    stale: int = 0
    reconnects: int = 0
