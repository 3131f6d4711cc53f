"""What is left of lanes and of the day's money while jobs are handed out to them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from shared.core.backlog import LaneReading, Snapshot
from shared.core.eta import P95_SERVICE
from shared.core.tank import Tank

UNKNOWN_CALL_MS = 1_000.0
SLOTS = 8


@dataclass(frozen=True, slots=True)
class Seen:
    """What a plan saw of a free lane: calls it starts in time, and how many of them others have."""

    lane: str
    starts: int
    taken: int


class Room:
    """The lanes' tanks, less what was handed out, and what may still be promised of the cap."""

    __slots__ = ("_calls_ms", "_held_up_ms", "_slowest_ms", "budget", "now_ms", "tanks", "used")

    def __init__(self, snapshot: Snapshot, tanks: Mapping[str, Tank]) -> None:
        self.tanks = {**tanks, **_unmeasured(snapshot, tanks)}
        self.budget = _budget(snapshot)
        self.now_ms = snapshot.now_ms
        self._calls_ms = {one.lane: _call_ms(one) for one in snapshot.lanes}
        self._held_up_ms = {one.lane: _held_up_ms(one) for one in snapshot.lanes}
        self._slowest_ms = max(self._calls_ms.values(), default=0.0) or UNKNOWN_CALL_MS
        self.used: dict[str, int] = {}

    def take(self, lane: str, jobs: int, by_ms: int) -> int:
        """Uses up to `jobs` of what the lane ends by then; returns how many."""
        taken = max(min(jobs, self.spare(lane, by_ms)), 0)
        self.occupy(lane, taken)
        return taken

    def occupy(self, lane: str, jobs: int) -> None:
        """Counts jobs that are there whatever is decided."""
        self.used[lane] = self.used.get(lane, 0) + jobs

    def spare(self, lane: str, by_ms: int) -> int:
        """What a free lane can still start so that 95 of 100 of its calls end by then."""
        takes_ms = P95_SERVICE * self._calls_ms.get(lane, 0.0) + self.held_up_ms(lane)
        return self._spare(lane, by_ms - takes_ms)

    def seen(self, lanes: Iterable[str], by_ms: int) -> tuple[Seen, ...]:
        """What free lanes had and have for jobs due then; those set aside are left out."""
        known = [lane for lane in lanes if lane in self.tanks]
        taken = [self.used.get(lane, 0) for lane in known]
        return tuple(
            Seen(lane, self.spare(lane, by_ms) + used, used)
            for lane, used in zip(known, taken, strict=True)
        )

    def paid_spare(self, lane: str, by_ms: int) -> int:
        """What a paid lane can still start so that an average call ends by then."""
        return self._spare(lane, by_ms - self.paid_call_ms(lane))

    def paid_call_ms(self, lane: str) -> float:
        """How long its calls take; where that was not measured, as long as the slowest lane's."""
        return self._calls_ms.get(lane) or self._slowest_ms

    def held_up_ms(self, lane: str) -> float:
        """How long its jobs are held before and after the call, as measured."""
        return self._held_up_ms.get(lane, 0.0)

    def pay(self, jobs: int, cost_microusd: int) -> int:
        """How many of the jobs the cap allows; they are paid."""
        if self.budget is None:
            return jobs
        affordable = max(self.budget, 0) // cost_microusd if cost_microusd else jobs
        allowed = min(jobs, affordable)
        self.budget -= allowed * cost_microusd
        return allowed

    def _spare(self, lane: str, start_ms: float) -> int:
        tank = self.tanks.get(lane)
        if tank is None:
            return 0
        return tank.room((start_ms - self.now_ms) / 1_000) - self.used.get(lane, 0)


def _unmeasured(snapshot: Snapshot, tanks: Mapping[str, Tank]) -> dict[str, Tank]:
    """Paid lanes without a known limit: as many calls at once as such a lane begins with."""
    costs = dict(snapshot.costs)
    return {
        one.lane: replace(tanks[one.lane], rate=SLOTS * 1_000 / (_call_ms(one) or UNKNOWN_CALL_MS))
        for one in snapshot.lanes
        if one.rate_per_s is None and one.lane in costs and one.lane in tanks
    }


def _call_ms(reading: LaneReading) -> float:
    return (reading.pace.total_ms or 0.0) if reading.pace else 0.0


def _held_up_ms(reading: LaneReading) -> float:
    """How much longer than their calls its jobs are held: what a busy machine costs."""
    pace = reading.pace
    return max((pace.held_ms or 0.0) - (pace.total_ms or 0.0), 0.0) if pace else 0.0


def _budget(snapshot: Snapshot) -> int | None:
    """What may still be promised: what is left, less what stands in paid lanes already."""
    if snapshot.paid_left_microusd is None:
        return None
    costs = dict(snapshot.costs)
    promised = sum(one.count * costs.get(one.lane, 0) for one in snapshot.groups)
    return snapshot.paid_left_microusd - promised
