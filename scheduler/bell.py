"""Waiting for something to happen, for a while at most: what lets a duty sleep without polling."""

import asyncio
from contextlib import suppress


class Bell:
    """Rung by anyone, heard by one duty; rings before it listens are not lost, many are one."""

    __slots__ = ("_event", "_timer")

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def ring(self) -> None:
        """Wakes the duty, now or at its next wait."""
        self._event.set()

    def ring_in(self, seconds: float) -> None:
        """Rings after so long at the latest: the nearest of all such moments that are ahead."""
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if self._timer is not None:
            if loop.time() < self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = loop.call_at(at, self.ring)

    async def wait(self, timeout_s: float | None) -> bool:
        """True where it was rung within the time; None waits for ever."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._event.wait()
        rung = self._event.is_set()
        self._event.clear()
        return rung
