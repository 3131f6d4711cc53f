"""Stories of a plan, small enough to check by hand."""

from dataclasses import replace

import pytest

from shared.core.backlog import Due, Group, LaneEvent, LaneEventKind, Snapshot, parse_event
from shared.core.eta import P99_SERVICE
from shared.core.last_moment import HELD_UP_MS, HELD_UP_TIMES, STARTS_PER_S
from shared.core.model import Priority
from shared.core.pace import Pace
from shared.core.rebalance import plan
from shared.store.types import LaneState

NOW_MS = 1_800_000_000_000
NEVER_AGAIN_MS = 1 << 50  # until the next look: what is promised must be kept now
A, B, C, PAID = "a/m@shared", "b/m@shared", "c/m@shared", "z/m@shared"
INTERACTIVE, NORMAL, BULK = Priority


def lane(name, rate=1.0, free=0, open_s=0, *, dead=False):
    return LaneState(name, (0, 0, 0), 1, NOW_MS + open_s * 1_000, rate, free, dead, "", 0)


def group(at, count, lanes=(A, B), priority=NORMAL, signature="s", **given):
    return Group(signature, at, priority, count, lanes, **given)


def moves(lanes, *groups, **given):
    made = plan(Snapshot(NOW_MS, tuple(lanes), groups, **given)).moves
    return {(one.source, one.target, one.priority): one.count for one in made}


@pytest.mark.parametrize(
    ("lanes", "groups", "expected"),
    [
        pytest.param([lane(A), lane(B)], [group(A, 100)], {(A, B, NORMAL): 50}, id="halves"),
        pytest.param(
            [lane(A), lane(B, 3.0)], [group(A, 100)], {(A, B, NORMAL): 75}, id="by rate"
        ),
        pytest.param(
            [lane(A), lane(B, free=40)], [group(A, 100)], {(A, B, NORMAL): 70}, id="by burst"
        ),
        pytest.param(
            [lane(A), lane(B, open_s=40)], [group(A, 100)], {(A, B, NORMAL): 30}, id="by opening"
        ),
        pytest.param([lane(A), lane(B, open_s=500)], [group(A, 100)], {}, id="opens too late"),
        pytest.param([lane(A), lane(B)], [group(A, 3)], {}, id="gains under 2 s"),
        pytest.param(
            [lane(A), lane(B)], [group(A, 104), group(B, 96)], {}, id="gains under 5 percent"
        ),
        pytest.param([lane(A), lane(B)], [group(A, 100, (A,))], {}, id="nowhere else to go"),
        pytest.param(
            [lane(A, dead=True), lane(B)], [group(A, 1)], {(A, B, NORMAL): 1}, id="set aside"
        ),
        pytest.param(
            [lane(A, dead=True), lane(B, dead=True)], [group(A, 5)], {}, id="all set aside"
        ),
        pytest.param([lane(B)], [group(A, 5)], {(A, B, NORMAL): 5}, id="a lane nobody serves"),
        pytest.param(
            [lane(A, None), lane(B, None)], [group(A, 100)], {(A, B, NORMAL): 50}, id="unknown"
        ),
        pytest.param([lane(A), lane(B, 0.0)], [group(A, 100)], {}, id="no quota at all"),
        pytest.param(
            [lane(A), lane(B)],
            [group(A, 60, (A,), INTERACTIVE, "i"), group(A, 60)],
            {(A, B, NORMAL): 60},
            id="behind interactive work",
        ),
        pytest.param(
            [lane(A, free=100), lane(B)],
            [group(A, 100, (A,), INTERACTIVE, "i"), group(A, 60)],
            {(A, B, NORMAL): 30},
            id="interactive work takes the burst",
        ),
        pytest.param(
            [lane(A), lane(B)],
            [group(A, 40, priority=INTERACTIVE), group(B, 500, (B,), BULK, "b")],
            {(A, B, INTERACTIVE): 20},
            id="bulk is in nobody's way",
        ),
        pytest.param(
            [lane(A), lane(B), lane(C)],
            [group(A, 90, (A, B), signature="ab"), group(B, 90, (B, C), signature="bc")],
            {(A, B, NORMAL): 30, (B, C, NORMAL): 60},
            id="one makes room for another",
        ),
        pytest.param(
            [lane(A, 0.1), lane(B), lane(C)],
            [group(A, 500, (A,), signature="slow"), group(B, 100, (B, C), signature="bc")],
            {(B, C, NORMAL): 50},
            id="a slow lane elsewhere holds nobody up",
        ),
    ],
)  # fmt: skip
def test_a_plan_moves_what_shortens_the_backlog(lanes, groups, expected):
    made = moves(lanes, *groups)
    assert made.keys() == expected.keys()
    for key, count in expected.items():
        assert made[key] == pytest.approx(count, abs=2)


def paid_at_all(lanes, *groups, **given):
    """What a plan moves where nobody looks again: all that is promised."""
    return moves(lanes, *groups, lead_ms=NEVER_AGAIN_MS, **given)


class TestDeadlines:
    def late(self, deadline_s, count=100, **given):
        due = Due(NOW_MS + deadline_s * 1_000, count)
        return group(A, 100, (A,), paid=(PAID,), due=(due,), **given)

    def test_only_what_free_quota_cannot_start_in_time_is_paid_for(self):
        lanes, costs = [lane(A), lane(PAID, free=1_000)], ((PAID, 5),)
        assert paid_at_all(lanes, self.late(70), costs=costs) == {(A, PAID, NORMAL): 30}
        assert paid_at_all(lanes, self.late(100), costs=costs) == {}
        assert paid_at_all(lanes, self.late(10, 10), costs=costs) == {}

    def test_a_cap_an_unknown_price_and_a_slow_paid_lane_stop_it(self):
        lanes, costs = [lane(A), lane(PAID, free=1_000)], ((PAID, 5),)
        assert paid_at_all(lanes, self.late(70), costs=costs, paid_left_microusd=52) == {
            (A, PAID, NORMAL): 10
        }
        assert paid_at_all(lanes, self.late(70), costs=costs, paid_left_microusd=-5) == {}
        assert paid_at_all(lanes, self.late(70)) == {}
        slow = [lane(A), lane(PAID, open_s=71)]
        assert paid_at_all(slow, self.late(70), costs=costs) == {}

    def test_a_paid_lane_of_unknown_limit_and_speed_starts_eight_a_second(self):
        unlimited = lane(PAID, rate=None)
        assert paid_at_all([lane(A), unlimited], self.late(10), costs=((PAID, 5),)) == {
            (A, PAID, NORMAL): 8 * 9  # the last of them takes a second
        }

    def test_what_another_free_lane_does_in_time_goes_there_and_a_second_plan_is_empty(self):
        lanes = (lane(A, 1.0), lane(B, 1.0), lane(PAID, 100.0))
        costs = ((PAID, 10),)
        before = group(A, 3, paid=(PAID,), due=(Due(NOW_MS + 2_000, 3),))
        assert moves(lanes, before, costs=costs) == {(A, B, NORMAL): 1}
        after = (
            replace(before, count=2, due=(Due(NOW_MS + 2_000, 2),)),
            replace(before, lane=B, count=1, due=(Due(NOW_MS + 2_000, 1),)),
        )
        assert moves(lanes, *after, costs=costs) == {}

    def test_calls_must_end_by_the_deadline_not_only_start(self):
        slow = replace(lane(A), pace=Pace(9, total_ms=10_000))  # 95 of 100 end within 30 s
        lanes, costs = [slow, lane(PAID, free=1_000)], ((PAID, 5),)
        assert paid_at_all(lanes, self.late(70), costs=costs) == {(A, PAID, NORMAL): 60}

    def test_what_stands_in_paid_lanes_is_promised_already(self):
        lanes, costs = [lane(A), lane(PAID, free=1_000)], ((PAID, 5),)
        there = Group("t", PAID, NORMAL, 6, (A,), (PAID,))
        found = paid_at_all(lanes, self.late(70), there, costs=costs, paid_left_microusd=52)
        assert found == {(A, PAID, NORMAL): 4}

    def test_the_cheapest_paid_lane_comes_first(self):
        due = (Due(NOW_MS + 11_000, 100),)
        one = group(A, 100, (A,), paid=(B, C), due=due)
        lanes = [lane(A), lane(B, free=1_000), lane(C, free=30)]
        found = paid_at_all(lanes, one, costs=((B, 9), (C, 3)))
        assert found == {(A, C, NORMAL): 40, (A, B, NORMAL): 49}

    def test_what_was_paid_for_stays_where_it_is(self):
        lanes, costs = [lane(A, free=500), lane(PAID)], ((PAID, 5),)
        there = Group("s", PAID, NORMAL, 100, (A,), (PAID,))
        assert moves(lanes, there, costs=costs) == {}
        dead = [lane(A), lane(PAID, dead=True)]
        assert moves(dead, there, costs=costs) == {(PAID, A, NORMAL): 100}


class TestLastMoment:
    """Free: one a second. Paid: 99 of 100 calls end within 4.855 s: a mean of 1 s, 0.25 s more."""

    costs = ((PAID, 5),)
    call_s = P99_SERVICE + HELD_UP_MS / 1_000

    def late(self, count, *deadlines_s):
        due = tuple(Due(NOW_MS + round(at * 1_000), count) for at in deadlines_s)
        return group(A, count * len(due), (A,), paid=(PAID,), due=due)

    def paid(self, rate=1_000.0, free=1_000, open_s=0):
        return replace(lane(PAID, rate, free, open_s), pace=Pace(9, total_ms=1_000))

    def look(self, group_, paid=None, lead_ms=0, **given):
        lanes = (lane(A), self.paid() if paid is None else paid)
        return plan(Snapshot(NOW_MS, lanes, (group_,), self.costs, lead_ms=lead_ms, **given))

    def test_it_is_not_paid_for_before_it_must_be_and_the_plan_says_when_that_is(self):
        found = self.look(self.late(61, 60))
        assert found.moves == ()
        assert found.look_ms == pytest.approx(NOW_MS + (60 - self.call_s) * 1_000, abs=1)
        assert self.look(self.late(61, 60), lead_ms=700).look_ms == found.look_ms - 700

    def test_what_cannot_wait_until_the_next_look_is_paid_for_now(self):
        soon = self.late(30, 5)  # 25 are late: the last starts in 0.145 s, a fleet needs 0.24 s
        (move,) = self.look(soon, lead_ms=0).moves
        assert (move.target, move.count) == (PAID, 10)
        (move,) = self.look(soon, lead_ms=400).moves
        assert move.count == 25
        assert self.look(self.late(31, 6), lead_ms=900).moves == ()

    def test_a_narrow_paid_lane_begins_earlier_and_only_with_as_many_as_it_must(self):
        narrow = self.paid(rate=2.0, free=4)
        late = self.late(94, 34.856)  # 60 late ones: 4 at once and 56 in 28 s; 30 s are left
        found = self.look(late, narrow)
        assert found.moves == ()
        assert found.look_ms == pytest.approx(NOW_MS + 2_000, abs=1)
        (move,) = self.look(late, narrow, lead_ms=5_000).moves
        assert move.count == 6  # in the 25 s after the next look it starts 4 and 50

    def test_many_that_are_due_at_once_are_spread_over_what_a_fleet_starts(self):
        late = self.late(560, 60)  # 500 late ones
        assert self.look(late).look_ms == pytest.approx(
            NOW_MS + (60 - self.call_s - 499 / STARTS_PER_S) * 1_000, abs=1
        )

    def test_those_due_first_go_first_and_the_others_wait(self):
        found = self.look(self.late(30, 5, 50), lead_ms=400)
        (move,) = found.moves
        assert (move.count, move.deadline_ms) == (25, NOW_MS + 5_000)
        assert found.look_ms == NOW_MS  # for the five that a free lane should start just in time

    def test_a_paid_lane_that_rests_is_no_reason_to_go_earlier(self):
        resting = self.paid(open_s=40)
        assert self.look(self.late(61, 60), resting).look_ms == self.look(self.late(61, 60)).look_ms

    def test_what_free_quota_should_do_in_time_is_looked_at_before_it_is_too_late(self):
        found = self.look(self.late(20, 60))
        assert found.moves == ()
        assert found.look_ms == pytest.approx(NOW_MS + (60 - self.call_s) * 1_000, abs=1)

    def test_past_its_last_moment_it_is_looked_at_ever_sooner(self):
        left_s = [each - 1 for each in (4, 3, 2)]  # while an average call of a second would do
        looks = [self.look(self.late(1, each + 1)).look_ms - NOW_MS for each in left_s]
        assert looks == [pytest.approx(each * 125, abs=1) for each in left_s]

    def test_with_no_paid_lane_to_save_it_nothing_is_looked_at(self):
        assert self.look(self.late(61, 60), replace(self.paid(), dead=True)).look_ms is None
        assert self.look(self.late(61, 60), paid_left_microusd=0).moves == ()

    def test_what_holds_calls_up_makes_the_last_moment_earlier_and_a_free_lane_slower(self):
        held = replace(self.paid(), pace=Pace(9, total_ms=1_000, held_ms=3_000))
        sooner_ms = HELD_UP_TIMES * 2_000 - HELD_UP_MS  # of those 3 s the call is one
        assert self.look(self.late(61, 60), held).look_ms == pytest.approx(
            self.look(self.late(61, 60)).look_ms - sooner_ms, abs=2
        )
        assert self.look(self.late(30, 2), held).moves, "it may still do: it is paid for"
        busy = replace(lane(A), pace=Pace(9, total_ms=0, held_ms=10_000))
        late = Snapshot(NOW_MS, (busy, self.paid()), (self.late(40, 40),), self.costs)
        (move,) = plan(replace(late, lead_ms=NEVER_AGAIN_MS)).moves
        assert move.count == 10, "30 start in the 30 s that are left"

    def test_past_the_last_moment_it_is_still_paid_for_while_an_average_call_ends_in_time(self):
        (move,) = self.look(self.late(30, 2)).moves
        assert move.count == 28
        assert self.look(self.late(30, 0.9)).moves == ()

    def test_a_new_job_wants_to_be_seen_before_its_own_last_moment(self):
        found = self.look(self.late(61, 60), lead_ms=200)
        assert found.notice_ms >= 200 + self.call_s * 1_000
        assert plan(Snapshot(NOW_MS, (lane(A),), ())).notice_ms is None


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("throttled a/m@shared", LaneEvent(LaneEventKind.THROTTLED, A)),
        ("configured", LaneEvent(LaneEventKind.CONFIGURED)),
        ("due 250", LaneEvent(LaneEventKind.DUE, in_ms=250)),
        ("due soon", None),
        ("something-new a/m@shared", None),
        ("", None),
    ],
)
def test_an_announcement_is_read_and_a_strange_one_is_passed_over(text, event):
    assert parse_event(text) == event
