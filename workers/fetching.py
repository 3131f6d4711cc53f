"""Fetches what a caller's address names: never from a private address, and never too much of it.

Every hop of a redirect is looked at like the first, and every connection resolves through the
guard. What is refused says why, in words for the caller; nothing of our own is sent along.
"""

import asyncio
import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import quote, unquote, urljoin, urlsplit

from yarl import URL

from shared.addresses import private_host
from shared.core.outcome import FailureKind
from shared.errors import Refused
from workers.failures import TransportFailure
from workers.guard import refuse_literal
from workers.providers.base import HttpRequest
from workers.transport import Exchange, Timeouts, Transport

MOST_REDIRECTS: Final = 5
MOST_CONNECT_MS: Final = 10_000
FIRST_S: Final = 60.0  # until so much has come
LEAST_BYTES: Final = 30 * 1024
LEAST_OVER_S: Final = 30.0  # for each so much after that
MOST_NAME_CHARS: Final = 200
STATUS: Final = 422
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_HEADERS: Final = {
    "accept": "text/html,application/xhtml+xml,application/pdf,*/*;q=0.8",
    "accept-encoding": "gzip, deflate",
    "user-agent": "headrace",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came: the last address, and what its answer says of it."""

    url: str
    name: str
    content_type: str
    charset: str | None
    size: int


class Fetcher:
    """Fetches to files. `allow_private`: private addresses are called too."""

    def __init__(
        self, transport: Transport, *, allow_private: bool, most_bytes: int, timeout_ms: int
    ) -> None:
        self._transport = transport
        self._guarded = not allow_private
        self._most_bytes = most_bytes
        self._timeouts = Timeouts(
            total_ms=timeout_ms,
            connect_ms=min(timeout_ms, MOST_CONNECT_MS),
            first_byte_ms=timeout_ms,
            idle_ms=timeout_ms,
        )

    async def fetch(self, url: str, to: Path) -> Fetched:
        """Writes what the address gives to the file.

        Refused: no address of the public web, no answer in time, too slow, another status than
        200, too large, redirected too often.
        """
        for _ in range(MOST_REDIRECTS + 1):
            await self._look_at(url)
            request = HttpRequest("GET", url, _HEADERS, guarded=self._guarded)
            pace = asyncio.timeout(FIRST_S)
            try:
                async with pace, self._transport.open(request, self._timeouts) as exchange:
                    if exchange.status not in _REDIRECTS:
                        return await self._taken(exchange, url, to, pace)
                    url = _next(exchange.headers, url)
            except TransportFailure as failure:
                silent = failure.kind is FailureKind.TIMEOUT
                why = "no whole answer in time" if silent else failure.message
                raise refused(f"the address cannot be read: {why}", "fetch_failed") from failure
            except TimeoutError as slow:
                least = f"{LEAST_BYTES // 1024} KiB in {LEAST_OVER_S:.0f} s"
                why = f"it sends less than {least}"
                raise refused(f"the address cannot be read: {why}", "fetch_failed") from slow
        raise refused(f"the address redirects more than {MOST_REDIRECTS} times", "fetch_failed")

    async def _look_at(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            right = parts.port != 0 and not _CONTROL.search(url)
        except ValueError:
            right = False
        if not right:
            raise refused("this is no address that can be called", "invalid_url")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise refused(f"{parts.scheme or 'this'} is no http or https address", "invalid_url")
        if not self._guarded:
            return
        host = await private_host(url)
        try:
            refuse_literal(URL(url, encoded=True))
        except ValueError:
            raise refused("this is no address that can be called", "invalid_url") from None
        except OSError:
            host = host or parts.hostname
        if host is not None:
            raise refused(f"{host} is at a private address", "private_address")

    async def _taken(
        self, exchange: Exchange, url: str, to: Path, pace: asyncio.Timeout
    ) -> Fetched:
        if exchange.status != 200:  # noqa: PLR2004 - HTTP
            raise refused(f"the address answers with status {exchange.status}", "fetch_failed")
        if int(_digits(exchange.headers.get("content-length"))) > self._most_bytes:
            raise self._too_large()
        size = due = 0
        clock = asyncio.get_running_loop().time
        with to.open("wb") as file:
            async for part in exchange.chunks():
                size += len(part)
                if size >= due:
                    due = size + LEAST_BYTES
                    pace.reschedule(clock() + LEAST_OVER_S)
                if size > self._most_bytes:
                    raise self._too_large()
                await asyncio.to_thread(file.write, part)
        kind = Message()
        kind["content-type"] = exchange.headers.get("content-type", "application/octet-stream")
        name = PurePosixPath(unquote(urlsplit(url).path)).name[:MOST_NAME_CHARS]
        charset = kind.get_content_charset()
        return Fetched(url, name, kind.get_content_type(), charset, size)

    def _too_large(self) -> Refused:
        return refused(f"it is larger than {self._most_bytes} bytes", "too_large")


def refused(message: str, code: str) -> Refused:
    """What an address is refused with: it was well asked for, and cannot be worked on."""
    return Refused(message, status=STATUS, code=code)


def _next(headers: Mapping[str, str], url: str) -> str:
    target = headers.get("location")
    if not target:
        raise refused("the address redirects to nowhere", "fetch_failed")
    # the bytes of a header; servers write their own names there as they are, as browsers take them
    target = quote(target.encode("latin-1"), safe=string.punctuation)
    try:
        return urljoin(url, target)
    except ValueError as problem:
        raise refused("the address redirects to no address", "fetch_failed") from problem


def _digits(text: str | None) -> str:
    return text if text and text.isdecimal() and len(text) < 16 else "0"  # noqa: PLR2004
