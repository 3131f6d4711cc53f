"""A store filled with queued jobs, and what one more and one less cost there."""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from redis.asyncio import Redis

from api.admit import new_id
from bench import chats, load
from bench.client import Client
from bench.figures import percentile
from bench.load import until
from bench.stack import KEY
from cli import address
from shared import catalog as catalogs
from shared import credentials, settings
from shared.core.model import Kind, Need, Priority
from shared.queue.claims import Finish, claims
from shared.queue.scripts import COMMANDS, Scripts
from shared.queue.types import Claim, NewJob, Report, Verdict
from shared.store import connect
from shared.store.jobs import Jobs
from shared.store.lanes import Lanes, publish_catalog

PREFIX = "{hr}:"
BATCH = 128
WORKER = "bench-worker"
YARDSTICK = "for i = 1, 60 do redis.call('HSET', KEYS[1], 'f' .. i % 7, i) end"
PARKED, OPEN = "parked/sim-parked@shared", "open/sim-open@shared"
TENANTS = tuple(f"t{n}" for n in range(20))


class Filling:
    """One store, its API, and what is done to both."""

    def __init__(self, url: str, config: Path, api_url: str, *, quick: bool) -> None:
        self._client: Redis = connect.commands(url)
        self._jobs = Jobs(connect.producer(url), self._client, PREFIX)
        self._scripts = Scripts(self._client, PREFIX)
        self._config = config
        self._api_url = api_url
        self._probes = 40 if quick else 1_000
        self._turn = 0
        self._body = chats.body(chats.question("backlog", 0))

    async def measure(self, sizes: Sequence[int]) -> list[dict[str, Any]]:
        """Figures at each size of the backlog."""
        await self._publish()
        root = self._api_url.removesuffix("/v1")
        await until(lambda: asyncio.to_thread(address.ready, root), 30)
        await self._probe()  # scripts loaded, connections open, caches warm
        await self._tick(8, ["parked"])  # spends the one call a day: the lane is parked
        empty = await self._memory()
        steps: list[dict[str, Any]] = []
        queued = 0
        for size in sizes:
            began = time.monotonic()
            await self._fill(size - queued)
            per_s = round((size - queued) / (time.monotonic() - began))
            queued = size
            used = (await self._memory() - empty) / size - len(self._doc())
            probed = await self._probe()
            steps.append({"queued": size, "filled_per_s": per_s, "bytes_a_job": round(used)})
            steps[-1] |= probed
            print(steps[-1], file=sys.stderr, flush=True)
        await self._client.aclose()
        return steps

    async def _publish(self) -> None:
        found, own = catalogs.load(self._config)
        held = credentials.load(os.environ, found, own)
        lanes = Lanes(self._client, PREFIX)
        await publish_catalog(lanes, found, held, settings.Settings(max_queued=5_000_000))

    def _doc(self) -> bytes:
        return orjson.dumps({"endpoint": "/v1/chat/completions", "request": self._body.decode()})

    def _job(self, lane: str, number: int) -> NewJob:
        return NewJob(
            id=new_id(),
            tenant=TENANTS[number % len(TENANTS)],
            kind=Kind.CHAT,
            priority=Priority.NORMAL,
            lane=lane,
            candidates=(lane,),
            need=Need(input_tokens=20, output_tokens=64, max_output_tokens=64),
            doc=self._doc(),
            deadline_ms=86_400_000 + number % 10_000_000,
        )

    async def _fill(self, jobs: int) -> None:
        """Puts jobs into the closed lane, a few batches at once."""
        for start in range(0, jobs, 8 * BATCH):
            count = min(8 * BATCH, jobs - start)
            await asyncio.gather(
                *(self._jobs.accept(self._job(PARKED, start + n)) for n in range(count))
            )

    async def _probe(self) -> dict[str, float]:
        """One by one: jobs into the open lane, claims of them; then accepts over HTTP."""
        before = await self._stat()
        for number in range(self._probes):
            await self._jobs.accept(self._job(OPEN, number))
        accepted = await self._stat()
        held: list[Claim] = []
        for _ in range(self._probes):
            held += await self._tick(1, ["open", "parked"])
        claimed = await self._stat()
        if len(held) != self._probes:
            raise RuntimeError(f"{len(held)} of {self._probes} jobs were claimed")
        for start in range(0, len(held), BATCH):
            await self._tick(0, ["open"], held[start : start + BATCH])
        ended = await self._stat()
        for _ in range(self._probes):
            await self._client.eval(YARDSTICK, 1, f"{PREFIX}yardstick")
        return {
            "yardstick_cpu_us": self._cpu_each(ended, await self._stat()),
            **_each("accept", before, accepted),
            **_each("claim", accepted, claimed),
            "accept_http_p50_ms": await self._http(),
        }

    def _cpu_each(self, before: tuple[int, int, int], after: tuple[int, int, int]) -> float:
        return round((after[2] - before[2]) / self._probes, 1)

    async def _http(self) -> float:
        client = Client(self._api_url, KEY)

        async def call(index: int) -> int:
            request = self._body.replace(b'"sim-small"', b'"sim-parked"')
            answer = await client.post("/jobs", b'{"kind":"chat","request":%s}' % request)
            del index
            return answer.status

        taken = await load.closed(call, at_once=1, calls=self._probes)
        client.close()
        if taken.failed(202):
            raise RuntimeError(f"not accepted: {dict(taken.statuses)}")
        return round(percentile(taken.latencies_ms, 0.5), 3)

    async def _tick(
        self, want: int, providers: list[str], done: Sequence[Claim] = ()
    ) -> list[Claim]:
        """One turn of a worker: finishes these, claims up to `want`."""
        self._turn += 1
        argv: list[bytes] = []
        report = Report(Verdict.COMPLETE, result=b"{}")
        header = {
            "worker": WORKER,
            "turn": self._turn,
            "lease_ms": 3_600_000,
            "providers": providers,
            "want": want,
            "idle": False,
            "fins": [Finish(claim, report).header(argv) for claim in done] or None,
        }
        now_ms, _, _, stale, rows = await self._scripts("tick", header, *argv)
        if stale:
            raise RuntimeError(f"{len(stale)} finishes were stale")
        return claims(rows, int(now_ms))

    async def _memory(self) -> int:
        told = await self._client.info("memory")
        return int(told["used_memory"])

    async def _stat(self) -> tuple[int, int, int]:
        """How many scripts have run, for how many µs, and the µs of CPU of the server's thread."""
        told = await self._client.info("commandstats")
        cpu = await self._client.info("cpu")
        ran = [told[f"cmdstat_{name}"] for name in COMMANDS if f"cmdstat_{name}" in told]
        spent_s = cpu["used_cpu_user_main_thread"] + cpu["used_cpu_sys_main_thread"]
        calls, usec = (sum(int(one[what]) for one in ran) for what in ("calls", "usec"))
        return calls, usec, round(float(spent_s) * 1e6)


def _each(what: str, before: tuple[int, int, int], after: tuple[int, int, int]) -> dict[str, float]:
    calls = after[0] - before[0]
    return {
        f"{what}_script_us": round((after[1] - before[1]) / calls, 1),
        f"{what}_cpu_us": round((after[2] - before[2]) / calls, 1),
    }
