"""Removes files whose time is over: the bytes first, so that nothing is left that nobody knows.

And once a day the half files that writers left who were killed.
"""

from typing import Final

import structlog

from scheduler.bell import Bell
from shared.objects import Objects
from shared.store.batches import Batches
from shared.store.files import File, Files, object_name
from shared.store.jobs import Jobs

log = structlog.get_logger(__name__)

BATCH: Final = 100
EVERY_S: Final = 60.0
AGAIN_MS: Final = 3_600_000
JOB_AGAIN_MS: Final = 600_000
DAY_S: Final = 86_400.0


class ExpiredFiles:
    """One look a turn. A file that a batch still reads stays until the batch is done.

    So does what came with a job's request, until the job is done, cancelled or forgotten.
    """

    def __init__(
        self,
        files: Files,
        batches: Batches,
        jobs: Jobs,
        objects: Objects,
        bell: Bell,
    ) -> None:
        self._files = files
        self._jobs = jobs
        self._batches = batches
        self._objects = objects
        self._bell = bell

    async def turn(self) -> None:
        """Removes what is due, then sleeps."""
        found = await self._files.due(BATCH)
        read = {batch.input_file_id for batch in await self._batches.live()} if found else set()
        for file in found:
            again_ms = AGAIN_MS if file.id in read else await self._lives(file)
            if again_ms is not None:
                await self._files.postpone(file.id, await self._files.now_ms() + again_ms)
                continue
            await self._objects.delete(object_name(file.id))
            await self._files.forget(file)
        if found:
            log.info("files_expired", files=len(found))
        if len(found) < BATCH:
            await self._bell.wait(EVERY_S)

    async def _lives(self, file: File) -> int | None:
        """When to look again, where it is a job's that may run yet."""
        if file.job is None:
            return None
        record = await self._jobs.get(file.job, None)
        if record is None or not record.may_run:
            return None
        return AGAIN_MS if record.status.final else JOB_AGAIN_MS


class HalfFiles:
    """One sweep a turn, the first when leading begins; what was written to today is left alone."""

    def __init__(self, objects: Objects, bell: Bell) -> None:
        self._objects = objects
        self._bell = bell

    async def turn(self) -> None:
        """Removes what is left over, then sleeps."""
        removed = await self._objects.sweep(DAY_S)
        if removed:
            log.info("half_files_removed", files=removed)
        await self._bell.wait(DAY_S)
