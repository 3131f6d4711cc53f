from hypothesis import given
from hypothesis import strategies as st

from shared.core.breaker import (
    OPEN_MS,
    PROBE_MS,
    THRESHOLD,
    Breaker,
    State,
    admit,
    failed,
    succeeded,
)


def opened(now_ms=0):
    breaker = Breaker()
    for _ in range(THRESHOLD):
        breaker = failed(breaker, now_ms)
    return breaker


def test_five_failures_in_a_row_open_it_for_a_minute():
    breaker = opened(now_ms=1_000)
    assert (breaker.state, breaker.until_ms) == (State.OPEN, 1_000 + OPEN_MS)
    assert admit(breaker, 1_000 + OPEN_MS - 1)[0] is False


def test_a_success_in_between_starts_the_count_again():
    breaker = Breaker()
    for _ in range(THRESHOLD - 1):
        breaker = failed(breaker, 0)
    breaker = failed(succeeded(breaker, 0), 0)
    assert (breaker.state, breaker.failures) == (State.CLOSED, 1)


def test_after_its_rest_one_probe_goes_through_and_no_second():
    allowed, breaker = admit(opened(), OPEN_MS)
    assert (allowed, breaker.state) == (True, State.HALF_OPEN)
    assert admit(breaker, OPEN_MS + 1)[0] is False


def test_the_probe_decides():
    _, probing = admit(opened(), OPEN_MS)
    assert succeeded(probing, OPEN_MS + 5) == Breaker()
    again = failed(probing, OPEN_MS + 5)
    assert (again.state, again.until_ms) == (State.OPEN, OPEN_MS + 5 + OPEN_MS)


def test_a_lost_probe_frees_its_place():
    _, probing = admit(opened(), OPEN_MS)
    assert admit(probing, OPEN_MS + PROBE_MS)[0] is True


def test_late_news_of_calls_made_before_it_opened_change_nothing():
    breaker = opened()
    assert succeeded(breaker, 5) == breaker
    assert failed(breaker, 5) == breaker


@given(st.lists(st.tuples(st.sampled_from(["admit", "ok", "bad"]), st.integers(0, 40_000))))
def test_while_it_rests_nothing_goes_through(steps):
    breaker, now_ms = Breaker(), 0
    for step, wait_ms in steps:
        now_ms += wait_ms
        if step == "admit":
            allowed, after = admit(breaker, now_ms)
            if breaker.state is not State.CLOSED and now_ms < breaker.until_ms:
                assert not allowed
            breaker = after
        else:
            breaker = (succeeded if step == "ok" else failed)(breaker, now_ms)
        assert breaker.state is not State.CLOSED or breaker.failures < THRESHOLD
