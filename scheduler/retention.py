"""Drops index entries of jobs that have outlived their retention, a bounded batch at a time."""

import asyncio

import structlog

from scheduler.bell import Bell
from scheduler.ports import SchedulerStore

log = structlog.get_logger(__name__)

BATCH = 500
BETWEEN_BATCHES_S = 0.05
EVERY_S = 600.0


class Retention:
    """One round a turn; rare, for the jobs themselves expire in the store."""

    def __init__(self, store: SchedulerStore, bell: Bell, fence: int) -> None:
        self._store = store
        self._bell = bell
        self._fence = fence

    async def turn(self) -> None:
        """Batches until nothing is left to drop, then a long sleep."""
        removed, more = 0, True
        while more:
            cleaned = await self._store.clean(self._fence, BATCH)
            removed, more = removed + cleaned.removed, cleaned.more
            if more:
                await asyncio.sleep(BETWEEN_BATCHES_S)
        if removed:
            log.info("cleaned", entries=removed)
        await self._bell.wait(EVERY_S)
