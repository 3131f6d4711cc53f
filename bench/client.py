"""A lean HTTP/1.1 client: it shares the cores with what it measures, so it must cost little."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import httptools

JSON = "application/json"


@dataclass(slots=True)
class Answer:
    """One response; `at_s` is its end on the monotonic clock."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)
    at_s: float = 0.0

    @property
    def body(self) -> bytes:
        """The whole body."""
        return b"".join(self.parts)


class Connection(asyncio.Protocol):
    """One keep-alive connection that carries one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._answer = Answer()
        self._parser = httptools.HttpResponseParser(self)
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self.closed = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(exc or ConnectionResetError("closed before its answer"))

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser's: a header."""
        self._answer.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        """The parser's: a part of the body."""
        self._answer.parts.append(body)

    def on_message_complete(self) -> None:
        """The parser's: the answer is whole."""
        answer = self._answer
        answer.status = self._parser.get_status_code()
        answer.at_s = time.monotonic()
        if not self._parser.should_keep_alive():
            self.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(answer)

    async def send(self, request: bytes) -> Answer:
        """Sends one request and waits for its answer; ConnectionError where it breaks."""
        if self.closed or self._transport is None:
            raise ConnectionResetError("the connection is closed")
        self._answer = Answer()
        self._parser = httptools.HttpResponseParser(self)
        self._waiter = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiter

    def close(self) -> None:
        """Closes it, also while an answer is on its way."""
        self.closed = True
        if self._transport is not None:
            self._transport.close()


class Client:
    """Talks to one server over as many connections as there are requests at once."""

    def __init__(self, url: str, key: str = "") -> None:
        parts = urlsplit(url)
        self._place = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._base = parts.path.rstrip("/")
        self._head = f"Host: {parts.netloc}\r\n"
        if key:
            self._head += f"Authorization: Bearer {key}\r\n"
        self._idle: list[Connection] = []

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Sends a body: JSON, unless its headers say otherwise."""
        return await self._send("POST", path, body, {"Content-Type": JSON, **(headers or {})})

    async def get(self, path: str) -> Answer:
        """Asks for a path."""
        return await self._send("GET", path, b"", {})

    async def delete(self, path: str) -> Answer:
        """Deletes a path."""
        return await self._send("DELETE", path, b"", {})

    async def _send(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {self._base}{path} HTTP/1.1\r\n{self._head}{more}"
        connection = await self._connection()
        try:
            answer = await connection.send(
                f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
            )
        except BaseException:
            connection.close()
            raise
        if not connection.closed:
            self._idle.append(connection)
        return answer

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(Connection, *self._place)
        return made

    def close(self) -> None:
        """Closes every idle connection."""
        while self._idle:
            self._idle.pop().close()
