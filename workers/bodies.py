"""The two bodies of a call: one that notes when it is written, one that ends its socket if cut."""

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import httpx2
from aiohttp.abc import AbstractStreamWriter

from workers.failures import failure


class Writing:
    """Whether and where a request was written."""

    __slots__ = ("_on_sent", "sent", "transport")

    def __init__(self, on_sent: Callable[[], None] | None) -> None:
        self._on_sent = on_sent
        self.sent = False
        self.transport: asyncio.Transport | None = None

    def begins(self, transport: asyncio.Transport | None) -> None:
        """Called in the same step as the write: a closing transport refuses it unwritten."""
        if transport is None or transport.is_closing():
            return
        self.transport = transport
        self.sent = True
        if self._on_sent is not None:
            self._on_sent()

    def abort(self) -> None:
        """Free the socket now, with whatever is still in its write buffer."""
        if self.transport is not None:
            self.transport.abort()


class RequestBody(aiohttp.payload.Payload):
    """A request body that notes the moment it is written."""

    def __init__(self, data: bytes, writing: Writing) -> None:
        super().__init__(data, content_type="application/json")
        self._size = len(data)
        self._writing = writing

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text: aiohttp's protocol asks for it."""
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Hand everything to the connection."""
        self._writing.begins(getattr(writer, "transport", None))
        await writer.write(self._value)

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        """The same: our length is always the whole."""
        del content_length
        await self.write(writer)


class ReplyStream(httpx2.AsyncByteStream):
    """An answer's raw bytes; closing it early aborts the connection."""

    __slots__ = ("_reply", "_writing")

    def __init__(self, reply: aiohttp.ClientResponse, writing: Writing) -> None:
        self._reply = reply
        self._writing = writing

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._reply.content.readany()
        except (aiohttp.ClientError, OSError) as exc:
            raise failure(exc, sent=True, reading=True) from exc
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Fully read: back to the pool. Else the socket is closed and the provider stops.

        Safe to call twice, and never waits.
        """
        content = self._reply.content
        if content.at_eof() and content.exception() is None:
            self._reply.release()
            return
        self._writing.abort()
        self._reply.close()
