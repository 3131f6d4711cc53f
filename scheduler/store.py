"""The port on a real store: `Lanes` for what it has, scripts to end and to take back jobs."""

import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

import shared.store
from scheduler.ports import Cleaned, Dead, Evacuated, Expired, Reaped, Spent
from shared.core.backlog import LaneEvent, Move, Snapshot
from shared.errors import StoreError
from shared.queue.scripts import Scripts
from shared.queue.tasks import CHECK_CREDENTIAL, task
from shared.store.connect import store_errors
from shared.store.jobs import Jobs
from shared.store.lanes import NOTHING, Lanes
from shared.store.leader import StaleFence
from shared.store.tables import Tables

PROBE_DEADLINE_MS = 300_000
CLEAN = Path(shared.store.__file__).parent / "lua" / "clean.lua"


@contextmanager
def _fenced(doing: str) -> Iterator[None]:
    """StaleFence where the script refused our fence, else StoreError."""
    try:
        with store_errors(doing):
            yield
    except StoreError as exc:
        cause = exc.__cause__
        if isinstance(cause, ResponseError) and str(cause).startswith("STALE"):
            raise StaleFence(str(cause)) from exc
        raise


class Store:
    """One scheduler's view of the store. `listener` has connections that may block.

    `costs` says what a job should cost in each paid lane, in microusd.
    """

    def __init__(
        self,
        client: Redis,
        listener: Redis,
        prefix: str,
        lease_ms: int,
        costs: Mapping[str, int] = NOTHING,
    ) -> None:
        self._costs = costs
        self._client = client
        self._prefix = prefix
        self._lease_ms = lease_ms
        self._scripts = Scripts(client, prefix)
        self._clean: Any = client.register_script(CLEAN.read_text())
        self._lanes = Lanes(client, prefix)
        self._tables = Tables(client, prefix)
        self._heard = Lanes(listener, prefix)

    def price(self, costs: Mapping[str, int]) -> None:
        """What a job should cost in each paid lane from now on, in microusd."""
        self._costs = costs

    async def now_ms(self) -> int:
        """The store's clock."""
        return await self._lanes.now_ms()

    async def queued(self) -> int:
        """Jobs without a final state."""
        return await self._lanes.queued()

    async def snapshot(self) -> Snapshot:
        """Lanes and groups as they stand."""
        return await self._lanes.snapshot(self._costs)

    async def look(self, at_ms: int, notice_ms: int) -> None:
        """Says when lanes are looked at next; wrong for a moment it costs a look, so no fence."""
        await self._lanes.look(at_ms, notice_ms)

    async def move(self, moves: Sequence[Move], fence: int) -> Sequence[int]:
        """Moves queued jobs; returns how many by move."""
        with _fenced("moving jobs"):
            return await self._lanes.move(moves, fence)

    async def reap(self, fence: int) -> Reaped:
        """Takes back what dead workers held; any worker does so too, so it needs no fence."""
        with _fenced("taking back jobs of dead workers"):
            row = await self._scripts("beat", {"lease_ms": self._lease_ms, "fence": fence})
            first = await self._client.zrange(f"{self._prefix}workers", 0, 0, withscores=True)
        return Reaped(int(row[1]), int(first[0][1]) if first else None)

    async def expire_due(self, fence: int, most: int) -> Expired:
        """Ends jobs past their limits: true of them whoever does it, so it needs no fence."""
        with _fenced("ending jobs past their limits"):
            row = await self._scripts("expire", {"most": most, "fence": fence})
        return Expired(int(row[1]), int(row[2]))

    async def clean(self, fence: int, most: int) -> Cleaned:
        """Drops index entries of jobs that are gone."""
        with _fenced("cleaning indexes"):
            removed, more = await self._clean(keys=[self._prefix], args=[fence, most])
        return Cleaned(int(removed), bool(more))

    async def spending(self) -> Spent:
        """What was paid today."""
        books = self._lanes.usage
        day = await books.today()
        capped = any(lane.capped for lane in await self._lanes.lanes())
        return Spent(day, await books.spent_microusd(day), capped)

    async def evacuate(self, fence: int, most: int) -> Evacuated:
        """Takes queued jobs off lanes that nobody serves."""
        with _fenced("evacuating lanes"):
            row = await self._scripts("evacuate", {"most": most, "fence": fence})
        moved, failed, wait, more = (int(each) for each in row)
        return Evacuated(moved, failed, None if wait < 0 else wait, bool(more))

    async def dead(self) -> tuple[Dead, ...]:
        """Every credential that is set aside, in all or on some lane of it."""
        rests, probes = await self._tables.rests(), await self._tables.probes()
        scopes = (scope for scope, rest in rests.items() if rest.dead and scope[:2] in ("c:", "l:"))
        names = sorted(scope[2:] for scope in scopes)
        found = ((name, *name.rpartition("|")) for name in names)
        return tuple(
            Dead(whose, *probes.get(name, ()), lane=lane) for name, lane, _, whose in found
        )

    async def note_probe(self, name: str, tries: int, at_ms: int) -> None:
        """Keeps that one of the dead was seen or probed."""
        await self._tables.note_probe(name, tries, at_ms)

    async def probe(self, credential: str, tries: int) -> None:
        """Asks a worker to test the credential."""
        named = hashlib.sha256(credential.encode()).hexdigest()[:16]
        wanted = task(
            CHECK_CREDENTIAL,
            {"credential": credential},
            job_id=f"job_probe_{named}_{tries}_{await self.now_ms()}",
            deadline_ms=PROBE_DEADLINE_MS,
        )
        await Jobs(self._client, self._client, self._prefix).accept(wanted)

    def events(self) -> AsyncIterator[LaneEvent]:
        """Announcements as they come."""
        return self._heard.events()
