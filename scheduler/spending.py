"""Tells a person of paid use: the first money of a day, four fifths of its cap, the cap itself."""

import asyncio

import structlog

from scheduler.bell import Bell
from scheduler.ports import SchedulerStore
from shared.core.books import alert

log = structlog.get_logger(__name__)

PAUSE_S = 1.0


class Spending:
    """One alert a day and level; idle until the store tells of money.

    Who leads next tells again: better twice than not at all.
    """

    def __init__(
        self,
        store: SchedulerStore,
        bell: Bell,
        cap_microusd: int | None,
        *,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._store = store
        self._bell = bell
        self._cap_microusd = cap_microusd
        self._pause_s = pause_s
        self._told: set[tuple[int, str]] = set()

    async def turn(self) -> None:
        """Waits until told, looks, and speaks where there is something new to say."""
        await self._bell.wait(None)
        try:
            await self.once()
        except BaseException:
            self._bell.ring()  # it is not told yet
            raise
        await asyncio.sleep(self._pause_s)

    async def once(self) -> None:
        """Looks at today's money."""
        found = await self._store.spending()
        level = alert(found.spent_microusd, self._cap_microusd, capped=found.capped)
        if level is None or (found.day, level) in self._told:
            return
        self._told = {one for one in self._told if one[0] == found.day} | {(found.day, level)}
        cap = self._cap_microusd
        log.warning(
            "paid_use",
            level=level,
            spent_usd=found.spent_microusd / 1e6,
            cap_usd=None if cap is None else cap / 1e6,
        )
