"""Request bodies: read with a bound in size and time, parsed strictly, always an object."""

import asyncio
from typing import Any, Final

import orjson

from shared.depth import MAX_DEPTH, too_deep
from shared.errors import Refused

DISCARD_BYTES: Final = 8 * 1024 * 1024
READ_TIMEOUT_S: Final = 60.0


class ClientGone(Exception):  # noqa: N818 - it is no error
    """The client hung up; there is nobody to answer."""


async def read(receive: Any, headers: dict[bytes, bytes], limit: int) -> bytes:
    """The whole body, at most `limit` bytes. Refused: 408, 413, 415. ClientGone."""
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding.lower() not in (b"", b"identity"):
        raise Refused("send the body uncompressed", status=415, param="Content-Encoding")
    declared = headers.get(b"content-length", b"")
    too_large = declared.isdigit() and int(declared) > limit
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body"):
                body: bytes = message.get("body", b"")
                if len(body) <= limit:
                    return body
            return await _collect(receive, message, limit, too_large=too_large)
    except TimeoutError:
        raise Refused("the body did not arrive within 60 s", status=408) from None


async def _collect(receive: Any, message: Any, limit: int, *, too_large: bool) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGone
        size += len(message.get("body", b""))
        too_large = too_large or size > limit
        if too_large:
            # what is on its way is read and dropped: a reset would lose the answer
            parts.clear()
            if size > limit + DISCARD_BYTES or not message.get("more_body"):
                raise _too_large(limit)
        else:
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                return b"".join(parts)
        message = await receive()


def parse(raw: bytes) -> dict[str, Any]:
    """The JSON object in `raw`. Refused: not JSON, NaN, not an object, nested too deeply."""
    if not raw:
        raise Refused("the body is empty: send a JSON object", code="invalid_json")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as problem:
        raise Refused(f"the body is not valid JSON: {problem}", code="invalid_json") from problem
    if not isinstance(value, dict):
        raise Refused("the body must be a JSON object", code="invalid_json")
    if too_deep(value, raw):
        raise Refused(f"the body is nested more than {MAX_DEPTH} levels deep", code="invalid_json")
    return value


def _too_large(limit: int) -> Refused:
    return Refused(
        f"the body is larger than {limit} bytes: send less, or raise HEADRACE_MAX_BODY_BYTES",
        status=413,
        code="body_too_large",
    )
