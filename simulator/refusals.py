"""Errors a provider answers with, as values: status, body, headers."""

from simulator.config import Dialect
from simulator.dialects import Headers, error_body, limit_headers, refusal_answer, retry_headers
from simulator.faults import FaultSpec
from simulator.ledger import Account, Refusal
from simulator.requests import BadRequestError

Answer = tuple[int, bytes, Headers]
_INVALID = "invalid_request_error"


def unauthorized(dialect: Dialect) -> Answer:
    """The key is none of the provider's."""
    message = "Incorrect API key provided: no such key, or it was revoked."
    return 401, error_body(dialect, 401, message, _INVALID, "invalid_api_key"), []


def invalid(dialect: Dialect, bad: BadRequestError) -> Answer:
    """The request is wrong, or names a model that is not there."""
    status = 404 if bad.code == "model_not_found" else 400
    return status, error_body(dialect, status, bad.message, _INVALID, bad.code, bad.param), []


def body_too_large(dialect: Dialect) -> Answer:
    """The body is larger than the provider reads."""
    return 413, error_body(dialect, 413, "The request's body is too large.", _INVALID, None), []


def no_such_model(dialect: Dialect, name: str) -> Answer:
    """There is no model of this name."""
    message = f"The model `{name}` does not exist or you do not have access to it."
    return invalid(dialect, BadRequestError(message, "model", "model_not_found"))


def over_limit(account: Account, refusal: Refusal, now_us: int) -> Answer:
    """A window or a gate did not admit the call."""
    status, body, headers = refusal_answer(account, refusal)
    return status, body, headers + limit_headers(account, now_us)


def server_error(dialect: Dialect, fault: FaultSpec) -> bytes:
    """The body of an error a fault puts where an answer belongs."""
    message = fault.message or "The server had an error while processing your request."
    return error_body(dialect, fault.status, message, "server_error", fault.code or "server_error")


def by_fault(account: Account, fault: FaultSpec, now_us: int) -> Answer:
    """What a fault that strikes before the quota answers; it spends nothing."""
    dialect = account.provider.dialect
    retry = retry_headers(dialect, fault.retry_after_us)
    headers = limit_headers(account, now_us)
    match fault.kind:
        case "rate_limited":
            message = fault.message or "Rate limit reached. Please slow down."
            code = fault.code or "rate_limit_exceeded"
            return 429, error_body(dialect, 429, message, "requests", code), headers + retry
        case "key_revoked":
            return unauthorized(dialect)
        case "model_gone":
            code = fault.code or "model_not_found"
            status = 400 if code == "model_decommissioned" else 404
            message = f"The model `{account.model.id}` has been retired or does not exist."
            body = error_body(dialect, status, fault.message or message, _INVALID, code)
            return status, body, headers
        case _:
            return fault.status, server_error(dialect, fault), headers + retry
