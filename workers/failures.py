"""Why a call brought no whole answer, and whether it may have reached the provider.

httpx2.TransportError
└── TransportFailure   `kind`, `sent`
    ├── NotSent        nothing was handed to a connection: resolving, connecting, TLS, proxy, pool
    └── MaybeSent      the request was written; the provider may be working on it, and bill it
"""

import aiohttp
import httpx2

from shared.core.outcome import FailureKind


class TransportFailure(httpx2.TransportError):
    """A call that brought no whole answer. `sent`: the request may have reached the provider."""

    sent: bool

    def __init__(self, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class NotSent(TransportFailure):
    """No byte of the request was handed to a connection."""

    sent = False


class MaybeSent(TransportFailure):
    """The request was written; whether it arrived or was worked on is not known."""

    sent = True


_NEVER_SENT = (
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientConnectorError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    ValueError,
)


def failure(exc: BaseException, *, sent: bool, reading: bool = False) -> TransportFailure:
    """The one table of foreign exceptions. aiohttp's tree: docs/client_reference, 3.14."""
    message = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
    if not sent or (not reading and isinstance(exc, _NEVER_SENT)):
        return NotSent(FailureKind.UNREACHABLE, message)
    match exc:
        case TimeoutError():
            return MaybeSent(FailureKind.TIMEOUT, "the provider fell silent")
        case aiohttp.ClientPayloadError():
            return MaybeSent(FailureKind.MALFORMED_REPLY, f"the reply broke off: {message}")
        case aiohttp.ClientResponseError():
            return MaybeSent(FailureKind.MALFORMED_REPLY, f"not an HTTP reply: {message}")
        case _:
            return MaybeSent(FailureKind.UNREACHABLE, f"the connection was lost: {message}")
