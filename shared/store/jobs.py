"""Jobs: accepted, read, listed, cancelled, replayed. Every change is one atomic script."""

from collections.abc import Sequence

from redis.asyncio import Redis

from shared.core.model import Kind, Status
from shared.core.waits import NO_WORKER, before
from shared.errors import Refused, StoreError
from shared.queue.scripts import Scripts
from shared.queue.types import Accepted, Event, NewJob
from shared.store.accepting import Acceptor
from shared.store.connect import store_errors
from shared.store.families import Families
from shared.store.job_rows import events_of, led, record_of
from shared.store.types import Family, JobRecord, Page, Waiting

MOST_A_LOOK = 128
LOOK_PER_PAGE = 1000
FAR = 10_000
MOST_DELTA_PAGES = 200
_LOOKED_AT = 50
_FIGURES = (0, 3, 4, 5, 6, 7, 8, 9, 10)  # of what waiting.lua returns; the others are names
_ENDS = frozenset(f"job.{status.value}" for status in Status if status.final)


class Jobs:
    """The jobs of one store. All methods raise StoreError where the store does not answer."""

    def __init__(self, writes: Redis, reads: Redis, prefix: str = "{hr}:") -> None:
        self._scripts = Scripts(writes, prefix)
        self._reads = reads
        self._prefix = prefix
        self._acceptor = Acceptor(self._scripts)
        self._families = Families(reads, prefix)

    # -- writing

    async def accept(self, job: NewJob) -> Accepted:
        """Writes the job and puts it in its lane; when this returns, it is durable."""
        return await self._acceptor.accept(job)

    async def cancel(
        self, job_id: str, tenant: str | None, reason: str = "cancelled"
    ) -> JobRecord | None:
        """Cancels a job at once, whatever it is doing; one that has ended stays as it is."""
        with store_errors("cancel"):
            (what,) = await self._scripts(
                "cancel", {"ids": [job_id], "tenant": tenant, "reason": reason}
            )
        return None if what == b"unknown" else await self.get(job_id, tenant)

    async def cancel_all(self, ids: Sequence[str], tenant: str, reason: str) -> int:
        """Cancels those of the jobs that have not ended; returns how many."""
        with store_errors("cancel"):
            what = await self._scripts(
                "cancel", {"ids": list(ids), "tenant": tenant, "reason": reason}
            )
        return sum(one == b"cancelled" for one in what)

    async def replay(
        self, job_id: str, tenant: str | None, deadline_ms: int | None = None
    ) -> JobRecord | None:
        """Queues an unsuccessful job again.

        Refused where it is live or has completed, or is a line of a batch or a part of a job.
        """
        with store_errors("replay"):
            what = await self._scripts(
                "replay", {"id": job_id, "tenant": tenant, "deadline_ms": deadline_ms}
            )
        if what == b"unknown":
            return None
        if what == b"batch":
            raise Refused(
                f"job {job_id} is a line of a batch: hand the line in again",
                status=409,
                code="not_replayable",
            )
        if what == b"part":
            part = await self.get(job_id, tenant)
            raise Refused(
                f"job {job_id} is a part of job {part and part.parent}: replay that",
                status=409,
                code="not_replayable",
            )
        if what != b"replayed":
            raise Refused(
                f"job {job_id} is {'still live' if what == b'live' else 'completed'}; only failed,"
                " cancelled and expired jobs can be replayed",
                status=409,
                code="not_replayable",
            )
        return await self.get(job_id, tenant)

    async def forget(self, job_id: str, tenant: str) -> bool:
        """Removes all that is kept of a job that has ended; False where there is none such."""
        with store_errors("forget"):
            what = await self._scripts("forget", {"id": job_id, "tenant": tenant})
        return bool(what == b"forgotten")

    # -- reading

    def _key(self, noun: str, job_id: str) -> str:
        return f"{self._prefix}{noun}:{job_id}"

    async def get(self, job_id: str, tenant: str | None) -> JobRecord | None:
        """The job as it stands; None where this tenant has none of that id (None: any tenant)."""
        return (await self._load([job_id], tenant))[0]

    async def many(self, ids: Sequence[str]) -> Sequence[JobRecord | None]:
        """Jobs as they stand, in the order asked for; None where one is no longer kept."""
        found: list[JobRecord | None] = []
        for at in range(0, len(ids), MOST_A_LOOK):
            found += await self._load(ids[at : at + MOST_A_LOOK], None)
        return found

    async def family(self, job_id: str) -> Family:
        """What a parent's step goes on from."""
        return await self._families.of(job_id)

    async def _load(self, ids: Sequence[str], tenant: str | None) -> list[JobRecord | None]:
        pipe = self._reads.pipeline(transaction=True)
        for job_id in ids:
            pipe.hgetall(self._key("job", job_id))
            pipe.get(self._key("doc", job_id))
            pipe.get(self._key("res", job_id))
            pipe.llen(self._key("ev", job_id))
        with store_errors("get"):
            rows = await pipe.execute()
        found = [
            record_of(job_id, rows[at * 4 : at * 4 + 4], tenant) for at, job_id in enumerate(ids)
        ]
        return await self._as_led(found)

    async def _as_led(self, found: list[JobRecord | None]) -> list[JobRecord | None]:
        """Who follows another job stands where that one stands, and how."""
        leaders = {one.shared_with for one in found if one and not one.status.final}
        names = sorted(name for name in leaders if name)
        if not names:
            return found
        pipe = self._reads.pipeline(transaction=False)
        for name in names:
            pipe.hmget(self._key("job", name), "status", "stepped", "started", "lane")
        with store_errors("get"):
            rows = dict(zip(names, await pipe.execute(), strict=True))
        return [one and led(one, rows.get(one.shared_with or "")) for one in found]

    async def list(
        self,
        tenant: str | None,
        *,
        status: Status | None = None,
        kind: Kind | None = None,
        batch: str | None = None,
        parent: str | None = None,
        after: str | None = None,
        limit: int = 20,
    ) -> Page:
        """Newest first. A page may be short where few of the last 1,000 match: see its cursor.

        Children are listed by their `parent` only.
        """
        wanted = (status, kind, batch)
        if parent is not None:
            ids = await self._families.children(parent)
            ids = ids[ids.index(after) + 1 :] if after in ids else ids
            return await self._page([(0, child) for child in ids], tenant, wanted, limit)
        tenants = [tenant] if tenant is not None else await self._tenants()
        shelves = {_shelf(status)} if status else {_shelf(each) for each in Status}
        edge = await self._created(after) if after else None
        pipe = self._reads.pipeline(transaction=False)
        for name in tenants:
            for shelf in sorted(shelves):
                pipe.zrange(
                    f"{self._prefix}ix:{name}:{shelf}",
                    "+inf" if edge is None else str(edge),
                    "-inf",
                    byscore=True,
                    desc=True,
                    offset=0,
                    num=LOOK_PER_PAGE + 1,
                    withscores=True,
                )
        with store_errors("list"):
            found = await pipe.execute()
        entries = sorted({(int(s), m.decode()) for rows in found for m, s in rows}, reverse=True)
        if edge is not None:
            entries = [entry for entry in entries if entry < (edge, after)]
        return await self._page(entries, tenant, wanted, limit)

    async def _page(
        self,
        entries: Sequence[tuple[int, str]],
        tenant: str | None,
        wanted: tuple[Status | None, Kind | None, str | None],
        limit: int,
    ) -> Page:
        jobs: list[JobRecord] = []
        looked = 0
        while looked < min(len(entries), LOOK_PER_PAGE) and len(jobs) < limit:
            chunk = [job_id for _, job_id in entries[looked : looked + limit]]
            for record in await self._load(chunk, tenant):
                looked += 1
                if record and _matches(record, *wanted):
                    jobs.append(record)
                if len(jobs) == limit:
                    break
        more = looked < len(entries)
        return Page(tuple(jobs), entries[looked - 1][1] if more and looked else None)

    async def _tenants(self) -> "Sequence[str]":
        with store_errors("list"):
            names: set[bytes] = await self._reads.smembers(f"{self._prefix}tenants")  # type: ignore[assignment]
        return sorted(name.decode() for name in names)

    async def _created(self, job_id: str) -> int | None:
        with store_errors("list"):
            created = await self._reads.hget(self._key("job", job_id), "created")
        if created is None:
            raise Refused(f"after names no job: {job_id}", param="after")
        return int(created)

    async def events(self, job_id: str, tenant: str | None, after: int = 0) -> Sequence[Event]:
        """The events with an id above `after`, at most 10,000; empty where there is no such job."""
        with store_errors("events"):
            reply = await self._scripts(
                "attach", {"id": job_id, "tenant": tenant, "after": after, "most": FAR}
            )
        return events_of(reply[1], reply[2]) if reply else ()

    async def deltas(self, job_id: str) -> Sequence[bytes]:
        """The data of every delta told since the job was queued (or replayed), oldest first.

        StoreError where there are more than can be read: half an answer is no answer.
        """
        found: list[bytes] = []
        for page in range(MOST_DELTA_PAGES):
            events = await self.events(job_id, None, page * FAR)
            for event in events:
                if event.type == "job.delta":
                    found.append(event.data)
                elif event.type in _ENDS:
                    found.clear()
            if len(events) < FAR:
                return found
        raise StoreError(f"{job_id} has more events than can be read")

    async def waiting(self, record: JobRecord) -> Waiting | None:
        """Why a queued job waits, and which jobs of its lane are before it.

        Of a parent that rests: what the first of its last 50 children that is queued waits for.
        """
        if record.status is Status.IN_PROGRESS and record.progress is not None:
            found = await self.many(await self._families.children(record.id, _LOOKED_AT))
            queued = [one for one in found if one and one.status is Status.QUEUED]
            return await self.waiting(queued[-1]) if queued else None
        if record.status is not Status.QUEUED:
            return None
        if record.shared_with:
            return await self._shared(record.shared_with)
        return await self._queued(record)

    async def _queued(self, record: JobRecord) -> Waiting:
        rank = int(record.priority)
        ask = {"id": record.id, "lane": record.lane, "class": rank, "tenant": record.tenant}
        with store_errors("waiting"):
            raw = await self._scripts("waiting", ask)
        parked, full, run, n0, n1, n2, place, tenants, workers = (int(raw[at]) for at in _FIGURES)
        ahead = before((n0, n1, n2), rank, place, tenants, run) if place >= 0 else None
        where = ahead.total if ahead is not None and ahead.total <= FAR else None
        if not workers:
            return Waiting(NO_WORKER, None, None, where, ahead)
        if record.due_ms:
            return Waiting("delayed", None, record.due_ms, None)
        if parked:
            return Waiting(raw[1].decode(), raw[2].decode() or None, parked, where, ahead)
        return Waiting("concurrency" if full else "behind", None, None, where, ahead)

    async def _shared(self, leader: str) -> Waiting:
        """Why a job waits that follows `leader`; where nobody would run that, so."""
        record = await self.get(leader, None)
        found = None
        if record is not None and record.status is Status.QUEUED and not record.shared_with:
            found = await self.waiting(record)
        stuck = found is not None and found.reason == NO_WORKER
        return Waiting(NO_WORKER if stuck else "shared", None, None, None)

    async def ready(self) -> bool:
        """True where the store answers and takes writes."""
        with store_errors("ready"):
            await self._scripts("accept", {"jobs": []})
        return True


def _shelf(status: Status) -> str:
    """The index that holds jobs of this status; a job changes it once, at its end."""
    return status.value if status.final else "live"


def _matches(
    record: JobRecord, status: Status | None, kind: Kind | None, batch: str | None
) -> bool:
    if status and record.status is not status:
        return False
    if kind and record.kind is not kind:
        return False
    return not batch or record.doc.get("batch") == batch
