"""Events of running attempts, written in groups: one call in flight, the next batch grows."""

import asyncio
from collections import deque

import structlog
from redis.exceptions import RedisError

from shared.queue.scripts import Scripts
from shared.queue.types import Claim

log = structlog.get_logger(__name__)

MOST_WAITING = 4096
MOST_A_CALL = 512


class Emitter:
    """Appends deltas to event streams, in order, fenced; waits where the store is behind."""

    def __init__(self, scripts: Scripts, worker: str) -> None:
        self._scripts = scripts
        self._worker = worker
        self._waiting: deque[tuple[Claim, str, bytes]] = deque()
        self._moved = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        self._pending: dict[tuple[str, int], int] = {}
        self._written: dict[tuple[str, int], int] = {}

    async def emit(self, claim: Claim, kind: str, data: bytes) -> None:
        """Queues one event; returns at once unless 4,096 wait already."""
        while len(self._waiting) >= MOST_WAITING:
            async with self._moved:
                await self._moved.wait()
        self._waiting.append((claim, kind, data))
        key = (claim.job_id, claim.fence)
        self._pending[key] = self._pending.get(key, 0) + 1
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._flush())

    async def drained(self, claim: Claim) -> None:
        """Returns when every event of this attempt is written (or its lease is lost)."""
        key = (claim.job_id, claim.fence)
        async with self._moved:
            await self._moved.wait_for(lambda: key not in self._pending)

    def forget(self, claim: Claim) -> None:
        """Drops what is known of an attempt that has ended; what it still had to say is stale."""
        key = (claim.job_id, claim.fence)
        self._written.pop(key, None)
        self._pending.pop(key, None)

    async def _flush(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(MOST_A_CALL, len(self._waiting)))]
            jobs: dict[tuple[str, int], list[bytes]] = {}
            for claim, kind, data in batch:
                jobs.setdefault((claim.job_id, claim.fence), []).extend((kind.encode(), data))
            header: dict[str, object] = {
                "worker": self._worker,
                "jobs": [
                    {
                        "id": job_id,
                        "fence": fence,
                        "n": len(pairs) // 2,
                        "first": self._written.get((job_id, fence), 0),
                    }
                    for (job_id, fence), pairs in jobs.items()
                ],
            }
            await self._send(header, [part for pairs in jobs.values() for part in pairs])
            async with self._moved:
                for key, pairs in jobs.items():
                    if key not in self._pending:
                        continue  # its attempt ended meanwhile
                    self._written[key] = self._written.get(key, 0) + len(pairs) // 2
                    self._pending[key] -= len(pairs) // 2
                    if self._pending[key] <= 0:
                        del self._pending[key]
                self._moved.notify_all()

    async def _send(self, header: dict[str, object], argv: list[bytes]) -> None:
        for attempt in range(40):
            try:
                await self._scripts("emit", header, *argv)
            except (RedisError, OSError):
                await asyncio.sleep(min(0.05 * 2**attempt, 1.0))
            else:
                return
        log.error("events_lost", events=len(argv) // 2)

    async def close(self) -> None:
        """Writes what waits, at most for a second."""
        if self._task and not self._task.done():
            await asyncio.wait([self._task], timeout=1.0)
