"""Reads a provider's error out of any body: the shapes of shared/facts/wire-facts.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

MAX_MESSAGE_CHARS = 1_000
_MAX_BODY_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class UpstreamError:
    """What a provider said.

    `marks` are its machine-readable words, most specific first, in lower case; `violations` are
    Gemini's quota ids; `status` is an HTTP status inside the body.
    """

    message: str
    code: str | None = None
    type: str | None = None
    param: str | None = None
    status: int | None = None
    marks: tuple[str, ...] = ()
    violations: tuple[Mapping[str, Any], ...] = ()
    retry_delay: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


def read_error(body: bytes) -> UpstreamError:
    """The error in `body`; text that is no JSON becomes the message."""
    if len(body) > _MAX_BODY_BYTES:
        body = body[:_MAX_BODY_BYTES]
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return UpstreamError(body.decode("utf-8", "replace").strip()[:MAX_MESSAGE_CHARS])
    return error_of(value)


def error_of(value: Any) -> UpstreamError:
    """The error in parsed JSON of any shape."""
    if isinstance(value, list):
        value = value[0] if value else {}
    if not isinstance(value, dict):
        return UpstreamError(_text(value))
    inner = value.get("error")
    if isinstance(inner, str) and inner:
        return _object({**value, "message": value.get("message") or inner})
    if isinstance(inner, dict):
        return _object(inner)
    errors = value.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return _object(errors[0])
    return _object(value)


def _object(value: Mapping[str, Any]) -> UpstreamError:
    code, kind, status = value.get("code"), value.get("type"), value.get("status")
    details = [each for each in _list(value.get("details")) if isinstance(each, dict)]
    inner = value.get("innererror")
    metadata = value.get("metadata") if isinstance(value.get("metadata"), dict) else {}
    anthropic = value.get("details") if isinstance(value.get("details"), dict) else {}
    words = (
        *(detail.get("reason") for detail in details),
        inner.get("code") if isinstance(inner, dict) else None,
        anthropic.get("error_code") if anthropic else None,
        metadata.get("limit_source") if metadata else None,
        "moderation_blocked" if metadata and metadata.get("flagged_input") else None,
        value.get("err_code"),
        code,
        kind,
        status,
    )
    marks = tuple(
        str(word).lower() for word in words if isinstance(word, str | int) and word not in ("", 0)
    )
    message = _message(value)
    raw = metadata.get("raw") if metadata else None
    if isinstance(raw, str):
        message = f"{message}: {raw}"
    return UpstreamError(
        message=message[:MAX_MESSAGE_CHARS],
        code=_word(code),
        type=_word(kind),
        param=_word(value.get("param")),
        status=_http_status(code, status),
        marks=marks,
        violations=tuple(
            each
            for detail in details
            for each in _list(detail.get("violations"))
            if isinstance(each, dict)
        ),
        retry_delay=next((_word(d["retryDelay"]) for d in details if "retryDelay" in d), None),
        headers=_headers(metadata or {}),
    )


def _message(value: Mapping[str, Any]) -> str:
    for name in ("message", "detail", "err_msg", "title", "msg"):
        if value.get(name):
            return _text(value[name])
    return ""


def _text(value: Any) -> str:
    """Prose of a message that may be an object, as FastAPI's and Mistral's are."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return _message(value) or _dumped(value)
    if isinstance(value, list):
        return "; ".join(_text(each) for each in value[:5])
    return "" if value is None else str(value)


def _dumped(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except (TypeError, ValueError):
        return ""


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _word(value: Any) -> str | None:
    return str(value)[:200] if isinstance(value, str | int) and value != "" else None


def _http_status(*values: Any) -> int | None:
    for value in values:
        number = int(value) if isinstance(value, str) and value.isdecimal() else value
        if isinstance(number, int) and 400 <= number <= 599:  # noqa: PLR2004 - HTTP's errors
            return number
    return None


def _headers(metadata: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """OpenRouter passes rate-limit headers on inside its body (facts 7)."""
    headers = metadata.get("headers")
    pairs = headers.items() if isinstance(headers, dict) else ()
    found = [(str(name).lower(), str(value)) for name, value in pairs]
    if "retry_after_seconds" in metadata:
        found.append(("retry-after", str(metadata["retry_after_seconds"])))
    elif isinstance(metadata.get("resets_at"), str):
        found.append(("retry-after", metadata["resets_at"]))
    return tuple(found)
