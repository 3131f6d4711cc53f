from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.learn import Evidence, Known, concurrency_told, learn, tidy_span_ms
from shared.core.model import Dimension, Window
from shared.core.outcome import MOST_LIMIT, MOST_SPAN_MS, Learned

MINUTE = 60_000
DAY = 86_400_000
RPM = Known(Window("rpm", Dimension.REQUESTS, 60, MINUTE), declared=60, key="k1")
RPD = Known(Window("rpd", Dimension.REQUESTS, 1_000, DAY), declared=1_000, key="k2")
TPM = Known(Window("tpm", Dimension.TOKENS, 8_000, MINUTE), declared=8_000, key="k3")


def header(limit, span_ms=0, *, remaining=None, reset_ms=None, dimension="requests"):
    return Learned("w", dimension, span_ms, limit, "header", remaining, reset_ms)


def refusal(limit, span_ms=MINUTE, dimension="requests"):
    return Learned("w", dimension, span_ms, limit, "429")


def after(windows, *answers, evidence=None):
    """What is believed after several answers, each one announcement or a tuple of them."""
    evidence = evidence or Evidence()
    for answer in answers:
        told = answer if isinstance(answer, tuple) else (answer,)
        windows, evidence = (lesson := learn(windows, told, evidence)).windows, lesson.evidence
    return windows


def told(known):
    return [(k.window.limit, k.window.span_ms, k.window.source) for k in known]


@pytest.mark.parametrize(
    ("windows", "answers", "expected"),
    [
        ((RPM,), [header(60)], [(60, MINUTE, "catalog")]),
        ((RPM,), [header(6)], [(6, MINUTE, "header")]),
        ((RPM,), [refusal(6)], [(6, MINUTE, "429")]),
        ((RPM,), [header(120)] * 2, [(60, MINUTE, "catalog")]),
        ((RPM,), [header(120)] * 3, [(120, MINUTE, "header")]),
        ((RPM,), [header(120), header(60), *[header(120)] * 2], [(60, MINUTE, "catalog")]),
        ((RPM,), [header(120), header(130), header(120)], [(60, MINUTE, "catalog")]),
        ((RPM,), [header(6), *[header(60)] * 3], [(60, MINUTE, "catalog")]),
        ((RPM,), [header(0), header(-1)], [(60, MINUTE, "catalog")]),
        ((RPM, RPD), [header(900)] * 2, [(60, MINUTE, "catalog"), (1_000, DAY, "catalog")]),
        ((RPM, RPD), [header(1_000)] * 5, [(60, MINUTE, "catalog"), (1_000, DAY, "catalog")]),
        (
            (RPM, RPD),
            [header(500, reset_ms=170_000)],
            [(60, MINUTE, "catalog"), (500, DAY, "header")],
        ),
        ((RPM,), [header(500, DAY)], [(60, MINUTE, "catalog"), (500, DAY, "header")]),
        ((RPM,), [refusal(500, DAY)], [(60, MINUTE, "catalog"), (500, DAY, "429")]),
        ((TPM,), [header(30, MINUTE)], [(8_000, MINUTE, "catalog"), (30, MINUTE, "header")]),
        ((), [header(30, MINUTE)], [(30, MINUTE, "header")]),
        ((), [refusal(60, 6_000)], [(60, 6_000, "429")]),
        ((), [header(30)], []),
    ],
)
def test_what_is_believed_after_some_answers(windows, answers, expected):
    assert told(after(windows, *answers)) == expected


def test_a_header_that_a_refusal_disproved_raises_nothing_until_it_says_something_else():
    lowered = after((RPM,), (header(60, remaining=54), refusal(6)), *[header(60)] * 10)
    assert told(lowered) == [(6, MINUTE, "429")]
    assert told(after(lowered, *[header(50)] * 3)) == [(50, MINUTE, "header")]


def test_a_higher_figure_of_a_refusal_needs_the_same_evidence():
    assert told(after((RPM,), *[refusal(90)] * 2)) == [(60, MINUTE, "catalog")]
    assert told(after((RPM,), *[refusal(90)] * 3)) == [(90, MINUTE, "429")]


def test_a_told_window_replaces_what_was_only_guessed():
    guess = Known(replace(RPM.window, limit=31, span_ms=7_000), loose=True, guess=True)
    assert told(after((guess, TPM), refusal(60, 6_000))) == [
        (8_000, MINUTE, "catalog"),
        (60, 6_000, "429"),
    ]


def sliding(used, limit, span_ms, late_ms):
    return header(limit, remaining=limit - used, reset_ms=span_ms - late_ms)


def bucket(used, limit, span_ms):
    return header(limit, remaining=limit - used, reset_ms=-(-used * span_ms // limit))


@pytest.mark.parametrize("span_ms", [6_000, MINUTE, DAY])
@pytest.mark.parametrize("limit", [30, 60, 1_000])
def test_an_unnamed_sliding_window_is_found_by_the_time_it_is_used_up(span_ms, limit):
    answers = [sliding(n, limit, span_ms, 40) for n in range(1, limit + 1)]
    (found,) = after((), *answers)
    assert told((found,)) == [(limit, span_ms, "header")]
    assert not found.loose


@pytest.mark.parametrize("span_ms", [6_000, MINUTE, DAY])
@pytest.mark.parametrize("limit", [60, 300, 1_000])
def test_an_unnamed_bucket_is_found_by_the_time_it_is_used_up(span_ms, limit):
    (found,) = after((), *[bucket(n, limit, span_ms) for n in range(1, limit + 1)])
    assert told((found,)) == [(limit, span_ms, "header")]


@given(
    span_ms=st.sampled_from([6_000, MINUTE, DAY]),
    limit=st.integers(10, 1_000),
    uses=st.lists(st.integers(1, 1_000), min_size=1, max_size=40),
)
def test_a_span_is_never_taken_for_less_than_it_is(span_ms, limit, uses):
    for answer in (lambda n: sliding(n, limit, span_ms, 0), lambda n: bucket(n, limit, span_ms)):
        windows = after((), *[answer(min(n, limit)) for n in uses])
        assert windows[0].window.span_ms >= span_ms * 0.9


def test_in_a_fixed_window_the_span_covers_what_is_left_and_grows_with_the_next():
    rest = [header(120, remaining=120 - n, reset_ms=4_000 - 10 * n) for n in range(1, 121)]
    (found,) = after((), *rest)
    assert found.window.span_ms == 4_000
    (grown,) = after((found,), header(120, remaining=119, reset_ms=5_990))
    assert grown.window.span_ms == 6_000


def test_a_certain_span_never_shrinks_by_hints():
    (found,) = after((), *[sliding(n, 60, MINUTE, 0) for n in range(1, 61)])
    hints = [header(60, remaining=r, reset_ms=ms) for r, ms in ((0, 100), (30, 5), (59, 1_000))]
    assert after((found,), *hints) == (found,)


LOOSE = Known(Window("requests/7s", Dimension.REQUESTS, 300, 7_000, source="header"), loose=True)


@pytest.mark.parametrize(
    "hint",
    [
        header(300, remaining=300, reset_ms=0),
        header(300, remaining=299, reset_ms=None),
        header(300, remaining=0, reset_ms=None),
        header(300, remaining=299, reset_ms=3),  # of a bucket, a fifth of a call is missing
        header(300, remaining=298, reset_ms=21),
    ],
)
def test_a_process_that_has_just_begun_makes_no_span_shorter_by_a_hint_that_says_nothing(hint):
    assert after((LOOSE,), hint) == (LOOSE,)


def test_what_says_nothing_of_a_span_does_not_hide_what_does():
    little = header(300, remaining=299, reset_ms=3)
    assert told(after((LOOSE,), little, bucket(3, 300, 5_000))) == [(300, 7_000, "header")]
    assert told(after((LOOSE,), little, bucket(299, 300, 5_000))) == [(300, 5_000, "header")]


@pytest.mark.parametrize(
    ("measured", "taken"),
    [
        (21, 30),
        (1_008, 1_010),
        (5_950, 6_000),
        (6_100, 6_000),
        (6_545, 7_000),
        (29_000, 29_000),
        (31_000, 60_000),
        (59_000, 60_000),
        (61_000, 60_000),
        (64_000, 120_000),
        (DAY, DAY),
    ],
)
def test_a_measured_span_becomes_one_that_a_provider_would_have(measured, taken):
    assert tidy_span_ms(measured) == taken


@pytest.mark.parametrize(
    ("message", "number"),
    [
        ("Too many concurrent requests for model m in organization o: Limit 8", 8),
        ("Concurrency limit exceeded", 0),
        ("max 4 simultaneous requests", 4),
        ("Rate limit reached on requests per minute (RPM): Limit 8", None),
        ("Too many requests", None),
    ],
)
def test_a_refusal_of_calls_at_once_names_their_number_or_none(message, number):
    assert concurrency_told(message) == number
    assert learn((), (), Evidence()).windows == ()


@given(
    answers=st.lists(
        st.builds(
            Learned,
            st.just("w"),
            st.sampled_from(["requests", "tokens", "audio_seconds", "pages"]),
            st.sampled_from([0, 1_000, MINUTE, DAY]),
            st.integers(-1, 500),
            st.sampled_from(["header", "429"]),
            st.none() | st.integers(0, 600),
            st.none() | st.integers(0, 10**8),
        ),
        max_size=30,
    )
)
def test_whatever_is_told_every_limit_is_one_that_was_told_or_declared(answers):
    windows = after((RPM, TPM), *answers)
    named = {60, 8_000} | {each.limit for each in answers}
    assert all(k.window.limit in named and k.window.limit > 0 for k in windows)
    assert all(k.window.span_ms > 0 for k in windows)
    lowest = min([60, *(a.limit for a in answers if a.limit > 0)])
    assert all(k.window.limit >= lowest for k in windows)


def test_no_two_opened_windows_count_the_same_calls():
    six = Known(Window("requests/6s", Dimension.REQUESTS, 60, 6_000, source="header"))
    seven = Known(Window("requests/7s", Dimension.REQUESTS, 60, 7_000, source="header"))
    (only,) = after((six, replace(seven, window=six.window)), header(60, remaining=1))
    assert only.window == six.window


def test_a_span_is_never_thought_longer_than_a_month():
    told = Learned("requests", "requests", 0, 10**12, "header", 10**12 - 1, 30 * 86_400_000)
    lesson = learn((), (told,), Evidence())
    for _ in range(3):
        lesson = learn(lesson.windows, (told,), lesson.evidence)
    assert [known.window.span_ms for known in lesson.windows] == [MOST_SPAN_MS]


@pytest.mark.parametrize(("span_ms", "limit"), [(MOST_SPAN_MS + 1, 3), (60_000, MOST_LIMIT + 1)])
def test_what_cannot_be_is_not_learned_whoever_tells(span_ms, limit):
    told = Learned("requests/x", "requests", span_ms, limit, "429")
    lesson = learn((), (told, told, told), Evidence())
    assert lesson.windows == ()
