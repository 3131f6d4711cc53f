"""The wall clock and the monotonic clock, as values that can be handed in.

What is stored in Redis is timed by Redis; this clock is for logs, headers and local waits.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """Where a shell gets its time from; core rules take `now_ms` as an argument instead."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC; may jump."""
        ...

    def monotonic_ms(self) -> float:
        """Milliseconds that never go back, for measuring spans in this process."""
        ...


class SystemClock:
    """The machine's clocks."""

    __slots__ = ()

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC; may jump."""
        return time.time_ns() // 1_000_000

    def monotonic_ms(self) -> float:
        """Milliseconds that never go back, for measuring spans in this process."""
        return time.monotonic_ns() / 1e6


class ManualClock:
    """A clock that stands still until it is told to advance: for tests and simulations."""

    __slots__ = ("_now_ms",)

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms

    def now_ms(self) -> int:
        """The moment it was last moved to."""
        return self._now_ms

    def monotonic_ms(self) -> float:
        """The same, since it never goes back."""
        return float(self._now_ms)

    def advance(self, ms: int) -> None:
        """Move on by `ms` >= 0 milliseconds."""
        if ms < 0:
            raise ValueError("a clock is not turned back")
        self._now_ms += ms
