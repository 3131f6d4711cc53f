"""How long paying may wait, and for how many jobs it may not: the last responsible moment.

What one paid lane is to start, by when, stands in a list, first due first. Paying may wait until w
if, for every entry, the lane starts between w and that entry's time all that is due up to it.
Waiting loses nothing: a window of which nothing is used meanwhile lets no less through afterwards.
So at w only as many must be paid for as could not be started if one waited any longer, and they
are the first due.

A fleet starts no more than STARTS_PER_S of them a second, whatever the windows allow: what one
worker on a busy machine surely keeps up with. Without it a thousand jobs that are due at one moment
would all be left to the last second. HELD_UP_MS is how long one call may be held up beyond its own
time; where jobs were held up for longer of late, it is HELD_UP_TIMES their mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from shared.core.tank import EXACT, Tank

STARTS_PER_S = 100.0
HELD_UP_MS = 250
HELD_UP_TIMES = 2


@dataclass(frozen=True, slots=True)
class Owed:
    """`jobs` that only this lane does in time; they are to start by `start_s`, seconds from now."""

    start_s: float
    jobs: int


def waits_s(owed: Sequence[Owed], tank: Tank) -> float:
    """How long all of them may wait, in seconds from now; below 0: some should have gone already.

    `owed` is in order of `start_s`. Infinite where nothing is owed.
    """
    longest, total = inf, 0
    for one in owed:
        total += one.jobs
        longest = min(longest, one.start_s - takes_s(tank, total))
    return longest


def cannot_wait(owed: Sequence[Owed], tank: Tank, wait_s: float) -> int:
    """How many of them, the first due first, must go now if the next look is `wait_s` from now."""
    begin_s, most, total = max(wait_s, tank.open_s), 0, 0
    for one in owed:
        total += one.jobs
        most = max(most, total - _starts(tank, one.start_s - begin_s))
    return min(most, total)


def takes_s(tank: Tank, jobs: int) -> float:
    """How long the lane needs, once it is open, to start so many: at least one."""
    if tank.open_s == inf:
        return inf
    return max(tank.finish_s(jobs) - tank.open_s, (jobs - 1) / STARTS_PER_S)


def _starts(tank: Tank, within_s: float) -> int:
    """How many it starts within that time of opening, or of beginning later."""
    if within_s < -EXACT:
        return 0
    within_s = max(within_s, 0.0)
    return min(tank.room(tank.open_s + within_s), 1 + int(within_s * STARTS_PER_S + EXACT))
