"""The time the simulator lives in: the wall clock's, but it never goes back."""

import time
from collections.abc import Callable

NowUs = Callable[[], int]


def wall_clock() -> NowUs:
    """A function that returns microseconds since 1970; steps of the wall clock do not reach it."""
    offset_ns = time.time_ns() - time.monotonic_ns()

    def now_us() -> int:
        return (time.monotonic_ns() + offset_ns) // 1_000

    return now_us
