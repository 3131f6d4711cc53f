"""The same person has the same name in every part, as far as anybody can tell."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.cutting import Span
from shared.core.joining import merged
from shared.core.speakers import lettered, linked
from shared.core.strands import Heard
from shared.core.transcript import Segment, Transcript

SHARED_MS = 30_000
PART_MS = 120_000


def part(number, said, *, shared_ms=SHARED_MS):
    """A part that shares sound with its neighbours; `said`: (label, from, to, text) in seconds."""
    half = shared_ms // 2
    from_ms = number * PART_MS
    start_ms = max(0, from_ms - half)
    span = Span(start_ms, from_ms + PART_MS + half, from_ms, from_ms + PART_MS)
    segments = tuple(
        Segment(text, round(start * 1000) - start_ms, round(end * 1000) - start_ms, speaker=label)
        for label, start, end, text in said
    )
    return Heard(span, Transcript("", span.end_ms - span.start_ms, segments=segments))


def whose(parts, known=()):
    whole = lettered(merged(linked(parts, known), PART_MS * len(parts)), known)
    return [
        (who, " ".join(one.text.strip() for one in said))
        for who, said in groupby(whole.segments, lambda one: one.speaker)
    ]


FIRST = [
    ("A", 1, 40, "ann one"),
    ("B", 41, 100, "bob one"),
    ("A", 107, 113, "ann two"),
    ("B", 114, 133, "bob two"),
]


def test_who_speaks_where_parts_overlap_keeps_his_name_whatever_the_next_part_calls_him():
    second = [
        ("A", 106, 113.2, "ann two"),
        ("B", 114.1, 133, "bob two"),
        ("A", 140, 150, "ann three"),
        ("B", 151, 160, "bob three"),
    ]
    turned = [({"A": "B", "B": "A"}[who], *rest) for who, *rest in second]
    told = [
        ("A", "ann one"), ("B", "bob one"), ("A", "ann two"), ("B", "bob two"), ("A", "ann three"),
        ("B", "bob three"),
    ]  # fmt: skip
    assert whose([part(0, FIRST), part(1, second)]) == told
    assert whose([part(0, FIRST), part(1, turned)]) == told


def test_who_says_nothing_in_the_overlap_is_somebody_new_and_not_another_by_chance():
    second = [("A", 106, 113, "ann two"), ("B", 140, 150, "who is this"), ("A", 151, 160, "ann")]
    first = FIRST[:3]
    assert whose([part(0, first), part(1, second)]) == [
        ("A", "ann one"), ("B", "bob one"), ("A", "ann two"), ("C", "who is this"), ("A", "ann"),
    ]  # fmt: skip


def test_two_are_never_made_one():
    second = [("X", 107, 113, "ann two"), ("Y", 107.2, 113.1, "at once"), ("Y", 140, 150, "more")]
    names = [who for who, _ in whose([part(0, FIRST[:3]), part(1, second)])]
    assert names[-1] not in ("A", "B")


def test_parts_that_share_nothing_tell_nobody_apart_from_strangers():
    parts = [part(0, FIRST[:2], shared_ms=0), part(1, [("A", 130, 140, "x")], shared_ms=0)]
    assert whose(parts)[-1] == ("C", "x")


def test_a_known_speaker_is_the_same_everywhere_and_takes_no_letter():
    first = [("A", 1, 5, "who"), ("Bob", 6, 9, "bob")]
    second = [("Bob", 130, 140, "bob again"), ("A", 141, 150, "new")]
    known = ("Bob", "B")
    assert whose([part(0, first), part(1, second)], known) == [
        ("A", "who"), ("Bob", "bob bob again"), ("C", "new"),
    ]  # fmt: skip


def test_a_segment_of_nobody_is_of_whom_spoke_before():
    heard = Transcript("", 9_000, segments=tuple(
        Segment(text, 0, 1, speaker=who) for who, text in [(7, "a"), (None, "b"), (3, "c")]
    ))  # fmt: skip
    assert [one.speaker for one in lettered(heard).segments] == ["A", "A", "B"]


def test_the_text_of_a_part_is_what_its_segments_say():
    (one,) = linked([part(0, FIRST)])
    assert one.said.text == "ann one bob one ann two bob two"


@pytest.mark.parametrize(("number", "name"), [(0, "A"), (25, "Z"), (26, "AA"), (51, "AZ")])
def test_letters_go_on_after_z(number, name):
    segments = tuple(Segment("x", at, at + 1, speaker=str(at)) for at in range(number + 1))
    assert lettered(Transcript("", 99, segments=segments)).segments[-1].speaker == name


@given(st.permutations("ABC"), st.integers(0, 300))
def test_any_calling_of_the_same_people_comes_to_the_same(labels, off_ms):
    people = [(who, 105 + 10 * at, 113 + 10 * at, f"word{who}") for at, who in enumerate("ABC")]
    called = dict(zip("ABC", labels, strict=True))
    second = [
        (called[who], start + off_ms / 1000, end + off_ms / 1000, text)
        for who, start, end, text in people
    ]
    parts = [part(0, people), part(1, [*second, (called["B"], 150, 160, "later")])]
    assert whose(parts)[-1] == ("B", "later")
