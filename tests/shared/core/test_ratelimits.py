import pytest

from shared.core.ratelimits import exhausted, learned_from_headers, violation, window_name

NOW_MS = 1_785_658_100_000
MINUTE, HOUR, DAY, MONTH = 60_000, 3_600_000, 86_400_000, 2_592_000_000


def learned(headers, dialect="generic"):
    return {
        each.window: (each.dimension, each.span_ms, each.limit, each.remaining, each.reset_ms)
        for each in learned_from_headers(headers, dialect, NOW_MS)
    }


def triple(noun, limit, remaining, reset, suffix=""):
    return {
        f"x-ratelimit-limit-{noun}{suffix}": limit,
        f"x-ratelimit-remaining-{noun}{suffix}": remaining,
        f"x-ratelimit-reset-{noun}{suffix}": reset,
    }


def test_groqs_requests_are_of_the_day_and_its_tokens_of_the_minute():
    headers = triple("requests", "1000", "999", "1m26.4s") | triple("tokens", "8000", "0", "825ms")
    assert learned(headers, "groq") == {
        "rpd": ("requests", DAY, 1000, 999, 86_400),
        "tpm": ("tokens", MINUTE, 8000, 0, 825),
    }


@pytest.mark.parametrize("dialect", ["openai", "generic"])
def test_a_header_without_a_span_names_no_window(dialect):
    headers = triple("requests", "60", "59", "1s") | triple("tokens", "150000", "149984", "6m0s")
    assert learned(headers, dialect) == {
        "requests": ("requests", 0, 60, 59, 1_000),
        "tokens": ("tokens", 0, 150_000, 149_984, 360_000),
    }


def test_mistrals_names_carry_their_spans():
    headers = {
        "x-ratelimit-limit-req-minute": "60",
        "x-ratelimit-remaining-req-minute": "59",
        "x-ratelimit-limit-tokens-5-minute": "500000",
        "x-ratelimit-limit-req-10-second": "5",
        "x-ratelimit-limit-tokens-month": "1000000000",
        "x-ratelimit-tokens-query-cost": "32000",
    }
    assert learned(headers, "mistral") == {
        "rpm": ("requests", MINUTE, 60, 59, None),
        "tokens/5m": ("tokens", 5 * MINUTE, 500_000, None, None),
        "requests/10s": ("requests", 10_000, 5, None, None),
        "tokens_per_month": ("tokens", MONTH, 1_000_000_000, None, None),
    }


def test_cerebras_names_carry_their_spans_and_resets_are_float_seconds():
    headers = triple("requests", "14400", "14399", "33011.382867", "-day")
    headers |= triple("tokens", "60000", "59000", "11.4", "-minute")
    assert learned(headers, "cerebras") == {
        "rpd": ("requests", DAY, 14_400, 14_399, 33_011_383),
        "tpm": ("tokens", MINUTE, 60_000, 59_000, 11_400),
    }


def test_anthropics_resets_are_moments():
    headers = {
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "0",
        "anthropic-ratelimit-requests-reset": "2026-08-02T08:09:00Z",
    }
    assert learned(headers, "anthropic") == {"rpm": ("requests", MINUTE, 50, 0, 40_000)}


def anthropic(noun, limit, left, reset="2026-08-02T08:09:00Z"):
    values = {"limit": limit, "remaining": left, "reset": reset}
    return {f"anthropic-ratelimit-{noun}-{name}": value for name, value in values.items()}


def test_anthropic_tells_input_and_output_apart_and_the_tighter_of_both_is_no_window():
    headers = anthropic("tokens", "8000", "7000") | anthropic("input-tokens", "30000", "29000")
    headers |= anthropic("output-tokens", "8000", "7000")
    assert learned(headers, "anthropic") == {
        "itpm": ("input_tokens", MINUTE, 30_000, 29_000, 40_000),
        "otpm": ("output_tokens", MINUTE, 8_000, 7_000, 40_000),
    }
    alone = anthropic("tokens", "8000", "7000")
    assert learned(alone, "anthropic") == {"tpm": ("tokens", MINUTE, 8_000, 7_000, 40_000)}


def test_openrouters_reset_is_in_epoch_milliseconds():
    headers = {
        "x-ratelimit-limit": "50",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "1785658140000",
    }
    assert learned(headers) == {"requests": ("requests", 0, 50, 0, 40_000)}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"ratelimit-limit": "100"}, ("requests", 0, 100)),
        ({"ratelimit-policy": "100;w=60"}, ("rpm", MINUTE, 100)),
        ({"ratelimit-policy": '"burst";q=1, 20;w=1'}, ("rps", 1_000, 20)),
        ({"x-trial-endpoint-call-limit": "20"}, ("rpm", MINUTE, 20)),
        ({"x-endpoint-monthly-call-limit": "1000"}, ("requests/30d", MONTH, 1000)),
        ({"ratelimitbysize-limit": "500000"}, ("tokens", 0, 500_000)),
        ({"x-ratelimitbysize-limit-minute": "500000"}, ("tpm", MINUTE, 500_000)),
    ],
)
def test_rarer_names_are_known(headers, expected):
    (each,) = learned_from_headers(headers, "generic", NOW_MS)
    assert (each.window, each.span_ms, each.limit) == expected


@pytest.mark.parametrize("value", ["-1", "", "unlimited", "1e3", " "])
def test_what_is_no_count_is_not_reported(value):
    assert learned({"x-ratelimit-limit-requests": value}) == {}
    headers = {"x-ratelimit-limit-requests": "5", "x-ratelimit-remaining-requests": value}
    (each,) = learned_from_headers(headers, "generic", NOW_MS)
    assert each.remaining is None
    assert exhausted((each,)) is None


def test_the_dialect_none_reads_nothing():
    assert learned(triple("requests", "1", "1", "1s"), "none") == {}


GROQ = (
    "Rate limit reached for model `openai/gpt-oss-120b` in organization `org_x` service tier "
    "`on_demand` on {}: Limit 200000, Used 199503, Requested 4514. Please try again in 28m55.34s."
)


@pytest.mark.parametrize(
    ("text", "window", "span_ms", "limit"),
    [
        (GROQ.format("tokens per day (TPD)"), "tpd", DAY, 200_000),
        (GROQ.format("requests per minute (RPM)"), "rpm", MINUTE, 200_000),
        (GROQ.format("seconds of audio per hour (ASH)"), "ash", HOUR, 200_000),
        (GROQ.format("requests per 6s"), "requests/6s", 6_000, 200_000),
        (GROQ.format("tokens per 600ms"), "tokens/600ms", 600, 200_000),
        ("Trial key, which is limited to 20 API calls / minute.", "rpm", MINUTE, 20),
        ("limited to 1000 API calls / month", "requests/30d", MONTH, 1000),
        (
            "trial token rate limit exceeded, limit is 100000 tokens per minute",
            "tpm",
            MINUTE,
            10**5,
        ),
        ("Requests per minute limit exceeded - too many requests sent.", "rpm", MINUTE, None),
        ("the rate limit of 40,000 input tokens per minute (org: x)", "itpm", MINUTE, 40_000),
        ("the rate limit of 8,000 output tokens per minute (org: x)", "otpm", MINUTE, 8_000),
        ("the rate limit of 1,000 requests per minute", "rpm", MINUTE, 1_000),
        ("the rate limit of 1,200,000 tokens per day", "tpd", DAY, 1_200_000),
        (GROQ.format("output tokens per minute (OTPM)"), "otpm", MINUTE, 200_000),
        ("on tokens per minute (TPM): Limit 200,000, Used 1", "tpm", MINUTE, 200_000),
        ("Tokens per day limit exceeded", "tpd", DAY, None),
        ("Rate limit exceeded: free-models-per-day", "rpd", DAY, None),
        ("Rate limit exceeded: free-models-per-min", "rpm", MINUTE, None),
    ],
)
def test_the_window_a_429_names_is_read(text, window, span_ms, limit):
    found = violation(text)
    assert found is not None
    assert (found.window, found.span_ms, found.limit) == (window, span_ms, limit)


def test_a_429_that_names_no_window_teaches_nothing():
    assert violation("Rate limit exceeded") is None
    assert violation("Too many requests") is None


def test_a_request_larger_than_its_window_never_fits():
    text = "Request too large for model `x` on tokens per minute (TPM): Limit 8000, Requested 12000"
    found = violation(text)
    assert found is not None
    assert found.never_fits
    assert found.learned[0].limit == 8_000


def test_windows_have_the_names_of_the_catalog():
    assert window_name("requests", MINUTE) == "rpm"
    assert window_name("audio_seconds", DAY) == "asd"
    assert window_name("tokens", 5 * MINUTE) == "tokens/5m"
    assert window_name("tokens", 0) == "tokens"


ABSURD_HEADERS = [
    {"x-ratelimit-limit-requests-9999-month": "3"},
    {"x-ratelimit-limit-requests-32-day": "3"},
    {"x-ratelimit-limit-requests-0-month": "3"},
    {"x-ratelimit-limit-requests-day": "999999999999999"},
    {"ratelimit-policy": "100;w=99999999"},
]


@pytest.mark.parametrize("headers", ABSURD_HEADERS, ids=str)
def test_a_window_that_cannot_be_is_not_learned(headers):
    assert learned(headers) == {}


def test_who_announces_what_cannot_be_is_told_of():
    told = []
    headers = {"x-ratelimit-limit-requests-9999-month": "3", "x-ratelimit-limit-tokens-day": "5"}
    found = learned_from_headers(headers, "generic", NOW_MS, lambda *each: told.append(each))
    assert [each.window for each in found] == ["tpd"]
    assert told == [("requests", 9_999 * MONTH, 3)]


@pytest.mark.parametrize(
    ("limit", "remaining", "believed"),
    [
        ("1000", "0", 0),
        ("100000000", "0", 0),
        ("1000000000000", "0", None),
        ("1000000000000", "999999999998", 999_999_999_998),
    ],
)
def test_what_is_left_is_not_believed_where_nobody_could_have_used_the_rest(
    limit, remaining, believed
):
    headers = triple("requests", limit, remaining, "1s", "-day")
    assert learned(headers)["rpd"] == ("requests", DAY, int(limit), believed, 1_000)


@pytest.mark.parametrize(
    "text",
    ["limit 3 requests per 9999 months", f"Limit: {10**14}, 5 requests per minute"],
)
def test_a_429_that_names_what_cannot_be_teaches_nothing(text):
    assert violation(text).learned == ()
