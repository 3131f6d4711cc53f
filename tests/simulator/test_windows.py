from hypothesis import given
from hypothesis import strategies as st

from simulator.windows import FixedWindow, SlidingLog, TokenBucket, make_window

SPAN = 1_000
gaps = st.lists(
    st.tuples(st.integers(0, 700), st.integers(1, 6)), min_size=1, max_size=60
)  # (time since the last, amount)
limits = st.integers(1, 12)
kinds = st.sampled_from(["sliding", "fixed", "bucket"])


def admitted(window, arrivals, start=0):
    """(time, amount) of what the window let in."""
    now, let_in = start, []
    for gap, amount in arrivals:
        now += gap
        if window.wait_us(amount, now) == 0:
            window.take(amount, now)
            let_in.append((now, amount))
    return let_in


def most_in_any_span(let_in, span):
    return max(
        (sum(a for t, a in let_in if edge <= t < edge + span) for edge, _ in let_in), default=0
    )


@given(limits, gaps)
def test_a_sliding_window_never_admits_more_than_its_limit_in_any_span(limit, arrivals):
    assert most_in_any_span(admitted(SlidingLog(limit, SPAN), arrivals), SPAN) <= limit


@given(limits, gaps, st.integers(0, 5 * SPAN))
def test_a_fixed_window_never_admits_more_than_its_limit_between_two_edges(limit, arrivals, start):
    let_in = admitted(FixedWindow(limit, SPAN), arrivals, start)
    for edge in {t - t % SPAN for t, _ in let_in}:
        assert sum(a for t, a in let_in if edge <= t < edge + SPAN) <= limit


@given(limits, gaps)
def test_a_window_from_first_use_starts_with_the_first_request_after_the_last(limit, arrivals):
    let_in = admitted(FixedWindow(limit, SPAN, "first_use"), arrivals)
    while let_in:
        edge = let_in[0][0]
        assert sum(a for t, a in let_in if t < edge + SPAN) <= limit
        let_in = [(t, a) for t, a in let_in if t >= edge + SPAN]


@given(limits, gaps)
def test_a_bucket_never_admits_more_than_its_burst_and_its_refill(limit, arrivals):
    let_in = admitted(TokenBucket(limit, SPAN), arrivals)
    for i, (start, _) in enumerate(let_in):
        for j in range(i, len(let_in)):
            spent = sum(a for _, a in let_in[i : j + 1])
            assert spent * SPAN <= limit * SPAN + limit * (let_in[j][0] - start)


@given(kinds, limits, gaps, st.integers(1, 12))
def test_the_wait_is_exactly_how_long_it_takes(kind, limit, arrivals, amount):
    window = make_window(kind, limit, SPAN)
    admitted(window, arrivals)
    now = sum(gap for gap, _ in arrivals)
    wait = window.wait_us(amount, now)
    if wait is None:
        assert amount > limit
    elif wait:
        assert window.wait_us(amount, now + wait - 1) > 0
        assert window.wait_us(amount, now + wait) == 0


@given(kinds, limits, gaps)
def test_nothing_is_spent_after_the_time_it_takes_to_be_full_again(kind, limit, arrivals):
    window = make_window(kind, limit, SPAN)
    admitted(window, arrivals)
    now = sum(gap for gap, _ in arrivals)
    assert window.used(now) <= limit
    assert window.used(now + window.full_us(now)) == 0


@given(kinds, st.integers(0, 12), gaps)
def test_after_a_limit_falls_no_more_than_the_new_limit_is_admitted_in_a_span(
    kind, lower, arrivals
):
    window = make_window(kind, 12, SPAN)
    admitted(window, arrivals)
    now = 10 * SPAN * len(arrivals)
    window.set_limit(lower, now)
    let_in = admitted(window, [(0, 1)] * 20, now)
    assert len(let_in) == lower


def test_a_sliding_window_of_too_many_entries_gets_stricter_never_looser(monkeypatch):
    monkeypatch.setattr("simulator.windows.MAX_LOG_ENTRIES", 3)
    window = SlidingLog(10, SPAN)
    let_in = admitted(window, [(90, 1)] * 60)
    assert most_in_any_span(let_in, SPAN) <= 10


def test_a_limit_of_nothing_admits_nothing_ever():
    for kind in ("sliding", "fixed", "bucket"):
        assert make_window(kind, 0, SPAN).wait_us(1, 5) is None
