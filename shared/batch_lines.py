"""The lines of a batch as they go in: OpenAI's format.

`{"custom_id", "method": "POST", "url": the batch's endpoint, "body": {…}}`.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from shared.depth import MAX_DEPTH, too_deep

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
MAX_CUSTOM_ID: Final = 512
MAX_ERRORS: Final = 100
_BOM: Final = b"\xef\xbb\xbf"
_MAGICS: Final = (
    (b"\x1f\x8b", "a gzip archive"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"%PDF-", "a PDF"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"PAR1", "a Parquet file"),
)


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
            if not _blank(row.text):
                yield row
        del rest[:at]
        offset += at
        _check_length(len(rest), line + 1)
    if not _blank(rest):
        yield Row(line + 1, offset, offset + len(rest), bytes(rest))


def _blank(text: bytes | bytearray) -> bool:
    return not text.removeprefix(_BOM).strip()


def _check_length(size: int, number: int) -> None:
    if size > MAX_LINE_BYTES:
        raise LineTooLong(number)


def foreign(text: bytes) -> str | None:
    """What a file is whose first line this is, where it is no text at all; else None."""
    known = next((what for magic, what in _MAGICS if text.startswith(magic)), None)
    return known or ("binary data or UTF-16" if b"\0" in text else None)


def read(row: Row, endpoint: str) -> Line | Problem:
    """What a line asks for, or what is wrong with its frame."""
    text = row.text.removeprefix(_BOM) if row.number == 1 else row.text
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        message = "This line is not parseable as valid JSON: send one object a line."
        return Problem("invalid_json_line", message, None, row.number)
    for name in ("custom_id", "method", "url", "body"):
        if value.get(name) is None:
            return _missing(name, row.number)
    if isinstance(value["body"], dict) and too_deep(value["body"], text):
        message = f"body is nested more than {MAX_DEPTH} levels deep."
        return Problem("invalid_body", message, "body", row.number)
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
