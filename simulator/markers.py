"""Counts by request id, so a test can ask how often request X came and was answered.

An id comes as the header `x-sim-id` or as the last `[[id:X]]` in the body; X is up to 64 of
`A-Z a-z 0-9 _ . : -`. Only the latest `limit` ids are kept: about 0.6 KiB each.
"""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

_MARK = re.compile(rb"([A-Za-z0-9_.:\-]{1,64})\]\]")
_TRACE = 16


@dataclass(slots=True)
class Seen:
    """What happened to one id. `admitted` counts the times real work was (or would be) billed.

    `came_ms` are the latest arrivals, real ms since 1970; `trace` what became of them.
    """

    received: int = 0
    admitted: int = 0
    answered: int = 0
    rate_limited: int = 0
    trace: list[str] = field(default_factory=list)
    came_ms: list[int] = field(default_factory=list)

    def note(self, provider: str, outcome: str) -> None:
        """Count one outcome and keep the latest of them by name."""
        if outcome == "ok":
            self.answered += 1
        elif outcome in {"rate_limited", "too_large"}:
            self.rate_limited += 1
        self.trace.append(sys.intern(f"{provider}:{outcome}"))
        del self.trace[:-_TRACE]


class Markers:
    """The latest ids, oldest forgotten first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen: dict[str, Seen] = {}
        self.forgotten = 0

    def received(self, marker: str, now_us: int) -> Seen:
        """Count one arrival of this id."""
        seen = self._seen.get(marker)
        if seen is None:
            if len(self._seen) >= self._limit:
                del self._seen[next(iter(self._seen))]
                self.forgotten += 1
            seen = self._seen[marker] = Seen()
        seen.received += 1
        seen.came_ms.append(now_us // 1_000)
        del seen.came_ms[:-_TRACE]
        return seen

    def get(self, marker: str) -> Seen:
        """What is known of this id; zeros where nothing is."""
        return self._seen.get(marker) or Seen()

    def __len__(self) -> int:
        return len(self._seen)

    def items(self) -> Iterator[tuple[str, Seen]]:
        """All ids kept, oldest first."""
        return iter(self._seen.items())

    def clear(self) -> None:
        """Forget all."""
        self._seen.clear()
        self.forgotten = 0


def marker_in(body: bytes) -> str | None:
    """The last `[[id:X]]` of a body."""
    at = body.rfind(b"[[id:")
    if at < 0:
        return None
    found = _MARK.match(body, at + 5)
    return found[1].decode() if found else None
