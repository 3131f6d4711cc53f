"""Cut anywhere and put together again, a recording says what was said in it."""

import random
from itertools import pairwise

import pytest
from heard import LONGEST_WORD_MS, heard, truths
from hypothesis import given
from hypothesis import strategies as st

from shared.core.cutting import Rules, spans
from shared.core.joining import merged, texts
from shared.core.transcript import joined, plain

FEW = ["the", "The,", "a", "dog.", "was"]
rules = st.builds(
    Rules,
    most_ms=st.integers(6_000, 30_000),
    overlap_ms=st.integers(2 * LONGEST_WORD_MS, 2_900),
)


def parts_of(truth, rule, told, *, in_silence=True):
    """Every part of a recording as models hear it; `told` is given to them in turn."""
    cut = spans(truth.duration_ms, truth.silences() if in_silence else (), rule)
    return [heard(truth, span, told[at % len(told)]) for at, span in enumerate(cut)]


def orderly(found):
    times = found.words if found.words is not None else found.segments
    assert all(0 <= one.start_ms <= one.end_ms <= found.duration_ms for one in times)
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(found.segments))
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(times))


@given(truths(FEW), rules, st.booleans(), st.sampled_from(["words", "both"]))
def test_with_words_times_every_word_is_there_once_at_its_time(truth, rule, in_silence, told):
    found = merged(parts_of(truth, rule, [told], in_silence=in_silence), truth.duration_ms)
    assert found.words == truth.words
    assert found.text == truth.text
    assert " ".join(one.text.strip() for one in found.segments) == truth.text
    assert found.duration_ms == truth.duration_ms
    orderly(found)


@given(
    truths(),
    rules,
    st.booleans(),
    st.lists(st.sampled_from(["words", "both", "segments", "text"]), min_size=1, max_size=4),
)
def test_models_that_tell_less_lose_no_word_and_double_none(truth, rule, in_silence, told):
    found = merged(parts_of(truth, rule, told, in_silence=in_silence), truth.duration_ms)
    assert found.text == truth.text
    assert " ".join(one.text.strip() for one in found.segments).split() == truth.text.split()
    orderly(found)


@given(truths(), rules, st.integers(0, 2**32))
def test_models_that_differ_in_times_and_spelling_are_joined_all_the_same(truth, rule, seed):
    parts = parts_of(truth, rule, ["words"], in_silence=False)
    draw = random.Random(seed)
    for at, one in enumerate(parts):
        said = one.said
        words = tuple(
            type(word)(word.text.upper() + ",", word.start_ms + by, word.end_ms + by)
            for word in said.words or ()
            for by in [draw.randint(-150, 150)]
        )
        text = " ".join(word.text for word in words)
        if at % 2:
            parts[at] = type(one)(one.span, type(said)(text, said.duration_ms, "en", None, words))
    found = merged(parts, truth.duration_ms)
    assert [plain(word) for word in found.text.split()] == [one.text for one in truth.words]
    assert [plain(one.text) for one in found.words] == [one.text for one in truth.words]
    assert found.words == tuple(sorted(found.words, key=lambda one: one.start_ms))


@given(truths(FEW), rules, st.booleans(), st.sampled_from(["words", "both", "segments", "text"]))
def test_what_a_part_adds_is_told_by_its_neighbours_alone(truth, rule, in_silence, told):
    parts = parts_of(truth, rule, [told], in_silence=in_silence)
    found = texts(parts)
    assert joined(found) == merged(parts, truth.duration_ms).text
    for at, text in enumerate(found):
        first = max(0, at - 1)
        assert texts(parts[first : at + 2])[at - first] == text


@pytest.mark.parametrize("told", ["words", "both", "segments", "text"])
@given(truth=truths(FEW))
def test_a_recording_in_one_part_says_what_its_model_said(told, truth):
    parts = parts_of(truth, Rules(10**9), [told])
    found = merged(parts, truth.duration_ms)
    assert found.text == truth.text
    if told in ("both", "segments") and truth.words:
        assert found.segments == parts[0].said.segments
