"""Quota windows as pure arithmetic: integers in, integers out, the caller brings the time.

Times are microseconds that never go back. Each window answers the same five questions, so a
provider enforces any mix of them alike:

- `SlidingLog`: at most `limit` within any span `(t - span, t]`, from the true log of arrivals;
- `FixedWindow`: at most `limit` between two edges, which lie on multiples of the span on the
  clock, counted from 1970 (`epoch`) or on the wall clock of a time zone (a day: its midnight),
  or follow the first use (`first_use`);
- `TokenBucket`: a burst of `limit`, refilled evenly at `limit` per span.
"""

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

Kind = Literal["sliding", "fixed", "bucket"]
ANCHORS = ("epoch", "first_use")
_1970 = datetime(1970, 1, 1, tzinfo=UTC)
MAX_LOG_ENTRIES = 200_000
_DAY_US = 86_400_000_000


class Window(Protocol):
    """An amount per span of time."""

    limit: int
    span_us: int

    def used(self, now_us: int) -> int:
        """What of the limit is spent now, rounded up."""

    def wait_us(self, amount: int, now_us: int) -> int | None:
        """How long until `amount` fits; 0 if it fits now, None if it never will."""

    def take(self, amount: int, now_us: int) -> None:
        """Spend `amount` now, whether it fits or not."""

    def full_us(self, now_us: int) -> int:
        """How long until nothing is spent any more."""

    def set_limit(self, limit: int, now_us: int) -> None:
        """Change the limit from now on; what is spent stays spent."""


class SlidingLog:
    """At most `limit` in any span, exact for up to `MAX_LOG_ENTRIES` arrivals a span.

    Past that the oldest two become one at the later time, which is stricter, never looser.
    """

    __slots__ = ("_entries", "_total", "limit", "span_us")

    def __init__(self, limit: int, span_us: int) -> None:
        self.limit = limit
        self.span_us = span_us
        self._entries: deque[tuple[int, int]] = deque()
        self._total = 0

    def _forget(self, now_us: int) -> None:
        edge_us = now_us - self.span_us
        entries = self._entries
        while entries and entries[0][0] <= edge_us:
            self._total -= entries.popleft()[1]

    def used(self, now_us: int) -> int:
        """See `Window`."""
        self._forget(now_us)
        return self._total

    def wait_us(self, amount: int, now_us: int) -> int | None:
        """See `Window`."""
        if amount > self.limit:
            return None
        self._forget(now_us)
        excess = self._total + amount - self.limit
        if amount == 0 or excess <= 0:
            return 0
        for at_us, spent in self._entries:
            excess -= spent
            if excess <= 0:
                return at_us + self.span_us - now_us
        raise AssertionError("the log holds less than its total")

    def take(self, amount: int, now_us: int) -> None:
        """See `Window`."""
        if amount == 0:
            return
        entries = self._entries
        entries.append((now_us, amount))
        self._total += amount
        if len(entries) > MAX_LOG_ENTRIES:
            first, second = entries.popleft(), entries.popleft()
            entries.appendleft((second[0], first[1] + second[1]))

    def full_us(self, now_us: int) -> int:
        """See `Window`."""
        self._forget(now_us)
        return self._entries[-1][0] + self.span_us - now_us if self._entries else 0

    def set_limit(self, limit: int, now_us: int) -> None:
        """See `Window`."""
        self._forget(now_us)
        self.limit = limit


class FixedWindow:
    """At most `limit` between two edges."""

    __slots__ = ("_anchor", "_end_us", "_total", "_zone", "limit", "span_us")

    def __init__(self, limit: int, span_us: int, anchor: str = "epoch") -> None:
        self.limit = limit
        self.span_us = span_us
        self._anchor = anchor
        self._zone = None if anchor in ANCHORS else ZoneInfo(anchor)
        self._end_us = 0
        self._total = 0

    def used(self, now_us: int) -> int:
        """See `Window`."""
        return self._total if now_us < self._end_us else 0

    def wait_us(self, amount: int, now_us: int) -> int | None:
        """See `Window`."""
        if amount > self.limit:
            return None
        if amount == 0 or self.used(now_us) + amount <= self.limit:
            return 0
        return self._end_us - now_us

    def take(self, amount: int, now_us: int) -> None:
        """See `Window`."""
        if now_us >= self._end_us:
            self._end_us = self._edge_after(now_us)
            self._total = 0
        self._total += amount

    def _edge_after(self, now_us: int) -> int:
        if self._zone is not None:
            return zoned_edge_us(self._zone, self.span_us, now_us)
        past_edge_us = now_us % self.span_us if self._anchor == "epoch" else 0
        return now_us - past_edge_us + self.span_us

    def full_us(self, now_us: int) -> int:
        """See `Window`."""
        return self._end_us - now_us if self.used(now_us) else 0

    def set_limit(self, limit: int, now_us: int) -> None:  # noqa: ARG002 - the protocol's shape
        """See `Window`."""
        self.limit = limit


def zoned_edge_us(zone: ZoneInfo, span_us: int, now_us: int) -> int:
    """The next multiple of the span on a zone's wall clock; days keep to it when clocks change."""
    now = _1970 + timedelta(microseconds=now_us)
    offset_us = (now.astimezone(zone).utcoffset() or timedelta()) // timedelta(microseconds=1)
    wall_us = (now_us + offset_us) // span_us * span_us + span_us
    if span_us < _DAY_US:
        return wall_us - offset_us
    wall = (_1970 + timedelta(microseconds=wall_us)).replace(tzinfo=zone)
    return (wall - _1970) // timedelta(microseconds=1)


class TokenBucket:
    """A burst of `limit`, refilled at `limit` per span; counted in parts of 1 / span, so exact."""

    __slots__ = ("_at_us", "_missing", "limit", "span_us")

    def __init__(self, limit: int, span_us: int) -> None:
        self.limit = limit
        self.span_us = span_us
        self._missing = 0
        self._at_us = 0

    def _refill(self, now_us: int) -> None:
        if now_us > self._at_us:
            self._missing = max(0, self._missing - (now_us - self._at_us) * self.limit)
            self._at_us = now_us

    def used(self, now_us: int) -> int:
        """See `Window`."""
        self._refill(now_us)
        return -(-self._missing // self.span_us)

    def wait_us(self, amount: int, now_us: int) -> int | None:
        """See `Window`."""
        if amount > self.limit:
            return None
        self._refill(now_us)
        excess = self._missing + (amount - self.limit) * self.span_us
        if amount == 0 or excess <= 0:
            return 0
        return -(-excess // self.limit)

    def take(self, amount: int, now_us: int) -> None:
        """See `Window`."""
        self._refill(now_us)
        self._missing += amount * self.span_us

    def full_us(self, now_us: int) -> int:
        """See `Window`."""
        self._refill(now_us)
        return -(-self._missing // self.limit) if self.limit else self.span_us

    def set_limit(self, limit: int, now_us: int) -> None:
        """Change the limit; the share of the bucket that is spent stays at most all of it."""
        self._refill(now_us)
        self.limit = limit
        self._missing = min(self._missing, limit * self.span_us)


def make_window(kind: Kind, limit: int, span_us: int, anchor: str = "epoch") -> Window:
    """Build the window of this kind."""
    match kind:
        case "sliding":
            return SlidingLog(limit, span_us)
        case "fixed":
            return FixedWindow(limit, span_us, anchor)
        case "bucket":
            return TokenBucket(limit, span_us)
