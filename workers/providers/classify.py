"""Turns a refusal into `Failed`: whom it concerns, which window, how long to wait."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import orjson
import structlog

from shared.core import ratelimits, resets
from shared.core.echo import Heard, heard
from shared.core.outcome import Failed, FailureKind, Learned
from shared.core.ratelimits import DAY_MS, MINUTE_MS, MONTH_MS, Violation
from workers.providers.base import Call, HttpReply
from workers.providers.errors import UpstreamError
from workers.providers.verdicts import Verdict, judge

_GEMINI_ZONE = "America/Los_Angeles"
_MAYBE_DONE = frozenset({408, 502, 504, 520, 521, 522, 523, 524})
# Where a provider's minute is what its 429 without figures means (facts 6).
_UNSTATED_MS = {"cohere": MINUTE_MS}
_LIMITS = (FailureKind.RATE_LIMITED, FailureKind.QUOTA_EXHAUSTED)
_TOO_MANY, _TOO_LARGE = 429, 413
_DIGITS = 15

log = structlog.get_logger(__name__)
_told: set[tuple[str, str]] = set()  # of whom it was said: a provider of the catalog each


def announced(call: Call, headers: Mapping[str, str], now_ms: int) -> tuple[Learned, ...]:
    """The limits that an answer's headers announce; one that cannot be is told once."""
    ignored = partial(_ignored, call.deployment.provider)
    return ratelimits.learned_from_headers(headers, call.quirks.rate_dialect, now_ms, ignored)


def _ignored(provider: str, dimension: str, span_ms: int, limit: int) -> None:
    if (provider, dimension) in _told:
        return
    _told.add((provider, dimension))
    log.warning(
        "limit_absurd", provider=provider, dimension=dimension, span_ms=span_ms, limit=limit
    )


def refusal(
    call: Call, status: int, headers: Mapping[str, str], error: UpstreamError, now_ms: int
) -> Failed:
    """What an answer that refuses means. `status` 200 is an error inside a success."""
    if error.headers:
        headers = {**headers, **dict(error.headers)}
    own = heard(error.message, call.request)
    wire = call.quirks.wire or call.deployment.type
    verdict = judge(wire, status, error.marks, error.message, own)
    learned = announced(call, headers, now_ms)
    failed = Failed(
        kind=verdict.kind,
        message=error.message or f"HTTP {status} without a message",
        status=status,
        code=error.code or error.type,
        param=error.param,
        scope=verdict.scope,
        dead=verdict.dead,
        window=verdict.window,
        retry_after_ms=resets.retry_after_ms(headers, now_ms),
        uncertain=status in _MAYBE_DONE,
        learned=learned,
        said=own.text,
        marks=(*error.marks, *_quotas(error)),
    )
    if verdict.kind in _LIMITS or status in (_TOO_MANY, _TOO_LARGE):
        failed = _limit(failed, verdict, headers, error, own, now_ms)
        if failed.kind is FailureKind.RATE_LIMITED and failed.retry_after_ms is None:
            return replace(failed, retry_after_ms=_UNSTATED_MS.get(call.deployment.type))
    return failed


def inside(call: Call, status: int, headers: Mapping[str, str], error: UpstreamError) -> Failed:
    """An error inside a success. What no table knows is a malformed reply, never an answer."""
    now_ms = call.created_s * 1_000
    failed = refusal(call, error.status or status, headers, error, now_ms)
    if failed.kind is FailureKind.UNKNOWN:
        return replace(failed, kind=FailureKind.MALFORMED_REPLY, status=status)
    return failed


def malformed(message: str, status: int) -> Failed:
    """An answer that is none; it may have been worked on, and billed."""
    return Failed(FailureKind.MALFORMED_REPLY, message, status=status, uncertain=True)


def read_object(reply: HttpReply) -> dict[str, Any] | Failed:
    """The JSON object that an answer holds, as it is or alone in a list; or that it holds none."""
    try:
        value = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        what = "not JSON" if reply.body.strip() else "empty"
        return malformed(f"the answer is {what}", reply.status)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, dict) else malformed("the answer is no object", reply.status)


def _limit(
    failed: Failed,
    verdict: Verdict,
    headers: Mapping[str, str],
    error: UpstreamError,
    own: Heard,
    now_ms: int,
) -> Failed:
    """A limit was met: find the window, its size and its wait."""
    violated = _gemini(error) or ratelimits.violation(own.text)
    kind = _limit_kind(failed, verdict, violated)
    empty = ratelimits.exhausted(failed.learned)
    window = verdict.window or (violated.window if violated else None)
    span_ms = violated.span_ms if violated else 0
    if violated is None and empty is not None:
        window, span_ms = window or empty.window, empty.span_ms
    if kind is FailureKind.RATE_LIMITED and span_ms >= DAY_MS:
        kind = FailureKind.QUOTA_EXHAUSTED
    return replace(
        failed,
        kind=kind,
        uncertain=False,
        scope="credential" if window == "tokens_per_month" else failed.scope,
        window=window,
        limit=violated.limit if violated else None,
        retry_after_ms=_wait_ms(headers, error, own, violated, empty, span_ms, window, now_ms),
        learned=(*failed.learned, *(violated.learned if violated else ())),
    )


def _limit_kind(failed: Failed, verdict: Verdict, violated: Violation | None) -> FailureKind:
    if verdict.kind in _LIMITS and any(each.limit == 0 for each in failed.learned):
        return FailureKind.MODEL_GONE  # the model is not on this plan (facts 5)
    if verdict.kind is FailureKind.RATE_LIMITED and violated is not None:
        if violated.limit == 0:
            return FailureKind.MODEL_GONE  # no free quota for this project (facts 3)
        if violated.never_fits:
            return FailureKind.TOO_LONG
    return verdict.kind


def _wait_ms(
    headers: Mapping[str, str],
    error: UpstreamError,
    own: Heard,
    violated: Violation | None,
    empty: Learned | None,
    span_ms: int,
    window: str | None,
    now_ms: int,
) -> int | None:
    prose = resets.prose_ms(own.text)
    specific = prose if violated else resets.date_ms(own.text, now_ms)
    if error.violations and span_ms >= DAY_MS:
        specific = resets.midnight_ms(_GEMINI_ZONE, now_ms)
    hint = resets.wait_ms(error.retry_delay, now_ms)
    wait = resets.first_wait_ms(
        specific_ms=hint if error.violations and specific is None else specific,
        headers=headers,
        exhausted_reset_ms=empty.reset_ms if empty else None,
        hint_ms=prose if hint is None else hint,
        now_ms=now_ms,
    )
    if wait is None and 0 < span_ms <= MINUTE_MS:
        return span_ms
    if wait is None and span_ms == MONTH_MS:  # no header tells when: it is the calendar's
        return resets.month_end_ms(now_ms)
    if wait is None and window == "day":  # a mark that says no more: Cloudflare's, OpenRouter's
        return resets.midnight_ms("UTC", now_ms)
    return wait


def _quotas(error: UpstreamError) -> tuple[str, ...]:
    """The names of the quotas in Gemini's QuotaFailure: they tell the tier (facts 3)."""
    names = (each.get(name) for each in error.violations for name in ("quotaId", "quotaMetric"))
    return tuple(name.lower() for name in names if isinstance(name, str))


def _gemini(error: UpstreamError) -> Violation | None:
    """The longest of the quota windows in Gemini's QuotaFailure (facts 3)."""
    found: list[Violation] = []
    for each in error.violations:
        quota, metric = str(each.get("quotaId", "")), str(each.get("quotaMetric", ""))
        tokens = "token" in quota.lower() or "token" in metric.lower()
        span_ms = DAY_MS if "PerDay" in quota else MINUTE_MS if "PerMinute" in quota else 0
        value = str(each.get("quotaValue", ""))
        dimension = "tokens" if tokens else "requests"
        found.append(
            Violation(
                ratelimits.window_name(dimension, span_ms),
                dimension,
                span_ms,
                int(value) if value.isdecimal() and len(value) <= _DIGITS else None,
            )
        )
    return max(found, key=lambda each: (each.limit == 0, each.span_ms), default=None)
