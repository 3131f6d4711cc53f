"""Spans of time: read from configuration, written as providers write them."""

import re

SECOND_US = 1_000_000
_UNITS_US = {
    "us": 1,
    "ms": 1_000,
    "s": SECOND_US,
    "m": 60 * SECOND_US,
    "h": 3_600 * SECOND_US,
    "d": 86_400 * SECOND_US,
}
_PART = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)")
_NAMED = {
    SECOND_US: "second",
    60 * SECOND_US: "minute",
    3_600 * SECOND_US: "hour",
    86_400 * SECOND_US: "day",
    30 * 86_400 * SECOND_US: "month",
}


def parse_span_us(value: object) -> int:
    """Read `60`, `0.5` (seconds), `"6s"`, `"1.5h"` or `"1m30s"` as microseconds above zero.

    Raises:
        ValueError: it is no such span.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        span_us = round(value * SECOND_US)
    else:
        text = value.strip().replace(" ", "") if isinstance(value, str) else ""
        parts = _PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            raise ValueError(f"{value!r} is no span of time; write it like 6s, 500ms or 1.5h")
        span_us = round(sum(float(number) * _UNITS_US[unit] for number, unit in parts))
    if span_us <= 0:
        raise ValueError(f"{value!r} is no span of time: it must be above zero")
    return span_us


def go_duration(span_us: int) -> str:
    """Write a span as Go prints a Duration, rounded up to a millisecond: `1m26.4s`, `825ms`."""
    span_ms = -(-max(span_us, 0) // 1_000)
    if 0 < span_ms < 1_000:  # noqa: PLR2004 - a second
        return f"{span_ms}ms"
    minutes, rest_ms = divmod(span_ms, 60_000)
    seconds = f"{rest_ms / 1_000:.3f}".rstrip("0").rstrip(".") + "s"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def short_span(span_us: int) -> str:
    """Write a span the way configuration reads it, in one unit: `6s`, `0.6s`, `1h`, `1d`."""
    for unit in ("d", "h", "m"):
        if span_us % _UNITS_US[unit] == 0:
            return f"{span_us // _UNITS_US[unit]}{unit}"
    return f"{span_us / SECOND_US:.6f}".rstrip("0").rstrip(".") + "s"


def span_name(span_us: int) -> str | None:
    """The one word for a span (`minute`, `day`), or None where there is none."""
    return _NAMED.get(span_us)


def ceil_seconds(span_us: int) -> int:
    """Whole seconds, rounded up."""
    return -(-max(span_us, 0) // SECOND_US)
