"""The only file that calls out: aiohttp's parser and pool, under httpx2's transport interface.

Every failure says truthfully whether a byte of the request may have left: see `failures`.

No retries, no redirects, no cookies, no `.netrc`. Proxies come from the environment once, when the
transport is made. An exchange that ends early aborts its socket, so that the provider stops.
"""

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from urllib.request import (  # type: ignore[attr-defined]  # typeshed knows it under one name only
    getproxies_environment,
    proxy_bypass_environment,
)

import aiohttp
import httpx2
from yarl import URL

from shared.core.outcome import FailureKind
from workers.bodies import ReplyStream, RequestBody, Writing
from workers.failures import MaybeSent, NotSent, TransportFailure, failure
from workers.guard import PublicOnly, refuse_literal
from workers.providers.base import HttpRequest

MAX_REPLY_BYTES = 64 << 20
MAX_CONNECTIONS = 1_200
KEEPALIVE_S = 60.0
_READ_BUFFER_BYTES = 1 << 17
_MAX_CACHED_URLS = 4_096
_DRAIN_S = 0.25
_DECODED = frozenset({"gzip", "deflate"})
_OWN_HEADERS = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """All in ms. `first_byte` counts from the request's end, `idle` between reads, `total` all."""

    total_ms: int = 600_000
    connect_ms: int = 10_000
    first_byte_ms: int = 600_000
    idle_ms: int = 120_000


_DEFAULT = Timeouts()


class AioTransport(httpx2.AsyncBaseTransport):
    """httpx2's transport interface on one aiohttp session; bound to the loop of its first call."""

    def __init__(
        self,
        *,
        max_connections: int = MAX_CONNECTIONS,
        ssl_context: ssl.SSLContext | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> None:
        """`proxies` as of `urllib.request.getproxies`; None reads the environment, now."""
        self._max_connections = max_connections
        self._ssl = ssl_context
        self._proxies = dict(getproxies_environment() if proxies is None else proxies)
        self._places: dict[str, tuple[URL, URL | None]] = {}
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def exchange(
        self, request: HttpRequest, timeouts: Timeouts, writing: Writing
    ) -> aiohttp.ClientResponse:
        """Send, and return when the answer's head is here; raises NotSent or MaybeSent.

        The short way, without httpx2's request and response objects: they cost as much CPU as all
        else here. Who calls it ends the answer through `ReplyStream.aclose`.
        """
        try:
            url, proxy = self._place(request.url)
            guarded = request.guarded and proxy is None  # a proxy decides where it goes
            if guarded:
                refuse_literal(url)
            reply = await self._open_session(guarded).request(
                request.method,
                url,
                headers=request.headers,
                data=RequestBody(request.body, writing) if request.body else None,
                allow_redirects=False,
                proxy=proxy,
                timeout=_aiohttp_timeout(timeouts.connect_ms, timeouts.first_byte_ms),
            )
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            writing.abort()
            raise failure(exc, sent=writing.sent or not request.body) from exc
        except BaseException:
            writing.abort()
            raise
        connection = reply.connection  # None where the whole answer is here already
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = timeouts.idle_ms / 1_000
            connection.protocol.start_timeout()
        return reply

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """httpx2's way in, for any client of its kind; raises NotSent or MaybeSent."""
        asked: Mapping[str, float | None] = request.extensions.get("timeout", {})
        read_ms = _ms(asked.get("read"), _DEFAULT.first_byte_ms)
        timeouts = Timeouts(
            connect_ms=_ms(asked.get("connect"), _DEFAULT.connect_ms),
            first_byte_ms=read_ms,
            idle_ms=read_ms,
        )
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in request.headers.raw}
        plain = HttpRequest(request.method, str(request.url), headers, await request.aread())
        writing = Writing(None)
        reply = await self.exchange(plain, timeouts, writing)
        return httpx2.Response(
            reply.status, headers=list(reply.raw_headers), stream=ReplyStream(reply, writing)
        )

    async def aclose(self) -> None:
        """Close the pool. Calls in flight fail."""
        sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            await session.close()

    def _place(self, url: str) -> tuple[URL, URL | None]:
        place = self._places.get(url)
        if place is None:
            if len(self._places) >= _MAX_CACHED_URLS:
                self._places.clear()
            target = URL(url, encoded=True)
            place = self._places[url] = (target, self._proxy(target))
        return place

    def _proxy(self, url: URL) -> URL | None:
        address = self._proxies.get(url.scheme) or self._proxies.get("all")
        if not address or proxy_bypass_environment(url.authority, self._proxies):
            return None
        return URL(address if "://" in address else f"http://{address}")

    def _open_session(self, guarded: bool) -> aiohttp.ClientSession:
        session = self._sessions.get(guarded)
        if session is None:
            session = self._sessions[guarded] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=PublicOnly() if guarded else None,
                    limit=self._max_connections,
                    keepalive_timeout=KEEPALIVE_S,
                    ssl=True if self._ssl is None else self._ssl,
                    ttl_dns_cache=60,
                ),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_OWN_HEADERS,
                read_bufsize=_READ_BUFFER_BYTES,
            )
        return session


class Exchange:
    """An answer that has begun: its status and headers are here, its body is still to be read."""

    __slots__ = ("_limit", "_raw_headers", "_stream", "headers", "status")

    def __init__(self, reply: aiohttp.ClientResponse, stream: ReplyStream, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._raw_headers = reply.raw_headers
        self.status = reply.status
        self.headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in reply.raw_headers
        }

    async def chunks(self) -> AsyncGenerator[bytes]:
        """The decoded body as it comes; raises MaybeSent where it breaks off or is too large."""
        said = [value for name, value in self._raw_headers if name.lower() == b"content-encoding"]
        codings = [one.strip() for one in b",".join(said).decode("latin-1").lower().split(",")]
        packed = [one for one in codings if one not in ("", "identity")]
        # what is packed twice may be a thousand times as much in between, and come to nothing
        if len(packed) > 1 or not _DECODED.issuperset(packed):
            raise MaybeSent(FailureKind.MALFORMED_REPLY, "the reply's encoding was not asked for")
        pieces: AsyncIterator[bytes] = self._stream
        if "content-encoding" in self.headers:
            headers = list(self._raw_headers)
            coded = httpx2.Response(self.status, headers=headers, stream=self._stream)
            pieces = coded.aiter_bytes()  # decodes in pieces of bounded size
        size = 0
        try:
            async for piece in pieces:
                size += len(piece)
                if size > self._limit:
                    raise MaybeSent(
                        FailureKind.MALFORMED_REPLY, f"the reply is larger than {self._limit} bytes"
                    )
                yield piece
        except httpx2.DecodingError as exc:
            raise MaybeSent(
                FailureKind.MALFORMED_REPLY, "the reply's compression is broken"
            ) from exc

    async def drain(self) -> None:
        """Read a little further, so that a body which ends here leaves its socket reusable."""
        try:
            async with asyncio.timeout(_DRAIN_S):
                async for _ in self._stream:
                    pass
        except (TimeoutError, TransportFailure):
            return

    async def read(self) -> bytes:
        """The whole decoded body; raises as `chunks` does."""
        return b"".join([piece async for piece in self.chunks()])


class Transport:
    """Sends adapters' requests. One a process; close it with `aclose`."""

    def __init__(
        self,
        wire: AioTransport | None = None,
        *,
        max_reply_bytes: int = MAX_REPLY_BYTES,
    ) -> None:
        self._wire = wire if wire is not None else AioTransport()
        self._limit = max_reply_bytes

    @asynccontextmanager
    async def open(
        self,
        request: HttpRequest,
        timeouts: Timeouts,
        on_sent: Callable[[], None] | None = None,
    ) -> AsyncIterator[Exchange]:
        """Send `request`; the exchange lives in the block and its socket not longer.

        `on_sent` is called when the request is written. Raises NotSent or MaybeSent, also in the
        block: the total timeout ends whatever the block waits for.
        """
        writing = Writing(on_sent)
        try:
            async with asyncio.timeout(timeouts.total_ms / 1_000) as timer:
                reply = await self._wire.exchange(request, timeouts, writing)
                stream = ReplyStream(reply, writing)
                try:
                    yield Exchange(reply, stream, self._limit)
                finally:
                    await stream.aclose()
        except TimeoutError as exc:
            if not timer.expired():
                raise
            message = f"no whole answer within {timeouts.total_ms} ms"
            if writing.sent or not request.body:
                raise MaybeSent(FailureKind.TIMEOUT, message) from exc
            raise NotSent(FailureKind.UNREACHABLE, message) from exc

    async def aclose(self) -> None:
        """Close the pool. Calls in flight fail."""
        await self._wire.aclose()


@lru_cache(maxsize=256)
def _aiohttp_timeout(connect_ms: int, first_byte_ms: int) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(connect=connect_ms / 1_000, sock_read=first_byte_ms / 1_000)


def _ms(seconds: float | None, default_ms: int) -> int:
    return default_ms if seconds is None else max(1, round(seconds * 1_000))
