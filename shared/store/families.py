"""Families: the parents of jobs of several steps, what they go on from, and their children."""

from collections.abc import Sequence

import orjson
from redis.asyncio import Redis

from shared.store.connect import store_errors
from shared.store.types import Family


class Families:
    """The families of one store. All methods raise StoreError where it does not answer."""

    def __init__(self, reads: Redis, prefix: str) -> None:
        self._reads = reads
        self._prefix = prefix

    async def of(self, parent: str) -> Family:
        """What a parent's step goes on from."""
        pipe = self._reads.pipeline(transaction=True)
        pipe.get(self._key("state", parent))
        pipe.lrange(self._key("kids", parent), 0, -1)
        pipe.hget(self._key("job", parent), "kids_ended")
        with store_errors("family"):
            state, children, ended = await pipe.execute()
        ids = tuple(child.decode() for child in children)
        return Family(orjson.loads(state) if state else None, ids, int(ended or 0))

    async def children(self, parent: str, most: int = 0) -> Sequence[str]:
        """The ids of a parent's children, newest first; the last `most` of them (0: all)."""
        with store_errors("children"):
            found: list[bytes] = await self._reads.lrange(self._key("kids", parent), -most, -1)  # type: ignore[assignment]
        return [child.decode() for child in reversed(found)]

    def _key(self, noun: str, job_id: str) -> str:
        return f"{self._prefix}{noun}:{job_id}"
