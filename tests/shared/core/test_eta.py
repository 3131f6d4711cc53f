from math import log, sqrt

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.core.eta import estimate
from shared.store.types import LaneState

NOW_MS = 1_800_000_000_000


def lane(rate=None, free=None, open_ms=0, running=0, *, dead=False):
    return LaneState("p/m@shared", (0, 0, 0), running, open_ms, rate, free, dead, "", 0)


@pytest.mark.parametrize(
    ("reading", "position", "start_ms"),
    [
        (None, 0, 0),
        (lane(rate=2.0, free=5), 0, 0),
        (lane(rate=2.0, free=5), 4, 0),
        (lane(rate=2.0, free=5), 5, 500),
        (lane(rate=2.0, free=0), 0, 500),
        (lane(rate=2.0, free=0), 9, 5_000),
        (lane(rate=2.0, free=0, open_ms=NOW_MS + 3_000), 9, 8_000),
        (lane(rate=2.0, free=5, open_ms=NOW_MS - 3_000), 0, 0),
        (lane(), 0, 0),
        (lane(running=4), 7, 2_000),
        (lane(), 2, 3_000),
    ],
)
def test_a_lane_opens_then_starts_its_free_requests_then_its_rate(reading, position, start_ms):
    eta = estimate(reading, position, 1_000, NOW_MS)
    assert eta.start_ms == start_ms
    assert eta.p50_ms == pytest.approx(start_ms + log(2) * 1_000, abs=1)


def test_the_spread_grows_with_the_square_root_of_what_is_before_it():
    eta = estimate(lane(rate=2.0, free=0), 99, 1_000, NOW_MS)
    expected_ms = 50_000 + 1.645 * sqrt(100) / 0.002 + log(20) * 1_000
    assert eta.p95_ms == pytest.approx(expected_ms, abs=1)


def test_a_lane_set_aside_has_no_estimate():
    assert estimate(lane(rate=2.0, dead=True), 0, 1_000, NOW_MS) is None


@example(None, None, 0, 999_999, 1_000_000)  # beyond what is told at all
@given(
    st.none() | st.floats(0.001, 1e3),
    st.none() | st.integers(0, 100),
    st.integers(-(10**6), 10**8),
    st.integers(0, 10**6),
    st.integers(1, 10**6),
)
def test_an_estimate_is_ordered_and_never_earlier_further_back(rate, free, ahead, n, service):
    reading = lane(rate, free, NOW_MS + ahead, 1)
    one, next_one = (estimate(reading, at, service, NOW_MS) for at in (n, n + 1))
    assert 0 <= one.start_ms <= one.p50_ms <= one.p95_ms
    assert one.start_ms <= next_one.start_ms
    assert one.p95_ms <= next_one.p95_ms


def test_a_batch_that_counts_as_many_calls_waits_for_the_room_of_all():
    reading = lane(rate=2.0, free=10)
    assert estimate(reading, 0, 1_000, NOW_MS, 10) == estimate(reading, 9, 1_000, NOW_MS)
    assert estimate(reading, 0, 1_000, NOW_MS, 100) == estimate(reading, 99, 1_000, NOW_MS)
    assert estimate(reading, 0, 1_000, NOW_MS, 100).start_ms == 45_000
