"""Accepting jobs: calls that come together share one script call, and so one sync to disk."""

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError

from shared.core.model import Status
from shared.errors import StoreError
from shared.queue.claims import job_header, signatures
from shared.queue.scripts import Scripts
from shared.queue.types import Acceptance, Accepted, NewJob
from shared.store.connect import store_errors

MOST_AT_ONCE = 128

_Waiting = tuple[NewJob, asyncio.Future[Accepted]]


class Acceptor:
    """Takes jobs in, at most 128 a script call. What one of them did wrong is told to it alone."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._queue: list[_Waiting] = []
        self._flusher: asyncio.Task[None] | None = None

    async def accept(self, job: NewJob) -> Accepted:
        """Writes the job and puts it in its lane; when this returns, it is durable."""
        future: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._queue.append((job, future))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.get_running_loop().create_task(self._flush())
        return await future

    async def _flush(self) -> None:
        while self._queue:
            batch, self._queue = self._queue[:MOST_AT_ONCE], self._queue[MOST_AT_ONCE:]
            try:
                await self._settle(batch)
            except BaseException as error:  # every waiting caller must hear of it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                if not isinstance(error, Exception):
                    raise

    async def _settle(self, batch: Sequence[_Waiting]) -> None:
        try:
            rows = await self._accept([job for job, _ in batch])
        except StoreError as error:
            # the store answered, and not as it should: one of them is at fault, not all
            if len(batch) == 1 or isinstance(error.__cause__, RedisConnectionError | OSError):
                raise
            await self._one_by_one(batch)
        except Exception:
            if len(batch) == 1:
                raise
            await self._one_by_one(batch)
        else:
            for (_, future), how in zip(batch, rows, strict=True):
                if not future.done():
                    future.set_result(how)

    async def _one_by_one(self, batch: Sequence[_Waiting]) -> None:
        for job, future in batch:
            try:
                (how,) = await self._accept([job])
            except Exception as error:  # noqa: BLE001 - its caller hears of it
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(how)

    async def _accept(self, jobs: Sequence[NewJob]) -> Sequence[Accepted]:
        header = {"jobs": [job_header(job) for job in jobs], "sigs": signatures(jobs)}
        with store_errors("accept"):
            rows = await self._scripts("accept", header, *(job.doc for job in jobs))
        return [_accepted(row) for row in rows]


def _accepted(row: Sequence[Any]) -> Accepted:
    """One row of accept.lua; the fifth field is there only where an answer is another job's."""
    how, job_id, at, status, *of = row
    found = of[0].decode() if of else None
    return Accepted(
        Acceptance(how.decode()), job_id.decode(), int(at), Status(status.decode()), found
    )
