"""Turns the store's announcements into rings of the duties' bells."""

from typing import assert_never

from scheduler.bell import Bell
from scheduler.ports import SchedulerStore
from shared.core.backlog import LaneEventKind
from shared.errors import StoreError


class Listen:
    """One subscription a turn: it ends with the connection, and `keep` opens the next."""

    def __init__(
        self,
        store: SchedulerStore,
        *,
        rebalance: Bell,
        deadlines: Bell,
        evacuate: Bell,
        probes: Bell,
        spending: Bell,
        batches: Bell,
    ) -> None:
        self._batches = batches
        self._spending = spending
        self._store = store
        self._rebalance = rebalance
        self._deadlines = deadlines
        self._evacuate = evacuate
        self._probes = probes

    async def turn(self) -> None:
        """Hears until the connection breaks; what may have been missed rings every bell."""
        try:
            async for event in self._store.events():
                if event.kind is LaneEventKind.DUE:
                    self._rebalance.ring_in(event.in_ms / 1_000)
                else:
                    self._hear(event.kind)
        finally:
            self._hear(LaneEventKind.LOST)
        raise StoreError("listening: the subscription ended")

    def _hear(self, kind: LaneEventKind) -> None:
        match kind:
            case LaneEventKind.LIMITS:
                self._deadlines.ring()
            case LaneEventKind.LOST:
                for bell in (self._deadlines, self._rebalance, self._evacuate, self._probes):
                    bell.ring()
                self._spending.ring()
                self._batches.ring()
            case LaneEventKind.BATCH:
                self._batches.ring()
            case LaneEventKind.UNSERVED:
                self._evacuate.ring()
            case LaneEventKind.DIED:
                self._probes.ring()
            case LaneEventKind.SPENDING:
                self._spending.ring()
            case LaneEventKind.CAPPED:
                self._spending.ring()
                self._rebalance.ring()
            case (
                LaneEventKind.THROTTLED
                | LaneEventKind.COOLED_DOWN
                | LaneEventKind.RECOVERED
                | LaneEventKind.RAN_DRY
                | LaneEventKind.BACKLOG
                | LaneEventKind.CONFIGURED
                | LaneEventKind.DUE
            ):
                self._rebalance.ring()
            case _:
                assert_never(kind)
