"""What several processes say, line by line, on one stream; a stream that is stuck blocks nobody."""

import sys
import threading
from collections import deque
from typing import Protocol

KEPT_LINES = 10_000
TAIL_LINES = 12
MAX_LINE = 16_384


class Stream(Protocol):
    """What lines are written to: stdout, or nothing once that is closed."""

    def write(self, text: str, /) -> int:
        """Takes a text."""
        ...

    def flush(self) -> None:
        """Passes it on."""
        ...


class Output:
    """Prints whole lines from any thread. What a stuck stream cannot take is dropped and counted.

    A line that is JSON goes through as it is where `prefix` is off; else each line says whose it
    is. With `quiet` only notes are printed; the last lines of each source are kept for reports.
    """

    def __init__(self, stream: Stream, *, prefix: bool = True, quiet: bool = False) -> None:
        self._stream, self._prefix, self.quiet = stream, prefix, quiet
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._tails: dict[str, deque[str]] = {}
        self._changed = threading.Condition()
        self._dropped = 0
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def line(self, source: str, text: str) -> None:
        """A line that a child said."""
        text = text[:MAX_LINE]
        with self._changed:
            self._tails.setdefault(source, deque(maxlen=TAIL_LINES)).append(text)
            if not self.quiet:
                plain = not self._prefix and text.startswith("{")
                self._add(text if plain else f"{source:<10}| {text}")

    def note(self, text: str) -> None:
        """What the supervisor itself has to say."""
        with self._changed:
            self._add(text)

    def tail(self, source: str) -> list[str]:
        """The last lines a source said."""
        with self._changed:
            return list(self._tails.get(source, ()))

    def _add(self, text: str) -> None:
        if len(self._lines) == KEPT_LINES:
            self._dropped += 1
        self._lines.append(text)
        self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._lines and not self._closing:
                    self._changed.wait()
                if not self._lines:
                    return
                batch, dropped = list(self._lines), self._dropped
                self._lines.clear()
                self._dropped = 0
            if dropped:
                batch.insert(0, f"({dropped} lines dropped: nobody read them)")
            try:
                self._stream.write("\n".join(batch) + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # the reader has gone: keep serving, say nothing
                self._stream = _Nowhere()

    def close(self, timeout_s: float = 1.0) -> None:
        """Prints what is left, within `timeout_s`."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)


class _Nowhere:
    """A stream that takes everything."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


def standard(*, quiet: bool) -> Output:
    """On stdout; JSON lines go through as they are where that is not a terminal."""
    return Output(sys.stdout, prefix=sys.stdout.isatty(), quiet=quiet)
