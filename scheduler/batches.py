"""Batches: one step for each that is not done, again and again, until all of them wait."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from scheduler.batch_input import Input
from scheduler.batch_lines import Limits
from scheduler.batch_output import Output
from scheduler.bell import Bell
from shared.core.batch import Batch, Pace, Step, job_id, next_step
from shared.errors import StoreError
from shared.objects import Objects
from shared.store.batches import Batches as Store
from shared.store.files import Files
from shared.store.jobs import Jobs
from shared.store.lanes import Lanes
from shared.store.leader import StaleFence
from shared.submission import Routes

log = structlog.get_logger(__name__)

LOOK_S: Final = 1.0  # while a batch is not done: its window ends, a deployment comes back
IDLE_S: Final = 60.0
COLLECT_EVERY_S: Final = 60.0
STOP_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Bulk:
    """What batches stand on. `router` gives the catalog's choice as it is now."""

    store: Store
    files: Files
    jobs: Jobs
    lanes: Lanes
    objects: Objects
    router: Callable[[], Routes]
    limits: Limits = Limits()  # noqa: RUF009 - it is frozen


class Batches:
    """One round over all batches a turn. The bell rings when one comes or lines have ended."""

    def __init__(self, bulk: Bulk, bell: Bell, fence: int, pace: Pace | None = None) -> None:
        self._bulk = bulk
        self._bell = bell
        self._pace = pace or Pace()
        self._input = Input(
            bulk.store, bulk.jobs, bulk.lanes, bulk.objects, bulk.router, bulk.limits, fence
        )
        self._output = Output(bulk.store, bulk.files, bulk.objects, fence)
        self._collected: dict[str, float] = {}
        self._troubled: set[str] = set()

    async def turn(self) -> None:
        """A step for each; where none could be taken, waits."""
        live = await self._bulk.store.live()
        moved = False
        for batch in live:
            moved = await self._advance(batch) or moved
        moved = await self._sweep() or moved
        if not moved:
            await self._bell.wait(LOOK_S if live else IDLE_S)

    async def _advance(self, batch: Batch) -> bool:
        """One step; trouble with one batch's files does not stop the others."""
        try:
            moved = await self._step(batch)
        except StaleFence:
            raise
        except Exception as trouble:
            if batch.id not in self._troubled:
                known = isinstance(trouble, StoreError)
                log.warning("batch_waits", batch=batch.id, reason=str(trouble),
                            exc_info=None if known else trouble)  # fmt: skip
            self._troubled.add(batch.id)
            return False
        self._troubled.discard(batch.id)
        return moved

    async def _step(self, batch: Batch) -> bool:
        now_ms = await self._bulk.lanes.now_ms()
        match next_step(batch, now_ms, self._pace, collect_now=self._long_ago(batch)):
            case Step.WAIT:
                return False
            case Step.VALIDATE:
                return await self._input.validate(batch)
            case Step.FEED:
                return await self._input.feed(batch, now_ms, self._pace.chunk)
            case Step.STOP:
                return await self._stop(batch)
            case Step.COLLECT:
                self._collected[batch.id] = asyncio.get_running_loop().time()
                return await self._output.collect(batch, self._pace.collect)
            case Step.FINISH:
                self._collected.pop(batch.id, None)
                return await self._output.finish(batch)

    def _long_ago(self, batch: Batch) -> bool:
        now = asyncio.get_running_loop().time()
        return now - self._collected.setdefault(batch.id, now) >= COLLECT_EVERY_S

    async def _stop(self, batch: Batch) -> bool:
        """Cancels the lines that have not ended. True where there were any."""
        stopped = 0
        for first in range(1, batch.line + 1, STOP_AT_ONCE):
            numbers = range(first, min(first + STOP_AT_ONCE, batch.line + 1))
            ids = [job_id(batch.id, number) for number in numbers]
            stopped += await self._bulk.jobs.cancel_all(ids, batch.tenant, "batch_cancelled")
        return stopped > 0

    async def _sweep(self) -> bool:
        try:
            return await self._output.sweep()
        except StoreError as trouble:
            log.warning("batch_not_swept", reason=str(trouble))
            return False
