from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.tank import Tank, as_tank, least, together
from shared.core.waterfill import fluid_time, time_for
from shared.store.types import LaneState

MINUTE_AND_DAY = ((30.0, 0.5), (100.0, 0.01))
NOW_MS = 1_800_000_000_000

windows = st.lists(
    st.tuples(st.integers(0, 50).map(float), st.floats(0.01, 20)), min_size=1, max_size=4
)
opens = st.floats(0, 30)
keys = st.lists(st.tuples(windows, opens), min_size=1, max_size=3)


def tank_of(found):
    (first_s, free, rate), *later = together(least(lines, at_s) for lines, at_s in found)
    return Tank(first_s, free, rate, tuple((at - first_s, jump, more) for at, jump, more in later))


def test_a_minute_binds_until_the_day_does():
    tank = tank_of([(MINUTE_AND_DAY, 0.0)])
    assert tank.room(0) == 30
    assert tank.room(60) == 60
    crossing_s = 70 / 0.49
    assert tank.room(crossing_s - 1) == 30 + int(0.5 * (crossing_s - 1))
    assert tank.room(1_000) == 110
    assert tank.finish_s(60) == pytest.approx(60)
    assert tank.finish_s(111) == pytest.approx(1_100)


def test_keys_of_a_lane_start_together_each_from_when_it_opens():
    tank = tank_of([(((2.0, 1.0),), 0.0), (((5.0, 2.0),), 10.0)])
    assert [tank.room(at) for at in (0, 5, 9.9, 10, 12)] == [2, 7, 11, 17, 23]


def test_what_goes_first_takes_the_minute_and_the_day():
    tank = tank_of([(MINUTE_AND_DAY, 0.0)])
    assert tank.without(30).room(60) == 30
    assert tank.without(110).room(1_000) == 0
    assert tank.without(110).room(1_100) == 1


def test_a_lane_without_a_supply_is_its_free_calls_and_its_rate():
    reading = LaneState("p/m@shared", (0, 0, 0), 0, NOW_MS + 2_000, 2.0, 3, False, "", 0)
    assert as_tank(reading, NOW_MS, 9.0) == Tank(2.0, 3, 2.0)


def test_a_supply_begins_when_the_lane_opens():
    steps = ((1.0, 3, 2.0), (4.0, 5, -1.0))
    reading = LaneState(
        "p/m@shared", (0, 0, 0), 0, NOW_MS + 2_000, 0.1, 0, False, "", 0, None, steps
    )
    assert as_tank(reading, NOW_MS, 9.0) == Tank(3.0, 3, 2.0, ((3.0, 5, -1.0),))


@given(windows, opens, st.floats(0, 500))
def test_a_key_starts_the_least_of_its_windows_at_every_moment(lines, opens_s, after_s):
    started = tank_of([(lines, opens_s)]).room(opens_s + after_s)
    wanted = min(free + rate * after_s for free, rate in lines)
    assert started == pytest.approx(wanted, abs=1.001)


@given(keys, st.integers(1, 200))
def test_the_last_of_so_many_jobs_starts_when_there_is_room_for_them_and_not_before(found, jobs):
    tank = tank_of(found)
    at_s = tank.finish_s(jobs)
    assert tank.room(at_s + 1e-6) >= jobs
    assert (
        tank.room(max(0.0, at_s - 1e-3)) < jobs
        or at_s <= tank.open_s + 1e-3
        or any(abs(at_s - tank.open_s - step) <= 1e-3 for step, _, _ in tank.later)
    )


@given(keys, st.integers(0, 100), st.floats(0, 500))
def test_behind_others_there_is_the_rest_of_the_room_or_one_less(found, first, at_s):
    tank = tank_of(found)
    rest = max(0, tank.room(at_s) - first)
    assert rest - 1 <= tank.without(first).room(at_s) <= rest


@given(st.lists(keys, min_size=1, max_size=3), st.integers(1, 300))
def test_lanes_together_have_room_for_the_jobs_at_their_least_time(lanes, jobs):
    tanks = [tank_of(found) for found in lanes]
    at_s = time_for(tanks, jobs)
    assert at_s < inf
    assert fluid_time(tanks, jobs) <= at_s + 1e-6
    assert sum(tank.room(at_s + 1e-6) for tank in tanks) >= jobs
