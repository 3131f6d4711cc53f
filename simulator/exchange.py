"""One HTTP exchange on raw ASGI, with the power to break it."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES = 64 * 1024 * 1024
_JSON = (b"content-type", b"application/json")
_HTML = (b"content-type", b"text/html; charset=utf-8")
_TEXT = (b"content-type", b"text/plain; charset=utf-8")
_SSE = (b"content-type", b"text/event-stream; charset=utf-8")


class BodyTooLargeError(Exception):
    """The request's body is above `MAX_BODY_BYTES`."""


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete."""


class Exchange:
    """A request and the way to answer it, once."""

    __slots__ = ("_connection", "_receive", "_send", "headers", "method", "path", "query")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query: bytes = scope.get("query_string", b"")
        self.headers: list[tuple[bytes, bytes]] = scope["headers"]
        self._connection = (scope.get("extensions") or {}).get("simulator")
        self._receive = receive
        self._send = send

    @property
    def client_gone(self) -> bool:
        """Whether the client has closed the connection."""
        return self._connection is not None and self._connection.transport.is_closing()

    async def body(self) -> bytes:
        """The whole body; raises `BodyTooLargeError` or `ClientGoneError`."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        data: bytes = message.get("body", b"")
        if not message.get("more_body", False):
            return data
        parts, size = [data], len(data)
        while message.get("more_body", False):
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > MAX_BODY_BYTES:
                raise BodyTooLargeError
        return b"".join(parts)

    async def answer(
        self,
        status: int,
        body: bytes,
        headers: list[tuple[bytes, bytes]] | None = None,
        *,
        html: bool = False,
        text: bool = False,
    ) -> None:
        """Send a whole answer."""
        length = (b"content-length", b"%d" % len(body))
        kind = _HTML if html else _TEXT if text else _JSON
        head = [kind, length, *(headers or ())]
        await self._send({"type": "http.response.start", "status": status, "headers": head})
        await self._send({"type": "http.response.body", "body": body})

    async def answer_part(
        self, status: int, body: bytes, headers: list[tuple[bytes, bytes]]
    ) -> None:
        """Promise the whole answer and send the first half of it."""
        length = (b"content-length", b"%d" % len(body))
        head = [_JSON, length, *headers]
        await self._send({"type": "http.response.start", "status": status, "headers": head})
        await self.write(body[: len(body) // 2])

    async def start_stream(self, headers: list[tuple[bytes, bytes]], *, json: bool = False) -> None:
        """Send status 200 and the headers of an event stream, or of JSON in pieces."""
        head = [_JSON if json else _SSE, (b"cache-control", b"no-cache"), *headers]
        await self._send({"type": "http.response.start", "status": 200, "headers": head})

    async def write(self, data: bytes) -> None:
        """Send a part of the stream."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """Send the last part of the stream."""
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def until_gone(self) -> None:
        """Wait until the client gives up."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def drop(self) -> None:
        """Close the connection without another byte."""
        await self._break("abort")

    async def cut(self) -> None:
        """Close the connection after what was sent so far, in the middle of the answer."""
        await self._break("close")

    async def _break(self, how: str) -> None:
        if self._connection is None:
            raise ConnectionAbortedError("this server cannot break connections")
        getattr(self._connection.transport, how)()
        await self.until_gone()
