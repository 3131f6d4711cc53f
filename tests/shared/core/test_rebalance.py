"""Stories of a plan, small enough to check by hand."""

from dataclasses import replace

import pytest

from shared.core.backlog import Due, Group, LaneEvent, LaneEventKind, Snapshot, parse_event
from shared.core.model import Priority
from shared.core.pace import Pace
from shared.core.rebalance import plan
from shared.store.types import LaneState

NOW_MS = 1_800_000_000_000
A, B, C, PAID = "a/m@shared", "b/m@shared", "c/m@shared", "z/m@shared"
INTERACTIVE, NORMAL, BULK = Priority


def lane(name, rate=1.0, free=0, open_s=0, *, dead=False):
    return LaneState(name, (0, 0, 0), 1, NOW_MS + open_s * 1_000, rate, free, dead, "", 0)


def group(at, count, lanes=(A, B), priority=NORMAL, signature="s", **given):
    return Group(signature, at, priority, count, lanes, **given)


def moves(lanes, *groups, **given):
    made = plan(Snapshot(NOW_MS, tuple(lanes), groups, **given))
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


class TestDeadlines:
    def late(self, deadline_s, count=100, **given):
        due = Due(NOW_MS + deadline_s * 1_000, count)
        return group(A, 100, (A,), paid=(PAID,), due=(due,), **given)

    def test_only_what_free_quota_cannot_start_in_time_is_paid_for(self):
        lanes, costs = [lane(A), lane(PAID, free=1_000)], ((PAID, 5),)
        assert moves(lanes, self.late(70), costs=costs) == {(A, PAID, NORMAL): 30}
        assert moves(lanes, self.late(100), costs=costs) == {}
        assert moves(lanes, self.late(10, 10), costs=costs) == {}

    def test_a_cap_an_unknown_price_and_a_slow_paid_lane_stop_it(self):
        lanes, costs = [lane(A), lane(PAID, free=1_000)], ((PAID, 5),)
        assert moves(lanes, self.late(70), costs=costs, paid_left_microusd=52) == {
            (A, PAID, NORMAL): 10
        }
        assert moves(lanes, self.late(70), costs=costs, paid_left_microusd=-5) == {}
        assert moves(lanes, self.late(70)) == {}
        slow = [lane(A), lane(PAID, open_s=71)]
        assert moves(slow, self.late(70), costs=costs) == {}

    def test_a_paid_lane_without_a_known_limit_starts_eight_at_once(self):
        unlimited = lane(PAID, rate=None)
        assert moves([lane(A), unlimited], self.late(10), costs=((PAID, 5),)) == {
            (A, PAID, NORMAL): 80
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
        assert moves(lanes, self.late(70), costs=costs) == {(A, PAID, NORMAL): 60}

    def test_what_stands_in_paid_lanes_is_promised_already(self):
        lanes, costs = [lane(A), lane(PAID, free=1_000)], ((PAID, 5),)
        there = Group("t", PAID, NORMAL, 6, (A,), (PAID,))
        found = moves(lanes, self.late(70), there, costs=costs, paid_left_microusd=52)
        assert found == {(A, PAID, NORMAL): 4}

    def test_the_cheapest_paid_lane_comes_first(self):
        due = (Due(NOW_MS + 10_000, 100),)
        one = group(A, 100, (A,), paid=(B, C), due=due)
        lanes = [lane(A), lane(B, free=1_000), lane(C, free=30)]
        assert moves(lanes, one, costs=((B, 9), (C, 3))) == {(A, C, NORMAL): 40, (A, B, NORMAL): 50}

    def test_what_was_paid_for_stays_where_it_is(self):
        lanes, costs = [lane(A, free=500), lane(PAID)], ((PAID, 5),)
        there = Group("s", PAID, NORMAL, 100, (A,), (PAID,))
        assert moves(lanes, there, costs=costs) == {}
        dead = [lane(A), lane(PAID, dead=True)]
        assert moves(dead, there, costs=costs) == {(PAID, A, NORMAL): 100}


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("throttled a/m@shared", LaneEvent(LaneEventKind.THROTTLED, A)),
        ("configured", LaneEvent(LaneEventKind.CONFIGURED)),
        ("something-new a/m@shared", None),
        ("", None),
    ],
)
def test_an_announcement_is_read_and_a_strange_one_is_passed_over(text, event):
    assert parse_event(text) == event
