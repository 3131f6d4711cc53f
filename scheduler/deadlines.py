"""Ends queued jobs whose deadline or wait limit has passed: a timer armed to the next of them."""

import structlog

from scheduler.bell import Bell
from scheduler.ports import SchedulerStore

log = structlog.get_logger(__name__)

BATCH = 500
LEAST_S = 0.005


class Deadlines:
    """One batch a turn. The bell rings when a nearer limit than all before is announced."""

    def __init__(self, store: SchedulerStore, bell: Bell, fence: int) -> None:
        self._store = store
        self._bell = bell
        self._fence = fence

    async def turn(self) -> None:
        """Ends what is due, then sleeps until the next is, or the bell rings."""
        expired = await self._store.expire_due(self._fence, BATCH)
        if expired.jobs:
            log.info("expired", jobs=expired.jobs)
        now_ms = await self._store.now_ms()
        due_s = (expired.next_ms - now_ms) / 1_000
        await self._bell.wait(max(due_s, LEAST_S))
