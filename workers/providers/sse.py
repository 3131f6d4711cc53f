"""An incremental parser of server-sent events, as tolerant as providers are inventive.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html. Lines may end in CRLF, LF or
CR; comments, `id` and `retry` are skipped; several `data` lines make one payload; what stands at
the end without its blank line is given out by `close`.
"""

MAX_EVENT_BYTES = 16 << 20


class TooLong(ValueError):  # noqa: N818 - it says what is wrong
    """An event larger than any provider sends."""


class EventParser:
    """Feeds on bytes, gives out the data of whole events."""

    __slots__ = ("_buffer", "_cr", "_data", "_limit", "_size", "_start")

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._buffer = b""
        self._data: list[bytes] = []
        self._size = 0
        self._cr = False
        self._start = True
        self._limit = limit

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads that `data` completes; raises TooLong."""
        if not data:
            return []
        if self._cr or b"\r" in data:
            data = self._newlines(data)
        if b"\n" not in data:
            self._buffer += data
            self._check(len(self._buffer) + self._size)
            return []
        lines = (self._buffer + data).split(b"\n")
        self._buffer = lines.pop()
        self._check(len(self._buffer) + self._size)
        return self._events(lines)

    def close(self) -> list[bytes]:
        """What is left at the end of the bytes: an event that lacks its blank line."""
        lines, self._buffer = [self._buffer, b""], b""
        return self._events(lines)

    def _events(self, lines: list[bytes]) -> list[bytes]:
        out: list[bytes] = []
        for line in lines:
            if self._start:
                self._start = False
                line = line.removeprefix(b"\xef\xbb\xbf")  # noqa: PLW2901 - a byte order mark
            if not line:
                if self._data:
                    out.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                    self._data, self._size = [], 0
            elif line.startswith(b"data:"):
                value = line[6:] if line[5:6] == b" " else line[5:]
                self._data.append(value)
                self._size += len(value)
                self._check(self._size)
        return out

    def _newlines(self, data: bytes) -> bytes:
        """CRLF and CR to LF; a CR at the end waits for what follows it."""
        if self._cr:
            data = b"\r" + data
        self._cr = data.endswith(b"\r")
        if self._cr:
            data = data[:-1]
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise TooLong(f"an event larger than {self._limit} bytes")
