"""What an answer of our HTTP API says: its JSON, or the error it tells."""

from collections.abc import Mapping
from typing import Any

import httpx2
import orjson

from shared.errors import ConfigError, Refused

UNAUTHORIZED = 401
PATH = "id"  # of a route: nothing that was typed has this name


def as_json(response: httpx2.Response) -> dict[str, Any]:
    """Its object. ConfigError if it holds none."""
    try:
        found = orjson.loads(response.content)
    except orjson.JSONDecodeError as exc:
        raise ConfigError(f"{response.url} does not answer as Headrace does: no JSON") from exc
    if not isinstance(found, dict):
        raise ConfigError(f"{response.url} does not answer as Headrace does: no object")
    return found


def refusal(status: int, body: bytes, headers: Mapping[str, str]) -> Refused:
    """The error a response tells, in OpenAI's shape or any other."""
    try:
        error = orjson.loads(body)["error"]
        message, param, code = error["message"], error.get("param"), error.get("code")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        text = body[:200].decode(errors="replace").strip()
        message, param, code = f"status {status}: {text}", None, None
    if status == UNAUTHORIZED:
        message = f"{message} (set HEADRACE_API_KEY, or run where `headrace up` keeps its data)"
    if param and param != PATH and str(param) not in str(message):
        message = f"{param}: {message}"
    after = headers.get("retry-after", "")
    return Refused(
        str(message),
        status=status,
        param=param,
        code=code,
        retry_after_s=int(after) if after.isdigit() else None,
    )
