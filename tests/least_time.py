"""The least time in which windows admit a number of equal calls: what a backlog is measured by.

Exact for each kind as declared, and with no guard: calls take no time and arrive when sent. Every
call is started as early as its lane's windows let it, so the least is reached; with several windows
from first use on one lane it is what that rule gives, which may not be least.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from shared.core.model import Need, TokenCount, Window, WindowKind
from shared.core.quota import amount, anchor_offset_ms


@dataclass(slots=True)
class _Pace:
    """When one window admits the next of equal calls; `starts` are the calls it let through."""

    window: Window
    units: int
    origin_ms: int
    kind: WindowKind
    anchor_ms: int | None
    starts: list[int] = field(default_factory=list)
    opened: int = 0  # index of the call that opened the window (first use)
    theoretical: int = 0  # bucket: moment when it is full again, times the limit

    @property
    def each(self) -> int:
        """Calls that fit in one window."""
        return self.window.limit // self.units

    def next_ms(self) -> int:
        """The earliest moment, from 0 at the start of the backlog, for the next call."""
        return max(self.starts[-1] if self.starts else 0, self._opens_ms())

    def _opens_ms(self) -> int:
        span, n = self.window.span_ms, len(self.starts)
        if self.kind is WindowKind.BUCKET:  # GCRA, ITU-T I.371
            burst = (self.window.limit - self.units) * span
            return -((burst - self.theoretical) // self.window.limit)
        if n < self.each:
            return 0
        if self.kind is WindowKind.SLIDING:
            return self.starts[n - self.each] + span
        if self.anchor_ms is None:
            full = n - self.opened >= self.each
            return self.starts[self.opened] + span if full else 0
        shift = self.origin_ms - self.anchor_ms
        window = (self.starts[n - self.each] + shift) // span
        return (window + 1) * span - shift

    def start(self, at_ms: int) -> None:
        """Lets a call through."""
        if not self.starts or at_ms >= self.starts[self.opened] + self.window.span_ms:
            self.opened = len(self.starts)
        self.starts.append(at_ms)
        full_at = max(at_ms * self.window.limit, self.theoretical)
        self.theoretical = full_at + self.units * self.window.span_ms


def _pace(window: Window, units: int, start_ms: int | None, *, as_sliding: bool) -> _Pace:
    kind = WindowKind.SLIDING if as_sliding else window.kind
    anchor_ms = None
    if kind is WindowKind.FIXED and window.anchor != "first_use":
        # an edge 1 ms after the start is the best there is
        anchor_ms = (
            1 if start_ms is None else anchor_offset_ms(window.anchor, window.span_ms, start_ms)
        )
    return _Pace(window, units, start_ms or 0, kind, anchor_ms)


def _starts(paces: Sequence[_Pace]) -> Iterator[int]:
    """The moments at which one lane starts its calls."""
    while True:
        at_ms = max((pace.next_ms() for pace in paces), default=0)
        for pace in paces:
            pace.start(at_ms)
        yield at_ms


def least_time_ms(
    lanes: Sequence[Sequence[Window]],
    jobs: int,
    *,
    start_ms: int | None = 0,
    as_sliding: bool = False,
    need: Need | None = None,
    token_count: TokenCount = TokenCount.INPUT_MAX_OUTPUT,
) -> int | None:
    """Time from the first start to the last, in ms, of `jobs` equal calls; None: never.

    `lanes` are the windows of each. `start_ms` (epoch) says where fixed windows stand: 0 starts at
    an edge, None at the best moment there is (just before one). `as_sliding` counts every window as
    sliding: the bound for kinds that nobody declared. `need` of one call; the default is one
    request and no tokens.
    """
    if jobs <= 0:
        return 0
    queue: list[tuple[int, int, Iterator[int]]] = []
    for index, windows in enumerate(lanes):
        units = [(w, amount(need or Need(), w.dimension, token_count, 1.0)) for w in windows]
        if any(taken > window.limit for window, taken in units):
            continue
        starts = _starts([_pace(w, n, start_ms, as_sliding=as_sliding) for w, n in units if n > 0])
        queue.append((next(starts), index, starts))
    if not queue:
        return None
    heapq.heapify(queue)
    for _ in range(jobs - 1):
        _, index, starts = queue[0]
        heapq.heapreplace(queue, (next(starts), index, starts))
    return queue[0][0]
