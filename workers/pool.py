"""One worker process: a pool of provider queues, wired to the store and to the network."""

import asyncio
import gc
import random
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dramatiq
import orjson
import structlog

from shared import objects, tokens
from shared.core.model import Kind, lane_deployment
from shared.core.outcome import TABLE, Blame, FailureKind
from shared.errors import ConfigError, StoreError
from shared.newest import NewestRouter
from shared.queue.broker import AsyncActor, EngineMiddleware, EventBroker
from shared.queue.engine import EngineSettings, Hand
from shared.queue.scripts import Scripts
from shared.queue.tasks import CHECK_CREDENTIAL, QUEUE
from shared.queue.types import Claim, Report, Verdict
from shared.settings import Settings
from shared.store import connect, hooks
from shared.store.files import Files
from shared.store.hooks import Hooks
from shared.store.jobs import Jobs
from shared.store.lanes import Lanes, publish_catalog
from shared.store.tables import Rows, Tables
from shared.submission import SUMMARIES
from shared.supply import NO_ROWS, Base, Live, Supply, assemble
from workers import attempt, checking, streaks
from workers.checking import Check
from workers.hedger import Hedger
from workers.means import Means
from workers.noting import Notes
from workers.sandbox import Sandbox
from workers.sounds import Sounds
from workers.streaks import Streaks
from workers.summaries.step import Summaries
from workers.summaries.wiring import summaries_of
from workers.teaching import MOST_AT_ONCE, Teacher
from workers.transcribing.step import QUEUE as TRANSCRIPTIONS
from workers.transcribing.step import Transcriptions
from workers.transcribing.wiring import transcriptions_of
from workers.transport import Timeouts, Transport
from workers.webhooks import Teller

logger = structlog.get_logger(__name__)

GC_ALLOCATIONS = 10_000
LESSON_CONNECTIONS = MOST_AT_ONCE + 1 + connect.MOST_KEPT  # of them all, the notes', kept idle
BLAMED_ON_DEPLOYMENT = frozenset(
    kind.value for kind in FailureKind if TABLE[kind].blame in (Blame.DEPLOYMENT, Blame.PROVIDER)
)


class Pool:
    """Runs attempts on the engine's loop, each on the supply that was the newest at its start.

    `only` names the providers it serves; None serves whatever there is a credential for.
    """

    def __init__(
        self, settings: Settings, base: Base, supply: Supply, only: Sequence[str] | None = None
    ) -> None:
        self.settings = settings
        self.supply = supply
        self._base = base
        self._only = None if only is None else list(only)
        self._transport: Transport | None = None
        self._jobs: Jobs | None = None
        self._lanes: Lanes | None = None
        self._hedger: Hedger | None = None
        self._teacher: Teacher | None = None
        self._teller: Teller | None = None
        self._transcriptions: Transcriptions | None = None
        self._summaries: Summaries | None = None
        self._tables: Tables | None = None
        self._notes: Notes | None = None
        self._live: Live | None = None
        self._streaks = Streaks()
        self._objects = objects.of_settings(settings)
        self._sounds = Sounds(self._objects, settings.max_audio_inflight_bytes)
        self._serve: Callable[[Sequence[str]], None] = lambda _providers: None
        self._timeouts = Timeouts(
            connect_ms=int(settings.connect_timeout_s * 1000),
            total_ms=int(settings.attempt_timeout_s * 1000),
        )

    @property
    def providers(self) -> list[str]:
        """The providers it serves now."""
        return list(self.supply.providers) if self._only is None else self._only

    def told_to(self, serve: Callable[[Sequence[str]], None]) -> None:
        """`serve` is called with the providers whenever they may have changed."""
        self._serve = serve

    async def set_up(self, broker: EventBroker) -> Callable[[], Awaitable[None]]:
        """Opens connections; publishes the lanes where no scheduler has done so yet."""
        client, listener = connect.commands(broker.url), connect.pubsub(broker.url)
        # connections of their own: what is learned waits for no job, and takes from none
        lessons = connect.commands(broker.url, max_connections=LESSON_CONNECTIONS)
        self._jobs = Jobs(client, client, broker.prefix)
        self._tables = Tables(client, broker.prefix)
        self._notes = Notes(Tables(lessons, broker.prefix))
        self._transport = Transport(max_reply_bytes=self.settings.max_response_bytes)
        self._teacher = Teacher(Scripts(lessons, broker.prefix), self.supply)
        self._teller = Teller(
            Hooks(client, broker.prefix),
            self._transport,
            self._base.vault,
            allow_private=self.settings.allow_private_webhooks,
            timeout_ms=int(self.settings.webhook_timeout_s * 1000),
        )
        self._sandbox = Sandbox()
        live = self._live = Live(self._base, self._tables, Tables(listener, broker.prefix))
        live.on_change(self._take)
        self._take(await live.reload())
        live.start()
        lanes = self._lanes = Lanes(client, broker.prefix)
        router = NewestRouter(live, self.settings.context_margin)
        files = Files(client, broker.prefix)
        means = Means(
            self.settings, self._jobs, lanes, files, self._objects, self._transport, self._sandbox,
            router,
        )  # fmt: skip
        self._summaries, self._transcriptions = summaries_of(means), transcriptions_of(means)
        if self.settings.hedge_share:
            self._hedger = Hedger(lanes, self.settings)
        if await lanes.version() is None:
            supply = live.current
            await publish_catalog(lanes, supply.catalog, supply.credentials, self.settings)

        async def close() -> None:
            await live.close()
            if self._transport:
                await self._transport.aclose()
            await client.aclose()
            await lessons.aclose()
            await listener.aclose()

        return close

    def _take(self, supply: Supply) -> None:
        """From now on attempts start on this supply."""
        self.supply = supply
        if self._teacher is not None:
            self._teacher.take(supply)
        self._serve(self.providers)

    async def attempt(self, hand: Hand) -> Report:
        """One upstream call for a claimed job."""
        assert self._transport is not None  # noqa: S101 - set_up ran
        claim = hand.claim
        supply = await self._supply_for(claim)
        refused = self._streaks.of(claim)
        context = attempt.AttemptContext(
            catalog=supply.catalog,
            transport=self._transport,
            secret=supply.secret,
            emit=hand.emit,
            now_ms=hand.now_ms,
            draw=random.random,
            sent=hand.sent,
            history=lambda: self._history(claim.job_id),
            deltas=lambda: self._deltas(claim.job_id),
            count=tokens.count,
            timeouts=self._timeouts,
            siblings=lambda: self._siblings(claim, supply),
            streak=streaks.grown(refused),
            max_attempts=self.settings.max_attempts,
            free=supply.free(claim.credential),
            hedge=self._hedger.hedge(hand, supply, self.providers) if self._hedger else None,
            sounds=self._sounds,
        )
        report = await attempt.run(claim, context)
        self._streaks.note(claim, refused, report)
        if report.hedge is not None and report.hedge.won:
            claim = replace(claim, lane=report.hedge.lane, credential=report.hedge.credential)
        if self._hedger is not None:
            self._hedger.note(claim, report)
        if self._teacher is not None:
            await self._teacher.heed(claim, report)
        if self._notes is not None:
            await self._notes.heed(supply, claim, report)
        return replace(report, health=_health(report))

    async def deliver(self, **told: Any) -> Report:
        """One try to tell a webhook of an end."""
        assert self._teller is not None  # noqa: S101 - set_up ran
        return await self._teller.deliver(**told)

    async def transcribe(self, hand: Hand) -> Report:
        """One step of a transcription."""
        assert self._transcriptions is not None  # noqa: S101 - set_up ran
        return await self._transcriptions.step(hand)

    async def summarise(self, hand: Hand) -> Report:
        """One step of a summary."""
        assert self._summaries is not None  # noqa: S101 - set_up ran
        return await self._summaries.step(hand)

    async def _supply_for(self, claim: Claim) -> Supply:
        """The newest supply; read anew where a claim was quicker here than the news of its lane."""
        supply = self.supply
        if _supplied(supply, claim) or self._live is None:
            return supply
        supply = await self._live.reload()
        if not _supplied(supply, claim):  # lanes are published by who knows more than we do
            logger.warning("claim_unsupplied", lane=claim.lane, credential=claim.credential)
        return supply

    async def check(self, credential: str) -> Report:
        """Tests one credential by a real call; a good one that was set aside is taken back."""
        assert self._transport is not None  # noqa: S101 - set_up ran
        assert self._tables is not None  # noqa: S101
        assert self._live is not None  # noqa: S101
        supply = await self._live.reload()  # what was added a moment ago is to be tested
        held = next((one for one in supply.held if one.ref.id == credential), None)
        provider = supply.whole.provider(held.ref.provider) if held else None
        secret = supply.stored_secret(credential)
        if held is None or provider is None or secret is None:
            why = held.problem if held and held.problem else "this worker does not have it"
            found = Check(None, "unexpected", f"{credential}: {why}")
        else:
            found = await checking.check(provider, secret or None, self._transport)
            await self._heed_check(credential, found)
        shown = {
            "valid": found.valid,
            "status": found.status,
            "message": found.message,
            "http_status": found.http_status,
            "models": list(found.models),
            "latency_ms": found.latency_ms,
            "checked_ms": time.time_ns() // 1_000_000,
        }
        kept = {**shown, "models": len(found.models)}
        await self._tables.note_check(credential, kept)
        return Report(Verdict.COMPLETE, result=orjson.dumps(shown))

    async def _heed_check(self, credential: str, found: Check) -> None:
        """A bad key rests until a probe or an edit; a good one that rested for ever is back."""
        assert self._tables is not None  # noqa: S101 - its caller looked
        rests = await self._tables.rests()
        rest = rests.get(f"c:{credential}")
        if found.valid is False and not (rest and rest.dead):
            await self._tables.set_health(credential, dead="unauthorized")
            logger.warning("credential_set_aside", credential=credential, reason="unauthorized")
        elif found.valid and rest and rest.dead:
            await self._tables.set_health(credential)
            logger.info("credential_taken_back", credential=credential)
        # what was gone is listed again: its server was restarting, or the model was not there yet
        back = checking.listed_again(credential, rests, found.models)
        if await self._tables.reopen(credential, back):
            logger.info("models_taken_back", credential=credential, lanes=back)

    async def _history(self, job_id: str) -> Sequence[Mapping[str, Any]]:
        record = await self._jobs.get(job_id, None) if self._jobs else None
        return record.attempts if record else ()

    async def _deltas(self, job_id: str) -> Sequence[bytes]:
        return await self._jobs.deltas(job_id) if self._jobs else ()

    async def _siblings(self, claim: Claim, supply: Supply) -> int:
        others = supply.siblings(claim.credential)
        return await self._lanes.living(claim.lane, others) if self._lanes else 0


def _supplied(supply: Supply, claim: Claim) -> bool:
    there = lane_deployment(claim.lane) in supply.catalog.by_id
    return there and (not claim.credential or supply.secret(claim.credential) is not None)


def _health(report: Report) -> str:
    """What the deployment's breaker makes of a report."""
    if report.verdict is Verdict.COMPLETE:
        return "ok"
    return "bad" if report.attempt.get("outcome") in BLAMED_ON_DEPLOYMENT else ""


def build(settings: Settings, base: Base, providers: Sequence[str] | None = None) -> EventBroker:
    """The broker of a worker process, with its actors; ConfigError for what is set wrong."""
    if not settings.redis_url:
        raise ConfigError("REDIS_URL is not set: `headrace up` brings its own store")
    rows = _rows(settings.redis_url) if providers else NO_ROWS
    supply = base.first if base.first and rows == NO_ROWS else assemble(base, rows)
    unknown = sorted(set(providers or ()) - set(supply.providers))
    if unknown:
        raise ConfigError(
            f"--providers names {', '.join(unknown)}, for which there is no credential;"
            f" there is one for: {', '.join(supply.providers) or 'none'}"
        )
    pool = Pool(settings, base, supply, providers or None)
    engine = EngineSettings(
        max_inflight=settings.max_inflight,
        lease_ms=int(settings.dead_after_s * 1000),
        beat_ms=int(settings.heartbeat_s * 1000),
        hung_after_ms=int(settings.hung_after_s * 1000),
    )
    broker = EventBroker(settings.redis_url)
    middleware = EngineMiddleware(pool.providers, engine, pool.set_up)
    pool.told_to(middleware.serve)
    broker.add_middleware(middleware)
    actors: list[tuple[str, str, Callable[..., Awaitable[Report]]]] = [
        (Kind.CHAT.value, "jobs", pool.attempt),
        (Kind.EMBEDDING.value, "jobs", pool.attempt),
        (Kind.TRANSCRIPTION.value, "jobs", pool.attempt),
        (TRANSCRIPTIONS, TRANSCRIPTIONS, pool.transcribe),
        (CHECK_CREDENTIAL, QUEUE, pool.check),
        (hooks.ACTOR, hooks.QUEUE, pool.deliver),
        (SUMMARIES, SUMMARIES, pool.summarise),
    ]
    for name, queue, run in actors:
        AsyncActor(run, broker=broker, actor_name=name, queue_name=queue, priority=0, options={})
    return broker


def _rows(url: str) -> Rows:
    """What is administered, read once before the loop runs; nothing where no store answers yet."""

    async def read() -> Rows:
        client = connect.commands(url)
        try:
            return await Tables(client).rows()
        finally:
            await client.aclose()

    try:
        return asyncio.run(read())
    except StoreError:
        return Rows()


def run(settings: Settings, base: Base, providers: Sequence[str] | None = None) -> None:
    """Works until SIGTERM or SIGINT, then lets calls end and gives the rest back."""
    broker = build(settings, base, providers)
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
