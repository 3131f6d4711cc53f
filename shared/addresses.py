"""Which addresses may be called for a provider that was added through the API."""

import asyncio
import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

RESOLVE_S: Final = 5.0


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, whatever wraps it."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if inner is not None:
            return is_public(str(inner))
        if found in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
    return found.is_global and not found.is_multicast


_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


def literal(host: str) -> bool:
    """Whether a host is an IP address, in the forms that resolvers take too (`127.1`, `0x7f.1`)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        try:
            socket.inet_aton(host)
        except OSError:
            return False
    return True


async def private_host(url: str) -> str | None:
    """The host of `url` where it is, or resolves to, an address that is not public; else None.

    A name that does not resolve here is let through: behind a proxy none does, and the worker looks
    again at every connection it opens.
    """
    host = urlsplit(url).hostname or ""
    if literal(host):
        plain = host if ":" in host else socket.inet_ntoa(socket.inet_aton(host))
        return None if is_public(plain) else host
    try:
        async with asyncio.timeout(RESOLVE_S):
            rows = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return None
    return None if all(is_public(str(row[4][0])) for row in rows) else host
