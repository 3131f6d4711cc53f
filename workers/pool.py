"""One worker process: a pool of provider queues, wired to the store and to the network."""

import gc
import os
import random
import signal
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import dramatiq
import structlog

from shared import catalog as catalogs
from shared import credentials, log, tokens
from shared.catalog import Catalog
from shared.core.candidates import FREE_PLANS
from shared.core.model import Kind
from shared.core.outcome import TABLE, Blame, FailureKind
from shared.credentials import Credentials, Secret
from shared.errors import ConfigError
from shared.queue.broker import AsyncActor, EngineMiddleware, EventBroker
from shared.queue.engine import EngineSettings, Hand
from shared.queue.scripts import Scripts
from shared.queue.types import Report, Verdict
from shared.settings import Settings
from shared.store import connect, hooks
from shared.store.hooks import Hooks
from shared.store.jobs import Jobs
from shared.store.lanes import Lanes, publish_catalog
from workers import attempt
from workers.teaching import Teacher
from workers.transport import Timeouts, Transport
from workers.webhooks import Teller

logger = structlog.get_logger(__name__)

GC_ALLOCATIONS = 10_000
BLAMED_ON_DEPLOYMENT = frozenset(
    kind.value for kind in FailureKind if TABLE[kind].blame in (Blame.DEPLOYMENT, Blame.PROVIDER)
)


@dataclass(frozen=True, slots=True)
class Supply:
    """What attempts draw on: one snapshot of the catalog and the keys."""

    catalog: Catalog
    credentials: Credentials

    def secret(self, credential_id: str) -> Secret | None:
        """The secret of a credential; None where this process has none."""
        return self.credentials.secrets.get(credential_id)

    def siblings(self, credential_id: str) -> int:
        """How many other credentials share its lanes."""
        mine = next((ref for ref in self.credentials if ref.id == credential_id), None)
        if mine is None:
            return 0
        shared = [ref for ref in self.credentials.of(mine.provider) if ref.pool == mine.pool]
        return len(shared) - 1

    def free(self, credential_id: str) -> bool:
        """Whether a credential is on a plan that costs nothing."""
        mine = next((ref for ref in self.credentials if ref.id == credential_id), None)
        return mine is not None and mine.plan in FREE_PLANS


class Pool:
    """Runs attempts on the engine's loop."""

    def __init__(self, settings: Settings, supply: Supply) -> None:
        self.settings = settings
        self.supply = supply
        self._transport: Transport | None = None
        self._jobs: Jobs | None = None
        self._teacher: Teacher | None = None
        self._teller: Teller | None = None
        self._timeouts = Timeouts(
            connect_ms=int(settings.connect_timeout_s * 1000),
            total_ms=int(settings.attempt_timeout_s * 1000),
        )

    async def set_up(self, broker: EventBroker) -> Callable[[], Awaitable[None]]:
        """Opens connections; publishes the lanes where no scheduler has done so yet."""
        client = connect.commands(broker.url)
        self._jobs = Jobs(client, client, broker.prefix)
        self._transport = Transport(max_reply_bytes=self.settings.max_response_bytes)
        self._teacher = Teacher(
            Scripts(client, broker.prefix), self.supply.catalog, self.supply.credentials
        )
        self._teller = Teller(
            Hooks(client, broker.prefix),
            self._transport,
            allow_private=self.settings.allow_private_webhooks,
            timeout_ms=int(self.settings.webhook_timeout_s * 1000),
        )
        lanes = Lanes(client, broker.prefix)
        if await lanes.version() is None:
            await publish_catalog(
                lanes, self.supply.catalog, self.supply.credentials, self.settings
            )

        async def close() -> None:
            if self._transport:
                await self._transport.aclose()
            await client.aclose()

        return close

    async def attempt(self, hand: Hand) -> Report:
        """One upstream call for a claimed job."""
        assert self._transport is not None  # noqa: S101 - set_up ran
        claim = hand.claim
        context = attempt.AttemptContext(
            catalog=self.supply.catalog,
            transport=self._transport,
            secret=self.supply.secret,
            emit=hand.emit,
            now_ms=hand.now_ms,
            draw=random.random,
            sent=hand.sent,
            history=lambda: self._history(claim.job_id),
            count=tokens.count,
            timeouts=self._timeouts,
            siblings=self.supply.siblings(claim.credential),
            max_attempts=self.settings.max_attempts,
            free=self.supply.free(claim.credential),
        )
        report = await attempt.run(claim, context)
        if self._teacher is not None:
            await self._teacher.heed(claim, report)
        return replace(report, health=_health(report))

    async def deliver(self, **told: Any) -> Report:
        """One try to tell a webhook of an end."""
        assert self._teller is not None  # noqa: S101 - set_up ran
        return await self._teller.deliver(**told)

    async def _history(self, job_id: str) -> Sequence[Mapping[str, Any]]:
        record = await self._jobs.get(job_id, None) if self._jobs else None
        return record.attempts if record else ()


def _health(report: Report) -> str:
    """What the deployment's breaker makes of a report."""
    if report.verdict is Verdict.COMPLETE:
        return "ok"
    return "bad" if report.attempt.get("outcome") in BLAMED_ON_DEPLOYMENT else ""


def build(settings: Settings, providers: Sequence[str] | None = None) -> EventBroker:
    """The broker of a worker process, with its actors; ConfigError for what is set wrong."""
    if not settings.redis_url:
        raise ConfigError("REDIS_URL is not set: `headrace up` brings its own store")
    catalog, configured = catalogs.load(settings.config, settings.refreshed)
    held = credentials.load(os.environ, catalog, configured)
    served = catalog.served(held)
    known = sorted(provider.name for provider in served.providers)
    unknown = sorted(set(providers or ()) - set(known))
    if unknown:
        raise ConfigError(
            f"--providers names {', '.join(unknown)}, for which there is no credential;"
            f" there is one for: {', '.join(known) or 'none'}"
        )
    pool = Pool(settings, Supply(served, held))
    engine = EngineSettings(
        max_inflight=settings.max_inflight,
        lease_ms=int(settings.dead_after_s * 1000),
        beat_ms=int(settings.heartbeat_s * 1000),
    )
    broker = EventBroker(settings.redis_url)
    broker.add_middleware(EngineMiddleware(list(providers or known), engine, pool.set_up))
    actors: list[tuple[str, str, Callable[..., Awaitable[Report]]]] = [
        (Kind.CHAT.value, "jobs", pool.attempt),
        (Kind.EMBEDDING.value, "jobs", pool.attempt),
        (hooks.ACTOR, hooks.QUEUE, pool.deliver),
    ]
    for name, queue, run in actors:
        AsyncActor(run, broker=broker, actor_name=name, queue_name=queue, priority=0, options={})
    return broker


def run(settings: Settings, providers: Sequence[str] | None = None) -> None:
    """Works until SIGTERM or SIGINT, then lets calls end and gives the rest back."""
    log.configure(
        level=settings.log_level, format_=settings.log_format, keys={"process": "workers"}
    )
    broker = build(settings, providers)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    gc.collect()
    gc.freeze()  # what is loaded stays: collections need not look at it again
    gc.set_threshold(GC_ALLOCATIONS, 20, 20)
    worker = dramatiq.Worker(broker, worker_threads=1)
    worker.start()
    stop.wait()
    worker.stop()
