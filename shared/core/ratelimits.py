"""Rate limits as providers announce them, in headers and in the text of a 429, as `Learned`.

Sources: shared/facts/wire-facts.md sections 1 to 9. A header that names no span gives `span_ms` 0:
it speaks about the configured window of its dimension. Nothing here raises. What cannot be, a
window longer than a month or a limit above 10^12, is not reported.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from shared.core import resets
from shared.core.outcome import Learned, believable

_SPANS = {
    "second": 1_000,
    "minute": 60_000,
    "min": 60_000,
    "hour": 3_600_000,
    "day": 86_400_000,
    "month": 2_592_000_000,
    "s": 1_000,
    "ms": 1,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
}
_LETTERS = {1_000: "s", 60_000: "m", 3_600_000: "h", 86_400_000: "d"}
_NOUNS = {
    "req": "requests",
    "requests": "requests",
    "call": "requests",
    "tokens": "tokens",
    "input-tokens": "input_tokens",
    "output-tokens": "output_tokens",
}
_PREFIXES = {
    "requests": "rp",
    "tokens": "tp",
    "input_tokens": "itp",
    "output_tokens": "otp",
    "audio_seconds": "as",
}
DAY_MS = 86_400_000
MINUTE_MS = 60_000
MONTH_MS = _SPANS["month"]
# What a header without a span means where the provider says so (facts 1, 4, 9).
_SPAN_OF_DIALECT = {
    ("groq", "requests"): DAY_MS,
    ("groq", "tokens"): MINUTE_MS,
    ("anthropic", "requests"): MINUTE_MS,
    ("anthropic", "tokens"): MINUTE_MS,
    ("anthropic", "input_tokens"): MINUTE_MS,
    ("anthropic", "output_tokens"): MINUTE_MS,
    ("together", "requests"): 1_000,
}
_HEADER = re.compile(
    r"(?:x-)?ratelimit-(?P<what>limit|remaining|reset)"
    r"(?:-(?P<noun>req|requests|tokens))?"
    r"(?:-(?:(?P<count>\d{1,4})-)?(?P<span>second|minute|hour|day|month))?"
)
_ANTHROPIC = re.compile(
    r"anthropic-ratelimit-(?P<noun>requests|tokens|input-tokens|output-tokens)"
    r"-(?P<what>limit|remaining|reset)"
)
_BY_SIZE = re.compile(
    r"(?:x-)?ratelimitbysize-(?P<what>limit|remaining|reset)(?:-(?P<span>minute|month))?"
)
_FIXED = {
    "x-trial-endpoint-call-limit": ("limit", "requests", MINUTE_MS),
    "x-trial-endpoint-call-remaining": ("remaining", "requests", MINUTE_MS),
    "x-endpoint-monthly-call-limit": ("limit", "requests", _SPANS["month"]),
    "x-tokenlimit-limit": ("limit", "tokens", 0),
    "x-tokenlimit-remaining": ("remaining", "tokens", 0),
}
_APART = ("input_tokens", "output_tokens")
_POLICY = re.compile(r"(?P<limit>\d{1,12})\s*;\s*w=(?P<seconds>\d{1,8})")
_COUNT = re.compile(r"\d{1,15}")
# Nobody uses more a second: a count that says so contradicts itself.
_MOST_REQUESTS_PER_S, _MOST_UNITS_PER_S = 10_000, 100_000_000
Ignored = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Violation:
    """The window a 429 names. Empty parts are not known."""

    window: str | None = None
    dimension: str = "requests"
    span_ms: int = 0
    limit: int | None = None
    requested: int | None = None

    @property
    def never_fits(self) -> bool:
        """The request is larger than the whole window: waiting does not help."""
        if self.requested is None or self.limit is None:
            return False
        return self.requested > self.limit > 0

    @property
    def learned(self) -> tuple[Learned, ...]:
        """The limit it taught, if it named one."""
        if self.limit is None or self.limit <= 0 or self.window is None:
            return ()
        if not believable(self.span_ms, self.limit):
            return ()
        return (Learned(self.window, self.dimension, self.span_ms, self.limit, "429"),)


def window_name(dimension: str, span_ms: int) -> str:
    """`rpm`, `tpd`, `otpm`, `asd` … or, for a span without a letter, `tokens/5m`."""
    if span_ms == 0:
        return dimension
    if dimension == "tokens" and span_ms == _SPANS["month"]:
        return "tokens_per_month"
    letter = _LETTERS.get(span_ms)
    if letter is None:
        unit = next(u for u in ("d", "h", "m", "s", "ms") if span_ms % _SPANS[u] == 0)
        return f"{dimension}/{span_ms // _SPANS[unit]}{unit}"
    return f"{_PREFIXES[dimension]}{letter}"


@lru_cache(maxsize=2_048)
def _meaning(dialect: str, name: str) -> tuple[str, str, int] | None:
    """What a header says: (limit | remaining | reset, dimension, span); None: nothing of ours."""
    if fixed := _FIXED.get(name):
        return fixed
    found = _HEADER.fullmatch(name) or _ANTHROPIC.fullmatch(name)
    if found is None:
        if sized := _BY_SIZE.fullmatch(name):
            return sized["what"], "tokens", _SPANS.get(sized["span"] or "", 0)
        return None
    parts = found.groupdict()
    dimension = _NOUNS[parts["noun"] or "requests"]
    if span := parts.get("span"):
        count = int(parts.get("count") or 1)
        return (parts["what"], dimension, _SPANS[span] * count) if count else None
    return parts["what"], dimension, _SPAN_OF_DIALECT.get((dialect, dimension), 0)


def _count(text: str) -> int | None:
    """A count; `-1` and anything else that is no count is not reported."""
    text = text.strip()
    if _COUNT.fullmatch(text):
        return int(text)
    return int(text[: text.index(".")]) if re.fullmatch(r"\d{1,15}\.\d{1,9}", text) else None


def learned_from_headers(
    headers: Mapping[str, str],
    dialect: str,
    now_ms: int,
    ignored: Ignored = lambda _dimension, _span_ms, _limit: None,
) -> tuple[Learned, ...]:
    """Every limit the headers announce, in the order seen. Names are lower case.

    `ignored` hears of those that are not to be believed.
    """
    seen = {} if dialect == "none" else _announced(headers, dialect)
    # what tells input and output apart tells of both together only which of them is the tighter
    apart = {span_ms for dimension, span_ms in seen if dimension in _APART}
    learned = []
    for (dimension, span_ms), values in seen.items():
        if dimension == "tokens" and span_ms in apart:
            continue
        limit = _count(values.get("limit", ""))
        if limit is None:
            continue
        if not believable(span_ms, limit):
            ignored(dimension, span_ms, limit)
            continue
        learned.append(
            Learned(
                window_name(dimension, span_ms),
                dimension,
                span_ms,
                limit,
                "header",
                _remaining(_count(values.get("remaining", "")), dimension, span_ms, limit),
                resets.wait_ms(values.get("reset"), now_ms),
            )
        )
    return tuple(learned)


def _announced(headers: Mapping[str, str], dialect: str) -> dict[tuple[str, int], dict[str, str]]:
    """By dimension and span: the texts of `limit`, `remaining` and `reset`, the first of each."""
    seen: dict[tuple[str, int], dict[str, str]] = {}
    for name, value in headers.items():
        if "limit" not in name:
            continue
        meaning = _meaning(dialect, name)
        if meaning is not None:
            what, dimension, span_ms = meaning
            seen.setdefault((dimension, span_ms), {}).setdefault(what, value)
        elif name == "ratelimit-policy" and (policy := _POLICY.search(value)):
            span_ms = int(policy["seconds"]) * 1_000  # 0: it names no span
            seen.setdefault(("requests", span_ms), {}).setdefault("limit", policy["limit"])
    return seen


def _remaining(left: int | None, dimension: str, span_ms: int, limit: int) -> int | None:
    """What is left, unless more would have been used of the window than anybody can use in it."""
    each_s = _MOST_REQUESTS_PER_S if dimension == "requests" else _MOST_UNITS_PER_S
    if left is None or limit - left > each_s * (span_ms or DAY_MS) / 1_000:
        return None
    return left


def exhausted(learned: tuple[Learned, ...]) -> Learned | None:
    """Of the announced windows with nothing left, the one that opens last."""
    empty = [each for each in learned if each.remaining == 0 and each.limit > 0]
    return max(empty, key=lambda each: (each.reset_ms or 0, each.span_ms), default=None)


_LETTER_WORDS = {
    "RPS": ("requests", 1_000),
    "RPM": ("requests", MINUTE_MS),
    "RPH": ("requests", _SPANS["hour"]),
    "RPD": ("requests", DAY_MS),
    "TPM": ("tokens", MINUTE_MS),
    "ITPM": ("input_tokens", MINUTE_MS),
    "OTPM": ("output_tokens", MINUTE_MS),
    "TPH": ("tokens", _SPANS["hour"]),
    "TPD": ("tokens", DAY_MS),
    "ASH": ("audio_seconds", _SPANS["hour"]),
    "ASD": ("audio_seconds", DAY_MS),
}
_LETTERED = re.compile(r"\((RPS|RPM|RPH|RPD|TPM|ITPM|OTPM|TPH|TPD|ASH|ASD)\)")
_FIGURE = r"(\d{1,3}(?:,\d{3}){1,4}(?!\d)|\d{1,15})"
_LIMIT = re.compile(rf"\blimit(?: is)?:? ?{_FIGURE}", re.IGNORECASE)
_REQUESTED = re.compile(rf"\brequested:? {_FIGURE}", re.IGNORECASE)
_PER = re.compile(
    rf"(?:(?<![\d,.])(?P<limit>{_FIGURE}) )?"
    r"(?P<noun>requests?|(?:(?:input|output) )?tokens?|(?:API )?calls?|seconds of audio|models)"
    r"(?: ?/ ?| per |-per-)(?P<count>\d{1,6}(?:\.\d{1,3})?)? ?"
    r"(?P<span>seconds?|minutes?|min\b|hours?|days?|months?|ms\b|s\b|m\b|h\b|d\b)",
    re.IGNORECASE,
)
_SEARCHED_CHARS = 4_000


def _whole(figure: str) -> int:
    return int(figure.replace(",", ""))


def _dimension(noun: str) -> str:
    noun = noun.lower()
    if "token" in noun:
        return {"i": "input_tokens", "o": "output_tokens"}.get(noun[0], "tokens")
    return "audio_seconds" if noun.startswith("seconds") else "requests"


def violation(text: str) -> Violation | None:
    """The window that the text of a 429 (or 413) names; None where it names none."""
    text = text[:_SEARCHED_CHARS]
    limit = _LIMIT.search(text)
    requested = _REQUESTED.search(text)
    amount = _whole(limit[1]) if limit else None
    asked = _whole(requested[1]) if requested else None
    if lettered := _LETTERED.search(text):
        dimension, span_ms = _LETTER_WORDS[lettered[1]]
        return Violation(window_name(dimension, span_ms), dimension, span_ms, amount, asked)
    if per := _PER.search(text):
        unit = per["span"].lower()
        each_ms = _SPANS.get(unit) or _SPANS[unit.rstrip("s")]
        span_ms = round(float(per["count"] or 1) * each_ms)
        dimension = _dimension(per["noun"])
        if amount is None and per["limit"]:
            amount = _whole(per["limit"])
        return Violation(window_name(dimension, span_ms), dimension, span_ms, amount, asked)
    return None
