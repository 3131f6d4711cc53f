"""What a child that has ended says: words, a reason to try again, or why there will be none."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from shared.core.json_shape import bare, problem
from shared.core.model import Status, lane_deployment
from shared.store.types import JobRecord

TOO_LONG: Final = frozenset(
    {"context_length_exceeded", "request_too_large", "string_above_max_length", "too_long"}
)
_THOUGHT: Final = re.compile(r"^\s*<think>.*?</think>\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. `cut`: it ended where its tokens did."""

    text: str
    model: str
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Again:
    """The call is to be made once more: it brought nothing, and that says nothing of the text.

    `larger`: it may write more.
    """

    why: str
    larger: bool = False


@dataclass(frozen=True, slots=True)
class TooLong:
    """The text was too long for whoever could have read it."""

    message: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The queue gave the call up, and so does the document."""

    message: str
    code: str


Answer = Said | Again | TooLong | Lost


def answer_of(record: JobRecord | None) -> Answer | None:
    """What a child says; None while it lives."""
    if record is None:
        return Again("its result is not kept any more")
    match record.status:
        case Status.COMPLETED:
            return _said(record)
        case Status.FAILED:
            error = record.error or {}
            message, code = (
                str(error.get("message") or "failed"),
                str(error.get("code") or "failed"),
            )
            return TooLong(message) if code in TOO_LONG else Lost(message, code)
        case Status.CANCELLED:
            return Again("it was cancelled")
        case Status.EXPIRED:  # with its parent, which was replayed since
            return Again("its deadline passed")
        case _:
            return None


def _said(record: JobRecord) -> Answer:
    body = orjson.loads(record.result or b"null")
    choices = body.get("choices") if isinstance(body, Mapping) else None
    first: Mapping[str, Any] = choices[0] if choices else {}
    content = (first.get("message") or {}).get("content")
    text = _THOUGHT.sub("", content).strip() if isinstance(content, str) else ""
    cut = first.get("finish_reason") == "length"
    if not text:
        return Again("the model wrote nothing", larger=cut)
    return Said(text, lane_deployment(record.lane), cut)


def value_of(text: str, schema: Mapping[str, Any]) -> tuple[Any, str | None]:
    """The JSON of an answer, and what is wrong with it; None where it fits its schema."""
    try:
        value = orjson.loads(bare(text))
    except orjson.JSONDecodeError as broken:
        return None, f"it is not JSON: {broken}"
    return value, problem(value, schema)
