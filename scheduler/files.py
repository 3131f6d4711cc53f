"""Removes files whose time is over: the bytes first, so that nothing is left that nobody knows."""

from typing import Final

import structlog

from scheduler.bell import Bell
from shared.objects import Objects
from shared.store.batches import Batches
from shared.store.files import Files, object_name

log = structlog.get_logger(__name__)

BATCH: Final = 100
EVERY_S: Final = 60.0
AGAIN_MS: Final = 3_600_000


class ExpiredFiles:
    """One look a turn. A file that a batch still reads stays until the batch is done."""

    def __init__(
        self, files: Files, batches: Batches, objects: Objects, bell: Bell, every_s: float = EVERY_S
    ) -> None:
        self._files = files
        self._batches = batches
        self._objects = objects
        self._bell = bell
        self._every_s = every_s

    async def turn(self) -> None:
        """Removes what is due, then sleeps."""
        found = await self._files.due(BATCH)
        read = {batch.input_file_id for batch in await self._batches.live()} if found else set()
        for file in found:
            if file.id in read:
                await self._files.postpone(file.id, await self._files.now_ms() + AGAIN_MS)
                continue
            await self._objects.delete(object_name(file.id))
            await self._files.forget(file)
        if found:
            log.info("files_expired", files=len(found))
        if len(found) < BATCH:
            await self._bell.wait(self._every_s)
