from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import ratelimits, resets

NOW_MS = 1_785_658_100_000

FORMS = [
    ("2m59.56s", 179_560),
    ("7.66s", 7_660),
    ("1m26.4s", 86_400),
    ("120ms", 120),
    ("6m0s", 360_000),
    ("1h2m3s", 3_723_000),
    ("1m46.271999999s", 106_272),
    ("12µs", 1),
    ("12μs", 1),
    ("250us", 1),
    ("0s", 0),
    ("1736", 1_736_000),
    ("33011.382867", 33_011_383),
    ("26.28409242630005", 26_285),
    ("38.284715s", 38_285),
    ("2026-08-02T08:09:00Z", 40_000 + NOW_MS % 1_000 + 0),
    ("1785658140", 40_000),
    ("1785658140000", 40_000),
    ("Sun, 02 Aug 2026 08:09:00 GMT", 40_000),
    ("-1", None),
    ("", None),
    ("soon", None),
    ("s", None),
    ("1" * 200, None),
    ("nan", None),
    ("inf", None),
    ("5x", None),
]


@pytest.mark.parametrize(("text", "ms"), FORMS)
def test_every_form_seen_on_the_wire_is_read(text, ms):
    assert resets.wait_ms(text, NOW_MS) == ms


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("Rate limit reached. Please try again in 7m12s. Need more? Upgrade.", 432_000),
        ("Please try again in 28m55.34s. Visit https://x", 1_735_340),
        ("Please retry after 37 seconds.", 37_000),
        ("Please retry in 38.2s.", 38_200),
        ("Please try again in 6ms.", 6),
        ("Please wait 5 minutes before", 300_000),
        ("try again in 2 hours", 7_200_000),
        ("retry after 37", 37_000),
        ("Please wait and try again later", None),
        ("you have 30 retries", None),
        ("", None),
    ],
)
def test_a_wait_in_prose_is_read(text, ms):
    assert resets.prose_ms(text) == ms


def test_milliseconds_are_preferred_over_seconds_in_retry_after():
    headers = {"retry-after": "4", "retry-after-ms": "3200"}
    assert resets.retry_after_ms(headers, NOW_MS) == 3_200
    assert resets.retry_after_ms({"retry-after": "4"}, NOW_MS) == 4_000
    assert resets.retry_after_ms({}, NOW_MS) is None


def test_evidence_is_taken_in_its_order():
    everything = {
        "specific_ms": 1,
        "headers": {"retry-after": "2"},
        "exhausted_reset_ms": 3,
        "hint_ms": 4,
        "now_ms": NOW_MS,
    }
    assert resets.first_wait_ms(**everything) == 1
    assert resets.first_wait_ms(**(everything | {"specific_ms": None})) == 2_000
    no_header = everything | {"specific_ms": None, "headers": {}}
    assert resets.first_wait_ms(**no_header) == 3
    assert resets.first_wait_ms(**(no_header | {"exhausted_reset_ms": None})) == 4
    nothing = no_header | {"exhausted_reset_ms": None, "hint_ms": None}
    assert resets.first_wait_ms(**nothing) is None


def test_midnight_knows_that_a_day_may_have_25_hours():
    half_past_midnight_pdt_ms = 1_793_518_200_000  # 2026-11-01: the clocks fall back
    wait_ms = resets.midnight_ms("America/Los_Angeles", half_past_midnight_pdt_ms)
    assert wait_ms == int(24.5 * 3_600_000)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ((2026, 11, 26, 4, 57), (2026, 12, 1)),
        ((2026, 12, 31, 23, 59), (2027, 1, 1)),
        ((2028, 2, 1), (2028, 3, 1)),
    ],
)
def test_a_month_ends_when_the_next_one_begins(now, until):
    now_ms, until_ms = (
        round(datetime(*when, tzinfo=UTC).timestamp() * 1000) for when in (now, until)
    )
    assert resets.month_end_ms(now_ms) == until_ms - now_ms


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")), st.integers(0, 2**45))
def test_no_bytes_make_a_reader_of_waits_raise(text, now_ms):
    for read in (resets.wait_ms(text, now_ms), resets.prose_ms(text), resets.duration_ms(text)):
        assert read is None or 0 <= read <= resets.MAX_WAIT_MS
    resets.retry_after_ms({"retry-after": text, "retry-after-ms": text}, now_ms)
    ratelimits.violation(text)


NAMES = st.sampled_from(
    [
        "x-ratelimit-limit-requests",
        "x-ratelimit-reset-tokens",
        "x-ratelimit-limit-tokens-5-minute",
        "anthropic-ratelimit-tokens-reset",
        "anthropic-ratelimit-tokens-limit",
        "ratelimitbysize-limit",
        "ratelimit-policy",
        "x-tokenlimit-limit",
    ]
)


@given(st.dictionaries(NAMES | st.text(), st.text()), st.sampled_from(["groq", "generic", "none"]))
def test_no_headers_make_a_reader_of_limits_raise(headers, dialect):
    for each in ratelimits.learned_from_headers(headers, dialect, NOW_MS):
        assert each.limit >= 0


@given(st.integers(0, 10**9), st.integers(0, 10**6 - 1))
def test_any_duration_go_prints_is_read_back(seconds, micros):
    hours, rest = divmod(seconds % 700_000, 3_600)
    minutes, left = divmod(rest, 60)
    text = f"{hours}h{minutes}m{left}.{micros:06d}s"
    expected = (hours * 3_600 + minutes * 60 + left) * 1_000 + micros / 1_000
    assert resets.duration_ms(text) == pytest.approx(expected, abs=1.001)


@pytest.mark.parametrize("text", ["99999999999", "40d", "9999-01-01T00:00:00Z", "1e300"])
def test_a_wait_of_more_than_a_month_is_not_believed(text):
    assert resets.wait_ms(text, NOW_MS) is None
    assert resets.retry_after_ms({"retry-after": text}, NOW_MS) is None
