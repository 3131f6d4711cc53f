"""A store and a lease in memory: the scheduler's shells are driven against them."""

import asyncio
from dataclasses import replace

import pytest

from scheduler.ports import Cleaned, Dead, Evacuated, Expired, Reaped, Spent
from shared.core.backlog import Group, LaneEvent, LaneEventKind, Snapshot
from shared.core.model import Priority
from shared.errors import StoreError
from shared.store.leader import StaleFence
from shared.store.types import LaneState

NOW_MS = 1_800_000_000_000


class FakeStore:
    """Counts jobs by (signature, lane, class); `down` makes every call a StoreError."""

    def __init__(self):
        self.newest_fence = 1
        self.down = False
        self.broken = ()
        self.calls = []
        self.moved = asyncio.Event()
        self.groups = {}
        self.lanes = ()
        self.costs = ()
        self.look_at = None
        self.dead_jobs = 0
        self.limits = []
        self.stale_entries = 0
        self.announced = asyncio.Queue()
        self.left_behind = 0
        self.dead_credentials = {}
        self.probed = []
        self.now = NOW_MS
        self.spent = Spent(1, 0, False)

    def _called(self, name, fence=None):
        self.calls.append(name)
        if self.down:
            raise StoreError("the store is away")
        if name in self.broken:
            raise RuntimeError(f"a fault in {name}")
        if fence is not None and fence != self.newest_fence:
            raise StaleFence("a newer leader acts")

    def fill(self, lane, count, lanes, priority=Priority.NORMAL):
        self.groups["sig", lane, priority] = Group("sig", lane, priority, count, lanes)

    def count(self, lane):
        return sum(g.count for g in self.groups.values() if g.lane == lane)

    async def now_ms(self):
        self._called("now_ms")
        return self.now

    async def queued(self):
        self._called("queued")
        return sum(group.count for group in self.groups.values())

    async def snapshot(self):
        self._called("snapshot")
        return Snapshot(self.now, self.lanes, tuple(self.groups.values()), self.costs)

    async def look(self, at_ms, notice_ms):
        self._called("look")
        self.look_at = (at_ms, notice_ms)

    async def move(self, moves, fence):
        self._called("move", fence)
        assert 0 < sum(move.count for move in moves) <= 500
        self.moved.set()
        return [self._move(move) for move in moves]

    def _move(self, move):
        assert move.count > 0
        source = self.groups[move.signature, move.source, move.priority]
        done = min(move.count, source.count)
        self.groups[move.signature, move.source, move.priority] = replace(
            source, count=source.count - done
        )
        key = (move.signature, move.target, move.priority)
        target = self.groups.get(key, replace(source, lane=move.target, count=0))
        self.groups[key] = replace(target, count=target.count + done)
        return done

    async def reap(self, fence):
        self._called("reap", fence)
        jobs, self.dead_jobs = self.dead_jobs, 0
        return Reaped(jobs, None)

    async def expire_due(self, fence, most):
        self._called("expire_due", fence)
        due = sorted(at for at in self.limits if at <= self.now)[:most]
        for at in due:
            self.limits.remove(at)
        return Expired(len(due), min(self.limits, default=self.now + 3_600_000))

    async def clean(self, fence, most):
        self._called("clean", fence)
        removed = min(most, self.stale_entries)
        self.stale_entries -= removed
        return Cleaned(removed, self.stale_entries > 0)

    async def spending(self):
        self._called("spending")
        return self.spent

    async def evacuate(self, fence, most):
        self._called("evacuate", fence)
        moved, self.left_behind = min(most, self.left_behind), max(0, self.left_behind - most)
        return Evacuated(moved, 0, None, self.left_behind > 0)

    async def dead(self):
        self._called("dead")
        return tuple(Dead(name, *noted) for name, noted in self.dead_credentials.items())

    async def note_probe(self, credential, tries, at_ms):
        self._called("note_probe")
        self.dead_credentials[credential] = (tries, at_ms)

    async def probe(self, credential, tries):
        self._called("probe")
        self.probed.append((credential, tries))

    async def events(self):
        self._called("events")
        yield LaneEvent(LaneEventKind.LOST)
        while True:
            event = await self.announced.get()
            if isinstance(event, Exception):
                raise event
            yield event


class FakeLease:
    """A lease whose holder the test decides. `ttl_ms` is more than a busy loop stands still."""

    def __init__(self, ttl_ms=1_000):
        self.ttl_ms = ttl_ms
        self.fence = 0
        self.free = True
        self.down = False
        self.held = None
        self.released = []
        self.taken = asyncio.Event()

    async def acquire(self):
        if self.down:
            raise StoreError("the store is away")
        if not self.free:
            return None, 20
        self.fence += 1
        self.held, self.free = self.fence, False
        self.taken.set()
        return self.fence, 0

    async def renew(self, fence):
        if self.down:
            raise StoreError("the store is away")
        return self.held == fence

    async def release(self, fence):
        self.released.append(fence)
        if self.held == fence:
            self.held, self.free = None, True


def lane(name, rate=1.0, *, open_ms=0, free=0, dead=False):
    return LaneState(name, (0, 0, 0), 1, open_ms, rate, free, dead, "", 0)


@pytest.fixture
def store():
    return FakeStore()


@pytest.fixture
def lease():
    return FakeLease()


@pytest.fixture
def reading():
    return lane


async def _eventually(condition, timeout_s=60.0):
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - the fakes tell nobody
            await asyncio.sleep(0.002)


@pytest.fixture
def eventually():
    return _eventually
