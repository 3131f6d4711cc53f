"""Every way a provider writes "wait this long", as milliseconds from now.

Sources: shared/facts/wire-facts.md section 0. Nothing here raises, whatever it is given: what is
not understood is None, so that the next piece of evidence is looked at.
"""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

MAX_WAIT_MS = 31 * 86_400_000
_ABSURD_MS = MAX_WAIT_MS + 86_400_000  # no clock is a day late
_MONTHS = 12
_EPOCH_MS_FROM = 1e12
_EPOCH_S_FROM = 1e9
_UNIT_MS = {
    "d": 86_400_000.0,
    "h": 3_600_000.0,
    "m": 60_000.0,
    "s": 1_000.0,
    "ms": 1.0,
    "us": 1e-3,
    "µs": 1e-3,  # U+00B5
    "μs": 1e-3,  # U+03BC
    "ns": 1e-6,
}
_PART = r"(\d{1,18}(?:\.\d{0,30})?)(ms|us|µs|μs|ns|d|h|m|s)"
_DURATION_PART = re.compile(_PART)
_DURATION = re.compile(rf"(?:{_PART})+")
_NUMBER = re.compile(r"\d{1,30}(?:\.\d{0,30})?(?:[eE][+-]?\d{1,3})?")
_STAMP = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
_WORDS = {"second": "s", "sec": "s", "minute": "m", "min": "m", "hour": "h", "day": "d"}
_PROSE = re.compile(
    r"(?:try again|retry|available|wait)[a-z ]{0,24}?(?:in|after|for|until)?\s{1,3}"
    r"(?:about |another )?(\d[\d.hmsnuµμd]{0,40})\s?"
    r"(seconds?|secs?|minutes?|mins?|hours?|days?|milliseconds?)?",
    re.IGNORECASE,
)
_REGAIN = re.compile(
    r"(?:regain access|access again|resets?|available|try again)(?: on| at| after)? "
    r"(\d{4}-\d\d-\d\d)(?:(?: at |T| )(\d\d:\d\d))?",
    re.IGNORECASE,
)
_SEARCHED_CHARS = 4_000


def _bounded(ms: float) -> int | None:
    """Rounded up, so that nobody comes too early; None where it cannot be a wait.

    Nobody is to wait for more than a month: who says so is not believed.
    """
    if not math.isfinite(ms) or ms > _ABSURD_MS:
        return None
    return max(0, min(MAX_WAIT_MS, math.ceil(round(ms, 3))))


def duration_ms(text: str) -> int | None:
    """A Go or protobuf duration: `2m59.56s`, `120ms`, `38.2s`, `1h2m3s`."""
    text = text.strip()
    if not _DURATION.fullmatch(text):
        return None
    return _bounded(sum(float(n) * _UNIT_MS[unit] for n, unit in _DURATION_PART.findall(text)))


def number_ms(text: str, now_ms: int) -> int | None:
    """A bare number: epoch ms above 1e12, epoch s above 1e9, else seconds from now."""
    text = text.strip()
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    if value > _EPOCH_MS_FROM:
        return _bounded(value - now_ms)
    if value > _EPOCH_S_FROM:
        return _bounded(value * 1_000 - now_ms)
    return _bounded(value * 1_000)


def stamp_ms(text: str, now_ms: int) -> int | None:
    """A moment as RFC 3339 (`2025-08-21T12:40:59Z`) or an HTTP date; without a zone it is UTC."""
    text = text.strip()[:64]
    try:
        iso = _STAMP.match(text) is not None
        moment = datetime.fromisoformat(text) if iso else parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return _bounded(moment.timestamp() * 1_000 - now_ms)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def wait_ms(text: str | None, now_ms: int) -> int | None:
    """Any of the forms above; None where the value says nothing (`-1`, empty, not understood)."""
    if not text or len(text) > 128:  # noqa: PLR2004 - no wait is written longer
        return None
    for read in (number_ms(text, now_ms), duration_ms(text), stamp_ms(text, now_ms)):
        if read is not None:
            return read
    return None


def prose_ms(text: str) -> int | None:
    """The wait in a sentence: `try again in 7m12s`, `Please retry after 37 seconds`."""
    for found in _PROSE.finditer(text[:_SEARCHED_CHARS]):
        amount, word = found.group(1).rstrip("."), (found.group(2) or "").lower()
        if word.startswith("milli"):
            read = duration_ms(f"{amount}ms")
        elif word:
            read = duration_ms(amount + _WORDS[word.rstrip("s")])
        else:
            read = duration_ms(amount) or (number_ms(amount, 0) if amount.isdigit() else None)
        if read is not None:
            return read
    return None


def date_ms(text: str, now_ms: int) -> int | None:
    """The moment in a sentence, as in `regain access on 2026-12-01 at 00:00 UTC`."""
    found = _REGAIN.search(text[:_SEARCHED_CHARS])
    return stamp_ms(f"{found[1]}T{found[2] or '00:00'}:00Z", now_ms) if found else None


def retry_after_ms(headers: Mapping[str, str], now_ms: int) -> int | None:
    """What `retry-after-ms` says, else `retry-after`. Header names are lower case."""
    text = headers.get("retry-after-ms")
    if text is not None and _NUMBER.fullmatch(text.strip()):
        return _bounded(float(text))
    return wait_ms(headers.get("retry-after"), now_ms)


def midnight_ms(zone: str, now_ms: int) -> int:
    """Until the next midnight of `zone`, daylight saving included."""
    there = ZoneInfo(zone)
    now = datetime.fromtimestamp(now_ms / 1_000, there)
    day = now.date() + timedelta(days=1)
    midnight = datetime(day.year, day.month, day.day, tzinfo=there)
    return max(0, math.ceil(midnight.timestamp() * 1_000) - now_ms)


def month_end_ms(now_ms: int) -> int:
    """Until the next calendar month begins, UTC."""
    now = datetime.fromtimestamp(now_ms / 1_000, UTC)
    year, month = (now.year + 1, 1) if now.month == _MONTHS else (now.year, now.month + 1)
    return max(0, math.ceil(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1_000) - now_ms)


def first_wait_ms(
    *,
    specific_ms: int | None,
    headers: Mapping[str, str],
    exhausted_reset_ms: int | None,
    hint_ms: int | None,
    now_ms: int,
) -> int | None:
    """The wait by the order of evidence of the facts, section 0.3.

    What the body says of the violated window; `retry-after-ms`; `retry-after`; the reset of a
    window whose remaining is 0; RetryInfo or prose. None leaves it to backoff.
    """
    for read in (specific_ms, retry_after_ms(headers, now_ms), exhausted_reset_ms, hint_ms):
        if read is not None:
            return read
    return None
