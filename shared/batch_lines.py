"""The lines of a batch: what goes in, and what comes out. OpenAI's formats.

In: `{"custom_id", "method": "POST", "url": the batch's endpoint, "body": {…}}`.
Out: `{"id", "custom_id", "response", "error"}`, one of the last two null; a response is
`{"status_code", "request_id", "body"}`.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from shared.core.batch import Mark
from shared.core.model import Kind
from shared.errors import Refused
from shared.submission import CHAT, EMBEDDINGS, Submission, chat, embedding
from shared.wire.openai import chat_request, embeddings_request

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
MAX_CUSTOM_ID: Final = 512
MAX_ERRORS: Final = 100
STATUSES: Final = range(400, 600)
OURS_TO_WAIT: Final = 429  # a provider's limit is never told to a caller


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a batch may ask for: its kind of job, and how a line's body becomes one.

    `read` raises Refused where the body is wrong, naming the field.
    """

    kind: Kind
    read: Callable[[object], Submission]


ENDPOINTS: Final[Mapping[str, Endpoint]] = {
    CHAT: Endpoint(Kind.CHAT, lambda body: chat(chat_request(body), b"")),
    EMBEDDINGS: Endpoint(Kind.EMBEDDING, lambda body: embedding(embeddings_request(body), b"")),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a file as it stands: its number from 1, and the bytes it begins and ends at."""

    number: int
    start: int
    end: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """A line that asks for something. `body` is not checked further than that it is an object."""

    number: int
    custom_id: str
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a line (None: the file), as `errors.data` of a batch shows it."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None

    def view(self) -> dict[str, Any]:
        """OpenAI's shape."""
        return {
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "line": self.line,
        }


class LineTooLong(Exception):  # noqa: N818 - it says what is the matter
    """A line holds more than anybody may send."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


async def rows(parts: AsyncIterator[bytes], line: int = 0, offset: int = 0) -> AsyncIterator[Row]:
    """The lines of a file that are not blank, from `offset` on, which follows line `line`.

    LineTooLong. At most a line and a part of the file are in memory.
    """
    rest = bytearray()
    async for part in parts:
        rest += part
        at = 0
        while (end := rest.find(b"\n", at)) >= 0:
            line += 1
            _check_length(end - at, line)
            row = Row(line, offset + at, offset + end + 1, bytes(rest[at:end]))
            at = end + 1
            if row.text.strip():
                yield row
        del rest[:at]
        offset += at
        _check_length(len(rest), line + 1)
    if rest.strip():
        yield Row(line + 1, offset, offset + len(rest), bytes(rest))


def _check_length(size: int, number: int) -> None:
    if size > MAX_LINE_BYTES:
        raise LineTooLong(number)


def read(row: Row, endpoint: str) -> Line | Problem:
    """What a line asks for, or what is wrong with its frame."""
    try:
        value = orjson.loads(row.text)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        message = "This line is not parseable as valid JSON: send one object a line."
        return Problem("invalid_json_line", message, None, row.number)
    for name in ("custom_id", "method", "url", "body"):
        if value.get(name) is None:
            return _missing(name, row.number)
    return _framed(value, row.number, endpoint)


def _missing(name: str, number: int) -> Problem:
    message = f"Missing required parameter: '{name}'."
    return Problem("missing_required_parameter", message, name, number)


def _framed(value: dict[str, Any], number: int, endpoint: str) -> Line | Problem:
    custom_id, body = value["custom_id"], value["body"]
    named = isinstance(custom_id, str) and 1 <= len(custom_id) <= MAX_CUSTOM_ID
    fields = isinstance(body, dict)
    checks = (
        (named, "invalid_custom_id", "custom_id",
         f"custom_id must be a string of 1 to {MAX_CUSTOM_ID} characters."),
        (value["method"] == "POST", "invalid_method", "method", "method must be 'POST'."),
        (value["url"] == endpoint, "invalid_url", "url",
         f"The URL of this request is not the batch's endpoint, {endpoint}."),
        (fields, "invalid_body", "body", "body must be an object."),
        (not (fields and body.get("stream")), "invalid_value", "body.stream",
         "A batch's answers are not streamed: leave stream out."),
    )  # fmt: skip
    for right, code, param, message in checks:
        if not right:
            return Problem(code, message, param, number)
    if not isinstance(body.get("model"), str) or not body["model"]:
        return _missing("body.model", number)
    return Line(number, custom_id, body)


# -- what comes out

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


def completed_line(job_id: str, custom_id: str, outcome: bytes | None) -> tuple[bool, bytes]:
    """A line of the output file, and True; of the error file where its result is lost."""
    if outcome is None or outcome[:1] != b"R":
        return False, _line(job_id, custom_id, None, _LOST)
    response = _response(job_id, 200, orjson.Fragment(outcome[1:]))
    return True, _line(job_id, custom_id, response, None)


def failed_line(job_id: str, custom_id: str, outcome: bytes | None) -> bytes:
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


def outcome_line(mark: str, custom_id: str, outcome: bytes | None) -> tuple[bool, bytes]:
    """Whether it belongs in the output file, and the line itself, for a mark of the store."""
    what, text = Mark(mark[0]), mark[1:]
    if text.startswith("{"):
        told = orjson.loads(text)
        text, custom_id = told["job"], told["custom_id"]
        if what is Mark.REFUSED:
            return False, _refused_line(text, custom_id, told)
    match what:
        case Mark.COMPLETED:
            return completed_line(text, custom_id, outcome)
        case Mark.EXPIRED | Mark.CANCELLED:
            return False, unrun_line(what, text, custom_id)
        case Mark.FAILED | Mark.REFUSED:
            return False, failed_line(text, custom_id, outcome)
