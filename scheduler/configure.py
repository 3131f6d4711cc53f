"""Publishes the lanes of the catalog to the store: once, whenever leadership begins."""

from collections.abc import Awaitable, Callable

import structlog

from scheduler.bell import Bell

log = structlog.get_logger(__name__)


class Configure:
    """`publish` writes what differs and returns how many lanes changed."""

    def __init__(self, publish: Callable[[], Awaitable[int]], bell: Bell) -> None:
        self._publish = publish
        self._bell = bell

    async def turn(self) -> None:
        """Publishes, then waits until it is asked to again."""
        changed = await self._publish()
        log.info("lanes_published", changed=changed)
        await self._bell.wait(None)
