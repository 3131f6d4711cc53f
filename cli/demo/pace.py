"""How long the demo waits: as long as something moves, whatever the machine.

Work that stands still for three minutes is broken; work that still moves after twenty is too slow
here, which says nothing of Headrace.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from shared.errors import GatewayError

STILL_S = 180.0
MOST_S = 1_200.0
LOOK_EVERY_S = 1.0

Outcome = TypeVar("Outcome")


class Broken(GatewayError):  # noqa: N818 - what it says
    """Nothing moved for minutes."""


class TooSlow(GatewayError):  # noqa: N818 - what it says
    """It moved all the time, and there was not time enough."""


class Pace:
    """Watches one piece of work. `moved` tells how far it is: any value that changes with it."""

    def __init__(
        self,
        *,
        still_s: float = STILL_S,
        most_s: float = MOST_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.moved: Callable[[], object] = lambda: None
        self._still_s, self._most_s, self._clock = still_s, most_s, clock
        self._began = self._changed = clock()
        self._seen: object = None

    def look(self) -> None:
        """Looks how far it is. Broken or TooSlow once there is no use in waiting longer."""
        now, state = self._clock(), self.moved()
        if state != self._seen:
            self._seen, self._changed = state, now
        if now - self._changed > self._still_s:
            raise Broken(f"broken: nothing moved for {self._still_s:.0f} s")
        if now - self._began > self._most_s:
            raise TooSlow(
                f"too slow here, not broken: it still moves after {self._most_s / 60:.0f} min"
            )


async def paced(work: Coroutine[Any, Any, Outcome], pace: Pace) -> Outcome:
    """The work's outcome. Broken or TooSlow where its pace says so: then it is cancelled."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=LOOK_EVERY_S)
            if not task.done():
                pace.look()
        return task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
