"""Replies in providers' own formats, as recorded in shared/facts/wire-facts.md and wire-chat.md."""

from dataclasses import dataclass, field
from typing import Any

import orjson

from shared.core.outcome import FailureKind as Kind


@dataclass(frozen=True)
class Refusal:
    """What a provider answered, and what it must be taken for."""

    name: str
    type: str
    status: int
    body: Any
    kind: Kind
    headers: dict[str, str] = field(default_factory=dict)
    expect: dict[str, Any] = field(default_factory=dict)

    @property
    def raw(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else orjson.dumps(self.body)


def openai(message: str, code: str | None, kind: str = "invalid_request_error", param: Any = None):
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def groq_limit(window: str, again: str = " Please try again in 28m55.34s. ...") -> dict[str, Any]:
    message = (
        "Rate limit reached for model `openai/gpt-oss-120b` in organization `org_x` service tier "
        f"`on_demand` on {window}: Limit 200000, Used 199503, Requested 4514.{again}"
    )
    return {"error": {"message": message, "type": "tokens", "code": "rate_limit_exceeded"}}


def gemini(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "status": status, "details": [*details]}}


def quota(quota_id: str, value: str, metric: str = "free_tier_requests") -> dict[str, Any]:
    return {
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [
            {
                "quotaMetric": f"generativelanguage.googleapis.com/generate_content_{metric}",
                "quotaId": quota_id,
                "quotaDimensions": {"location": "global", "model": "gemini-3.8-flash"},
                "quotaValue": value,
            }
        ],
    }


def reason(word: str) -> dict[str, Any]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": word}


RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "38.2s"}
PER_DAY = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
PER_MINUTE = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
TOKENS_PER_MINUTE = "GenerateContentInputTokensPerModelPerMinute-FreeTier"
EXCEEDED = "You exceeded your current quota, please check your plan and billing details."


def mistral(message: Any, kind: str, code: str) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


def anthropic(kind: str, message: str = "words", **details: str) -> dict[str, Any]:
    error: dict[str, Any] = {"type": kind, "message": message}
    if details:
        error["details"] = details
    return {"type": "error", "error": error, "request_id": "req_1"}


def openrouter(code: int, message: str, **metadata: Any) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "metadata": metadata}, "user_id": "u"}


GROQ = [
    Refusal("bad field", "groq", 400, openai("no", None), Kind.INVALID_REQUEST),
    Refusal("bad tool call", "groq", 400, openai("x", "tool_use_failed"), Kind.MALFORMED_REPLY),
    Refusal("bad json", "groq", 400, openai("x", "json_validate_failed"), Kind.MALFORMED_REPLY),
    Refusal("context", "groq", 400, openai("x", "context_length_exceeded"), Kind.TOO_LONG),
    Refusal(
        "context prose",
        "groq",
        400,
        openai("Please reduce the length of the messages or completion.", None),
        Kind.TOO_LONG,
    ),
    Refusal("decommissioned", "groq", 400, openai("x", "model_decommissioned"), Kind.MODEL_GONE),
    Refusal("restricted", "groq", 400, openai("x", "organization_restricted"), Kind.UNAUTHORIZED),
    Refusal(
        "bad key", "groq", 401, openai("Invalid API Key", "invalid_api_key"), Kind.UNAUTHORIZED
    ),
    Refusal(
        "blocked model",
        "groq",
        403,
        openai("x", "model_permission_blocked_project"),
        Kind.MODEL_GONE,
    ),
    Refusal("no model", "groq", 404, openai("x", "model_not_found"), Kind.MODEL_GONE),
    Refusal(
        "larger than TPM",
        "groq",
        413,
        openai(
            "Request too large for model `x` in organization `o` on tokens per minute (TPM): "
            "Limit 8000, Requested 12000, please reduce your message size and try again.",
            "rate_limit_exceeded",
            "tokens",
        ),
        Kind.TOO_LONG,
        expect={"window": "tpm", "limit": 8_000},
    ),
    Refusal("body too large", "groq", 413, b"Request Entity Too Large", Kind.INVALID_REQUEST),
    Refusal("semantic", "groq", 422, openai("no", None), Kind.INVALID_REQUEST),
    Refusal("dependency", "groq", 424, openai("no", None), Kind.OVERLOADED),
    Refusal(
        "TPM",
        "groq",
        429,
        groq_limit("tokens per minute (TPM)", " Please try again in 7.66s."),
        Kind.RATE_LIMITED,
        {"retry-after": "8"},
        {"window": "tpm", "limit": 200_000, "retry_after_ms": 7_660},
    ),
    Refusal(
        "TPD",
        "groq",
        429,
        groq_limit("tokens per day (TPD)"),
        Kind.QUOTA_EXHAUSTED,
        {"retry-after": "1736"},
        {"window": "tpd", "limit": 200_000, "retry_after_ms": 1_735_340, "scope": "lane"},
    ),
    Refusal("flex capacity", "groq", 498, openai("capacity", None), Kind.OVERLOADED),
    Refusal("over capacity", "groq", 503, openai("over capacity", None), Kind.OVERLOADED),
]
OPENAI = [
    Refusal(
        "context",
        "openai",
        400,
        openai("This model's maximum context length is 128000 tokens.", "context_length_exceeded"),
        Kind.TOO_LONG,
    ),
    Refusal(
        "parameter",
        "openai",
        400,
        openai("Unsupported parameter: 'top_p'", "unsupported_parameter", param="top_p"),
        Kind.UNSUITED,
        expect={"param": "top_p", "code": "unsupported_parameter"},
    ),
    Refusal("policy", "openai", 400, openai("x", "content_policy_violation"), Kind.FILTERED),
    Refusal(
        "unverified",
        "openai",
        400,
        openai("Your organization must be verified to use the model", None),
        Kind.MODEL_GONE,
    ),
    Refusal(
        "key", "openai", 401, openai("Incorrect API key", "invalid_api_key"), Kind.UNAUTHORIZED
    ),
    Refusal(
        "country",
        "openai",
        403,
        openai("x", "unsupported_country_region_territory"),
        Kind.UNAUTHORIZED,
    ),
    Refusal("model", "openai", 404, openai("x", "model_not_found"), Kind.MODEL_GONE),
    Refusal(
        "rpm",
        "openai",
        429,
        openai(
            "Rate limit reached for gpt-5 in organization org-x on requests per min (RPM): "
            "Limit 3, Used 3, Requested 1. Please try again in 20s.",
            "rate_limit_exceeded",
            "requests",
        ),
        Kind.RATE_LIMITED,
        {"retry-after-ms": "19500"},
        {"window": "rpm", "limit": 3, "retry_after_ms": 20_000},
    ),
    Refusal(
        "no prose",
        "openai",
        429,
        openai("slow down", "slow_down"),
        Kind.RATE_LIMITED,
        {"retry-after": "4", "retry-after-ms": "3200"},
        {"retry_after_ms": 3_200},
    ),
    Refusal(
        "headers only",
        "openai",
        429,
        openai("limit", "rate_limit_exceeded"),
        Kind.RATE_LIMITED,
        {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "59",
            "x-ratelimit-reset-requests": "1s",
            "x-ratelimit-limit-tokens": "1000",
            "x-ratelimit-remaining-tokens": "0",
            "x-ratelimit-reset-tokens": "6.5s",
        },
        {"window": "tokens", "retry_after_ms": 6_500},
    ),
    Refusal(
        "unpaid",
        "openai",
        429,
        openai(EXCEEDED, "insufficient_quota", "insufficient_quota"),
        Kind.QUOTA_EXHAUSTED,
        expect={"scope": "credential", "dead": True, "window": "credit"},
    ),
    Refusal(
        "spend limit",
        "openai",
        429,
        openai("x", "organization_spend_limit_exceeded"),
        Kind.QUOTA_EXHAUSTED,
        expect={"scope": "credential", "dead": False},
    ),
    Refusal("500", "openai", 500, openai("x", None, "server_error"), Kind.OVERLOADED),
    Refusal("503", "openai", 503, openai("x", "server_is_overloaded"), Kind.OVERLOADED),
]
GEMINI = [
    Refusal(
        "per day",
        "gemini",
        429,
        [gemini(429, "RESOURCE_EXHAUSTED", EXCEEDED, quota(PER_DAY, "20"), RETRY_INFO)],
        Kind.QUOTA_EXHAUSTED,
        expect={"window": "rpd", "limit": 20, "retry_after_ms": 22 * 3_600_000},
    ),
    Refusal(
        "per minute",
        "gemini",
        429,
        [gemini(429, "RESOURCE_EXHAUSTED", EXCEEDED, quota(PER_MINUTE, "5"), RETRY_INFO)],
        Kind.RATE_LIMITED,
        expect={"window": "rpm", "limit": 5, "retry_after_ms": 38_200},
    ),
    Refusal(
        "tokens per minute",
        "gemini",
        429,
        gemini(
            429,
            "RESOURCE_EXHAUSTED",
            EXCEEDED,
            quota(TOKENS_PER_MINUTE, "250000", "free_tier_input_token_count"),
        ),
        Kind.RATE_LIMITED,
        expect={"window": "tpm", "limit": 250_000, "retry_after_ms": 60_000},
    ),
    Refusal(
        "no free quota",
        "gemini",
        429,
        gemini(429, "RESOURCE_EXHAUSTED", EXCEEDED, quota(PER_DAY, "0"), RETRY_INFO),
        Kind.MODEL_GONE,
    ),
    Refusal(
        "bad key",
        "gemini",
        400,
        [gemini(400, "INVALID_ARGUMENT", "API key not valid.", reason("API_KEY_INVALID"))],
        Kind.UNAUTHORIZED,
    ),
    Refusal(
        "too long",
        "gemini",
        400,
        gemini(
            400,
            "INVALID_ARGUMENT",
            "The input token count exceeds the maximum number of tokens allowed (1048576).",
        ),
        Kind.TOO_LONG,
    ),
    Refusal(
        "schema",
        "gemini",
        400,
        gemini(400, "INVALID_ARGUMENT", "Unknown name"),
        Kind.INVALID_REQUEST,
    ),
    Refusal(
        "location",
        "gemini",
        400,
        gemini(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
        Kind.UNAUTHORIZED,
    ),
    Refusal(
        "leaked",
        "gemini",
        403,
        gemini(403, "PERMISSION_DENIED", "Your API key was reported as leaked."),
        Kind.UNAUTHORIZED,
    ),
    Refusal(
        "no model",
        "gemini",
        404,
        [gemini(404, "NOT_FOUND", "models/x is not found")],
        Kind.MODEL_GONE,
    ),
    Refusal(
        "busy",
        "gemini",
        503,
        gemini(503, "UNAVAILABLE", "The model is overloaded."),
        Kind.OVERLOADED,
        expect={"scope": "deployment"},
    ),
    Refusal("slow", "gemini", 504, gemini(504, "DEADLINE_EXCEEDED", "x"), Kind.TIMEOUT),
    Refusal("internal", "gemini", 500, gemini(500, "INTERNAL", "x"), Kind.OVERLOADED),
    Refusal("cancelled", "gemini", 499, gemini(499, "CANCELLED", "x"), Kind.UNKNOWN),
    Refusal(
        "tokens per day",
        "gemini",
        429,
        gemini(
            429,
            "RESOURCE_EXHAUSTED",
            EXCEEDED,
            quota("GenerateContentInputTokensPerModelPerDay", "1000000", "input_token_count"),
            RETRY_INFO,
        ),
        Kind.QUOTA_EXHAUSTED,
        expect={"window": "tpd", "limit": 1_000_000, "retry_after_ms": 22 * 3_600_000},
    ),
    Refusal(
        "a minute's and a day's quota",
        "gemini",
        429,
        gemini(
            429,
            "RESOURCE_EXHAUSTED",
            EXCEEDED,
            quota(PER_MINUTE, "5"),
            quota(PER_DAY, "20"),
            RETRY_INFO,
        ),
        Kind.QUOTA_EXHAUSTED,
        expect={"window": "rpd", "scope": "lane", "retry_after_ms": 22 * 3_600_000},
    ),
    Refusal(
        "no free quota, in words only",
        "gemini",
        429,
        gemini(429, "RESOURCE_EXHAUSTED", f"{EXCEEDED} Quota exceeded for metric: x, limit: 0"),
        Kind.MODEL_GONE,
    ),
    Refusal(
        "expired key",
        "gemini",
        400,
        gemini(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key."),
        Kind.UNAUTHORIZED,
        expect={"scope": "credential", "dead": True},
    ),
    Refusal(
        "unknown key",
        "gemini",
        400,
        gemini(400, "INVALID_ARGUMENT", "API Key not found. Please pass a valid API key."),
        Kind.UNAUTHORIZED,
    ),
    Refusal(
        "billing needed",
        "gemini",
        400,
        gemini(
            400,
            "FAILED_PRECONDITION",
            "Gemini API free tier is not available in your country. Please enable billing on your "
            "project in Google AI Studio.",
        ),
        Kind.MODEL_GONE,
        expect={"scope": "lane", "dead": True},
    ),
    Refusal(
        "no signature",
        "gemini",
        400,
        gemini(
            400,
            "INVALID_ARGUMENT",
            "Function call is missing a thought_signature in functionCall parts.",
        ),
        Kind.INVALID_REQUEST,
    ),
    Refusal(
        "unpaid",
        "gemini",
        402,
        gemini(402, "RESOURCE_EXHAUSTED", "Your balance is used up."),
        Kind.QUOTA_EXHAUSTED,
        expect={"scope": "credential", "dead": True, "window": "credit"},
    ),
    Refusal(
        "service not enabled",
        "gemini",
        403,
        gemini(403, "PERMISSION_DENIED", "x", reason("SERVICE_DISABLED")),
        Kind.UNAUTHORIZED,
    ),
    Refusal(
        "suspended",
        "gemini",
        403,
        gemini(403, "PERMISSION_DENIED", "x", reason("CONSUMER_SUSPENDED")),
        Kind.UNAUTHORIZED,
    ),
    Refusal(
        "forbidden",
        "gemini",
        403,
        gemini(403, "PERMISSION_DENIED", "The caller does not have permission"),
        Kind.UNAUTHORIZED,
        expect={"scope": "credential", "dead": True},
    ),
]
MISTRAL = [
    Refusal(
        "rate",
        "mistral",
        429,
        mistral("Rate limit exceeded", "rate_limited", "1300"),
        Kind.RATE_LIMITED,
        {"x-ratelimit-limit-req-minute": "60", "x-ratelimit-remaining-req-minute": "0"},
        {"window": "rpm", "retry_after_ms": 60_000},
    ),
    Refusal("bare", "mistral", 429, {"message": "Requests rate limit exceeded"}, Kind.RATE_LIMITED),
    Refusal(
        "capacity",
        "mistral",
        429,
        mistral("Service tier capacity exceeded", "service_tier_capacity_exceeded", "3505"),
        Kind.OVERLOADED,
        expect={"scope": "deployment"},
    ),
    Refusal(
        "month",
        "mistral",
        429,
        mistral("Rate limit exceeded", "rate_limited", "1300"),
        Kind.QUOTA_EXHAUSTED,
        {"x-ratelimit-limit-tokens-month": "10", "x-ratelimit-remaining-tokens-month": "0"},
        {"scope": "credential", "window": "tokens_per_month"},
    ),
    Refusal(
        "not on the plan",
        "mistral",
        429,
        mistral("Rate limit exceeded", "rate_limited", "1300"),
        Kind.MODEL_GONE,
        {"x-ratelimit-limit-req-minute": "0"},
    ),
    Refusal("model", "mistral", 400, mistral("x", "invalid_model", "1500"), Kind.MODEL_GONE),
    Refusal("key", "mistral", 401, {"detail": "Unauthorized"}, Kind.UNAUTHORIZED),
    Refusal(
        "validation",
        "mistral",
        422,
        mistral({"detail": [{"loc": ["body", "n"], "msg": "too many", "type": "v"}]}, "x", "1"),
        Kind.INVALID_REQUEST,
        expect={"message": "too many"},
    ),
]
COHERE = [
    Refusal(
        "trial",
        "cohere",
        429,
        {"id": "x", "message": "You are using a Trial key, limited to 20 API calls / minute."},
        Kind.RATE_LIMITED,
        expect={"window": "rpm", "limit": 20, "retry_after_ms": 60_000},
    ),
    Refusal(
        "month",
        "cohere",
        429,
        {"id": "x", "message": "You are using a Trial key, limited to 1000 API calls / month."},
        Kind.QUOTA_EXHAUSTED,
        expect={  # from 2 August, 9:00 UTC
            "scope": "credential",
            "window": "month",
            "limit": 1000,
            "retry_after_ms": (29 * 24 + 15) * 3_600_000,
        },
    ),
    Refusal(
        "forty a minute",
        "cohere",
        429,
        {"message": "You are using a Trial key, which is limited to 40 API calls / minute."},
        Kind.RATE_LIMITED,
        expect={"window": "rpm", "limit": 40, "scope": "lane", "retry_after_ms": 60_000},
    ),
    Refusal("key", "cohere", 401, {"message": "invalid api token"}, Kind.UNAUTHORIZED),
    Refusal("model", "cohere", 404, {"message": "model 'x' not found, make sure"}, Kind.MODEL_GONE),
    Refusal("long", "cohere", 400, {"message": "too many tokens: 5"}, Kind.TOO_LONG),
    Refusal("deny-listed", "cohere", 498, {"message": "x"}, Kind.FILTERED),
    Refusal(
        "tokens",
        "cohere",
        429,
        {"message": "trial token rate limit exceeded, limit is 100000 tokens per minute"},
        Kind.RATE_LIMITED,
        expect={"window": "tpm", "limit": 100_000, "retry_after_ms": 60_000},
    ),
    Refusal(
        "no figures",
        "cohere",
        429,
        {"message": "Please wait and try again later"},
        Kind.RATE_LIMITED,
        expect={"retry_after_ms": 60_000, "scope": "lane"},
    ),
    Refusal("size", "cohere", 400, {"message": "size limit exceeded"}, Kind.TOO_LONG),
    Refusal("bad", "cohere", 400, {"message": "invalid request: x"}, Kind.INVALID_REQUEST),
    Refusal("no key", "cohere", 401, {"message": "no api key supplied"}, Kind.UNAUTHORIZED),
    Refusal("unpaid", "cohere", 402, {"message": "x"}, Kind.QUOTA_EXHAUSTED, expect={"dead": True}),
    Refusal(
        "region", "cohere", 403, {"message": "x"}, Kind.UNAUTHORIZED, expect={"scope": "credential"}
    ),
    Refusal("semantic", "cohere", 422, {"message": "x"}, Kind.INVALID_REQUEST),
    Refusal("cancelled", "cohere", 499, {"message": "x"}, Kind.UNKNOWN),
    Refusal("endpoint", "cohere", 501, {"message": "not implemented"}, Kind.MODEL_GONE),
    *(Refusal(str(code), "cohere", code, {"message": "x"}, Kind.OVERLOADED) for code in (500, 503)),
    Refusal("slow", "cohere", 504, {"message": "x"}, Kind.TIMEOUT, expect={"uncertain": True}),
]
INVALID = "invalid_request_error"
ANTHROPIC_HEADERS = {
    "anthropic-ratelimit-requests-limit": "50",
    "anthropic-ratelimit-requests-remaining": "49",
    "anthropic-ratelimit-requests-reset": "2025-08-21T12:40:59Z",
    "anthropic-ratelimit-input-tokens-limit": "30000",
    "anthropic-ratelimit-input-tokens-remaining": "0",
    "anthropic-ratelimit-tokens-limit": "38000",
    "anthropic-ratelimit-tokens-remaining": "0",
    "anthropic-ratelimit-tokens-reset": "2099-08-21T12:40:59Z",
    "retry-after": "7",
}
ANTHROPIC = [
    Refusal(
        "limit with headers",
        "anthropic",
        429,
        anthropic("rate_limit_error"),
        Kind.RATE_LIMITED,
        ANTHROPIC_HEADERS,
        {"window": "itpm", "retry_after_ms": 7_000},
    ),
    Refusal(
        "usage limits",
        "anthropic",
        400,
        anthropic(
            INVALID,
            "You have reached your specified API usage limits. You will regain access on "
            "2026-08-09 at 00:00 UTC.",
        ),
        Kind.QUOTA_EXHAUSTED,
        expect={"scope": "credential", "dead": False, "retry_after_ms": (6 * 24 + 15) * 3_600_000},
    ),
    Refusal("bad", "anthropic", 400, anthropic(INVALID), Kind.INVALID_REQUEST),
    Refusal(
        "room",
        "anthropic",
        400,
        anthropic(INVALID, "input length and `max_tokens` exceed context limit: 9 + 8 > 10"),
        Kind.TOO_LONG,
    ),
    Refusal(
        "disabled",
        "anthropic",
        400,
        anthropic(INVALID, "This organization has been disabled."),
        Kind.UNAUTHORIZED,
    ),
    Refusal(
        "billing",
        "anthropic",
        402,
        anthropic("billing_error"),
        Kind.QUOTA_EXHAUSTED,
        expect={"dead": True},
    ),
    Refusal(
        "no right to it",
        "anthropic",
        403,
        anthropic("permission_error", "Your API key does not have permission to use x"),
        Kind.MODEL_GONE,
    ),
    Refusal(
        "oauth",
        "anthropic",
        403,
        anthropic("permission_error", "OAuth is currently not allowed for this organization."),
        Kind.UNAUTHORIZED,
    ),
    Refusal("model", "anthropic", 404, anthropic("not_found_error", "model: x"), Kind.MODEL_GONE),
    Refusal("conflict", "anthropic", 409, anthropic("conflict_error"), Kind.OVERLOADED),
    Refusal(
        "bytes",
        "anthropic",
        413,
        anthropic("request_too_large", "Request too large"),
        Kind.INVALID_REQUEST,
    ),
    Refusal(
        "bytes by its cdn",
        "anthropic",
        413,
        b"<html><title>413 Request Entity Too Large</title></html>",
        Kind.INVALID_REQUEST,
    ),
    *(
        Refusal(
            code,
            "anthropic",
            429,
            anthropic("rate_limit_error", error_code=code),
            Kind.QUOTA_EXHAUSTED,
            expect={"scope": "credential", "window": "month"},
        )
        for code in ("enforced_spend_limit_reached", "contract_spend_limit_reached")
    ),
    Refusal(
        "ramp",
        "anthropic",
        429,
        anthropic("rate_limit_error", error_code="ramp_limit_exceeded"),
        Kind.RATE_LIMITED,
    ),
    Refusal("server", "anthropic", 500, anthropic("api_error"), Kind.OVERLOADED),
    Refusal("slow", "anthropic", 504, anthropic("timeout_error"), Kind.TIMEOUT),
    Refusal(
        "busy",
        "anthropic",
        529,
        anthropic("overloaded_error"),
        Kind.OVERLOADED,
        expect={"scope": "deployment"},
    ),
]
OTHERS = [
    Refusal(
        "anthropic limit",
        "anthropic",
        429,
        anthropic("rate_limit_error"),
        Kind.RATE_LIMITED,
        {"retry-after": "12"},
        {"retry_after_ms": 12_000},
    ),
    Refusal(
        "anthropic spend",
        "anthropic",
        429,
        anthropic("rate_limit_error", error_code="enforced_spend_limit_reached"),
        Kind.QUOTA_EXHAUSTED,
        expect={"scope": "credential"},
    ),
    Refusal(
        "anthropic long",
        "anthropic",
        400,
        anthropic("invalid_request_error", "prompt is too long: 9 tokens > 8 maximum"),
        Kind.TOO_LONG,
    ),
    Refusal(
        "anthropic credit",
        "anthropic",
        400,
        anthropic("invalid_request_error", "Your credit balance is too low"),
        Kind.QUOTA_EXHAUSTED,
        expect={"dead": True},
    ),
    Refusal("anthropic busy", "anthropic", 529, anthropic("overloaded_error"), Kind.OVERLOADED),
    Refusal(
        "anthropic key", "anthropic", 401, anthropic("authentication_error"), Kind.UNAUTHORIZED
    ),
    Refusal(
        "openrouter day",
        "openrouter",
        429,
        openrouter(
            429,
            "Rate limit exceeded: free-models-per-day",
            headers={
                "X-RateLimit-Limit": "50",
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": "1785658140000",
            },
            limit_source="openrouter_free_tier_daily",
        ),
        Kind.QUOTA_EXHAUSTED,
        expect={"scope": "lane", "retry_after_ms": 40_000},
    ),
    Refusal(
        "openrouter upstream",
        "openrouter",
        429,
        openrouter(429, "Provider returned error", raw="temporarily", retry_after_seconds=7),
        Kind.RATE_LIMITED,
        expect={"retry_after_ms": 7_000},
    ),
    Refusal(
        "openrouter credits",
        "openrouter",
        402,
        openrouter(402, "x", limit_source="openrouter_credits"),
        Kind.QUOTA_EXHAUSTED,
        expect={"dead": True},
    ),
    Refusal(
        "cerebras",
        "cerebras",
        429,
        {
            "message": "Requests per minute limit exceeded - too many requests sent.",
            "type": "too_many_requests_error",
            "param": "quota",
            "code": "request_quota_exceeded",
        },
        Kind.RATE_LIMITED,
        expect={"window": "rpm", "retry_after_ms": 60_000},
    ),
    Refusal(
        "cerebras queue",
        "cerebras",
        429,
        {"message": "high traffic", "type": "too_many_requests_error", "code": "queue_exceeded"},
        Kind.OVERLOADED,
    ),
    Refusal(
        "deepseek", "deepseek", 402, openai("Insufficient Balance", None), Kind.QUOTA_EXHAUSTED
    ),
    Refusal("xai", "xai", 400, {"error": "Incorrect API key provided: xa***"}, Kind.UNAUTHORIZED),
    Refusal(
        "nvidia", "nvidia", 429, {"status": 429, "title": "Too Many Requests"}, Kind.RATE_LIMITED
    ),
    Refusal("nvidia model", "nvidia", 404, {"detail": "Function 'x': Not found"}, Kind.MODEL_GONE),
    Refusal(
        "cloudflare",
        "cloudflare",
        429,
        {"success": False, "errors": [{"code": 3036, "message": "daily"}], "result": None},
        Kind.QUOTA_EXHAUSTED,
    ),
    Refusal(
        "vllm",
        "vllm",
        400,
        {"object": "error", "message": "This model's maximum context length is 4096 tokens."},
        Kind.TOO_LONG,
    ),
    Refusal(
        "llama.cpp loading",
        "llamacpp",
        503,
        openai("Loading model", None, "unavailable_error"),
        Kind.OVERLOADED,
    ),
    Refusal(
        "llama.cpp context",
        "llamacpp",
        400,
        openai("x", None, "exceed_context_size_error"),
        Kind.TOO_LONG,
    ),
    Refusal(
        "azure filter",
        "azure",
        400,
        {
            "error": {
                "message": "filtered",
                "code": "content_filter",
                "innererror": {"code": "ResponsibleAIPolicyViolation"},
            }
        },
        Kind.FILTERED,
    ),
    Refusal(
        "azure wait",
        "azure",
        429,
        openai("Please retry after 37 seconds.", "429"),
        Kind.RATE_LIMITED,
        expect={"retry_after_ms": 37_000},
    ),
    Refusal(
        "huggingface",
        "huggingface",
        402,
        {"error": "depleted"},
        Kind.QUOTA_EXHAUSTED,
        expect={"window": "month", "dead": False},
    ),
]


def cloudflare(code: int) -> dict[str, Any]:
    return {"success": False, "errors": [{"code": code, "message": "x"}], "result": None}


def plain(message: str) -> dict[str, Any]:
    return openai(message, None)


def wire(type_: str, status: int, body: Any, kind: Kind, **expect: Any) -> Refusal:
    """A row of the facts that no test above holds, named by its body."""
    headers = expect.pop("headers", {})
    return Refusal(f"{status} {str(body)[:60]}", type_, status, body, kind, headers, expect)


DEAD = {"scope": "credential", "dead": True}
UNPAID = {**DEAD, "window": "credit"}
BUDGET = {"scope": "key", "resets_at": "2026-08-02T14:00:00.000Z"}  # 5 h 51 min 40 s on
TOOLS = "No endpoints found that support tool use. To learn more about provider routing, visit …"
FREE = "Rate limit exceeded: free-models-per"
SPEND = "project_spend_limit_exceeded"
SCOPES = (
    "You have insufficient permissions for this operation. Missing scopes: model.request. Check "
    "that you have the correct role in your organization."
)
ROWS = [
    # 1: Groq
    *(
        wire("groq", 429, groq_limit(f"{named} ({letters})"), kind, window=window, scope="lane")
        for named, letters, window, kind in (
            ("requests per minute", "RPM", "rpm", Kind.RATE_LIMITED),
            ("requests per day", "RPD", "rpd", Kind.QUOTA_EXHAUSTED),
            ("seconds of audio per hour", "ASH", "ash", Kind.RATE_LIMITED),
            ("seconds of audio per day", "ASD", "asd", Kind.QUOTA_EXHAUSTED),
        )
    ),
    wire("groq", 400, openai("x", "organization_restricted"), Kind.UNAUTHORIZED, **DEAD),
    wire("groq", 403, openai("x", "model_permission_blocked_org"), Kind.MODEL_GONE, scope="lane"),
    wire("groq", 499, plain("cancelled"), Kind.UNKNOWN),
    *(wire("groq", status, plain("x"), Kind.OVERLOADED) for status in (500, 502)),
    wire("groq", 504, plain("x"), Kind.TIMEOUT),
    # 2: OpenAI
    wire("openai", 400, openai("x", "unsupported_value"), Kind.UNSUITED),
    wire("openai", 400, openai("x", "invalid_prompt"), Kind.FILTERED),
    wire(
        "openai",
        401,
        plain("You must be a member of an organization to use the API"),
        Kind.UNAUTHORIZED,
        **DEAD,
    ),
    *(
        wire("openai", status, plain(SCOPES), Kind.MODEL_GONE, scope="lane", dead=True)
        for status in (401, 403)
    ),
    wire("openai", 401, openai("x", "ip_not_authorized"), Kind.UNAUTHORIZED, **DEAD),
    wire("openai", 422, plain("x"), Kind.INVALID_REQUEST),
    wire("openai", 429, openai("x", "credit_balance_exhausted"), Kind.QUOTA_EXHAUSTED, **UNPAID),
    *(
        wire("openai", 429, openai("x", code), Kind.QUOTA_EXHAUSTED, window="month", dead=False)
        for code in (SPEND, "organization_usage_limit_exceeded")
    ),
    wire(
        "openai",
        429,
        openai(
            "Request too large for gpt-5 in organization org-x on tokens per min (TPM): "
            "Limit 30000, Requested 40123. The input or output tokens must be reduced.",
            "rate_limit_exceeded",
            "tokens",
        ),
        Kind.TOO_LONG,
        window="tpm",
        limit=30_000,
    ),
    wire("openai", 503, plain("The engine is currently overloaded"), Kind.OVERLOADED),
    # 3: Gemini
    wire(
        "gemini",
        400,
        gemini(400, "FAILED_PRECONDITION", "User location is not supported for the API use."),
        Kind.UNAUTHORIZED,
        **DEAD,
    ),
    # 5: Mistral
    wire(
        "mistral",
        400,
        mistral(
            "Prompt contains 9000 tokens and 0 draft tokens, too large for model with 8192 "
            "maximum context length",
            "invalid_request_prompt",
            "3051",
        ),
        Kind.TOO_LONG,
    ),
    wire(
        "mistral",
        400,
        mistral("Expected last role User or Tool", "invalid_request_message_order", "3230"),
        Kind.INVALID_REQUEST,
    ),
    wire("mistral", 401, {"message": "Unauthorized", "request_id": "x"}, Kind.UNAUTHORIZED, **DEAD),
    wire("mistral", 402, {"message": "payment required"}, Kind.QUOTA_EXHAUSTED, **UNPAID),
    wire("mistral", 403, {"message": "not on your tier"}, Kind.MODEL_GONE, scope="lane"),
    wire("mistral", 404, {"detail": "Not Found"}, Kind.MODEL_GONE, scope="lane"),
    *(wire("mistral", status, {"message": "x"}, Kind.OVERLOADED) for status in (500, 502, 503)),
    # 7: OpenRouter
    wire(
        "openrouter",
        429,
        openrouter(429, f"{FREE}-min. ", headers={"X-RateLimit-Reset": "1785658140000"}),
        Kind.RATE_LIMITED,
        window="rpm",
        scope="lane",
    ),
    wire(
        "openrouter",
        429,
        openrouter(429, f"{FREE}-day-high-balance. ", limit_source="openrouter_free_tier_daily"),
        Kind.QUOTA_EXHAUSTED,
        scope="lane",
        dead=False,
        retry_after_ms=(24 * 3600 - 8 * 3600 - 8 * 60 - 20) * 1_000,  # 00:00 UTC
    ),
    wire(
        "openrouter",
        402,
        openrouter(402, "x", limit_source="openrouter_in_flight_budget"),
        Kind.RATE_LIMITED,
        headers={"retry-after": "3"},
        scope="credential",
        dead=False,
        retry_after_ms=3_000,
    ),
    wire(
        "openrouter",
        402,
        openrouter(402, "This request requires more", limit_source="weight_exceeds_budget"),
        Kind.UNSUITED,
        dead=False,
    ),
    *(
        wire(
            "openrouter",
            403,
            openrouter(403, "exceeded", limit_source=f"openrouter_{source}", **BUDGET),
            Kind.QUOTA_EXHAUSTED,
            scope="credential",
            dead=False,
            window="month",
            retry_after_ms=21_100_000,
        )
        for source in ("guardrail_budget", "workspace_budget", "key_limit")
    ),
    wire(
        "openrouter",
        403,
        openrouter(403, "It needs a look", reasons=["violence"], flagged_input="…"),
        Kind.FILTERED,
        dead=False,
    ),
    wire("openrouter", 404, openrouter(404, TOOLS), Kind.UNSUITED, dead=False),
    wire("openrouter", 404, openrouter(404, "No endpoints found for x."), Kind.MODEL_GONE),
    wire("openrouter", 401, openrouter(401, "User not found."), Kind.UNAUTHORIZED, **DEAD),
    wire("openrouter", 408, openrouter(408, "x"), Kind.TIMEOUT),
    *(wire("openrouter", at, openrouter(at, "x"), Kind.INVALID_REQUEST) for at in (400, 413, 422)),
    *(wire("openrouter", at, openrouter(at, "x"), Kind.OVERLOADED) for at in (500, 502, 503, 529)),
    wire("openrouter", 524, openrouter(524, "x"), Kind.TIMEOUT),
    # 8: Cerebras, whose errors may stand at the top
    wire(
        "cerebras",
        429,
        {
            "message": "Tokens per day limit exceeded - too many tokens processed.",
            "type": "too_many_tokens_error",
            "param": "quota",
            "code": "token_quota_exceeded",
        },
        Kind.QUOTA_EXHAUSTED,
        window="tpd",
        scope="lane",
    ),
    wire(
        "cerebras",
        429,
        {"message": "Tokens per minute limit exceeded - too many tokens processed."},
        Kind.RATE_LIMITED,
        window="tpm",
        retry_after_ms=60_000,
    ),
    wire("cerebras", 400, {"message": "Current length is 9 while limit is 8"}, Kind.TOO_LONG),
    wire("cerebras", 401, {"message": "x", "code": "wrong_api_key"}, Kind.UNAUTHORIZED, **DEAD),
    wire("cerebras", 402, {"message": "x"}, Kind.QUOTA_EXHAUSTED, **UNPAID),
    wire("cerebras", 404, {"message": "x", "code": "model_not_found"}, Kind.MODEL_GONE),
    wire("cerebras", 503, {"message": "busy"}, Kind.OVERLOADED),
    # 9: others
    wire("sambanova", 400, plain("Model not found"), Kind.MODEL_GONE, scope="lane"),
    wire("sambanova", 429, {"error": "Rate limit exceeded"}, Kind.RATE_LIMITED),
    wire("together", 404, openai("x", "model_not_available"), Kind.MODEL_GONE, scope="lane"),
    wire("together", 402, plain("Credit limit exceeded"), Kind.QUOTA_EXHAUSTED, **UNPAID),
    wire("together", 503, plain("x"), Kind.OVERLOADED),
    wire("fireworks", 412, plain("Account suspended"), Kind.UNAUTHORIZED, **DEAD),
    wire(
        "fireworks",
        404,
        plain("Model not found, inaccessible, and/or not deployed"),
        Kind.MODEL_GONE,
        scope="lane",
    ),
    wire("deepseek", 422, plain("x"), Kind.INVALID_REQUEST),
    wire("xai", 403, plain("Your team has no credits"), Kind.QUOTA_EXHAUSTED, **UNPAID),
    wire("xai", 403, plain("no permission"), Kind.MODEL_GONE, scope="lane"),
    wire("nvidia", 402, {"detail": "x"}, Kind.QUOTA_EXHAUSTED, **UNPAID),
    *(
        wire("cloudflare", status, cloudflare(code), kind, **expect)
        for status, code, kind, expect in (
            (429, 3036, Kind.QUOTA_EXHAUSTED, {"scope": "credential", "dead": False}),
            (429, 4006, Kind.QUOTA_EXHAUSTED, {"retry_after_ms": 15 * 3_600_000}),
            (429, 3040, Kind.OVERLOADED, {"scope": "deployment"}),
            (403, 10_000, Kind.UNAUTHORIZED, DEAD),
            (403, 9_109, Kind.UNAUTHORIZED, DEAD),
            (403, 3_023, Kind.UNAUTHORIZED, DEAD),
            (400, 5_007, Kind.MODEL_GONE, {"scope": "lane"}),
            (404, 3_042, Kind.MODEL_GONE, {"scope": "lane"}),
            *(
                (403, code, Kind.MODEL_GONE, {"scope": "lane"})
                for code in (5_035, 5_016, 5_018, 3_041)
            ),
            (413, 3_006, Kind.INVALID_REQUEST, {}),
            (408, 3_007, Kind.TIMEOUT, {}),
            (400, 5_004, Kind.INVALID_REQUEST, {}),
            (405, 5_019, Kind.INVALID_REQUEST, {}),
        )
    ),
    wire("huggingface", 400, openai("x", "model_not_supported"), Kind.MODEL_GONE, scope="lane"),
    wire("huggingface", 410, {"error": "gone"}, Kind.MODEL_GONE, scope="lane"),
    wire("deepinfra", 429, {"detail": "Model busy, retry later"}, Kind.OVERLOADED),
    wire("deepinfra", 405, {"detail": "Method Not Allowed"}, Kind.MODEL_GONE, scope="lane"),
    wire("perplexity", 401, b"<html>401 Authorization Required</html>", Kind.UNAUTHORIZED, **DEAD),
    wire(
        "azure-openai",
        429,
        openai("The system is currently experiencing high demand and cannot", "429"),
        Kind.OVERLOADED,
        scope="deployment",
    ),
    wire("azure-openai", 429, openai("x", "RateLimitReached"), Kind.RATE_LIMITED, scope="lane"),
    wire("azure-openai", 401, openai("x", "AccessDenied"), Kind.UNAUTHORIZED, **DEAD),
    wire("azure-openai", 404, openai("x", "DeploymentNotFound"), Kind.MODEL_GONE, scope="lane"),
    wire("ollama", 503, plain("server busy, maximum pending requests exceeded"), Kind.OVERLOADED),
    wire(
        "ollama",
        404,
        plain("model 'x' not found, try pulling it first"),
        Kind.MODEL_GONE,
        dead=True,
    ),
    wire("ollama", 400, plain("m1 does not support tools"), Kind.UNSUITED, dead=False),
    wire("ollama", 403, plain("this model requires a subscription"), Kind.MODEL_GONE, scope="lane"),
    wire("vllm", 404, plain("The model `x` does not exist."), Kind.MODEL_GONE, scope="lane"),
    wire("llamacpp", 401, openai("x", None, "authentication_error"), Kind.UNAUTHORIZED, **DEAD),
    wire("llamacpp", 501, openai("x", None, "not_supported_error"), Kind.MODEL_GONE, scope="lane"),
    *(
        wire("deepgram", status, {"err_code": code, "err_msg": "x"}, kind)
        for status, code, kind in (
            (429, "TOO_MANY_REQUESTS", Kind.RATE_LIMITED),
            (402, "ASR_PAYMENT_REQUIRED", Kind.QUOTA_EXHAUSTED),
            (401, "INVALID_AUTH", Kind.UNAUTHORIZED),
            (403, "INSUFFICIENT_PERMISSIONS", Kind.MODEL_GONE),
            (413, "x", Kind.INVALID_REQUEST),
            (504, "x", Kind.TIMEOUT),
        )
    ),
]
UNREADABLE = [
    Refusal(f"status {status}", "openai-compatible", status, b"<html>oops</html>", kind)
    for status, kind in (
        (300, Kind.UNKNOWN),
        (302, Kind.UNKNOWN),
        (400, Kind.INVALID_REQUEST),
        (401, Kind.UNAUTHORIZED),
        (402, Kind.QUOTA_EXHAUSTED),
        (403, Kind.MODEL_GONE),
        (404, Kind.MODEL_GONE),
        (405, Kind.INVALID_REQUEST),
        (408, Kind.TIMEOUT),
        (409, Kind.OVERLOADED),
        (410, Kind.MODEL_GONE),
        (413, Kind.INVALID_REQUEST),
        (418, Kind.UNKNOWN),
        (422, Kind.INVALID_REQUEST),
        (429, Kind.RATE_LIMITED),
        (498, Kind.OVERLOADED),
        (500, Kind.OVERLOADED),
        (502, Kind.OVERLOADED),
        (503, Kind.OVERLOADED),
        (504, Kind.TIMEOUT),
        (520, Kind.OVERLOADED),
        (524, Kind.TIMEOUT),
        (529, Kind.OVERLOADED),
        (599, Kind.OVERLOADED),
    )
]
REFUSALS = [
    *(*GROQ, *OPENAI, *GEMINI, *MISTRAL, *ANTHROPIC, *COHERE, *OTHERS, *ROWS, *UNREADABLE),
]
