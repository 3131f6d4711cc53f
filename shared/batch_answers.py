"""What comes out of a batch: a line for each that went in, of the output file or the error file.

`{"id", "custom_id", "response", "error"}`, one of the last two null; a response is
`{"status_code", "request_id", "body"}`, its body what the endpoint itself would have answered.
"""

from typing import Any, Final

import orjson

from shared.batch_endpoints import Answered, Endpoint
from shared.core.batch import Mark
from shared.errors import Refused
from shared.store.batches import Ended

STATUSES: Final = range(400, 600)
OURS_TO_WAIT: Final = 429  # a provider's limit is never told to a caller

_UNRUN: Final = {
    Mark.EXPIRED: (
        "batch_expired",
        "This request could not be executed before the completion window expired.",
    ),
    Mark.CANCELLED: (
        "batch_cancelled",
        "This request was not executed: its batch was cancelled.",
    ),
}
_CANCELLED: Final = {"code": "request_cancelled", "message": "This request was cancelled."}
_LOST: Final = {
    "code": "result_expired",
    "message": "The result was no longer kept when it was written; raise HEADRACE_RETENTION_S.",
}


def _line(job_id: str, custom_id: str, response: Any, error: Any) -> bytes:
    name = f"batch_req_{job_id.removeprefix('job_')}"
    value = {"id": name, "custom_id": custom_id, "response": response, "error": error}
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def _response(job_id: str, status: int, body: Any) -> dict[str, Any]:
    return {"status_code": status, "request_id": job_id, "body": body}


def _completed_line(
    job_id: str, custom_id: str, ended: Ended, endpoint: Endpoint
) -> tuple[bool, bytes]:
    """A line of the output file, and True; of the error file where its result is lost."""
    if ended.outcome is None or ended.outcome[:1] != b"R":
        return False, _line(job_id, custom_id, None, _LOST)
    body: Any = orjson.Fragment(ended.outcome[1:])
    if endpoint.body is not None:
        doc = orjson.loads(ended.doc or b"{}")
        body = endpoint.body(
            Answered(job_id, ended.outcome[1:], doc, ended.created_ms, ended.ended_ms)
        )
    return True, _line(job_id, custom_id, _response(job_id, 200, body), None)


def _failed_line(job_id: str, custom_id: str, outcome: bytes | None) -> bytes:
    """A line of the error file: what a caller of the endpoint itself would have been answered."""
    if outcome is None or outcome[:1] != b"E":
        return _line(job_id, custom_id, None, _CANCELLED)
    return _refused_line(job_id, custom_id, orjson.loads(outcome[1:]))


def _refused_line(job_id: str, custom_id: str, error: dict[str, Any]) -> bytes:
    said = error.get("status")
    told = said if isinstance(said, int) and said in STATUSES and said != OURS_TO_WAIT else 500
    shown = {
        "message": str(error.get("message") or "the request failed"),
        "type": str(error.get("type") or "server_error"),
        "param": error.get("param"),
        "code": error.get("code") or "request_failed",
    }
    return _line(job_id, custom_id, _response(job_id, told, {"error": shown}), None)


def unrun_line(mark: Mark, job_id: str, custom_id: str) -> bytes:
    """A line of the error file for what was never done."""
    code, message = _UNRUN[mark]
    return _line(job_id, custom_id, None, {"code": code, "message": message})


def refusal(mark: Mark, job_id: str, custom_id: str, refused: Refused) -> str:
    """The mark of a line that did not become a job, with its error."""
    told = {
        "job": job_id,
        "custom_id": custom_id,
        "status": refused.status,
        "message": refused.message,
        "type": refused.type,
        "param": refused.param,
        "code": refused.code,
    }
    return mark.value + orjson.dumps(told).decode()


def outcome_line(ended: Ended, endpoint: Endpoint) -> tuple[bool, bytes]:
    """Whether it belongs in the output file, and the line itself."""
    what, text, custom_id = Mark(ended.mark[0]), ended.mark[1:], ended.custom_id
    if text.startswith("{"):
        told = orjson.loads(text)
        text, custom_id = told["job"], told["custom_id"]
        if what is Mark.REFUSED:
            return False, _refused_line(text, custom_id, told)
    match what:
        case Mark.COMPLETED:
            return _completed_line(text, custom_id, ended, endpoint)
        case Mark.EXPIRED | Mark.CANCELLED:
            return False, unrun_line(what, text, custom_id)
        case Mark.FAILED | Mark.REFUSED:
            return False, _failed_line(text, custom_id, ended.outcome)
