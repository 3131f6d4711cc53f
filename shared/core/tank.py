"""What a lane starts by when, as a fluid: what its keys' windows let through together.

A window that has `free` calls left lets through `free + rate * t` by `t`, so a key with a window
of a minute and one of a day starts what its minute allows until the day is used up, and then what
the day gives back: the least of its windows at every moment. A lane starts what its keys start
together.

A `Step` is a moment (seconds from when the lane opens), calls that start at once, and how much the
rate (calls a second) changes then.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf

from shared.core.backlog import LaneReading, Step

Line = tuple[float, float]
"""A window: calls left, and calls a second."""
EXACT = 1e-9
MOST_JOBS = 2**53
"""Room is never more than this: what a lane starts for ever, or at once."""


@dataclass(frozen=True, slots=True)
class Tank:
    """A lane's room, in seconds from now and jobs. A rate of EXACT or less starts nothing.

    A moment may be infinite: that of a job which never starts, and what starts by then.

    `later` are what happens after it has opened, in order, in seconds from `open_s`.
    """

    open_s: float
    free: int
    rate: float
    later: tuple[Step, ...] = ()

    def room(self, t_s: float) -> int:
        """Whole jobs that it starts by `t_s`."""
        if t_s < self.open_s or self.open_s == inf:
            return 0
        started, rate, since = float(self.free), self.rate, 0.0
        after = t_s - self.open_s
        for at_s, free, more in self.later:
            if at_s > after:
                break
            started += flows(rate, at_s - since) + free
            rate, since = rate + more, at_s
        return int(min(started + flows(rate, after - since) + EXACT, MOST_JOBS))

    def finish_s(self, jobs: int) -> float:
        """When the last of so many jobs starts; 0 for none."""
        return self._reach(jobs)[0] if jobs > 0 else 0.0

    def without(self, jobs: int) -> "Tank":
        """The room that is left behind `jobs` that go first."""
        if jobs <= self.free:
            return Tank(self.open_s, self.free - max(jobs, 0), self.rate, self.later)
        at_s, over, rate, passed = self._reach(jobs)
        if at_s == inf:
            return Tank(inf, 0, rate)
        gone_s = at_s - self.open_s
        later = tuple((max(0.0, s - gone_s), free, more) for s, free, more in self.later[passed:])
        return Tank(at_s, over, rate, later)

    def _reach(self, jobs: int) -> tuple[float, int, float, int]:
        """When so many have started, how many more start then, at what rate, after which steps."""
        started, rate, since, passed = float(self.free), self.rate, 0.0, 0
        for at_s, free, more in self.later:
            reached = started + flows(rate, at_s - since)
            if reached >= jobs - EXACT:
                break
            started = reached + free
            rate, since, passed = rate + more, at_s, passed + 1
        missing = jobs - started
        if missing <= 0:
            return self.open_s + since, int(-missing + EXACT), rate, passed
        return self.open_s + since + (missing / rate if rate > EXACT else inf), 0, rate, passed

    def steps(self) -> tuple[Step, ...]:
        """All that happens to it, its opening first, in seconds from now; () if it never opens."""
        if self.open_s == inf:
            return ()
        moved = ((self.open_s + at_s, free, more) for at_s, free, more in self.later)
        return ((self.open_s, self.free, self.rate), *moved)


def flows(rate: float, span_s: float) -> float:
    """What a rate starts in a span, be it infinite."""
    return rate * span_s if rate > EXACT and span_s > 0 else 0.0


def as_tank(reading: LaneReading, now_ms: int, unknown_per_s: float) -> Tank:
    """A lane's room as it was read; `unknown_per_s` is its rate where no window says one."""
    open_s = max(reading.open_ms - now_ms, 0) / 1_000
    if not reading.supply:
        return Tank(open_s, max(reading.free_requests or 0, 0), reading.rate_per_s or unknown_per_s)
    (first_s, free, rate), *later = reading.supply
    return Tank(
        open_s + first_s,
        free,
        rate,
        tuple((at_s - first_s, jump, more) for at_s, jump, more in later),
    )


def least(lines: Sequence[Line], open_s: float) -> list[Step]:
    """What a key starts from `open_s` on: at every moment the least of its windows."""
    free, rate = min(lines)
    steps = [(open_s, int(free + EXACT), rate)]
    at_s = 0.0
    while True:
        crossings = [
            ((more - free) / (rate - less), less, more)
            for more, less in lines
            if less < rate - EXACT
        ]
        if not crossings:
            return steps
        next_s, less, more = min(crossings)
        at_s = max(at_s, next_s)
        steps.append((open_s + at_s, 0, less - rate))
        free, rate = more, less


def together(keys: Iterable[Sequence[Step]]) -> tuple[Step, ...]:
    """What the keys of a lane start together."""
    return tuple(sorted(step for steps in keys for step in steps))
