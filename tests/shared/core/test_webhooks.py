"""When a webhook is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.webhooks import DELAYS_MS, Again, Answer, Delivered, GaveUp, Gone, after, why

THREE_DAYS_MS = 3 * 86_400_000


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success(status):
    assert after(Answer(status), 1, 0.0) == Delivered()


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404, 429, 500, 502, 504, 199, None])
def test_anything_else_is_tried_again(status):
    assert after(Answer(status, "no answer"), 1, 0.0) == Again(5_000)


def test_a_410_is_the_end_of_it_even_at_the_last_try():
    assert after(Answer(410), 1, 0.0) == Gone()
    assert after(Answer(410), 99, 0.0) == Gone()


def test_what_no_try_can_mend_is_not_tried_again():
    assert after(Answer(None, "private", never=True), 1, 0.0) == GaveUp()


def test_ten_tries_are_made_within_three_days():
    tries, waited_ms = 1, 0
    while isinstance(next_ := after(Answer(500), tries, 0.0), Again):
        waited_ms += next_.delay_ms
        tries += 1
    assert next_ == GaveUp()
    assert (tries, waited_ms) == (10, sum(DELAYS_MS))
    assert 0.95 * THREE_DAYS_MS < waited_ms <= THREE_DAYS_MS


@given(
    tries=st.integers(1, 9),
    draw=st.floats(0, 1, exclude_max=True),
    asked=st.none() | st.integers(0, 10**12),
)
def test_a_delay_is_never_shorter_than_asked_for_nor_longer_than_a_day(tries, draw, asked):
    next_ = after(Answer(503, retry_after_ms=asked), tries, draw)
    assert isinstance(next_, Again)
    assert next_.delay_ms >= 0.9 * DELAYS_MS[tries - 1] - 1
    assert next_.delay_ms >= min(asked or 0, 86_400_000)
    assert next_.delay_ms <= 86_400_000


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (Answer(302), "redirects are not followed"),
        (Answer(410), "nothing more"),
        (Answer(500), "answered 500"),
        (Answer(None, "connection refused"), "connection refused"),
    ],
)
def test_every_failure_says_what_it_was(answer, word):
    assert word in why(answer)
