"""Server-sent events, read from bytes: https://html.spec.whatwg.org/multipage/server-sent-events.html."""

from collections.abc import Iterator
from dataclasses import dataclass

MAX_EVENT_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event. `id` is the last id seen, as `Last-Event-ID` wants it; "" before the first."""

    id: str
    event: str
    data: str


class Decoder:
    """Turns chunks of bytes into events, whatever the chunks' edges.

    Only CR, LF and CRLF end a line: a text may hold any other of Unicode's line ends.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._id = ""
        self._event = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """The events that `chunk` completes. ValueError if one grows beyond 16 MiB."""
        whole = (self._rest + chunk).replace(b"\r\n", b"\n")
        held = b""
        if whole.endswith(b"\r"):  # its LF may come with the next chunk
            whole, held = whole[:-1], b"\r"
        *lines, rest = whole.replace(b"\r", b"\n").split(b"\n")
        self._rest = rest + held
        if len(self._rest) > MAX_EVENT_BYTES:
            raise ValueError("an event is larger than 16 MiB")
        for line in lines:
            event = self._line(line.decode(errors="replace"))
            if event is not None:
                yield event

    def _line(self, line: str) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data.append(value)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = value
            case _:  # a comment, `retry`, or nothing we know
                pass
        return None

    def _dispatch(self) -> ServerEvent | None:
        data, event = self._data, self._event
        self._data, self._event = [], ""
        if not data:
            return None
        return ServerEvent(self._id, event or "message", "\n".join(data))
