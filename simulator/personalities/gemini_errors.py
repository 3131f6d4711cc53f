"""Gemini's errors: a status in words, and details that say which quota of which day."""

from collections.abc import Mapping, Sequence
from typing import Any

from simulator.durations import SECOND_US, short_span, span_name
from simulator.ledger import Refusal
from simulator.personalities.rows import Row

_GOOGLE = "type.googleapis.com/google.rpc."
_DOMAIN = "googleapis.com"
_SERVICE = "generativelanguage.googleapis.com"
_MINUTE_US = 60 * SECOND_US
_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more "
    "information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)
_EXHAUSTED = "RESOURCE_EXHAUSTED"
_HELP = {
    "@type": _GOOGLE + "Help",
    "links": [
        {
            "description": "Learn more about Gemini API quotas",
            "url": "https://ai.google.dev/gemini-api/docs/rate-limits",
        }
    ],
}


def _info(reason: str) -> dict[str, Any]:
    return {
        "@type": _GOOGLE + "ErrorInfo",
        "reason": reason,
        "domain": _DOMAIN,
        "metadata": {"service": _SERVICE},
    }


def violation(what: str, per: str, model: str, limit: str, plan: str = "free") -> dict[str, Any]:
    """One line of a QuotaFailure; `what` is `requests` or `tokens`, `per` a span like `Day`."""
    tier = "free" if plan == "free" else "paid"
    suffix = "FreeTier" if plan == "free" else "PaidTier"
    if what == "tokens":
        metric = f"generate_content_{tier}_tier_input_token_count"
        quota = f"GenerateContentInputTokensPerModelPer{per}-{suffix}"
    else:
        metric = f"generate_content_{tier}_tier_requests"
        quota = f"GenerateRequestsPer{per}PerProjectPerModel-{suffix}"
    return {
        "quotaMetric": f"{_SERVICE}/{metric}",
        "quotaId": quota,
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": limit,
    }


def quota_row(violations: Sequence[Mapping[str, Any]], delay: str) -> Row:
    """A 429 of these quotas; the text repeats what the details say."""
    lines = "".join(
        f"\n* Quota exceeded for metric: {each['quotaMetric']}, limit: {each['quotaValue']}, "
        f"model: {each['quotaDimensions']['model']}"
        for each in violations
    )
    failure = {"@type": _GOOGLE + "QuotaFailure", "violations": list(violations)}
    retry = {"@type": _GOOGLE + "RetryInfo", "retryDelay": delay}
    message = f"{_QUOTA}{lines}\nPlease retry in {delay}."
    return Row(429, message, _EXHAUSTED, more={"details": [failure, _HELP, retry]})


def refusal_row(refusal: Refusal, model: str, plan: str) -> Row:
    """What a call over the limits gets: every window it broke, and one delay.

    The delay is the longest wait, but of a day only what is left of a minute, as Gemini tells it.
    """
    broken = [one for one in (refusal, *refusal.others) if one.dimension != "concurrency"]
    delays = [_delay_us(one) for one in broken]
    if not broken:
        return Row(429, "Too many concurrent requests.", _EXHAUSTED)
    lines = [
        violation(
            "requests" if one.dimension == "requests" else "tokens",
            (span_name(one.span_us) or short_span(one.span_us)).capitalize(),
            model,
            str(one.limit),
            plan,
        )
        for one in broken
    ]
    return quota_row(lines, f"{max(delays) / SECOND_US:.9f}".rstrip("0").rstrip(".") + "s")


def _delay_us(refusal: Refusal) -> int:
    if refusal.wait_us is None:
        return _MINUTE_US
    if span_name(refusal.span_us) == "day":
        return max(1, refusal.wait_us % _MINUTE_US)
    return refusal.wait_us


def _row(status: int, words: str, message: str, *details: Mapping[str, Any]) -> Row:
    return Row(status, message, words, more={"details": details} if details else {})


def _quota(what: str, per: str, limit: str) -> Row:
    return quota_row([violation(what, per, "{model}", limit)], "{wait_s}s")


ROWS: Mapping[str, Row] = {
    "invalid": _row(400, "INVALID_ARGUMENT", "{message}"),
    "too_long": _row(
        400,
        "INVALID_ARGUMENT",
        "The input token count ({requested}) exceeds the maximum number of tokens allowed "
        "({limit}).",
    ),
    "missing_signature": _row(
        400,
        "INVALID_ARGUMENT",
        "Function call is missing a thought_signature in functionCall parts.",
    ),
    "unauthorized": _row(
        400,
        "INVALID_ARGUMENT",
        "API key not valid. Please pass a valid API key.",
        _info("API_KEY_INVALID"),
    ),
    "key_expired": _row(
        400,
        "INVALID_ARGUMENT",
        "API key expired. Please renew the API key.",
        _info("API_KEY_INVALID"),
    ),
    "region": _row(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
    "billing": _row(
        400,
        "FAILED_PRECONDITION",
        "This model needs billing to be enabled for your project.",
    ),
    "credits": _row(402, _EXHAUSTED, "Your prepaid credits are used up."),
    "service_disabled": _row(
        403,
        "PERMISSION_DENIED",
        "Generative Language API has not been used in project 1 before or it is disabled.",
        _info("SERVICE_DISABLED"),
    ),
    "key_restricted": _row(
        403,
        "PERMISSION_DENIED",
        "Requests from referer <empty> are blocked.",
        _info("API_KEY_HTTP_REFERRER_BLOCKED"),
    ),
    "key_leaked": _row(
        403,
        "PERMISSION_DENIED",
        "Your API key was reported as leaked. Please use another API key.",
    ),
    "suspended": _row(
        403,
        "PERMISSION_DENIED",
        "Permission denied: Consumer has been suspended.",
        _info("CONSUMER_SUSPENDED"),
    ),
    "model_gone": _row(
        404,
        "NOT_FOUND",
        "models/{model} is not found for API version v1beta, or is not supported for "
        "generateContent. Call ListModels to see the list of available models.",
    ),
    "no_route": _row(404, "NOT_FOUND", "Not Found"),
    "too_large": _row(
        413, "INVALID_ARGUMENT", "Request payload size exceeds the limit: 20971520 bytes."
    ),
    "rate_limited": _quota("requests", "Minute", "15"),
    "tokens_per_minute": _quota("tokens", "Minute", "250000"),
    "per_day": _quota("requests", "Day", "20"),
    "no_free_quota": _quota("requests", "Day", "0"),
    "spend_cap": _row(
        429, _EXHAUSTED, "Your project has reached its spend cap of $10 per 10 minutes."
    ),
    "cancelled": _row(499, "CANCELLED", "The operation was cancelled."),
    "server_error": _row(500, "INTERNAL", "An internal error has occurred. Please retry."),
    "overloaded": _row(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
    "timeout": _row(504, "DEADLINE_EXCEEDED", "Deadline expired before it could complete."),
}
