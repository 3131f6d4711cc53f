"""Where recordings are cut: in silences, never longer than allowed, every ms answered for once."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.cutting import (
    FULL,
    Rules,
    Silence,
    Span,
    inaudible,
    longest_ms,
    silences,
    spans,
    whole_ms,
)

LOUD, QUIET = 100, 20
HOUR_MS = 3_600_000


def levels(*runs):
    return b"".join(bytes([level]) * count for level, count in runs)


@st.composite
def quiet_places(draw, duration_ms):
    edges = sorted(draw(st.lists(st.integers(0, duration_ms), max_size=60, unique=True)))
    return tuple(Silence(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False))


rules = st.builds(
    lambda most, share: Rules(most, int(most * share)), st.integers(10, 10**6), st.floats(0, 0.49)
)


@given(st.data(), st.integers(0, 10**7), rules)
def test_every_ms_is_answered_for_once_by_parts_that_are_not_too_long(data, duration_ms, rule):
    quiet = data.draw(quiet_places(duration_ms))
    found = spans(min(duration_ms, 200 * rule.most_ms), quiet, rule)
    at = 0
    for one in found:
        assert one.from_ms == at
        assert one.start_ms <= one.from_ms < one.to_ms <= one.end_ms
        assert one.end_ms - one.start_ms <= rule.most_ms
        at = one.to_ms
    assert at == min(duration_ms, 200 * rule.most_ms)
    for before, after in pairwise(found):
        shared_ms = before.end_ms - after.start_ms
        middles = {(one.start_ms + one.end_ms) // 2 for one in quiet}
        if shared_ms == 0 and rule.overlap_ms > 1:
            assert before.to_ms in middles
        assert shared_ms in (0, 2 * (rule.overlap_ms // 2))


def test_a_short_recording_is_one_part_and_none_is_none():
    assert spans(600_000, (), Rules(600_000)) == (Span(0, 600_000, 0, 600_000),)
    assert spans(0, (), Rules(600_000)) == ()


def test_parts_are_about_as_long_as_each_other():
    found = spans(HOUR_MS, (), Rules(600_000))
    lengths = [one.to_ms - one.from_ms for one in found]
    assert len(found) == 7
    assert max(lengths) - min(lengths) <= 7


def test_a_long_silence_is_worth_going_a_little_further():
    near, far = Silence(299_000, 299_300), Silence(285_000, 286_900)
    (first, _) = spans(598_000, (far, near), Rules(500_000))
    assert first.to_ms == 285_950
    (first, _) = spans(598_000, (near,), Rules(500_000))
    assert first.to_ms == 299_150


def test_a_silence_far_from_where_a_cut_is_due_is_no_help():
    (first, second) = spans(598_000, (Silence(10_000, 20_000),), Rules(500_000))
    assert (first.to_ms, first.end_ms, second.start_ms) == (299_000, 300_000, 298_000)


@pytest.mark.parametrize(
    ("taken", "wanted"),
    [
        ((), 600_000),
        ((1_500_000, 10**12), 600_000),
        ((1_500_000, 300_000), 300_000),
        ((1_500_000, 20_000), 600_000),  # one that takes next to nothing is left out
        ((20_000, 30_000), 30_000),
    ],
)
def test_parts_are_as_long_as_all_that_take_a_minute_take(taken, wanted):
    assert longest_ms(taken, 600_000, 60_000) == wanted


@pytest.mark.parametrize(
    ("runs", "found"),
    [
        (((LOUD, 100), (QUIET, 10), (LOUD, 100)), [(4_000, 4_400)]),
        (((LOUD, 100), (QUIET, 5), (LOUD, 100)), []),  # too short
        (((QUIET, 10), (LOUD, 100), (QUIET, 10)), [(0, 400), (4_400, 4_800)]),
        (((LOUD, 300), (80, 30), (LOUD, 300)), []),  # a soft word
        (((90, 100), (70, 40), (90, 100)), [(4_000, 5_600)]),  # a noisy room, and its pauses
        (((LOUD, 300),), []),
        (((0, 300),), []),
        ((), []),
    ],
)
def test_silence_is_told_from_speech_by_how_loud_the_recording_is(runs, found):
    assert [(one.start_ms, one.end_ms) for one in silences(levels(*runs), 40)] == found


def test_parts_share_sound_at_every_cut_where_they_always_do():
    quiet = tuple(Silence(at, at + 3_000) for at in range(0, HOUR_MS, 20_000))
    found = spans(HOUR_MS, quiet, Rules(600_000, 30_000, always=True))
    assert len(found) > 5
    for left, right in pairwise(found):
        assert (left.end_ms - right.start_ms, left.to_ms) == (30_000, right.from_ms)
    assert all(one.end_ms - one.start_ms <= 600_000 for one in found)
    assert (found[0].start_ms, found[-1].end_ms) == (0, HOUR_MS)


@pytest.mark.parametrize(
    ("taken", "wanted"), [((60_000, 900_000), 900_000), ((9_000_000,), HOUR_MS), ((), HOUR_MS)]
)
def test_a_recording_that_should_stay_whole_is_as_long_as_the_most_able_takes(taken, wanted):
    assert whole_ms(taken, HOUR_MS) == wanted


def test_what_nobody_could_hear_is_inaudible():
    assert inaudible(levels((0, 10), (44, 2)))
    assert not inaudible(levels((0, 10), (45, 1)))
    assert not inaudible(bytes([FULL]))
    assert inaudible(b"")


def test_rules_that_leave_no_room_are_no_rules():
    with pytest.raises(ValueError, match="two overlaps"):
        Rules(4_000, 2_000)
