"""Publishes the lanes of the catalog to the store: when leadership begins, and every hour.

The hour: a day that starts at a zone's midnight moves with that zone's summer time.
"""

from collections.abc import Awaitable, Callable

import structlog

from scheduler.bell import Bell

log = structlog.get_logger(__name__)

AGAIN_S = 3600.0


class Configure:
    """`publish` writes what differs and returns how many lanes changed."""

    def __init__(self, publish: Callable[[], Awaitable[int]], bell: Bell) -> None:
        self._publish = publish
        self._bell = bell

    async def turn(self) -> None:
        """Publishes, then waits until it is asked to again, or for an hour."""
        changed = await self._publish()
        if changed:
            log.info("lanes_published", changed=changed)
        await self._bell.wait(AGAIN_S)
