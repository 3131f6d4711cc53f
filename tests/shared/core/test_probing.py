"""When a credential that was set aside is tried again."""

from hypothesis import given
from hypothesis import strategies as st

from shared.core.probing import FORGET, MOST_MS, interval_ms, plan

FIRST_MS = 1_000
NOW_MS = 1_800_000_000_000


def test_one_that_has_just_died_is_noted_and_waits():
    found = plan(0, None, NOW_MS, FIRST_MS)
    assert (found.note, found.probe, found.due_ms) == (True, False, NOW_MS + FIRST_MS)


def test_it_is_probed_when_due_and_not_before():
    assert not plan(2, NOW_MS, NOW_MS + 3_999, FIRST_MS).probe
    found = plan(2, NOW_MS, NOW_MS + 4_000, FIRST_MS)
    assert (found.probe, found.tries, found.due_ms) == (True, 3, NOW_MS + 4_000 + 8_000)


def test_a_death_long_after_the_last_begins_to_count_again():
    assert plan(3, NOW_MS, NOW_MS + FORGET * 8_000 + 1, FIRST_MS).tries == 0


@given(tries=st.integers(0, 10_000), first_ms=st.integers(1, 86_400_000))
def test_intervals_grow_and_are_bounded(tries, first_ms):
    assert interval_ms(tries, first_ms) <= interval_ms(tries + 1, first_ms) <= MOST_MS


@given(
    tries=st.integers(0, 100),
    ago_ms=st.integers(0, 10**9),
    first_ms=st.integers(1, 10**6),
)
def test_every_plan_says_a_later_moment(tries, ago_ms, first_ms):
    found = plan(tries, NOW_MS - ago_ms, NOW_MS, first_ms)
    assert found.due_ms > NOW_MS
    assert not (found.probe and not found.note)
