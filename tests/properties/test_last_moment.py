"""A world in which windows let through exactly what they say, scheduled by the plan alone."""

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import count
from math import floor

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shared.core.backlog import Due, Group, Snapshot
from shared.core.eta import P95_SERVICE, P99_SERVICE
from shared.core.last_moment import HELD_UP_MS, STARTS_PER_S, Owed, cannot_wait
from shared.core.model import Priority
from shared.core.pace import Pace
from shared.core.rebalance import plan, tank_of
from shared.core.tank import Tank
from shared.store.types import LaneState

START_MS = 1_800_000_000_000
FREE, PAID = "f/m@shared", "p/m@shared"
EXACT = 1e-6
MS_S = 0.002  # moments are whole ms
FAR_S = 1e6
NEVER_AGAIN_MS = 1 << 50


@dataclass
class Lane:
    """A bucket: `level` calls may start at `now_s`, never more than `burst` at once."""

    burst: int
    rate: float
    opens_s: float = 0.0
    level: float = 0.0
    now_s: float = 0.0
    queue: list[int] = field(default_factory=list)
    started: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self):
        self.level = float(self.burst)

    def next_s(self):
        """When the next call may start."""
        return max(self.now_s, self.opens_s) + max(0.0, 1 - self.level - EXACT) / self.rate

    def run(self, until_s):
        """Starts whatever it may, the first in the queue first, and comes to `until_s`."""
        while self.queue and (at_s := self.next_s()) <= until_s + EXACT:
            self._come_to(at_s)
            self.level = max(0.0, self.level - 1)
            self.started.append((self.queue.pop(0), at_s))
        self._come_to(max(until_s, self.now_s))

    def _come_to(self, at_s):
        gone_s = max(0.0, at_s - max(self.now_s, self.opens_s))
        self.level = min(self.burst + 1 - EXACT, self.level + self.rate * gone_s)
        self.now_s = at_s

    def reading(self, name, pace):
        whole = floor(self.level + EXACT)
        left_s = (whole + 1 - self.level) / self.rate
        open_ms = START_MS + 1_000 * max(self.opens_s, self.now_s)
        supply = ((0.0, whole, 0.0), (left_s, 1, self.rate))
        return LaneState(
            name, (0, 0, 0), 1, round(open_ms), self.rate, whole, False, "", 0, pace, supply
        )


@dataclass
class World:
    """Dated jobs in a free lane, a paid lane beside it, and a scheduler that obeys its plans."""

    deadlines_ms: list[int]
    free: Lane
    paid: Lane
    call_ms: int
    lead_ms: int
    now_s: float = 0.0
    looks: int = 0

    def __post_init__(self):
        self.free.queue = sorted(self.deadlines_ms)

    def snapshot(self, lead_ms):
        pace = Pace(9, total_ms=self.call_ms) if self.call_ms else Pace(9, total_ms=1e-6)
        due = tuple(
            Due(START_MS + each, self.free.queue.count(each))
            for each in sorted(set(self.free.queue))
        )
        groups = [
            Group("s", FREE, Priority.NORMAL, len(self.free.queue), (FREE,), (PAID,), due),
            Group("s", PAID, Priority.NORMAL, len(self.paid.queue), (FREE,), (PAID,)),
        ]
        lanes = (self.free.reading(FREE, pace), self.paid.reading(PAID, pace))
        now_ms = START_MS + round(1_000 * self.now_s)
        return Snapshot(now_ms, lanes, tuple(groups), ((PAID, 5),), None, lead_ms)

    def run(self, *, until_it_pays=False):
        """Looks when a plan says so, to the end or until a plan would pay: which is returned."""
        for self.looks in count(1):
            found = plan(self.snapshot(self.lead_ms))
            if until_it_pays and found.moves:
                return found
            for move in found.moves:
                assert move.target == PAID
                self.pay(move.count, move.after_ms - START_MS, move.deadline_ms - START_MS)
            if found.look_ms is None:
                break
            soonest_s = self.now_s + self.lead_ms / 1_000
            self.come_to(max((found.look_ms - START_MS) / 1_000, soonest_s))
        self.come_to(FAR_S)
        return None

    def pay(self, jobs, after_ms=-1, by_ms=FAR_S * 1_000):
        """Moves so many of those due in a span, the first due first."""
        first = max(bisect_right(self.free.queue, after_ms), 0)
        assert first + jobs <= bisect_right(self.free.queue, by_ms)
        self.paid.queue += self.free.queue[first : first + jobs]
        del self.free.queue[first : first + jobs]

    def come_to(self, at_s):
        self.now_s = at_s
        self.free.run(at_s)
        self.paid.run(at_s)

    def too_late(self, slack_s=MS_S):
        """How many calls began too late: 95 of 100 free ones, 99 of 100 paid ones are to end."""
        found = 0
        free_s, paid_s = P95_SERVICE * self.call_ms / 1_000, paid_call_s(self)
        for lane, call_s in ((self.free, free_s), (self.paid, paid_s)):
            found += sum(at_s > due / 1_000 - call_s + slack_s for due, at_s in lane.started)
        return found


def paid_call_s(world):
    return (P99_SERVICE * world.call_ms + HELD_UP_MS) / 1_000


@st.composite
def worlds(draw):
    moments = st.integers(10_000, 60_000).map(lambda each: 2 * each + 1)
    deadlines_ms = draw(st.lists(moments, min_size=1, max_size=60))
    opens = st.sampled_from((0.0, 0.0, 3.0, 20.0))
    free = Lane(draw(st.integers(0, 5)), draw(st.sampled_from((0.02, 0.1, 0.5))), draw(opens))
    paid = Lane(draw(st.integers(0, 20)), draw(st.sampled_from((0.5, 1.0, 8.0))), draw(opens))
    call_ms = draw(st.sampled_from((0, 100, 2_000)))
    return World(deadlines_ms, free, paid, call_ms, draw(st.sampled_from((20, 100, 900))))


def too_many(world):
    """How many jobs free quota alone cannot start in time, at the least: by any order whatever."""
    tank = tank_of(world.free.reading(FREE, None), START_MS)
    call_s, most = P95_SERVICE * world.call_ms / 1_000, 0
    for n, deadline_ms in enumerate(sorted(world.deadlines_ms), 1):
        most = max(most, n - tank.room(deadline_ms / 1_000 - call_s))
    return most


def could_be_met(world):
    """Whether paying at once for what is due first would have done: then waiting must do too."""
    late, tank = too_many(world), tank_of(world.paid.reading(PAID, None), START_MS)
    owed = [
        Owed(each / 1_000 - paid_call_s(world), 1) for each in sorted(world.deadlines_ms)[:late]
    ]
    return not cannot_wait(owed, tank, world.lead_ms / 1_000 + MS_S)


@given(worlds())
@settings(max_examples=200, deadline=None)
def test_no_job_is_paid_for_that_free_quota_does_in_time_and_none_is_late_that_money_saves(world):
    assume(could_be_met(world))
    late = too_many(world)
    world.run()
    assert len(world.paid.started) == late
    assert world.too_late() == 0
    assert world.looks <= 20 + 60 * len(set(world.deadlines_ms))


@given(worlds())
@settings(max_examples=200, deadline=None)
def test_with_one_job_less_paid_for_at_a_look_all_that_follows_would_be_too_late(world):
    assume(could_be_met(world))
    found = world.run(until_it_pays=True)
    assume(found is not None)
    promised = sum(move.count for move in plan(world.snapshot(NEVER_AGAIN_MS)).moves)
    now = sum(move.count for move in found.moves)
    world.pay(now - 1)
    # what a plan allows for that this world does not need: the fleet's pace, and that a lane which
    # is yet to open gains nothing between its opening and the first start
    fleet_s = promised / STARTS_PER_S
    gained_s = 1 / world.paid.rate if world.paid.opens_s > world.now_s else 0.0
    world.come_to(world.now_s + world.lead_ms / 1_000 + fleet_s + gained_s + MS_S)
    world.pay(
        min(promised - now + 1, len(world.free.queue))
    )  # a free lane may have begun, too late
    world.come_to(FAR_S)
    assert world.too_late(slack_s=0) > 0


@given(
    st.lists(st.tuples(st.floats(0, 50), st.integers(1, 9)), min_size=1, max_size=8),
    st.builds(Tank, st.floats(0, 5), st.integers(0, 20), st.sampled_from((0.1, 1.0, 30.0))),
    st.floats(0, 60),
    st.floats(0, 60),
)
def test_the_longer_one_waits_the_more_cannot_wait(entries, tank, sooner_s, later_s):
    owed = [Owed(start_s, jobs) for start_s, jobs in sorted(entries)]
    sooner_s, later_s = sorted((sooner_s, later_s))
    few, many = (cannot_wait(owed, tank, each) for each in (sooner_s, later_s))
    assert 0 <= few <= many <= sum(one.jobs for one in owed)
