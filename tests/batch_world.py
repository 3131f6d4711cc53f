"""Batches on a real store: the scheduler's duty, turned by hand; tests play the workers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from queue_world import PREFIX, World

from scheduler.batch_lines import Limits
from scheduler.batches import Batches, Bulk
from scheduler.bell import Bell
from shared.catalog import build
from shared.catalog_schema import Config
from shared.core.batch import Batch, Pace
from shared.core.model import CredentialRef, Usage
from shared.objects import Bucket, memory
from shared.queue.types import Claim, Report, Verdict
from shared.routing import CatalogRouter
from shared.store.batches import Batches as Store
from shared.store.batches import NewBatch
from shared.store.files import File, Files, object_name
from shared.store.lanes import Lanes, lane_configs

CHAT = "/v1/chat/completions"
CONFIG = Config.model_validate(
    {
        "providers": {
            "alpha": {
                "type": "openai-compatible",
                "base_url": "http://127.0.0.1:9/v1",
                "models": [
                    {"id": "sim", "price_usd_per_1m": {"input": 0, "output": 0},
                     "context_window": 8192, "limits": {"free": {"concurrency": 1000}}},
                    {"id": "ears", "capabilities": ["transcription"],
                     "price_usd_per_audio_hour": 0, "limits": {"free": {"concurrency": 1000}}},
                ],
            }
        }
    }
)  # fmt: skip
REFS = (CredentialRef("a1", "alpha"),)


def line(custom_id: str, /, **changes: Any) -> dict[str, Any]:
    body = {"model": "sim", "messages": [{"role": "user", "content": f"say {custom_id}"}]}
    return {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": body} | changes


def jsonl(lines: Sequence[Any]) -> bytes:
    return b"".join((one if isinstance(one, bytes) else orjson.dumps(one)) + b"\n" for one in lines)


@dataclass
class BatchWorld:
    """One store, its objects, and a leader's duty that is turned by hand."""

    world: World
    objects: Bucket = field(default_factory=memory)
    pace: Pace = field(default_factory=Pace)
    limits: Limits = field(default_factory=Limits)
    fence: int = 0

    def __post_init__(self) -> None:
        self.store = Store(self.world.client, PREFIX)
        self.files = Files(self.world.client, PREFIX)
        self.catalog = build(CONFIG, base=Config())
        self.router: Any = CatalogRouter(self.catalog, REFS, draw=lambda: 0)
        self.bell = Bell()
        self.numbers = iter(range(1, 1000))

    async def lead(self) -> Batches:
        """A new leader: everything an older one does is refused."""
        self.fence = int(await self.world.client.incr(f"{PREFIX}leader:fence"))
        bulk = Bulk(
            self.store, self.files, self.world.jobs, Lanes(self.world.client, PREFIX),
            self.objects, lambda: self.router, self.limits,
        )  # fmt: skip
        self.duty = Batches(bulk, self.bell, self.fence, self.pace)
        return self.duty

    async def upload(self, content: bytes, tenant: str = "t1") -> str:
        async def parts() -> AsyncIterator[bytes]:
            yield content

        file_id = f"file-{next(self.numbers):024d}"
        await self.objects.put(object_name(file_id), parts())
        now = await self.files.now_ms()
        await self.files.put(File(file_id, tenant, "batch", "in.jsonl", len(content), now))
        return file_id

    async def create(self, lines: Sequence[Any], **more: Any) -> str:
        file_id = await self.upload(jsonl(lines))
        new = NewBatch(
            id=f"batch_{next(self.numbers):024d}", tenant="t1",
            endpoint=more.pop("endpoint", CHAT), input_file_id=file_id,
            window=more.pop("window", "24h"), **more,
        )  # fmt: skip
        return (await self.store.create(new)).id

    async def get(self, batch_id: str) -> Batch:
        found = await self.store.get(batch_id, "t1")
        assert found is not None
        return found

    async def turn(self, times: int = 1) -> None:
        for _ in range(times):
            self.bell.ring()
            await self.duty.turn()

    async def work(self, most: int = 1000, report: Any = None) -> list[Claim]:
        """A worker does what it finds."""
        claims = await self.world.claim(want=most, providers=("alpha",))
        for claim in claims:
            made = report(claim) if report else answer(claim)
            assert await self.world.finish(claim, made)
        return claims

    async def settle(self, batch_id: str, report: Any = None) -> Batch:
        """Turns and works until the batch is final."""
        for _ in range(2000):
            await self.turn()
            await self.work(report=report)
            batch = await self.get(batch_id)
            if batch.status.final:
                return batch
        raise AssertionError(f"never final: {batch}")

    async def read(self, file_id: str | None) -> list[dict[str, Any]]:
        if file_id is None:
            return []
        content = b"".join([part async for part in self.objects.get(object_name(file_id))])
        return [orjson.loads(text) for text in content.splitlines()]


def answer(claim: Claim) -> Report:
    said = orjson.loads(claim.doc)["request"]["messages"][0]["content"]
    body = orjson.dumps({"said": said})
    return Report(Verdict.COMPLETE, result=body, usage=Usage(3, 2, cached_tokens=1), reason="ok")


def failure(_claim: Claim) -> Report:
    error = {"message": "no", "type": "invalid_request_error", "code": "bad", "status": 400}
    return Report(Verdict.FAIL, error=error, reason="bad")


@asynccontextmanager
async def batch_world(url: str, **more: Any) -> AsyncIterator[BatchWorld]:
    world = World(url)
    made = BatchWorld(world, **more)
    now = await made.files.now_ms()
    await world.configure(lane_configs(made.catalog.deployments, REFS, now))
    await made.lead()
    try:
        yield made
    finally:
        await world.close()
