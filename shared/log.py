"""Structured logs: a constant event with keys, one line of JSON, secrets masked.

`configure` once a process, then `log = structlog.get_logger()` anywhere. Nothing passes through
the standard library's logging; what foreign packages log there is brought over.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from shared.credentials import MASK, Secret

_SECRET = re.compile(
    r"""\b(?:sk-|gsk_|hr_|hf_|xai-|csk-|pplx-|nvapi-|whsec_)[A-Za-z0-9_-]{8,}"""
    r"""|\bAIza[A-Za-z0-9_-]{16,}"""
    r"""|\b[Bb]earer\s+[^\s"',;]+"""
    r"""|(?<=://)[^/\s@"']*:[^/\s@"']+(?=@)"""
    r"""|(?<=[?&]key=)[^&\s"']+"""
)
_SECRET_KEYS = frozenset(
    {
        "api_key",
        "authorization",
        "password",
        "secret",
        "cookie",
        "x-api-key",
        "x-goog-api-key",
        "proxy-authorization",
    }
)
_DEPTH = 4


def masked(text: str) -> str:
    """`text` with everything that looks like a key, token or password replaced."""
    return _SECRET.sub(MASK, text)


def mask_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The processor that masks: by type, by key name and by how a value looks."""
    for key, value in event.items():
        if key == "event":
            continue
        if key.lower() in _SECRET_KEYS:
            event[key] = MASK
        elif not isinstance(value, (int, float, bool, type(None))):
            event[key] = _clean(value, _DEPTH)
    return event


def configure(
    *,
    level: str = "info",
    format_: str = "auto",
    stream: TextIO | None = None,
    keys: Mapping[str, str] | None = None,
) -> None:
    """Send logs of `level` and above to `stream` (standard error).

    `format_` is `json`, `console` or `auto` (console on a terminal); `keys` go on every line.
    """
    out = stream or sys.stderr
    console = format_ == "console" or (format_ == "auto" and out.isatty())
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask_secrets,
    ]
    binary: BinaryIO | None = getattr(out, "buffer", None)
    as_text = console or binary is None
    structlog.configure(
        processors=[*shared, _console(out) if console else _json_line(as_text=as_text)],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(out)
        if as_text
        else structlog.BytesLoggerFactory(binary),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**(keys or {}))
    root = logging.getLogger()
    root.handlers = [_Foreign()]
    root.setLevel(max(threshold, logging.WARNING))


class _Foreign(logging.Handler):
    """What other packages log goes where ours goes, masked like ours."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record as the event `foreign`."""
        structlog.get_logger().log(
            record.levelno,
            "foreign",
            logger=record.name,
            message=masked(record.getMessage()),
            exc_info=record.exc_info,
        )


def _json_line(*, as_text: bool) -> Processor:
    def render(_logger: WrappedLogger, _method: str, event: EventDict) -> str | bytes:
        line = orjson.dumps(event, default=str)
        return line.decode() if as_text else line

    return render


def _console(out: TextIO) -> Processor:
    return structlog.dev.ConsoleRenderer(
        colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _clean(value: Any, depth: int) -> Any:
    """A value that may be shown: nested ones down to `_DEPTH`, then their text."""
    if isinstance(value, str):
        return _SECRET.sub(MASK, value)
    if isinstance(value, Secret):
        return MASK
    if value is None or isinstance(value, (int, float)):
        return value
    if depth and isinstance(value, Mapping):
        return {
            str(key): MASK if str(key).lower() in _SECRET_KEYS else _clean(item, depth - 1)
            for key, item in value.items()
        }
    if depth and isinstance(value, (list, tuple, set, frozenset)):
        return [_clean(item, depth - 1) for item in value]
    return _SECRET.sub(MASK, str(value))
