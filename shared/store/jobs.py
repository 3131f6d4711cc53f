"""Jobs: accepted, read, listed, cancelled, replayed. Every change is one atomic script."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.core.model import Kind, Priority, Status
from shared.errors import Refused, StoreError
from shared.queue.claims import job_header, signatures, usage_of
from shared.queue.scripts import Scripts
from shared.queue.types import Acceptance, Accepted, Event, NewJob
from shared.store.connect import store_errors
from shared.store.types import Family, JobRecord, Page, Progress, Waiting

MOST_A_BATCH = 128
LOOK_PER_PAGE = 1000
FAR = 10_000
MOST_DELTA_PAGES = 200
_LOOKED_AT = 50
_ENDS = frozenset(f"job.{status.value}" for status in Status if status.final)

_Waiting = tuple[NewJob, asyncio.Future[Accepted]]


class Jobs:
    """The jobs of one store. All methods raise StoreError where the store does not answer."""

    def __init__(self, writes: Redis, reads: Redis, prefix: str = "{hr}:") -> None:
        self._scripts = Scripts(writes, prefix)
        self._reads = reads
        self._prefix = prefix
        self._queue: list[_Waiting] = []
        self._flusher: asyncio.Task[None] | None = None

    # -- writing

    async def accept(self, job: NewJob) -> Accepted:
        """Writes the job and puts it in its lane; when this returns, it is durable.

        Calls that come together share one script call, so that one sync to disk serves them all.
        """
        future: asyncio.Future[Accepted] = asyncio.get_running_loop().create_future()
        self._queue.append((job, future))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.get_running_loop().create_task(self._flush())
        return await future

    async def _flush(self) -> None:
        while self._queue:
            batch, self._queue = self._queue[:MOST_A_BATCH], self._queue[MOST_A_BATCH:]
            try:
                await self._settle(batch)
            except BaseException as error:  # every waiting caller must hear of it
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                if not isinstance(error, Exception):
                    raise

    async def _settle(self, batch: "Sequence[_Waiting]") -> None:
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

    async def _one_by_one(self, batch: "Sequence[_Waiting]") -> None:
        for job, future in batch:
            try:
                (how,) = await self._accept([job])
            except Exception as error:  # noqa: BLE001 - its caller hears of it
                if not future.done():
                    future.set_exception(error)
            else:
                if not future.done():
                    future.set_result(how)

    async def _accept(self, jobs: Sequence[NewJob]) -> "Sequence[Accepted]":
        header = {"jobs": [job_header(job) for job in jobs], "sigs": signatures(jobs)}
        with store_errors("accept"):
            rows = await self._scripts("accept", header, *(job.doc for job in jobs))
        return [_accepted(row) for row in rows]

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

    # -- parents and children

    async def family(self, job_id: str) -> Family:
        """What a parent's step goes on from."""
        pipe = self._reads.pipeline(transaction=True)
        pipe.get(self._key("state", job_id))
        pipe.lrange(self._key("kids", job_id), 0, -1)
        pipe.hget(self._key("job", job_id), "kids_ended")
        with store_errors("family"):
            state, children, ended = await pipe.execute()
        ids = tuple(child.decode() for child in children)
        return Family(orjson.loads(state) if state else None, ids, int(ended or 0))

    async def many(self, ids: Sequence[str]) -> Sequence[JobRecord | None]:
        """Jobs as they stand, in the order asked for; None where one is no longer kept."""
        found: list[JobRecord | None] = []
        for at in range(0, len(ids), MOST_A_BATCH):
            found += await self._load(ids[at : at + MOST_A_BATCH], None)
        return found

    async def _children(self, parent: str, most: int = 0) -> "Sequence[str]":
        """The ids of a parent's children, newest first; the last `most` of them (0: all)."""
        with store_errors("children"):
            found: list[bytes] = await self._reads.lrange(self._key("kids", parent), -most, -1)  # type: ignore[assignment]
        return [child.decode() for child in reversed(found)]

    # -- reading

    def _key(self, noun: str, job_id: str) -> str:
        return f"{self._prefix}{noun}:{job_id}"

    async def get(self, job_id: str, tenant: str | None) -> JobRecord | None:
        """The job as it stands; None where this tenant has none of that id (None: any tenant)."""
        return (await self._load([job_id], tenant))[0]

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
            _record(job_id, rows[at * 4 : at * 4 + 4], tenant) for at, job_id in enumerate(ids)
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
        return [one and _led(one, rows.get(one.shared_with or "")) for one in found]

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
            ids = await self._children(parent)
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
        """Why a queued job waits, and how many jobs of its lane are before it.

        Of a parent that rests: what the first of its last 50 children that is queued waits for.
        """
        if record.status is Status.IN_PROGRESS and record.progress is not None:
            found = await self.many(await self._children(record.id, _LOOKED_AT))
            queued = [one for one in found if one and one.status is Status.QUEUED]
            return await self.waiting(queued[-1]) if queued else None
        if record.status is not Status.QUEUED:
            return None
        if record.shared_with:
            return Waiting("shared", None, None, None)
        lane, prefix, rank = record.lane, self._prefix, int(record.priority)
        pipe = self._reads.pipeline(transaction=False)
        pipe.hmget(f"{prefix}lane:{lane}", "parked", "reason", "window", "full", "n0", "n1", "n2")
        pipe.zrank(f"{prefix}q:{lane}:{rank}:{record.tenant}", record.id)
        pipe.zcard(f"{prefix}ring:{lane}:{rank}")
        with store_errors("waiting"):
            (parked, reason, window, full, *counts), place, tenants = await pipe.execute()
        if record.due_ms:
            return Waiting("delayed", None, record.due_ms, None)
        position = None
        if place is not None:
            ahead = sum(int(n or 0) for n in counts[:rank])
            position = min(ahead + place * max(1, tenants), ahead + int(counts[rank] or 0))
        where = position if position is None or position <= FAR else None
        if parked:
            return Waiting(reason.decode(), window.decode() or None, int(parked), where)
        return Waiting("concurrency" if full else "behind", None, None, where)

    async def ready(self) -> bool:
        """True where the store answers and takes writes."""
        with store_errors("ready"):
            await self._scripts("accept", {"jobs": []})
        return True


def _accepted(row: Sequence[Any]) -> Accepted:
    """One row of accept.lua; the fifth field is there only where an answer is another job's."""
    how, job_id, at, status, *of = row
    found = of[0].decode() if of else None
    return Accepted(
        Acceptance(how.decode()), job_id.decode(), int(at), Status(status.decode()), found
    )


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


def events_of(first: int, lines: Sequence[bytes]) -> tuple[Event, ...]:
    """The stored lines of an event list, numbered from `first`."""
    return tuple(
        Event(first + at, kind.decode(), data)
        for at, (kind, _, data) in enumerate(line.partition(b"\n") for line in lines)
    )


def _text(value: bytes | None) -> str | None:
    return value.decode() if value else None


def _int(value: bytes | None) -> int | None:
    return int(value) if value else None


def _attempts(h: Mapping[bytes, bytes]) -> tuple[dict[str, Any], ...]:
    """The records a1, a2, … in order; a claim that left none leaves a gap."""
    most = int(h.get(b"attempts", 0)) + int(h.get(b"requeues", 0)) + 1
    found = (h.get(b"a%d" % n) for n in range(1, min(most, 1000) + 1))
    return tuple(orjson.loads(text) for text in found if text)


def _led(record: JobRecord, leader: Sequence[bytes | None] | None) -> JobRecord:
    """A job that follows another, as that one stands. It may have ended since: then as it was."""
    status, stepped, started, lane = leader or (None,) * 4
    if record.status.final or not status or not lane or Status(status.decode()).final:
        return record
    shown = Status.IN_PROGRESS if stepped else Status(status.decode())
    began = None if started is None else max(int(started), record.created_ms)
    return replace(record, status=shown, started_ms=began, lane=lane.decode())


def _record(job_id: str, row: Sequence[Any], tenant: str | None) -> JobRecord | None:
    h: Mapping[bytes, bytes] = row[0]
    if not h or b"status" not in h or (tenant is not None and h[b"tenant"].decode() != tenant):
        return None
    return JobRecord(
        id=job_id,
        tenant=h[b"tenant"].decode(),
        kind=Kind(h[b"kind"].decode()),
        status=_status(h),
        priority=Priority(int(h[b"priority"])),
        created_ms=int(h[b"created"]),
        started_ms=_int(h.get(b"started")),
        completed_ms=_int(h.get(b"ended")),
        deadline_ms=_int(h.get(b"deadline")),
        lane=h[b"lane"].decode(),
        due_ms=_int(h.get(b"due")),
        attempts=_attempts(h),
        requeues=int(h.get(b"requeues", 0)),
        uncertain_repeats=int(h.get(b"uncertain", 0)),
        doc=orjson.loads(row[1]) if row[1] else {},
        result=row[2][1:] if row[2] and row[2][:1] == b"R" else None,
        error=orjson.loads(row[2][1:]) if row[2] and row[2][:1] == b"E" else None,
        usage=usage_of(h.get(b"usage")),
        cost_microusd=int(h.get(b"cost", 0)),
        events=int(row[3]),
        parent=parent.decode() if (parent := h.get(b"parent")) else None,
        progress=_progress(h),
        shared_with=_text(h.get(b"lead")),
        cached_from=_text(h.get(b"from")),
    )


def _status(h: Mapping[bytes, bytes]) -> Status:
    """A parent between two steps is in progress, though no worker holds it."""
    status = Status(h[b"status"].decode())
    return Status.IN_PROGRESS if status is Status.QUEUED and b"stepped" in h else status


def _progress(h: Mapping[bytes, bytes]) -> Progress | None:
    if b"stepped" not in h:
        return None
    step = h.get(b"progress")
    return Progress(
        total=int(h.get(b"kids", 0)),
        ended=int(h.get(b"kids_ended", 0)),
        completed=int(h.get(b"kids_completed", 0)),
        audio_seconds=int(h.get(b"kids_audio", 0)),
        step=orjson.loads(step) if step else None,
    )
