"""Quotas by example: amounts, guards, zones, keys, each kind's edges, a backlog's least time."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from least_time import least_time_ms

from shared.core import quota
from shared.core.ledger import UNLIMITED, Rule
from shared.core.model import Dimension, Need, TokenCount, Window, WindowKind

T0 = 1_790_000_040_000  # a whole minute
DAY = 86_400_000


def window(kind: str = "sliding", limit: int = 3, span_ms: int = 6000, anchor: str = "epoch"):
    return Window("w", Dimension.REQUESTS, limit, span_ms, WindowKind(kind), anchor)


def rule(kind: str = "sliding", limit: int = 3, span_ms: int = 6000, **kw: Any) -> Rule:
    return quota.window_rule(window(kind, limit, span_ms, **kw), T0)


def at(zone: str, *when: int) -> int:
    return round(datetime(*when, tzinfo=ZoneInfo(zone)).timestamp() * 1000)


NEED = Need(input_tokens=100, output_tokens=20, max_output_tokens=500, audio_seconds=61)


@pytest.mark.parametrize(
    ("dimension", "count", "factor", "expected"),
    [
        (Dimension.REQUESTS, TokenCount.INPUT, 1.4, 1),
        (Dimension.AUDIO_SECONDS, TokenCount.INPUT, 1.4, 61),
        (Dimension.TOKENS, TokenCount.INPUT, 1.0, 100),
        (Dimension.TOKENS, TokenCount.INPUT_OUTPUT, 1.0, 120),
        (Dimension.TOKENS, TokenCount.INPUT_MAX_OUTPUT, 1.0, 600),
        (Dimension.TOKENS, TokenCount.INPUT, 1.1, 110),  # 110.00000000000001 in doubles
        (Dimension.TOKENS, TokenCount.INPUT, 1.401, 141),
        (Dimension.INPUT_TOKENS, TokenCount.INPUT_MAX_OUTPUT, 1.4, 140),
        (Dimension.OUTPUT_TOKENS, TokenCount.INPUT, 1.0, 20),
        (Dimension.OUTPUT_TOKENS, TokenCount.INPUT_OUTPUT, 1.25, 25),
        (Dimension.OUTPUT_TOKENS, TokenCount.INPUT_MAX_OUTPUT, 1.0, 500),
    ],
)
def test_a_need_takes_what_the_provider_counts(dimension, count, factor, expected) -> None:
    assert quota.amount(NEED, dimension, count, factor) == expected


@pytest.mark.parametrize(
    ("span_ms", "expected"),
    [(20, 5), (500, 10), (1000, 20), (6000, 50), (60_000, 300), (3_600_000, 2000), (DAY, 2000)],
)
def test_the_guard_is_at_most_two_percent_of_a_second(span_ms, expected) -> None:
    assert quota.guard_ms(window(span_ms=span_ms)) == expected


def test_a_plan_without_any_quota_never_fits() -> None:
    none = rule(limit=0)
    assert quota.earliest(none, quota.fresh(none), T0, 1) == quota.NEVER
    assert quota.earliest(none, quota.fresh(none), T0, 0) == T0


@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_a_job_larger_than_the_window_never_fits_and_one_as_large_does(kind) -> None:
    r, now = rule(kind), T0 + 1000
    assert quota.earliest(r, quota.fresh(r), now, 4) == quota.NEVER
    assert quota.earliest(r, quota.fresh(r), now, 3, keep=1) == now


def test_a_sliding_unit_comes_back_a_span_a_grain_and_a_guard_later() -> None:
    r = rule()
    ledger = quota.take(r, quota.fresh(r), T0, 3)
    assert quota.earliest(r, ledger, T0, 1) == T0 + 6000 + 6 + 50
    assert quota.view(r, ledger, T0) == (3, 0, T0 + 6056)


def test_bulk_waits_where_interactive_work_does_not() -> None:
    r = rule(limit=10)
    ledger = quota.take(r, quota.fresh(r), T0, 9)
    assert quota.earliest(r, ledger, T0, 1) == T0
    assert quota.earliest(r, ledger, T0, 1, keep=1) == T0 + 6056


def test_a_fixed_window_sends_nothing_around_its_edges() -> None:
    r = rule("fixed")
    empty = quota.fresh(r)
    assert quota.earliest(r, empty, T0, 1) == T0 + 50
    assert quota.earliest(r, empty, T0 + 5949, 1) == T0 + 5949
    assert quota.earliest(r, empty, T0 + 5950, 1) == T0 + 6050


def test_what_was_sent_at_an_edge_counts_on_both_sides() -> None:
    r = rule("fixed")
    ledger = quota.take(r, quota.fresh(r), T0 + 100, 2)
    ledger = quota.restamp(r, ledger, T0 + 5990, T0 + 100, T0 + 5990, 2)
    assert quota.view(r, ledger, T0 + 5990)[0] == 2
    assert quota.view(r, ledger, T0 + 6100)[0] == 2


def test_a_window_from_first_use_ends_a_guard_after_its_span() -> None:
    r = rule("fixed", anchor="first_use")
    ledger = quota.take(r, quota.fresh(r), T0, 1)
    ledger = quota.take(r, ledger, T0 + 3000, 2)
    assert quota.earliest(r, ledger, T0 + 3000, 1) == T0 + 6050
    assert quota.earliest(r, ledger, T0 + 6050, 3) == T0 + 6050


def test_a_first_call_that_was_never_sent_leaves_the_start_in_doubt() -> None:
    r = rule("fixed", anchor="first_use")
    ledger = quota.take(r, quota.fresh(r), T0, 1)
    ledger = quota.take(r, ledger, T0 + 3000, 2)
    ledger = quota.settle(r, ledger, T0 + 3100, T0, 1, 0)
    assert quota.earliest(r, ledger, T0 + 3100, 2) == T0 + 9050


def test_nothing_is_sent_where_a_window_from_first_use_may_end() -> None:
    r = rule("fixed", anchor="first_use")
    ledger = quota.take(r, quota.fresh(r), T0, 1)
    assert quota.earliest(r, ledger, T0 + 5949, 1) == T0 + 5949
    assert quota.earliest(r, ledger, T0 + 5950, 1) == T0 + 6050


def test_a_bucket_gives_back_only_what_would_not_have_run_over() -> None:
    r = rule("bucket", 10, 10_000)  # one a second
    ledger = quota.take(r, quota.fresh(r), T0, 5)
    ledger = quota.take(r, ledger, T0 + 6000, 9)  # full by then, whether or not the five were used
    ledger = quota.settle(r, ledger, T0 + 6000, T0, 5, 0)
    assert quota.free(r, ledger, T0 + 6000) == 0
    ledger = quota.settle(r, ledger, T0 + 6500, T0 + 6000, 9, 4)
    assert quota.free(r, ledger, T0 + 6500) == 6


def test_a_call_sent_late_loses_the_refill_that_ran_over() -> None:
    r = rule("bucket", 10, 10_000)
    ledger = quota.take(r, quota.fresh(r), T0, 10)
    assert quota.free(r, ledger, T0 + 9000) == 8
    ledger = quota.restamp(r, ledger, T0 + 9000, T0, T0 + 9000, 10)
    assert quota.free(r, ledger, T0 + 9000) == 0


def test_a_bucket_bursts_then_drips() -> None:
    r, now, starts = rule("bucket"), T0, []
    ledger = quota.fresh(r)
    for _ in range(6):
        now = quota.earliest(r, ledger, now, 1)
        ledger = quota.take(r, ledger, now, 1)
        starts.append(now - T0)
    assert starts == [0, 0, 50, 2050, 4050, 6050]


@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_a_changed_limit_takes_effect_on_what_is_counted(kind) -> None:
    now = T0 + 1000
    ledger = quota.take(rule(kind, 10), quota.fresh(rule(kind, 10)), now, 6)
    assert quota.earliest(rule(kind, 6), ledger, now, 6) > now
    assert quota.free(rule(kind, 2), ledger, now) <= 2
    assert quota.free(rule(kind, 2), ledger, now) >= 0


@pytest.mark.parametrize("kind", ["sliding", "fixed"])
def test_what_has_run_out_cannot_be_given_back(kind) -> None:
    r, now = rule(kind), T0 + 1000
    ledger = quota.take(r, quota.fresh(r), now, 3)
    ledger = quota.take(r, ledger, now + 7000, 2)
    assert quota.settle(r, ledger, now + 7000, now, 3, 0) == ledger


@pytest.mark.parametrize("kind", ["sliding", "fixed", "bucket"])
def test_a_header_can_only_raise_what_is_counted(kind) -> None:
    r, now = rule(kind, 10), T0 + 1000
    ledger = quota.observe(r, quota.take(r, quota.fresh(r), now, 4), now, 7)
    assert quota.view(r, ledger, now)[0] == 7
    assert quota.view(r, quota.observe(r, ledger, now, 2), now)[0] == 7


def test_backfill_takes_what_the_head_leaves() -> None:
    now = T0 + 1000
    for kind, at_ms, expected in [
        ("sliding", now + 10, 1),
        ("sliding", now + 6056, UNLIMITED),
        ("fixed", now + 10, 1),
        ("fixed", T0 + 6050, UNLIMITED),
        ("bucket", now, 0),
        ("bucket", now + 2050, 1),
    ]:
        r = rule(kind)
        ledger = quota.take(r, quota.fresh(r), now, 1)
        assert quota.slack(r, ledger, now, at_ms, 1 if kind != "bucket" else 2) == expected
    r = rule()
    assert quota.slack(r, quota.fresh(r), now, now, 1, keep=1) == 1


BERLIN, PACIFIC = "Europe/Berlin", "America/Los_Angeles"


@pytest.mark.parametrize(
    ("zone", "now", "hours"),
    [
        (BERLIN, (2026, 6, 1, 12), 24),
        (BERLIN, (2026, 3, 29, 1), 23),
        (BERLIN, (2026, 3, 29, 12), 23),
        (BERLIN, (2026, 10, 25, 2), 25),
        (BERLIN, (2026, 10, 25, 23, 59), 25),
        (PACIFIC, (2026, 3, 8, 0), 23),
        (PACIFIC, (2026, 11, 1, 12), 25),
    ],
)
def test_a_zones_day_runs_from_midnight_to_midnight(zone, now, hours) -> None:
    now_ms = at(zone, *now)
    r = quota.window_rule(window("fixed", 5, DAY, zone), now_ms)
    midnight = at(zone, *now[:3])
    assert r.bounds(now_ms) == (midnight, midnight + hours * 3_600_000)
    tomorrow = midnight + hours * 3_600_000
    assert r.bounds(tomorrow) == (tomorrow, tomorrow + DAY)


def test_a_zones_ledger_lives_through_the_night_the_clocks_change() -> None:
    w = window("fixed", 5, DAY, BERLIN)
    before, after = at(BERLIN, 2026, 10, 25, 1), at(BERLIN, 2026, 10, 25, 22)
    early, late = quota.window_rule(w, before), quota.window_rule(w, after)
    ledger = quota.take(early, quota.fresh(early), before, 5)
    assert quota.free(late, ledger, after) == 0
    next_day = at(BERLIN, 2026, 10, 26, 0) + 2000
    assert quota.earliest(late, ledger, after, 1) == next_day


def test_offsets_name_the_edges() -> None:
    now = at(PACIFIC, 2026, 6, 1, 12)
    assert quota.anchor_offset_ms("epoch", 60_000, now) == 0
    assert quota.anchor_offset_ms("first_use", 60_000, now) is None
    assert quota.anchor_offset_ms(PACIFIC, DAY, now) == 7 * 3_600_000
    assert quota.anchor_offset_ms("Asia/Kolkata", DAY, now) == DAY - 19_800_000
    assert quota.anchor_offset_ms("Asia/Kolkata", 3_600_000, now) == 1_800_000


def test_the_hour_that_is_told_twice_is_still_two_hours() -> None:
    first = at(BERLIN, 2026, 10, 25, 0) + 2 * 3_600_000  # 02:00 summer time; an hour later again
    hour = window("fixed", 5, 3_600_000, BERLIN)
    for now in (first, first + 3_599_999, first + 3_600_000, first + 7_199_999):
        start, end = quota.window_rule(hour, now).bounds(now)
        assert start <= now < end
        assert end - start == 3_600_000


def test_a_ledger_has_another_key_where_it_counts_otherwise() -> None:
    def key(w: Window) -> str:
        return quota.window_key("org", "groq/llama", w)

    plain = key(window())
    assert plain == "org|groq/llama|w|requests|sliding|6000"
    assert key(window(limit=99)) == plain
    others = {
        key(window("bucket")),
        key(window("fixed")),
        key(window("fixed", anchor=BERLIN)),
        key(window(span_ms=7000)),
        quota.window_key("org", None, window()),
        quota.window_key("other", "groq/llama", window()),
    }
    assert plain not in others
    assert len(others) == 6


def test_a_spec_says_what_the_script_must_know() -> None:
    tokens = Window("tpd", Dimension.TOKENS, 1000, DAY, WindowKind.FIXED, PACIFIC)
    now = at(PACIFIC, 2026, 6, 1, 12)
    spec = quota.window_spec(tokens, "k1", None, now, TokenCount.INPUT, 1.4, guard=70)
    midnight = at(PACIFIC, 2026, 6, 1)
    whose = {"k": f"k1|*|tpd|tokens|fixed|{DAY}|{PACIFIC}", "n": "tpd", "d": "tokens"}
    admits = {"l": 1000, "s": DAY, "t": "fixed", "g": 70, "c": "input", "f": 1.4}
    edges = {"a": 7 * 3_600_000, "b": midnight, "e": midnight + DAY}
    assert spec == whose | admits | edges


LEAST = [
    ("sliding", "epoch", 0, [0, 0, 0, 6000, 6000, 6000, 12000, 12000]),
    ("fixed", "epoch", 0, [0, 0, 0, 6000, 6000, 6000, 12000, 12000]),
    ("fixed", "epoch", T0 + 4000, [0, 0, 0, 2000, 2000, 2000, 8000, 8000]),
    ("fixed", "epoch", None, [0, 0, 0, 1, 1, 1, 6001, 6001]),
    ("fixed", "first_use", None, [0, 0, 0, 6000, 6000, 6000, 12000, 12000]),
    ("bucket", "epoch", 0, [0, 0, 0, 2000, 4000, 6000, 8000, 10000]),
]


@pytest.mark.parametrize(("kind", "anchor", "start_ms", "expected"), LEAST)
def test_the_least_time_follows_the_declared_kind(kind, anchor, start_ms, expected) -> None:
    lane = [window(kind, anchor=anchor)]
    assert [least_time_ms([lane], n, start_ms=start_ms) for n in range(1, 9)] == expected
    sliding = [least_time_ms([lane], n, start_ms=start_ms, as_sliding=True) for n in range(1, 9)]
    assert sliding == LEAST[0][3]


def test_the_least_time_over_lanes_and_windows_together() -> None:
    two = [window("bucket"), window(limit=4, span_ms=60_000)]
    assert least_time_ms([two], 5) == 60_000
    assert least_time_ms([two, [window("fixed")]], 13) == 12_000
    assert least_time_ms([[window()], []], 1000) == 0
    assert least_time_ms([[window(limit=0)]], 1) is None
    assert least_time_ms([], 1) is None
    assert least_time_ms([], 0) == 0


def test_the_least_time_of_large_calls_counts_their_tokens() -> None:
    tokens = Window("tpm", Dimension.TOKENS, 1250, 60_000)
    assert least_time_ms([[tokens]], 4, need=NEED) == 60_000
    assert least_time_ms([[tokens]], 2, need=Need(input_tokens=1251)) is None
