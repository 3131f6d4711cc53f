"""Where an API process hears of the jobs it watches: one pub/sub connection, no polling.

Published messages may be lost with the connection; event ids count from 1, so a gap shows, and the
events missed are read from the store. A watcher therefore sees every event once and in order.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.errors import StoreError
from shared.queue.scripts import Scripts
from shared.queue.types import Event
from shared.store.connect import messages, store_errors
from shared.store.jobs import events_of

log = structlog.get_logger(__name__)

TERMINAL = frozenset({"job.completed", "job.failed", "job.cancelled", "job.expired"})
MOST_A_READ = 10_000


class Watch:
    """Follows one job: every event once, in order, until the terminal one."""

    def __init__(self, inbox: "Inbox", job_id: str, after: int) -> None:
        self.job_id = job_id
        self.result: bytes | None = None
        self.last = after
        self._inbox = inbox
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._ended = False

    async def next(self, timeout_s: float) -> Event | None:
        """The next event; None after `timeout_s` without one. Raises StopAsyncIteration at the end."""
        if self._ended and self._events.empty():
            raise StopAsyncIteration
        try:
            async with asyncio.timeout(timeout_s):
                return await self._events.get()
        except TimeoutError:
            return None

    async def __aiter__(self) -> AsyncIterator[Event]:
        while not (self._ended and self._events.empty()):
            yield await self._events.get()

    def close(self) -> None:
        """Stops following."""
        self._inbox.forget(self)

    def offer(self, event: Event, body: bytes | None = None) -> bool:
        """Takes the next event; False where an earlier one is missing. Known ones are dropped."""
        if event.id <= self.last or self._ended:
            return True
        if event.id > self.last + 1:
            return False
        self.last = event.id
        if event.type in TERMINAL:
            self._ended = True
            self.result = body
        self._events.put_nowait(event)
        return True


class Inbox:
    """The watches of one process, fed by the channel `{prefix}inbox:{id}`."""

    def __init__(self, subscriber: Redis, commands: Redis, prefix: str = "{hr}:") -> None:
        self.id = uuid.uuid4().hex[:12]
        self._subscriber = subscriber
        self._scripts = Scripts(commands, prefix)
        self._channel = f"{prefix}inbox:{self.id}"
        self._watches: dict[str, set[Watch]] = {}
        self._task: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()
        self._repairs: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Subscribes and returns once the store has confirmed it; StoreError after 10 s."""
        self._task = asyncio.create_task(self._listen())
        try:
            async with asyncio.timeout(10):
                await self._listening.wait()
        except TimeoutError:
            raise StoreError("the store did not confirm the subscription within 10 s") from None

    async def close(self) -> None:
        """Stops listening; open watches get nothing more."""
        if self._task:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def expect(self, job_id: str) -> Watch:
        """A watch of a job about to be accepted with `watcher=inbox.id`: no round trip."""
        watch = Watch(self, job_id, 0)
        self._watches.setdefault(job_id, set()).add(watch)
        return watch

    async def attach(self, job_id: str, after: int, tenant: str | None = None) -> Watch | None:
        """A watch of an existing job from event `after` on; None where there is no such job."""
        watch = Watch(self, job_id, after)
        self._watches.setdefault(job_id, set()).add(watch)
        if not await self._catch_up(watch, tenant):
            watch.close()
            return None
        return watch

    def watchers(self, job_id: str) -> int:
        """How many watches of a job this process holds."""
        return len(self._watches.get(job_id, ()))

    def forget(self, watch: Watch) -> None:
        """Ends a watch."""
        there = self._watches.get(watch.job_id)
        if there:
            there.discard(watch)
            if not there:
                del self._watches[watch.job_id]

    async def _catch_up(self, watch: Watch, tenant: str | None = None) -> bool:
        while True:
            with store_errors("attach"):
                reply = await self._scripts(
                    "attach",
                    {
                        "id": watch.job_id,
                        "tenant": tenant,
                        "inbox": self.id,
                        "after": watch.last,
                        "most": MOST_A_READ,
                    },
                )
            if not reply:
                return False
            events = events_of(reply[1], reply[2])
            for event in events:
                watch.offer(event)
            if len(events) < MOST_A_READ:
                return True

    async def _listen(self) -> None:
        backoff_s = 0.05
        while True:
            subscription = self._subscriber.pubsub()
            try:
                await subscription.subscribe(self._channel)
                self._listening.set()
                self._repair_all()
                backoff_s = 0.05
                async for message in messages(subscription):
                    self._deliver(message["data"])
            except (StoreError, RedisError, OSError) as error:
                log.warning("inbox_lost", error=str(error)[:200])
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, 2.0)
            finally:
                with suppress(RedisError, OSError):
                    await subscription.aclose()  # type: ignore[no-untyped-call]

    def _deliver(self, line: bytes) -> None:
        job_id, number, kind, data = line.split(b"\n", 3)
        watches = self._watches.get(job_id.decode())
        if not watches:
            return
        event = Event(int(number), kind.decode(), data)
        for watch in tuple(watches):
            if not watch.offer(event, data):
                self._repair(watch)

    def _repair(self, watch: Watch) -> None:
        task = asyncio.get_running_loop().create_task(self._repaired(watch))
        self._repairs.add(task)
        task.add_done_callback(self._repairs.discard)

    def _repair_all(self) -> None:
        for watches in tuple(self._watches.values()):
            for watch in tuple(watches):
                if watch.last:
                    self._repair(watch)

    async def _repaired(self, watch: Watch) -> None:
        for wait_s in (0.0, 0.1, 0.5, 1.0, 2.0, 5.0):
            await asyncio.sleep(wait_s)
            try:
                await self._catch_up(watch)
            except StoreError:
                continue
            else:
                return
        log.error("watch_not_repaired", job_id=watch.job_id)
