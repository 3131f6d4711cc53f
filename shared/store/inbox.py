"""Where an API process hears of the jobs it watches: one pub/sub connection, no polling.

Published messages may be lost with the connection; event ids count from 1, so a gap shows, and the
events missed are read from the store. A watcher therefore sees every event once and in order.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.errors import StoreError
from shared.queue.scripts import Scripts
from shared.queue.types import Event
from shared.store.connect import messages, store_errors
from shared.store.job_rows import events_of

log = structlog.get_logger(__name__)

LIVE = (b"queued", b"in_progress")
TERMINAL = frozenset({"job.completed", "job.failed", "job.cancelled", "job.expired"})
MOST_A_READ = 256
MOST_WAITING = 512
ASK_AGAIN_S = 1.0
MOST_BACKOFF_S = 2.0


class Watch:
    """Follows one job: every event once, in order, until the terminal one.

    At most 768 events wait for a slow reader; what comes beyond is read from the store again.
    """

    def __init__(
        self,
        inbox: "Inbox",
        job_id: str,
        after: int,
        tenant: str | None = None,
        *,
        end_only: bool = False,
    ) -> None:
        self.job_id = job_id
        self.tenant = tenant
        self.result: bytes | None = None  # of a terminal event heard live, up to 64 KiB
        self.last = after
        self.heard = after
        self.repairing = False
        self.closed = False
        self._end_only = end_only
        self._inbox = inbox
        self._events: deque[Event] = deque()
        self._changed = asyncio.Event()
        self._ended = False

    @property
    def ended(self) -> bool:
        """The terminal event has been taken in; nothing follows it."""
        return self._ended

    @property
    def behind(self) -> bool:
        """Events are known of that have not been taken in."""
        return not self._ended and self.heard > self.last

    @property
    def room(self) -> int:
        """How many more events may wait here."""
        return MOST_WAITING - len(self._events)

    async def next(self, timeout_s: float) -> Event | None:
        """The next event; None after `timeout_s` without one. StopAsyncIteration at the end."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._take()
        except TimeoutError:
            return None

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            try:
                yield await self._take()
            except StopAsyncIteration:
                return

    async def _take(self) -> Event:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        event = self._events.popleft()
        if self.behind and len(self._events) <= MOST_WAITING // 2:
            self._inbox.repair(self)
        return event

    def close(self) -> None:
        """Stops following."""
        self.closed = True
        self._inbox.forget(self)

    def offer(self, event: Event, body: bytes | None = None) -> bool:
        """Takes the next event; False where an earlier one or room is missing."""
        self.heard = max(self.heard, event.id)
        if event.id <= self.last or self._ended:
            return True
        awaited = self._end_only and event.type in TERMINAL
        if self.room <= 0 or (event.id > self.last + 1 and not awaited):
            return False
        self.last = event.id
        if event.type in TERMINAL:
            self.result = body
            self._ended = True
        self._events.append(event)
        self._changed.set()
        return True

    def end(self) -> None:
        """Nothing will follow: the job has ended and its events are read, or no longer kept."""
        self._ended = True
        self._changed.set()


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
            await self.close()
            raise StoreError("the store did not confirm the subscription within 10 s") from None

    async def close(self) -> None:
        """Stops listening; open watches get nothing more."""
        if self._task:
            for task in (self._task, *self._repairs):
                task.cancel()
            await asyncio.gather(self._task, *self._repairs, return_exceptions=True)

    def expect(self, job_id: str, *, end_only: bool = False) -> Watch:
        """A watch of a job about to be accepted with `watcher=inbox.id`: no round trip.

        With `end_only` the job does not `follow`: its terminal event comes without those before it.
        """
        watch = Watch(self, job_id, 0, end_only=end_only)
        self._watches.setdefault(job_id, set()).add(watch)
        return watch

    async def attach(self, job_id: str, after: int, tenant: str | None = None) -> Watch | None:
        """A watch of an existing job from event `after` on; None where there is no such job."""
        watch = Watch(self, job_id, after, tenant)
        self._watches.setdefault(job_id, set()).add(watch)
        watch.repairing = True
        try:
            found = await self._catch_up(watch)
        except BaseException:
            watch.close()
            raise
        finally:
            watch.repairing = False
        if not found:
            watch.close()
            return None
        return watch

    def forget(self, watch: Watch) -> None:
        """Ends a watch."""
        there = self._watches.get(watch.job_id)
        if there:
            there.discard(watch)
            if not there:
                del self._watches[watch.job_id]

    async def _catch_up(self, watch: Watch) -> bool:
        """Reads what the watch has not seen and has room for; False where there is no such job."""
        while not (watch.ended or watch.closed):
            heard = watch.heard
            most = min(MOST_A_READ, max(1, watch.room))
            header = {
                "id": watch.job_id,
                "tenant": watch.tenant,
                "inbox": self.id,
                "after": watch.last,
                "most": most,
            }
            with store_errors("attach"):
                reply = await self._scripts("attach", header)
            if not reply:
                return False
            status, first, lines, told = reply
            for event in events_of(first, lines):
                watch.offer(event)
            if len(lines) == most:
                if watch.room <= 0:
                    watch.heard = max(heard, watch.last + 1)
                    return True  # there may be more: the reader asks for it
            elif status not in LIVE:
                watch.end()
            elif not told:
                self._ask_again(watch)
                return True
            elif watch.heard == heard or not watch.behind:
                watch.heard = watch.last
                return True
        return True

    def _ask_again(self, watch: Watch) -> None:
        """For a watch beyond the inboxes that a job tells: it looks once a second."""
        watch.heard = watch.last + 1
        asyncio.get_running_loop().call_later(ASK_AGAIN_S, self.repair, watch)

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
                backoff_s = min(backoff_s * 2, MOST_BACKOFF_S)
            finally:
                with suppress(RedisError, OSError):
                    await subscription.aclose()  # type: ignore[no-untyped-call]

    def _deliver(self, line: bytes) -> None:
        job_id, number, name, data = line.split(b"\n", 3)
        watches = self._watches.get(job_id.decode())
        if not watches:
            return
        kind, body = name.decode(), None
        if kind in TERMINAL:
            data, told, body = data.partition(b"\n")
            body = body if told else None
        event = Event(int(number), kind, data)
        for watch in tuple(watches):
            if not watch.offer(event, body) and watch.room > 0:
                self.repair(watch)

    def repair(self, watch: Watch) -> None:
        """Reads from the store what a watch has missed; one reading at a time."""
        if watch.repairing or watch.ended or watch.closed:
            return
        watch.repairing = True
        task = asyncio.get_running_loop().create_task(self._repaired(watch))
        self._repairs.add(task)
        task.add_done_callback(self._repairs.discard)

    def _repair_all(self) -> None:
        for watches in tuple(self._watches.values()):
            for watch in tuple(watches):
                self.repair(watch)

    async def _repaired(self, watch: Watch) -> None:
        backoff_s = 0.05
        try:
            while not watch.closed:
                try:
                    await self._catch_up(watch)
                except StoreError:
                    await asyncio.sleep(backoff_s)
                    backoff_s = min(backoff_s * 2, MOST_BACKOFF_S)
                else:
                    return
        finally:
            watch.repairing = False
