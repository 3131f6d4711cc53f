"""Keeps calls to what strangers name off private addresses: providers, webhooks, documents.

The API looks once, when it is told of one; names can mean something else later. So every
connection resolves through here, and what it resolves to is what is connected to.
"""

import errno
import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from shared.addresses import is_public, literal


def refuse_literal(url: URL) -> None:
    """OSError for a host that is written as an address which is not public."""
    host = url.host or ""
    if ":" in host or literal(host):
        plain = host if ":" in host else socket.inet_ntoa(socket.inet_aton(host))
        if not is_public(plain):
            raise OSError(f"{host} is at a private address")


class PublicOnly(AbstractResolver):
    """Resolves names; OSError where any of a name's addresses is not public."""

    def __init__(self, inner: AbstractResolver | None = None) -> None:
        self._inner = inner or aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of `host`, all of them public."""
        found = await self._inner.resolve(host, port, family)
        if not all(is_public(each["host"]) for each in found):
            # with a number, or aiohttp shows no word of it
            raise OSError(errno.EACCES, f"{host} is at a private address")
        return found

    async def close(self) -> None:
        """Ends the resolver."""
        await self._inner.close()
