"""The bound is exact: no simulated window admits more, and a greedy caller reaches it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.bounds import Cut, Shut, Supply, admitted, least_time_us
from bench.figures import judged, percentile
from simulator.windows import make_window

MS = 1_000


def test_the_first_limit_of_calls_takes_no_time():
    assert least_time_us([Supply(60, 6_000 * MS, "sliding")], 60) == 0


def test_a_sliding_window_admits_again_after_its_span():
    assert least_time_us([Supply(60, 6_000 * MS, "sliding")], 61) == 6_000 * MS


def test_a_fixed_window_admits_again_at_its_next_edge():
    assert least_time_us([Supply(60, 6_000 * MS, "fixed", 5_000 * MS)], 61) == 1_000 * MS


def test_a_bucket_admits_one_more_after_one_part_of_its_span():
    assert least_time_us([Supply(60, 6_000 * MS, "bucket")], 61) == 100 * MS


def test_windows_that_admit_nothing_are_refused():
    with pytest.raises(ValueError, match="never"):
        least_time_us([Supply(0, 1_000, "sliding")], 1)


@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_a_limit_that_falls_admits_a_tenth_from_then_on(kind):
    whole = Supply(100, 1_000 * MS, kind)
    fallen = Supply(100, 1_000 * MS, kind, cut=Cut(2_500 * MS, 10))
    assert admitted(fallen, 2_499 * MS) == admitted(whole, 2_499 * MS)
    later = admitted(fallen, 12_500 * MS) - admitted(whole, 2_500 * MS)
    assert later == 100


@given(
    kind=st.sampled_from(["sliding", "fixed", "bucket"]),
    limit=st.integers(1, 20),
    phase_ms=st.integers(0, 999),
    calls=st.integers(1, 100),
)
def test_a_greedy_caller_of_the_simulators_window_is_done_exactly_then(
    kind, limit, phase_ms, calls
):
    span_us = 1_000 * MS
    start_us = 1_700_000_000_000_000 // span_us * span_us + phase_ms * MS
    window, now_us = make_window(kind, limit, span_us), start_us
    for _ in range(calls):
        wait_us = window.wait_us(1, now_us)
        now_us += wait_us
        window.take(1, now_us)
    assert least_time_us([Supply(limit, span_us, kind, start_us)], calls) == now_us - start_us


def test_a_percentile_is_a_sample():
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert percentile([3.0, 1.0, 2.0], 1.0) == 3.0


def test_what_was_not_measured_is_not_said_to_be_met():
    assert judged("x", {}, [], ("a", None, "<=", 1)).met is None
    assert judged("x", {}, [], ("a", 2, "<=", 1), ("b", None, "<=", 1)).met is False
    assert judged("x", {}, [], ("a", 1, "<=", 1)).met is True


@given(
    kind=st.sampled_from(["sliding", "fixed", "bucket"]),
    limit=st.integers(1, 20),
    phase_ms=st.integers(0, 999),
    calls=st.integers(1, 100),
    shut_ms=st.tuples(st.integers(0, 4_000), st.integers(1, 4_000)),
)
def test_a_greedy_caller_of_a_provider_that_is_shut_for_a_while_is_done_exactly_then(
    kind, limit, phase_ms, calls, shut_ms
):
    span_us = 1_000 * MS
    start_us = 1_700_000_000_000_000 // span_us * span_us + phase_ms * MS
    shut = Shut(shut_ms[0] * MS, sum(shut_ms) * MS)
    window, now_us = make_window(kind, limit, span_us), start_us
    for _ in range(calls):
        while True:
            now_us += (wait_us := window.wait_us(1, now_us))
            if shut.from_us <= now_us - start_us < shut.to_us:
                now_us = start_us + shut.to_us
            elif wait_us == 0:
                break
        window.take(1, now_us)
    supply = Supply(limit, span_us, kind, start_us, shut=shut)
    assert least_time_us([supply], calls) == now_us - start_us
