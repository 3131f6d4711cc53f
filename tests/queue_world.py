"""A store with lanes, driven script by script or by real engines."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from redis.asyncio import Redis

from shared.core.model import Kind, Need, Priority, Status, Usage
from shared.queue.claims import Finish, candidates, claims, job_header, signatures
from shared.queue.engine import Engine, EngineSettings, Hand
from shared.queue.scripts import Scripts
from shared.queue.types import Acceptance, Accepted, Claim, NewJob, Report, Verdict
from shared.store.connect import commands, producer
from shared.store.jobs import Jobs

PREFIX = "{hr}:"
LANE = "alpha/m@shared"
OTHER = "beta/m@shared"
DONE = Report(Verdict.COMPLETE, result=b'{"ok":1}', usage=Usage(1, 2))
WAIT_S = 240.0


def window(
    name: str = "rpm", limit: int = 10, span_ms: int = 60_000, **more: Any
) -> dict[str, Any]:
    given = {"k": f"{name}-key", "n": name, "d": "requests", "l": limit, "s": span_ms}
    return given | {"t": "sliding", "g": 0} | more


def lane_of(*windows: dict[str, Any], conc: int | None = None, cred: str = "c1") -> dict[str, Any]:
    entry: dict[str, Any] = {"id": cred, "win": list(windows)}
    if conc:
        entry["conc"] = conc
    return {"creds": [entry]}


class World:
    """One store. `tick` and `beat` speak for workers that are no processes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client: Redis = commands(url)
        self.writes: Redis = producer(url)
        self.jobs = Jobs(self.writes, self.client)
        self.scripts = Scripts(self.client, PREFIX)
        self.now_ms: int | None = None
        self._numbers = itertools.count(1)
        self._turns = itertools.count(1)
        self.due_ms = 0

    async def close(self) -> None:
        for client in (self.client, self.writes):
            with suppress(Exception):
                await client.aclose()

    async def set_clock(self, now_ms: int) -> None:
        """From now on scripts are told the time."""
        await self.client.set(f"{PREFIX}testing", "1")
        self.now_ms = now_ms

    async def configure(
        self, lanes: dict[str, Any] | None = None, drop: Sequence[str] = (), **settings: Any
    ) -> None:
        await self.run(
            "configure",
            lanes={LANE: lane_of()} if lanes is None else lanes,
            drop=list(drop) or None,
            set={name: str(value) for name, value in settings.items()},
        )

    async def run(self, name: str, *args: bytes, **header: Any) -> Any:
        return await self.scripts(name, header | {"now_ms": self.now_ms}, *args)

    def job(self, job_id: str | None = None, **more: Any) -> NewJob:
        fields: dict[str, Any] = {
            "id": job_id or f"job-{next(self._numbers):06d}",
            "tenant": "t1",
            "kind": Kind.CHAT,
            "priority": Priority.NORMAL,
            "lane": LANE,
            "need": Need(10, 20, 100),
            "doc": b'{"request":{}}',
        }
        fields |= more
        fields.setdefault("candidates", (fields["lane"],))
        return NewJob(**fields)

    async def accept(self, *jobs: NewJob) -> list[Accepted]:
        """Through the script where the clock is ours, else as the API does."""
        if self.now_ms is None:
            return list(await asyncio.gather(*(self.jobs.accept(job) for job in jobs)))
        rows = await self.run(
            "accept",
            *(job.doc for job in jobs),
            jobs=[job_header(job) for job in jobs],
            sigs=signatures(jobs),
        )
        return [Accepted(Acceptance(r[0].decode()), r[1].decode(), int(r[2])) for r in rows]

    async def tick(
        self,
        worker: str = "w1",
        want: int = 1,
        finishes: Sequence[tuple[Claim, Report]] = (),
        *,
        providers: Sequence[str] = ("alpha", "beta", "own"),
        idle: bool = True,
        turn: int | None = None,
        lease_ms: int = 5000,
        sent: Sequence[tuple[Claim, int]] = (),
    ) -> tuple[list[Claim], list[str]]:
        """One turn of a worker: what it claimed, and which finishes were stale."""
        argv: list[bytes] = []
        ends = [Finish(*pair) for pair in finishes]
        header = {
            "worker": worker,
            "turn": next(self._turns) if turn is None else turn,
            "lease_ms": lease_ms,
            "providers": list(providers),
            "want": want,
            "idle": idle,
            "fins": [end.header(argv) for end in ends] or None,
            "sent": [{"id": c.job_id, "fence": c.fence, "at": at} for c, at in sent] or None,
            "sigs": candidates(ends) or None,
        }
        reply = await self.run("tick", *argv, **header)
        now_ms, _, self.due_ms, stale, rows = reply
        return claims(rows, int(now_ms)), [job_id.decode() for job_id in stale]

    async def claim(self, worker: str = "w1", want: int = 1, **more: Any) -> list[Claim]:
        return (await self.tick(worker, want, **more))[0]

    async def finish(self, claim: Claim, report: Report = DONE, worker: str = "w1") -> bool:
        """False where it was stale."""
        return not (await self.tick(worker, 0, [(claim, report)]))[1]

    async def beat(
        self,
        worker: str | None = None,
        known: Sequence[str] | None = None,
        turn: int | None = None,
        lease_ms: int = 5000,
    ) -> int:
        """How many jobs were taken back."""
        _, taken, _ = await self.run(
            "beat",
            worker=worker,
            lease_ms=lease_ms,
            providers=["alpha", "beta", "own"],
            known=None if known is None else list(known),
            turn=None if known is None else next(self._turns) if turn is None else turn,
        )
        return int(taken)

    async def lose_worker(self, worker: str) -> int:
        """The worker's lease is over and somebody notices."""
        await self.client.zadd(f"{PREFIX}workers", {worker: 1})
        return await self.beat()

    async def status(self, job_id: str) -> Status | None:
        record = await self.jobs.get(job_id, None)
        return record.status if record else None

    async def kinds(self, job_id: str) -> list[str]:
        return [event.type for event in await self.jobs.events(job_id, None)]


@asynccontextmanager
async def engine(
    url: str,
    run: Callable[[Hand], Awaitable[Report]],
    providers: Sequence[str] = ("alpha", "beta"),
    **settings: Any,
) -> AsyncIterator[Engine]:
    """A real engine in this loop, stopped at the end."""
    made = Engine(url, providers, run, EngineSettings(**({"drain_ms": 5000} | settings)))
    serving = asyncio.create_task(made.serve())
    try:
        yield made
    finally:
        await made.stop()
        async with asyncio.timeout(WAIT_S):
            await serving


async def until(condition: Callable[[], Any], what: str, pause_s: float = 0.01) -> Any:
    """Waits for a condition that no event tells of; fails after some minutes, naming it."""
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                value = condition()
                if asyncio.iscoroutine(value):
                    value = await value
                if value:
                    return value
                await asyncio.sleep(pause_s)
    except TimeoutError:
        raise AssertionError(f"never came about: {what}") from None
