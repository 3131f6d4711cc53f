"""Errors as OpenAI shapes them, everywhere, and the HTTP status a failed job answers with."""

from typing import Any, Final

import orjson

from shared.core.model import Status
from shared.errors import Refused, StoreError

# A job's stored error names its status; these are for the store's own, which do not.
STATUS_OF: Final[dict[str, int]] = {
    "dead_letter": 500,
    "deadline_exceeded": 504,
    "wait_exceeded": 504,
    "context_length_exceeded": 400,
    "content_filter": 400,
    "invalid_request": 400,
}
NOT_OURS_TO_SAY: Final = 429  # a provider's limit is ours to wait out

NO_RETRY: Final = (b"x-should-retry", b"false")
RETRY: Final = (b"x-should-retry", b"true")

Headers = tuple[tuple[bytes, bytes], ...]


def error_object(
    message: str, type_: str, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """OpenAI's error object."""
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def body_of(refused: Refused) -> bytes:
    """The body of a refusal; a field that is wrong has OpenAI's code for that, if no other."""
    code = refused.code or ("invalid_value" if refused.param and refused.status == 400 else None)  # noqa: PLR2004 - HTTP
    return orjson.dumps(error_object(refused.message, refused.type, refused.param, code))


def headers_of(refused: Refused) -> Headers:
    """Whether and when to try again. A 409 must say no: the SDKs repeat it by themselves."""
    headers: Headers = ()
    if refused.retry_after_s is not None:
        headers += ((b"retry-after", b"%d" % refused.retry_after_s), RETRY)
    elif refused.status == 409 or refused.status >= 500:  # noqa: PLR2004 - HTTP
        headers += (NO_RETRY,)
    return headers


def job_error(status: Status, error: dict[str, Any] | None) -> dict[str, Any]:
    """The error object of a job that ended without a result, with nothing else in it."""
    error = error or {}
    message, code = DEFAULT_ERRORS.get(status, ("the job failed", "job_failed"))
    return {
        "message": str(error.get("message") or message),
        "type": str(error.get("type") or "server_error"),
        "param": error.get("param"),
        "code": error.get("code") or code,
    }


def job_status(status: Status, error: dict[str, Any] | None) -> int:
    """The HTTP status a held request answers with when its job ended without a result."""
    if status is Status.CANCELLED:
        return 409
    if status is Status.EXPIRED:
        return 504
    error = error or {}
    said = error.get("status")
    if isinstance(said, int) and 400 <= said <= 599 and said != NOT_OURS_TO_SAY:  # noqa: PLR2004
        return said
    return STATUS_OF.get(str(error.get("code")), 502)


DEFAULT_ERRORS: Final[dict[Status, tuple[str, str]]] = {
    Status.CANCELLED: ("the job was cancelled; POST /v1/jobs/{id}/replay runs it", "job_cancelled"),
    Status.EXPIRED: (
        "the deadline passed before the job was done; allow more with deadline_s",
        "deadline_exceeded",
    ),
    Status.FAILED: ("the job failed; its attempts say how", "job_failed"),
}


def not_found(what: str, *, param: str | None = None, code: str | None = None) -> Refused:
    """A 404 in OpenAI's shape."""
    return Refused(what, status=404, param=param, code=code or "not_found")


def unauthorized(message: str) -> Refused:
    """A 401 in OpenAI's shape."""
    return Refused(message, status=401, type_="authentication_error", code="invalid_api_key")


def store_unavailable(problem: type[StoreError] | StoreError = StoreError) -> Refused:
    """A 503 for the store that failed, which has its own code: nothing is known to be accepted."""
    return Refused(
        problem.advice, status=503, type_="server_error", code=problem.code, retry_after_s=1
    )


def overfull(message: str, retry_after_s: int = 5) -> Refused:
    """A 503 given before anything is accepted."""
    return Refused(
        message, status=503, type_="server_error", code="overloaded", retry_after_s=retry_after_s
    )
