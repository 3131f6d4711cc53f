"""Takes back what dead workers held. Workers do so too; this is for when none is left."""

import structlog

from scheduler.bell import Bell
from scheduler.ports import SchedulerStore

log = structlog.get_logger(__name__)

LEAST_S = 0.25


class Reaper:
    """One look a turn, at the moment the next lease may end.

    The store waits one full lease after it was down, or nobody could reach it, before it calls
    anybody dead: then workers could not renew.
    """

    def __init__(self, store: SchedulerStore, bell: Bell, fence: int, lease_ms: int) -> None:
        self._store = store
        self._bell = bell
        self._fence = fence
        self._lease_s = lease_ms / 1_000

    async def turn(self) -> None:
        """Takes back, then sleeps until a lease may have run out: half of one at the most.

        Half: a longer silence in the store would look to it as if nobody could have renewed.
        """
        reaped = await self._store.reap(self._fence)
        if reaped.jobs:
            log.warning("took_back", jobs=reaped.jobs)
        pause_s = self._lease_s / 2
        if reaped.next_ms is not None:
            pause_s = (reaped.next_ms - await self._store.now_ms()) / 1_000
        await self._bell.wait(min(max(pause_s, LEAST_S), self._lease_s / 2))
