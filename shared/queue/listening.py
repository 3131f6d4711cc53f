"""What an idle engine waits for: its wake lists, and the words meant for this worker alone.

Two connections, each blocked in the store: a worker without room leaves the wake tokens to others
but still hears that a job it runs was cancelled.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from redis.exceptions import RedisError

from shared.store.connect import blocking, commands

AGAIN_MS = 60_000
FIRST_BACKOFF_S = 0.05
MOST_BACKOFF_S = 1.0


class Listening:
    """Calls `woken` for a wake token taken, `told` for a word; no token is taken without `room`.

    `woken` returns False where there is no room after all: the token is passed on.
    """

    def __init__(
        self,
        url: str,
        prefix: str,
        worker: str,
        providers: Sequence[str],
        *,
        block_ms: int,
        woken: Callable[[], bool],
        told: Callable[[str], None],
    ) -> None:
        self.room = asyncio.Event()
        self._url = url
        self._prefix = prefix
        self._own = f"{prefix}ctl:{worker}"
        self._again = f"{prefix}again:{worker}"
        self._wakes: list[str] = []
        self._changed = asyncio.Event()
        self.listen_to(providers)
        self._block_s = block_ms / 1000
        self._woken = woken
        self._told = told

    def listen_to(self, providers: Sequence[str]) -> None:
        """The wake lists of these providers, from now on."""
        self._wakes = [*(f"{self._prefix}wake:{name}" for name in providers), self._again]
        self._changed.set()

    async def serve(self) -> None:
        """Listens until cancelled; then all three have ended and closed what they held.

        `asyncio.gather` would end with the first of them that is cancelled, and leave the others.
        """
        self._changed.clear()
        async with asyncio.TaskGroup() as group:
            for listen in (self._hear_wakes, self._hear_words, self._call_back):
                group.create_task(listen())

    async def _call_back(self) -> None:
        """Ends a wait for lists that are no longer all: by a token of our own, none is lost."""
        client = commands(self._url, max_connections=1)
        try:
            while not _cancelled():
                await self._changed.wait()
                self._changed.clear()
                with suppress(RedisError, OSError):
                    await client.lpush(self._again, "1")
                    await client.pexpire(self._again, AGAIN_MS)
        finally:
            with suppress(RedisError, OSError):
                await client.aclose()

    async def _hear_wakes(self) -> None:
        client = blocking(self._url, self._block_s)
        backoff_s = FIRST_BACKOFF_S
        try:
            while not _cancelled():
                await self.room.wait()
                try:
                    popped = await client.blpop(self._wakes, timeout=self._block_s)
                    if popped is not None and not self._woken():
                        self.room.clear()
                        await client.lpush(popped[0], popped[1])  # somebody else has room
                    await asyncio.sleep(0)  # who was woken asks the store before we do
                    backoff_s = FIRST_BACKOFF_S
                except (RedisError, OSError):
                    self._woken()  # a token may have been lost with the reply
                    await asyncio.sleep(backoff_s)
                    backoff_s = min(backoff_s * 2, MOST_BACKOFF_S)
        finally:
            with suppress(RedisError, OSError):
                await client.aclose()

    async def _hear_words(self) -> None:
        client = blocking(self._url, self._block_s)
        backoff_s = FIRST_BACKOFF_S
        try:
            while not _cancelled():
                try:
                    popped = await client.blpop([self._own], timeout=self._block_s)
                    backoff_s = FIRST_BACKOFF_S
                except (RedisError, OSError):
                    await asyncio.sleep(backoff_s)
                    backoff_s = min(backoff_s * 2, MOST_BACKOFF_S)
                    continue
                if popped is not None:
                    self._told(bytes(popped[1]).decode())  # type: ignore[arg-type]
        finally:
            with suppress(RedisError, OSError):
                await client.aclose()


def _cancelled() -> bool:
    """Whether our task is to end: a client that is cancelled may raise an error of its own."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
