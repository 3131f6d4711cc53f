"""Server-sent events, as bytes."""

from typing import Final

from api.call import Header

HEADERS: Final[tuple[Header, ...]] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
)
DONE: Final = b"data: [DONE]\n\n"
KEEP_ALIVE: Final = b": keep-alive\n\n"


def data(payload: bytes) -> bytes:
    """An unnamed event of one line of JSON."""
    return b"data: " + payload + b"\n\n"


def event(number: int, name: str, payload: bytes) -> bytes:
    """A numbered, named event of one line of JSON."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, name.encode(), payload)
