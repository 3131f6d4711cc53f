"""OpenAI: the limits of the minute in headers, quota and credit as codes of a 429."""

from collections.abc import Mapping

from simulator.dialects import Headers, organisation_of
from simulator.ledger import Account
from simulator.personalities.openai_like import MODEL_GONE, OpenAILike
from simulator.personalities.rows import Row

_INVALID = "invalid_request_error"
_LIMIT = "rate_limit_exceeded"
_QUOTA = "insufficient_quota"
_LIMIT_TEXT = (
    "Rate limit reached for {model} in organization {org} on {what}: Limit {limit}, "
    "Used {limit}, Requested {requested}. Please try again in {wait}."
)
_SPENT = "You exceeded your current quota, please check your plan and billing details."


class OpenAI(OpenAILike):
    """As wire-facts.md 2 tells."""

    dialect = "openai"
    rows: Mapping[str, Row] = {
        "invalid": Row(400, "{message}", _INVALID),
        "too_long": Row(
            400,
            "This model's maximum context length is {limit} tokens. However, you requested "
            "{requested} tokens ({prompt} in the messages, {wanted} in the completion). Please "
            "reduce the length of the messages or completion.",
            _INVALID,
            "context_length_exceeded",
            "messages",
        ),
        "unsupported_parameter": Row(
            400,
            "Unsupported parameter: 'temperature' is not supported with this model.",
            _INVALID,
            "unsupported_parameter",
            "temperature",
        ),
        "unsupported_value": Row(
            400,
            "Unsupported value: 'temperature' does not support 0 with this model.",
            _INVALID,
            "unsupported_value",
            "temperature",
        ),
        "unverified": Row(
            400,
            "Your organization must be verified to use the model `{model}`.",
            _INVALID,
            "unsupported_value",
            "model",
        ),
        "content_policy": Row(
            400,
            "Your request was rejected as a result of our safety system.",
            _INVALID,
            "content_policy_violation",
        ),
        "invalid_prompt": Row(
            400,
            "Invalid prompt: it was flagged as potentially violating our usage policy.",
            _INVALID,
            "invalid_prompt",
        ),
        "unauthorized": Row(
            401, "Incorrect API key provided: sk-sim***.", _INVALID, "invalid_api_key"
        ),
        "not_a_member": Row(
            401, "You must be a member of an organization to use the API.", _INVALID
        ),
        "missing_scopes": Row(
            401,
            "You have insufficient permissions for this operation. Missing scopes: model.request.",
            _INVALID,
        ),
        "ip_not_authorized": Row(
            401, "Your IP is not authorized to access this.", _INVALID, "ip_not_authorized"
        ),
        "region": Row(
            403,
            "Country, region, or territory not supported",
            "request_forbidden",
            "unsupported_country_region_territory",
        ),
        "model_gone": MODEL_GONE,
        "no_route": Row(404, "Invalid URL", _INVALID),
        "conflict": Row(409, "The resource was changed meanwhile.", _INVALID),
        "too_large": Row(413, "The request's body is too large.", _INVALID),
        "audio_too_large": Row(413, "{message}", _INVALID),
        "unprocessable": Row(422, "The request cannot be processed.", _INVALID),
        "rate_limited": Row(
            429,
            _LIMIT_TEXT.replace("{what}", "requests per min (RPM)"),
            "requests",
            _LIMIT,
            retry=True,
        ),
        "tokens_per_minute": Row(
            429,
            _LIMIT_TEXT.replace("{what}", "tokens per min (TPM)"),
            "tokens",
            _LIMIT,
            retry=True,
        ),
        "requests_per_day": Row(
            429,
            _LIMIT_TEXT.replace("{what}", "requests per day (RPD)"),
            "requests",
            _LIMIT,
            retry=True,
        ),
        "request_too_large": Row(
            429,
            "Request too large for {model} in organization {org} on tokens per min (TPM): "
            "Limit {limit}, Requested {requested}. The input or output tokens must be reduced in "
            "order to run successfully.",
            "tokens",
            _LIMIT,
        ),
        "slow_down": Row(
            429,
            "Too many requests in a short time. Please slow down.",
            "rate_limit_error",
            "slow_down",
            retry=True,
        ),
        "insufficient_quota": Row(429, _SPENT, _QUOTA, _QUOTA),
        "credit_balance_exhausted": Row(
            429, "Your credit balance is exhausted.", _QUOTA, "credit_balance_exhausted"
        ),
        "organization_spend_limit": Row(
            429,
            "Your organization has reached its monthly spend limit.",
            _QUOTA,
            "organization_spend_limit_exceeded",
        ),
        "project_spend_limit": Row(
            429,
            "Your project has reached its monthly spend limit.",
            _QUOTA,
            "project_spend_limit_exceeded",
        ),
        "organization_usage_limit": Row(
            429,
            "Your organization has reached its usage limit of this month.",
            _QUOTA,
            "organization_usage_limit_exceeded",
        ),
        "server_error": Row(
            500,
            "The server had an error while processing your request. Sorry about that!",
            "server_error",
            "server_error",
        ),
        "overloaded": Row(
            503,
            "The engine is currently overloaded, please try again later",
            "service_unavailable_error",
            "server_is_overloaded",
            retry=True,
        ),
    }

    def own_headers(self, account: Account | None, number: int) -> Headers:
        """See `Personality`."""
        return [
            (b"x-request-id", b"req_sim%d" % number),
            (b"openai-organization", organisation_of(account).encode()),
            (b"openai-version", b"2020-10-01"),
            (b"openai-processing-ms", b"12"),
        ]
