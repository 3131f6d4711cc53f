"""Takes queued work off lanes nobody serves any more: elsewhere, or to an end that says why."""

from collections.abc import Awaitable, Callable

import structlog

from scheduler.bell import Bell
from scheduler.ports import SchedulerStore

log = structlog.get_logger(__name__)

BATCH = 500


class Evacuate:
    """One round a turn: on an event, and when jobs left without a candidate may fail.

    `publish` writes the lanes as they are now, first: work may have come for a provider that was
    added a moment ago, or while nobody led.
    """

    def __init__(
        self, store: SchedulerStore, publish: Callable[[], Awaitable[int]], bell: Bell, fence: int
    ) -> None:
        self._store = store
        self._publish = publish
        self._bell = bell
        self._fence = fence

    async def turn(self) -> None:
        """Batches until nothing is left to take, then waits for a reason."""
        await self._publish()
        moved, failed, more = 0, 0, True
        while more:
            done = await self._store.evacuate(self._fence, BATCH)
            moved, failed, more = moved + done.moved, failed + done.failed, done.more
        if moved or failed:
            log.warning("lanes_evacuated", moved=moved, failed=failed)
        await self._bell.wait(None if done.next_ms is None else done.next_ms / 1_000 + 0.01)
