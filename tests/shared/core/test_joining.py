"""Two parts become one: what both heard is told once, in the languages and ways there are."""

import pytest

from shared.core.cutting import Span
from shared.core.joining import merged
from shared.core.strands import Heard
from shared.core.transcript import Segment, Transcript, Word, joined, plain, tokens


def text_only(span, text, language=None):
    return Heard(span, Transcript(text, span.end_ms - span.start_ms, language))


LEFT, RIGHT = Span(0, 11_000, 0, 10_000), Span(9_000, 20_000, 10_000, 20_000)
APART = Span(10_000, 20_000, 10_000, 20_000)


@pytest.mark.parametrize(
    ("left", "right", "whole"),
    [
        ("one two three", "two three four", "one two three four"),
        ("One, two. Three!", "two three four", "One, two. Three! four"),
        ("one two three fo", "ree four five six", "one two three fo ree four five six"),
        ("one two three fou", "o two three four five", "one two three four five"),
        ("one two", "three four", "one two three four"),
        ("", "three four", "three four"),
        ("one two", "", "one two"),
        ("今日は天気がいい", "天気がいいですね", "今日は天気がいいですね"),
        ("안녕하세요 여러분 모두", "여러분 모두 반갑습니다", "안녕하세요 여러분 모두 반갑습니다"),
    ],
)
def test_texts_without_times_are_joined_where_they_say_the_same(left, right, whole):
    found = merged([text_only(LEFT, left), text_only(RIGHT, right)], 20_000)
    assert found.text == whole
    assert found.words is None or not (left and right)


def test_parts_that_share_no_sound_are_not_compared():
    parts = [text_only(Span(0, 10_000, 0, 10_000), "yes yes"), text_only(APART, "yes yes no")]
    assert merged(parts, 20_000).text == "yes yes yes yes no"


def test_a_word_that_was_cut_through_is_taken_from_whom_it_was_whole_to():
    left = Transcript("a b c mm", 11_000, words=(
        Word("a", 8_000, 8_200), Word("b", 9_200, 9_400), Word("c", 9_900, 10_100),
        Word("mm", 10_900, 11_000),
    ))  # fmt: skip
    right = Transcript("mm c d e", 11_000, words=(
        Word("mm", 0, 300), Word("c", 910, 1_110), Word("d", 1_900, 2_200), Word("e", 3_000, 3_100),
    ))  # fmt: skip
    found = merged([Heard(LEFT, left), Heard(RIGHT, right)], 20_000)
    assert found.text == "a b c d e"
    assert [one.start_ms for one in found.words] == [8_000, 9_200, 9_900, 10_900, 12_000]


def test_punctuation_and_segments_stay_with_their_words():
    left = Transcript(
        'He said: "go on. And', 11_000,
        segments=(Segment(' He said: "go on.', 7_000, 10_200), Segment(" And", 10_500, 11_000)),
        words=(
            Word("He", 7_000, 7_300), Word("said", 7_400, 7_700), Word("go", 9_300, 9_600),
            Word("on", 9_900, 10_200), Word("And", 10_500, 10_900),
        ),
    )  # fmt: skip
    right = Transcript(
        '"Go on." And (then) he went.', 11_000,
        segments=(Segment(' "Go on." And (then) he went.', 300, 4_000, (("avg_logprob", -0.1),)),),
        words=(
            Word("Go", 300, 600), Word("on", 900, 1_200), Word("And", 1_500, 1_900),
            Word("then", 2_000, 2_200), Word("he", 2_300, 2_500), Word("went", 2_600, 3_000),
        ),
    )  # fmt: skip
    found = merged([Heard(LEFT, left), Heard(RIGHT, right)], 20_000)
    assert found.text == 'He said: "go on. And (then) he went.'
    assert found.segments == (
        Segment(' He said: "go on.', 7_000, 10_200),
        Segment(" And (then) he went.", 10_500, 13_000, (("avg_logprob", -0.1),)),
    )


def test_the_language_is_what_most_of_the_text_is_in_however_it_is_told():
    parts = [
        text_only(Span(0, 10_000, 0, 10_000), "kurz", "de"),
        text_only(APART, "much longer than that", "english"),
        text_only(Span(20_000, 30_000, 20_000, 30_000), "and more", "en-US"),
    ]
    assert merged(parts, 30_000).language == "english"
    assert merged([], 0).language is None


def test_times_that_a_model_made_up_are_put_where_they_can_be():
    said = Transcript(
        "a b", 10_000, segments=(Segment("a", 0, 99_000), Segment("b", 50_000, 60_000))
    )
    found = merged([Heard(APART, said)], 20_000)
    assert [(one.start_ms, one.end_ms) for one in found.segments] == [
        (10_000, 20_000), (20_000, 20_000),
    ]  # fmt: skip


def test_segments_that_leave_out_some_of_the_text_are_not_believed():
    said = Transcript("all of this", 10_000, segments=(Segment("all", 0, 1_000),))
    found = merged([Heard(APART, said)], 20_000)
    assert (found.text, found.segments) == (
        "all of this", (Segment(" all of this", 10_000, 20_000),),
    )  # fmt: skip


def test_words_are_compared_by_their_letters():
    assert plain("«Déjà-vu»!") == "dejavu"
    assert [one.plain for one in tokens("Well — 今日, don't")] == ["well", "今", "日", "dont"]
    assert joined([" a ", "", "b", "今", "日", "c"]) == "a b 今日 c"
