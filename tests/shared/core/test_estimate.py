from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core import estimate
from shared.core.estimate import Trail, Trouble
from shared.core.learn import Known
from shared.core.model import Dimension, Window, WindowKind

SPAN = 6_000
NOW = 1_000_000


def known(limit=60, *, declared=None, kind=WindowKind.SLIDING, guess=True):
    window = Window("w", Dimension.REQUESTS, limit, SPAN, kind, source="429")
    return Known(window, declared=declared, guess=guess)


def burst(calls, first_ms, every_ms):
    return tuple((first_ms + i * every_ms, 1) for i in range(calls))


def test_a_sliding_window_is_found_from_its_first_refusal():
    sent = burst(61, NOW - 600, 10)
    found = estimate.opened(Trouble(NOW, SPAN - 600, sent, running=8))
    assert (found.window.limit, found.window.span_ms) == (60, SPAN)


def test_without_a_stated_wait_the_span_is_a_minute():
    found = estimate.opened(Trouble(NOW, None, burst(61, NOW - 600, 10), running=8))
    assert (found.window.limit, found.window.span_ms) == (60, 60_000)


def test_refused_with_few_calls_and_no_wait_it_is_taken_for_concurrency():
    assert estimate.opened(Trouble(NOW, None, burst(9, NOW - 10, 1), running=8)) is None


def test_a_span_that_was_too_short_is_found_to_be_longer():
    short = Known(Window("w", Dimension.REQUESTS, 120, 4_000, source="429"), guess=True)
    sent = burst(121, NOW - 4_000, 8)
    trouble = Trouble(NOW, 2_000, sent, since_ms=NOW - 4_010, free=100)
    found = estimate.lowered(short, trouble).window
    assert (found.limit, found.span_ms) == (120, SPAN)


def test_a_sliding_limit_that_fell_is_found_from_the_stated_wait():
    log = burst(200, NOW - 19_950, 100)
    sent = log[-60:]
    # it was 60, it is 6 now: 55 calls must leave the window before there is room for one
    trouble = Trouble(NOW, sent[54][0] + SPAN - NOW, log, since_ms=1, free=10)
    assert estimate.lowered(known(), trouble).window.limit == 15  # a quarter at most at once
    assert estimate.lowered(known(15), trouble).window.limit in range(4, 7)


def test_a_declared_limit_is_at_most_halved_and_its_ceiling_stays():
    trouble = Trouble(NOW, 1_000, (), since_ms=1, free=50)
    lower = estimate.lowered(known(declared=60, guess=False), trouble)
    assert 30 <= lower.window.limit < 60
    assert lower.ceiling == 60


def refused_for(ms, *, every_ms=1_000, untold=30, shut=True):
    """Refusals that follow each other for so long; nothing was answered meanwhile where `shut`.

    Of `untold` calls nobody heard again: their worker died, or they are still out.
    """
    begun = NOW - ms
    refusals = burst(ms // every_ms - 1, begun + every_ms, every_ms)
    sent = burst(60, begun - 1_000, 10) + refusals + burst(untold, NOW - untold, 1)
    return Trouble(
        NOW, 1_000, tuple(sorted(sent)), NOW - 1, 1, free=50,
        chain_ms=begun, refusals=len(refusals), shut_ms=begun if shut else 0,
    )  # fmt: skip


def test_a_provider_that_refuses_everything_for_longer_than_a_window_has_not_lowered_it():
    lower = estimate.lowered(known(declared=60, guess=False), refused_for(3_000, untold=0))
    lower = estimate.lowered(lower, refused_for(4_000, untold=0))
    assert (lower.window.limit, lower.ceiling) == (15, 60)
    again = estimate.lowered(lower, refused_for(7_000))
    assert (again.window.limit, again.window.source, again.guess) == (60, "catalog", False)
    assert estimate.lowered(again, refused_for(8_000)) == again


def test_what_was_admitted_meanwhile_keeps_the_blame_on_the_window():
    lower = known(15, declared=60)
    assert estimate.lowered(lower, refused_for(7_000, shut=False)).window.limit < 15


@pytest.mark.parametrize("kind", WindowKind)
def test_refusals_need_neither_follow_closely_nor_be_told_of_to_clear_a_window_of_any_kind(kind):
    lower = known(30, declared=60, kind=kind)
    alone = Trouble(NOW, 1_000, since_ms=NOW - 5_000, shut_ms=NOW - SPAN - 1)  # no log, no chain
    assert estimate.lowered(lower, alone).window.limit == 60
    assert estimate.lowered(lower, replace(alone, shut_ms=NOW - SPAN)).window.limit < 60


@pytest.mark.parametrize(
    ("admitted_ms", "shut_ms"),
    [(0, NOW), (NOW - 1, NOW), (NOW, NOW), (NOW + 1, NOW + 50_000)],
)
def test_a_provider_is_shut_since_the_first_refusal_after_which_nothing_was_answered(
    admitted_ms, shut_ms
):
    first = estimate.refused(Trail(), NOW, 20, NOW - 5, admitted_ms=NOW - 9)
    assert first.shut_ms == NOW
    echo = estimate.refused(first, NOW + 5, 20, NOW - 4, admitted_ms)
    assert echo.shut_ms == NOW
    # long after: whoever was to ask again had died meanwhile
    later = estimate.refused(echo, NOW + 50_000, 20, NOW + 49_000, admitted_ms)
    assert (later.shut_ms, later.chain_ms) == (shut_ms, NOW + 50_000)


def test_a_window_that_was_only_guessed_is_not_raised_by_refusals():
    assert estimate.lowered(known(15), refused_for(7_000)).window.limit < 15


@given(
    limit=st.integers(1, 1_000),
    declared=st.booleans(),
    kind=st.sampled_from(WindowKind),
    retry_ms=st.none() | st.integers(0, 100_000),
    free=st.integers(0, 1_000),
    sent=st.lists(st.tuples(st.integers(0, 130_000), st.integers(1, 50)), max_size=30),
    since_ms=st.integers(0, 130_000),
)
def test_a_refusal_never_raises_a_limit_of_the_same_span_and_leaves_at_least_one(
    limit, declared, kind, retry_ms, free, sent, since_ms
):
    before = known(limit, declared=limit if declared else None, kind=kind)
    log = tuple(sorted((NOW - ago, n) for ago, n in sent))
    trouble = Trouble(NOW, retry_ms, log, NOW - since_ms, 3, free)
    lower = estimate.lowered(before, trouble)
    assert lower.window.limit >= 1
    assert lower.window.span_ms != SPAN or lower.window.limit <= limit
    assert estimate.echoed(lower).window.limit >= 1
    first = estimate.opened(trouble)
    assert first is None or (first.window.limit >= 1 and first.window.span_ms > 0)


def test_a_limit_is_probed_after_enough_calls_and_only_while_it_is_used():
    low = known(10, declared=60)
    assert estimate.probe(low, Trail(quiet=199), 10) is None
    assert estimate.probe(low, Trail(quiet=200), 5) is None
    raised, trail = estimate.probe(low, Trail(quiet=200), 10)
    assert raised.window.limit == 11
    assert (trail.quiet, trail.probed) == (0, True)
    assert estimate.probe(low, Trail(quiet=200, fails=1), 10) is None
    assert estimate.probe(low, Trail(quiet=400, fails=1), 10) is not None


def test_probing_stops_at_the_declared_limit():
    now, trail = known(6, declared=60), Trail()
    for _ in range(40):
        step = estimate.probe(now, Trail(quiet=200, step_pc=trail.step_pc), now.window.limit)
        if step is None:
            break
        now, trail = step
    assert (now.window.limit, now.window.source, now.guess) == (60, "catalog", False)


@pytest.mark.parametrize(("probed", "fails"), [(True, 3), (False, 2)])
def test_only_a_refused_probe_makes_the_next_one_wait_longer(probed, fails):
    trail = estimate.refused(Trail(fails=2, probed=probed, quiet=50, step_pc=40), NOW, 500, NOW)
    assert (trail.at_ms, trail.since_ms, trail.fails) == (NOW, NOW + 500, fails)
    assert (trail.quiet, trail.step_pc, trail.probed) == (0, 2, False)


@settings(max_examples=10, deadline=None)
@given(limit=st.integers(1, 50))
def test_probing_a_limit_that_does_not_give_costs_under_one_call_in_a_hundred(limit):
    trail, calls, refusals, now = Trail(), 0, 0, known(limit, declared=1_000)
    while calls < 5_000:
        calls += 1
        trail = Trail(
            **{f: getattr(trail, f) for f in trail.__slots__} | {"quiet": trail.quiet + 1}
        )
        step = estimate.probe(now, trail, limit)
        if step:
            trail = estimate.refused(step[1], NOW, 0, NOW)
            refusals += 1
    assert refusals <= calls / 100


def test_what_a_bucket_refills_is_found_from_two_refusals():
    chain_ms = NOW - 1_000  # 50 calls a second were admitted since, and two were refused
    sent = burst(300, NOW - 3_000, 5) + burst(52, chain_ms + 10, 19)
    trouble = Trouble(NOW, 20, sent, since_ms=NOW - 50, free=9, chain_ms=chain_ms, refusals=2)
    assert estimate.lowered(known(400), trouble).window.limit == 50 * SPAN // 1_020


def test_refusals_sent_before_a_chain_began_are_not_taken_off_what_was_admitted_in_it():
    first = estimate.refused(Trail(), NOW, 20, NOW - 50)
    echo = estimate.refused(first, NOW + 5, 20, NOW - 40)
    assert (first.refusals, echo.refusals) == (0, 0)
    after = estimate.refused(echo, NOW + 300, 20, NOW + 290)
    assert (after.chain_ms, after.refusals) == (NOW, 1)
