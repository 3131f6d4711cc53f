"""Summaries on a real store: tests play the workers of providers, steps are the real ones."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import orjson
from queue_world import PREFIX, World

from shared import tokens
from shared.catalog import build
from shared.catalog_schema import Config
from shared.core.features import Features
from shared.core.model import CredentialRef, Kind, Priority, Usage
from shared.core.sharing import Wish
from shared.kept import Kept
from shared.objects import memory
from shared.queue.types import Claim, NewJob, Report, Verdict
from shared.routing import CatalogRouter
from shared.store.files import File, Files, object_name
from shared.store.lanes import Lanes, lane_configs
from shared.store.types import JobRecord
from shared.submission import document, routed, summary
from shared.wire.summaries import summary_request
from workers.fetching import Fetcher
from workers.sandbox import Sandbox
from workers.summaries.reading import Reader
from workers.summaries.step import Summaries
from workers.summaries.tools import Tools
from workers.transport import AioTransport, Transport

LANE = "own/summaries@shared"
REFS = (CredentialRef("a1", "alpha"),)
USED = Usage(10, 5)


def config(**model: Any) -> Config:
    shown = {
        "id": "sim",
        "price_usd_per_1m": {"input": 0, "output": 0},
        "context_window": 8192,
        "limits": {"free": {"concurrency": 1000}},
    }
    provider = {
        "type": "openai-compatible",
        "base_url": "http://127.0.0.1:9/v1",
        "models": [shown | model],
    }
    return Config.model_validate({"providers": {"alpha": provider}})


def asked(claim: Claim) -> dict[str, Any]:
    """What a call asks: its system text, its document, and the rest."""
    request = orjson.loads(claim.doc)["request"]
    system, user = (message["content"] for message in request["messages"])
    text = user.partition("<document>\n")[2].rpartition("\n</document>")[0]
    return request | {"system": system, "user": user, "text": text}


def says(text: str, finish: str = "stop") -> Report:
    """A provider's answer."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return Report(Verdict.COMPLETE, result=orjson.dumps({"choices": [choice]}), usage=USED)


def refuses(code: str = "bad") -> Report:
    error = {"message": f"no: {code}", "type": "invalid_request_error", "code": code}
    return Report(Verdict.FAIL, error=error, reason=code)


def briefly(claim: Claim) -> Report:
    """Answers with the first words of what it was given."""
    return says(" ".join(asked(claim)["text"].split()[:12]))


Answering = Callable[[Claim], Report]


@dataclass
class SummaryWorld:
    """One store, its objects, and the steps of summaries, taken when asked for."""

    world: World
    transport: Transport
    catalog_config: Config

    def __post_init__(self) -> None:
        client = self.world.client
        self.objects = memory()
        self.files = Files(client, PREFIX)
        self.kept = Kept(self.files, self.objects)
        self.lanes = Lanes(client, PREFIX)
        self.serve(self.catalog_config)
        self.fetcher = Fetcher(
            self.transport, allow_private=False, most_bytes=1 << 20, timeout_ms=5_000
        )
        reader = Reader(self.files, self.objects, self.kept, self.fetcher, Sandbox(), 1 << 20)
        self.tools = Tools(
            self.world.jobs, self.lanes, self.kept, reader, lambda: self.router, tokens.count
        )
        self.steps = 0
        self.calls: list[Claim] = []

    def serve(self, served: Config) -> None:
        self.catalog = build(served, base=Config())
        self.router = CatalogRouter(self.catalog, REFS, draw=lambda: 0)

    async def upload(self, content: bytes, name: str = "it.txt", tenant: str = "t1") -> str:
        async def parts() -> AsyncIterator[bytes]:
            yield content

        file_id = f"file-{name.replace('.', '-')}"
        await self.objects.put(object_name(file_id), parts())
        now = await self.files.now_ms()
        await self.files.put(File(file_id, tenant, "user_data", name, len(content), now))
        return file_id

    async def accept(
        self,
        job_id: str = "job_sum",
        wish: Wish | None = None,
        extra: dict[str, Any] | None = None,
        **request: Any,
    ) -> str:
        """Hands in a summary as the API does."""
        checked = summary_request({"model": "sim"} | request)
        policy = {"policy": {"hedge": "never", "max_attempts": 2, "max_cost_usd": 5.0}}
        made = summary(checked, b"", extra=policy | (extra or {}))
        features = Features(kind=Kind.SUMMARY, model="sim", request_type="summarization")
        lanes = await self.lanes.lane_states()
        choice = routed(self.router, features, made.need, "t1", lanes, 0)
        doc = document(made, choice, 3, wish)
        job = NewJob(
            id=job_id, tenant="t1", kind=Kind.SUMMARY, priority=Priority.BULK, lane=LANE,
            candidates=choice.route.lanes, need=choice.need, doc=orjson.dumps(doc),
            weight=3, deadline_ms=3_600_000,
        )  # fmt: skip
        assert choice.route.lanes == (LANE,)
        await self.world.accept(job)
        return job_id

    async def take_step(self, *, finish: bool = True) -> tuple[Claim, Report] | None:
        """The next step that is due, by a worker that may die before it says so."""
        claims = await self.world.claim(providers=("own",))
        if not claims:
            return None
        self.steps += 1
        hand: Any = SimpleNamespace(claim=claims[0], now_ms=lambda: claims[0].claimed_ms)
        report = await Summaries(self.tools).step(hand)
        if finish:
            assert await self.world.finish(claims[0], report)
        return claims[0], report

    async def answer(self, how: Answering = briefly, most: int = 1000) -> int:
        """Answers calls that are out."""
        claims = await self.world.claim(want=most, providers=("alpha",))
        self.calls += claims
        for claim in claims:
            assert await self.world.finish(claim, how(claim))
        return len(claims)

    async def run(self, job_id: str = "job_sum", how: Answering = briefly) -> JobRecord:
        """Steps and answers until the summary has ended."""
        for _ in range(500):
            record = await self.get(job_id)
            if record.status.final:
                return record
            took = await self.take_step()
            answered = await self.answer(how)
            assert took or answered, "nothing is due, and it has not ended"
        raise AssertionError("it never ends")

    async def get(self, job_id: str = "job_sum") -> JobRecord:
        found = await self.world.jobs.get(job_id, "t1")
        assert found is not None
        return found

    async def result(self, **more: Any) -> dict[str, Any]:
        record = await self.run(**more)
        assert record.result is not None, record.error
        return dict(orjson.loads(record.result))


@asynccontextmanager
async def summary_world(url: str, **model: Any) -> AsyncIterator[SummaryWorld]:
    world, transport = World(url), Transport(AioTransport(proxies={}))
    made = SummaryWorld(world, transport, config(**model))
    now = await made.files.now_ms()
    await world.configure(lane_configs(made.catalog.deployments, REFS, now))
    try:
        yield made
    finally:
        await transport.aclose()
        await world.close()
