"""How each kind of provider words its limits and errors.

Names that carry a span (`…-req-minute`, "tokens per minute (TPM)") tell the real one: at speed
10 a window of a minute is announced as one of 6 seconds, so a client that believes is right.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from simulator.config import Dialect
from simulator.durations import SECOND_US, ceil_seconds, go_duration, short_span, span_name
from simulator.ledger import Account, Meter, Refusal

Headers = list[tuple[bytes, bytes]]
_DAY_US = 86_400 * SECOND_US
_MINUTE_US = 60 * SECOND_US
_NOUNS = {
    "requests": "requests",
    "tokens": "tokens",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "audio_seconds": "seconds of audio",
}
_LETTERS = {
    "requests": "RP",
    "tokens": "TP",
    "input_tokens": "ITP",
    "output_tokens": "OTP",
    "audio_seconds": "AS",
}


def limit_headers(dialect: Dialect, account: Account, now_us: int) -> Headers:
    """The headers every answer of this account carries about its limits."""
    announced = account.provider.announce.headers and bool(account.meters)
    return _HEADERS[dialect](account, now_us) if announced else []


def retry_headers(dialect: Dialect, wait_us: int | None) -> Headers:
    """Retry-After in real seconds, rounded up; nothing where the wait is unknown."""
    if wait_us is None or dialect == "none":
        return []
    headers: Headers = [(b"retry-after", b"%d" % ceil_seconds(wait_us))]
    if dialect == "openai":
        headers.append((b"retry-after-ms", b"%d" % -(-wait_us // 1_000)))
    return headers


def refusal_answer(
    dialect: Dialect, account: Account, refusal: Refusal
) -> tuple[int, bytes, Headers]:
    """Status, body and Retry-After headers for a call that was not admitted."""
    announce = account.provider.announce
    headers = retry_headers(dialect, refusal.wait_us) if announce.retry_after else []
    kind = "tokens" if refusal.dimension == "tokens" else "requests"
    status = 413 if refusal.too_large and dialect == "groq" else 429
    message = (
        _refusal_message(dialect, account, refusal) if announce.body else "Rate limit exceeded"
    )
    code = "rate_limit_exceeded"
    match dialect:
        case "mistral":
            message, kind, code = "Rate limit exceeded", "rate_limited", "1300"
        case "cerebras":
            code = "token_quota_exceeded" if kind == "tokens" else "request_quota_exceeded"
            kind = "too_many_requests_error"
        case "none":
            message, kind, code = "Too many requests", "rate_limit_error", ""
        case _:
            pass
    return status, error_body(dialect, status, message, kind, code or None), headers


def error_body(
    dialect: Dialect,
    status: int,
    message: str,
    kind: str,
    code: str | None,
    param: str | None = None,
) -> bytes:
    """An error in the provider's own shape."""
    match dialect:
        case "anthropic-like":
            return orjson.dumps(
                {"type": "error", "error": {"type": _anthropic_type(status), "message": message}}
            )
        case "mistral":
            return orjson.dumps(
                {"object": "error", "message": message, "type": kind, "param": param, "code": code}
            )
        case "cerebras":
            return orjson.dumps({"message": message, "type": kind, "param": param, "code": code})
        case "groq":
            body: dict[str, Any] = {"message": message, "type": kind}
            body |= {name: value for name, value in (("param", param), ("code", code)) if value}
            return orjson.dumps({"error": body})
        case _:
            return orjson.dumps(
                {"error": {"message": message, "type": kind, "param": param, "code": code}}
            )


def _refusal_message(dialect: Dialect, account: Account, refusal: Refusal) -> str:
    model, organisation = account.model.id, organisation_of(account)
    groq = dialect == "groq"
    name = f"`{model}`" if groq else model
    where = f"in organization `{organisation}`" if groq else f"in organization {organisation}"
    tier = " service tier `on_demand`" if groq else ""
    if refusal.dimension == "concurrency":
        return f"Too many concurrent requests for model {name} {where}: Limit {refusal.limit}"
    on = f"on {_window_words(refusal.dimension, refusal.span_us)}: Limit {refusal.limit}"
    if refusal.too_large:
        return (
            f"Request too large for model {name} {where}{tier} {on}, "
            f"Requested {refusal.requested}, please reduce your message size and try again."
        )
    again = f" Please try again in {go_duration(refusal.wait_us or 0)}."
    return (
        f"Rate limit reached for model {name} {where}{tier} {on}, "
        f"Used {refusal.used}, Requested {refusal.requested}.{again}"
    )


def organisation_of(account: Account | None) -> str:
    """The organisation an account's limits belong to, as it is named in texts."""
    if account is None:
        return "org_unknown"
    return account.key.organisation or f"org_{account.key.id}"


def _window_words(dimension: str, span_us: int) -> str:
    name = span_name(span_us)
    if name is None:
        return f"{_NOUNS[dimension]} per {short_span(span_us)}"
    return f"{_NOUNS[dimension]} per {name} ({_LETTERS[dimension]}{name[0].upper()})"


def remaining(meter: Meter, now_us: int) -> int:
    """What is left of the limit as announced."""
    return max(0, meter.announced_limit - meter.window.used(now_us))


def _of(account: Account, dimension: str) -> list[Meter]:
    return [meter for meter in account.meters if meter.spec.dimension == dimension]


def _spanless(meter: Meter, noun: str, now_us: int) -> Headers:
    reset = go_duration(meter.window.full_us(now_us))
    return [
        (b"x-ratelimit-limit-" + noun.encode(), b"%d" % meter.announced_limit),
        (b"x-ratelimit-remaining-" + noun.encode(), b"%d" % remaining(meter, now_us)),
        (b"x-ratelimit-reset-" + noun.encode(), reset.encode()),
    ]


def _openai(account: Account, now_us: int) -> Headers:
    """Requests and tokens, each of the shortest window it has."""
    headers: Headers = []
    for noun in ("requests", "tokens"):
        if meters := _of(account, noun):
            shortest = min(meters, key=lambda meter: meter.window.span_us)
            headers += _spanless(shortest, noun, now_us)
    return headers


def _groq(account: Account, now_us: int) -> Headers:
    """Requests are always of the day, tokens always of the minute; others stay unsaid."""
    headers: Headers = []
    for meter in account.meters:
        pair = (meter.spec.dimension, meter.spec.span_us)
        if pair in {("requests", _DAY_US), ("tokens", _MINUTE_US)}:
            headers += _spanless(meter, pair[0], now_us)
    return headers


def _mistral(account: Account, now_us: int) -> Headers:
    """Every window under the name of its span; no reset."""
    headers: Headers = []
    for meter in account.meters:
        noun = {"requests": "req", "tokens": "tokens"}.get(meter.spec.dimension)
        span = _spelled(meter.window.span_us)
        if noun and span:
            name = f"{noun}-{span}".encode()
            headers.append((b"x-ratelimit-limit-" + name, b"%d" % meter.announced_limit))
            headers.append((b"x-ratelimit-remaining-" + name, b"%d" % remaining(meter, now_us)))
    return headers


def _cerebras(account: Account, now_us: int) -> Headers:
    """Every window under the name of its span; resets are seconds with a fraction."""
    headers: Headers = []
    for meter in account.meters:
        span = _spelled(meter.window.span_us)
        if span and meter.spec.dimension in {"requests", "tokens"}:
            name = f"{meter.spec.dimension}-{span}".encode()
            reset = repr(meter.window.full_us(now_us) / SECOND_US).encode()
            headers.append((b"x-ratelimit-limit-" + name, b"%d" % meter.announced_limit))
            headers.append((b"x-ratelimit-remaining-" + name, b"%d" % remaining(meter, now_us)))
            headers.append((b"x-ratelimit-reset-" + name, reset))
    return headers


def _anthropic(account: Account, now_us: int) -> Headers:
    """Resets are points in time; remaining tokens are rounded to thousands."""
    headers: Headers = []
    for noun in ("requests", "tokens"):
        if meters := _of(account, noun):
            meter = min(meters, key=lambda each: each.window.span_us)
            left = remaining(meter, now_us)
            left = round(left, -3) if noun == "tokens" else left
            at_s = ceil_seconds(now_us + meter.window.full_us(now_us))
            reset = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            prefix = f"anthropic-ratelimit-{noun}-".encode()
            headers.append((prefix + b"limit", b"%d" % meter.announced_limit))
            headers.append((prefix + b"remaining", b"%d" % left))
            headers.append((prefix + b"reset", reset.encode()))
    return headers


def _anthropic_type(status: int) -> str:
    names = {
        400: "invalid_request_error",
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        413: "request_too_large",
        429: "rate_limit_error",
        529: "overloaded_error",
    }
    return names.get(status, "api_error")


def _spelled(span_us: int) -> str | None:
    """`minute`, `5-minute`, `6-second`; None below a second or between whole ones."""
    if name := span_name(span_us):
        return name
    if span_us % _MINUTE_US == 0:
        return f"{span_us // _MINUTE_US}-minute"
    return f"{span_us // SECOND_US}-second" if span_us % SECOND_US == 0 else None


def _silent(account: Account, now_us: int) -> Headers:  # noqa: ARG001 - one of the family
    return []


_HEADERS: Mapping[Dialect, Callable[[Account, int], Headers]] = {
    "openai": _openai,
    "groq": _groq,
    "mistral": _mistral,
    "anthropic-like": _anthropic,
    "cerebras": _cerebras,
    "none": _silent,
}
