"""What a refusal means, as data: marks (codes and types) first, then phrases, then the status.

Sources: shared/facts/wire-facts.md sections 1 to 10. A mark is compared in lower case.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from shared.core.echo import Heard
from shared.core.outcome import FailureKind as Kind


@dataclass(frozen=True, slots=True)
class Verdict:
    """`scope` and `dead` as in `Failed`; `window` where the mark itself names one."""

    kind: Kind
    scope: str = "lane"
    dead: bool = False
    window: str | None = None


_UNAUTHORIZED = Verdict(Kind.UNAUTHORIZED, "credential", dead=True)
_UNPAID = Verdict(Kind.QUOTA_EXHAUSTED, "credential", dead=True, window="credit")
_MONTH = Verdict(Kind.QUOTA_EXHAUSTED, "credential", window="month")
_DAY = Verdict(Kind.QUOTA_EXHAUSTED, "credential", window="day")
_GONE = Verdict(Kind.MODEL_GONE, dead=True)
_TOO_LONG = Verdict(Kind.TOO_LONG)
_LIMITED = Verdict(Kind.RATE_LIMITED)
_OVERLOADED = Verdict(Kind.OVERLOADED, "deployment")
_FILTERED = Verdict(Kind.FILTERED)
_BAD_ANSWER = Verdict(Kind.MALFORMED_REPLY)
_TIMEOUT = Verdict(Kind.TIMEOUT)
_INVALID = Verdict(Kind.INVALID_REQUEST)
_UNKNOWN = Verdict(Kind.UNKNOWN)
_UNSUITED = Verdict(Kind.UNSUITED)


def _table(*rows: tuple[Verdict, str]) -> Mapping[str, Verdict]:
    return MappingProxyType({mark: verdict for verdict, marks in rows for mark in marks.split()})


# Marks that decide whatever the status is.
MARKS = _table(
    (
        _UNAUTHORIZED,
        (
            "invalid_api_key wrong_api_key api_key_invalid authentication_error authentication "
            "invalid_auth account_deactivated ip_not_authorized "
            "unsupported_country_region_territory organization_restricted accessdenied "
            "service_disabled consumer_suspended "
            "api_key_service_blocked api_key_http_referrer_blocked api_key_ip_address_blocked"
        ),
    ),
    (
        _UNPAID,
        (
            "insufficient_quota credit_balance_exhausted billing_hard_limit_reached "
            "billing_not_active billing_error payment_required asr_payment_required "
            "openrouter_credits"
        ),
    ),
    (
        _MONTH,
        (
            "organization_spend_limit_exceeded project_spend_limit_exceeded "
            "organization_usage_limit_exceeded enforced_spend_limit_reached "
            "contract_spend_limit_reached openrouter_guardrail_budget openrouter_workspace_budget "
            "openrouter_key_limit"
        ),
    ),
    (_DAY, "3036 4006"),
    # of the account's free models, which share one window: its paid ones go on
    (Verdict(Kind.QUOTA_EXHAUSTED, window="day"), "openrouter_free_tier_daily"),
    (
        _GONE,
        (
            "model_not_found model_decommissioned model_not_available model_not_supported "
            "invalid_model 1500 deploymentnotfound not_found_error model_permission_blocked_org "
            "model_permission_blocked_project 5007 3042"
        ),
    ),
    (
        _TOO_LONG,
        (
            "context_length_exceeded exceed_context_size_error string_above_max_length "
            "max_tokens_exceeded token_limit_exceeded 3051"
        ),
    ),
    (
        _OVERLOADED,
        (
            "service_tier_capacity_exceeded 3505 server_is_overloaded service_unavailable_error "
            "overloaded_error queue_exceeded engine_overloaded provider_overloaded "
            "provider_unavailable unavailable unavailable_error capacity_exceeded 3040"
        ),
    ),
    (Verdict(Kind.RATE_LIMITED, "credential"), "openrouter_in_flight_budget"),
    # a field this model does not take; more than this account can pay for at once
    (_UNSUITED, "unsupported_parameter unsupported_value weight_exceeds_budget"),
    (
        _FILTERED,
        (
            "content_filter content_policy_violation responsibleaipolicyviolation invalid_prompt "
            "refusal moderation_blocked"
        ),
    ),
    (_BAD_ANSWER, "tool_use_failed json_validate_failed"),
    (_INVALID, "request_too_large"),  # Anthropic's, of bytes: no other key or model takes more
    (_TIMEOUT, "timeout_error timeout deadline_exceeded"),
)
# Numbers that mean something else elsewhere.
_WIRE_MARKS: Mapping[tuple[str, str], Verdict] = MappingProxyType(
    {("cloudflare", code): _UNAUTHORIZED for code in ("10000", "9109", "3023")}
)
# Marks that mean a limit only where the status does not say something else.
LIMIT_MARKS = _table(
    (
        _LIMITED,
        (
            "rate_limit_exceeded rate_limited rate_limit_error resource_exhausted slow_down "
            "too_many_requests too_many_requests_error request_quota_exceeded token_quota_exceeded "
            "ratelimitreached ramp_limit_exceeded quota_exceeded 1300"
        ),
    ),
)

_TOO_LONG_PHRASES = re.compile(
    r"maximum context length|context_length_exceeded|context length|prompt is too long"
    r"|input token count exceeds|exceeds the available context size"
    r"|exceed_context_size|reduce the length of the messages|current length is .{1,40} while limit"
    r"|request too large|exceed context limit|model_length|string too long"
    r"|tokens in request more than max tokens allowed|size limit exceeded",
    re.IGNORECASE,
)
# Of a prompt; in a 429 it is those of a minute or a day (Cerebras).
_TOO_MANY_PHRASES = re.compile(r"too many tokens", re.IGNORECASE)
_KEY_PHRASES = re.compile(
    r"api key not (?:valid|found)|api key expired|incorrect api key|invalid api (?:key|token)"
    r"|no api key supplied|reported as leaked|organization has been restricted"
    r"|user location is not supported|has been suspended|organization has been disabled"
    r"|not allowed for this organization",
    re.IGNORECASE,
)
_UNPAID_PHRASES = re.compile(
    r"credit balance is too low|account balance is negative|insufficient (?:balance|credit|funds)"
    r"|prepaid credits|purchase (?:more )?credits|no credits",
    re.IGNORECASE,
)
_MONTH_PHRASES = re.compile(
    r"specified api usage limits|calls? ?/ ?month|per month|monthly (?:included )?"
    r"(?:credits|limit|usage|spend)",
    re.IGNORECASE,
)
_GONE_PHRASES = re.compile(
    r"model .{0,80}(?:not found|does not exist|not supported|decommissioned|retired)"
    r"|limit: 0\b|must be verified|requires a subscription|no endpoints found"
    r"|billing .{0,40}(?:needed|required|to be enabled)|enable billing",
    re.IGNORECASE,
)
_FILTER_PHRASES = re.compile(
    r"content (?:management )?policy|content[_ ]filter|safety system|flagged", re.IGNORECASE
)
_UNSUITED_PHRASES = re.compile(
    r"does(?: not|n't) support (?:tools?|functions?|images?|vision|audio)\b"
    r"|no endpoints found that (?:support|can handle)",
    re.IGNORECASE,
)
_SCOPE_PHRASES = re.compile(r"missing scopes|insufficient permissions", re.IGNORECASE)
_BUSY_PHRASES = re.compile(r"experiencing high demand|model (?:is )?busy", re.IGNORECASE)
# No other job is touched by these.
OF_THE_JOB = frozenset({Kind.TOO_LONG, Kind.FILTERED, Kind.UNSUITED})
# In the order they are asked, for the statuses they are believed at.
PHRASES: tuple[tuple[frozenset[int], re.Pattern[str], Verdict], ...] = (
    (frozenset({400, 403}), _KEY_PHRASES, _UNAUTHORIZED),
    (frozenset({401, 403}), _SCOPE_PHRASES, _GONE),
    (frozenset({400, 404}), _UNSUITED_PHRASES, _UNSUITED),
    (frozenset({400, 402, 403, 429}), _UNPAID_PHRASES, _UNPAID),
    (frozenset({400, 402, 429}), _MONTH_PHRASES, _MONTH),
    (frozenset({400, 403, 404, 422, 429}), _GONE_PHRASES, _GONE),
    (frozenset({400, 413, 422, 429, 500}), _TOO_LONG_PHRASES, _TOO_LONG),
    (frozenset({400, 413, 422, 500}), _TOO_MANY_PHRASES, _TOO_LONG),
    (frozenset({400, 403, 422}), _FILTER_PHRASES, _FILTERED),
    (frozenset({429}), _BUSY_PHRASES, _OVERLOADED),
)

STATUSES: Mapping[int, Verdict] = MappingProxyType(
    {
        400: _INVALID,
        401: _UNAUTHORIZED,
        402: _UNPAID,
        403: _GONE,
        404: _GONE,
        405: _INVALID,
        406: _INVALID,
        408: _TIMEOUT,
        409: _OVERLOADED,
        410: _GONE,
        412: _UNAUTHORIZED,
        413: _INVALID,
        415: _INVALID,
        422: _INVALID,
        424: _OVERLOADED,
        425: _OVERLOADED,
        429: _LIMITED,
        498: _OVERLOADED,
        499: _UNKNOWN,
        501: _GONE,
        504: _TIMEOUT,
        524: _TIMEOUT,
    }
)
_WIRE_STATUSES: Mapping[tuple[str, int], Verdict] = MappingProxyType(
    {
        ("cohere", 403): _UNAUTHORIZED,
        ("cohere", 498): _FILTERED,
        ("gemini", 403): _UNAUTHORIZED,
        ("huggingface", 402): _MONTH,
        ("deepinfra", 405): _GONE,
    }
)
SERVER_ERROR = 500
_UNPAID_STATUS = 402  # Gemini marks it RESOURCE_EXHAUSTED, as it does a limit


def judge(
    wire: str, status: int, marks: tuple[str, ...], text: str, heard: Heard | None = None
) -> Verdict:
    """The verdict on a refusal. Unknown is a failure that is tried again, never a success.

    What concerns others than the caller is believed only of `heard`, the provider's own words.
    """
    heard = heard or Heard(text)
    for mark in marks:
        if verdict := _WIRE_MARKS.get((wire, mark)) or MARKS.get(mark):
            return verdict
    for statuses, phrase, verdict in PHRASES:
        own = verdict.kind in OF_THE_JOB
        if status in statuses and (phrase.search(text) if own else heard.says(phrase)):
            return verdict
    if status < SERVER_ERROR and status != _UNPAID_STATUS:
        for mark in marks:
            if verdict := LIMIT_MARKS.get(mark):
                return verdict
    if verdict := _WIRE_STATUSES.get((wire, status)) or STATUSES.get(status):
        return verdict
    return _OVERLOADED if status >= SERVER_ERROR else _UNKNOWN
