"""Which addresses may be called where strangers name them: of providers, webhooks, documents."""

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
    if any(found in network for network in _NEVER if network.version == found.version):
        return False
    return found.is_global and not found.is_multicast


_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_NEVER: Final = tuple(
    ipaddress.ip_network(each)
    for each in (
        "::/96",  # IPv4-compatible
        "::ffff:0:0:0/96",  # translated (SIIT)
        "64:ff9b:1::/48",  # a network's own NAT64
        "fec0::/10",  # site-local
        "192.88.99.0/24",  # relays of 6to4
    )
)
"""What a machine may route to itself or its own network, whatever the registries say of it."""


def literal(host: str) -> bool:
    """Whether a host is an IP address, in the forms that resolvers take too (`127.1`, `0x7f.1`)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        try:
            socket.inet_aton(host)
        except (OSError, ValueError):
            return False
    return True


def web_problem(url: str) -> str | None:
    """Why `url` is no address of the web that can be called, as a sentence's end; else None."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and parts.hostname
    except ValueError:
        right = False
    if not right or any(not "!" <= char <= "~" for char in url):
        return "should be an http or https address in ASCII, such as https://example.com/a.pdf"
    try:
        known = parts.port != 0
    except ValueError:
        known = False
    return None if known else "has a port that there is not: ports are whole numbers up to 65535"


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
    except (OSError, TimeoutError, ValueError):  # a name that none can be
        return None
    return None if all(is_public(str(row[4][0])) for row in rows) else host
