"""One scheduler process. Several are safe: one leads, the others wait for its lease."""

import asyncio
import os
import signal
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import structlog

from scheduler.batch_lines import Limits
from scheduler.batches import Batches, Bulk
from scheduler.bell import Bell
from scheduler.configure import Configure
from scheduler.deadlines import Deadlines
from scheduler.ending import end
from scheduler.files import ExpiredFiles
from scheduler.leading import RELEASE_WITHIN_S, Duties, Duty, lead_for_ever
from scheduler.listen import Listen
from scheduler.ports import SchedulerStore
from scheduler.reaper import Reaper
from scheduler.rebalance import Rebalance
from scheduler.retention import Retention
from scheduler.spending import Spending
from scheduler.store import Store
from shared import catalog as catalogs
from shared import credentials, log, objects
from shared.core.model import Paid
from shared.core.spill import paid_costs
from shared.errors import ConfigError
from shared.routing import CatalogRouter
from shared.settings import Settings
from shared.store import connect
from shared.store.batches import Batches as BatchStore
from shared.store.files import Files
from shared.store.jobs import Jobs
from shared.store.lanes import Lanes, publish_catalog
from shared.store.leader import Leader

logger = structlog.get_logger(__name__)

PREFIX = "{hr}:"


def duties_of(
    store: SchedulerStore,
    publish: Callable[[], Awaitable[int]],
    lease_ms: int,
    cap_microusd: int | None = None,
    bulk: Bulk | None = None,
) -> Duties:
    """What the leader of a fence does; each time with bells of its own, so nothing is left over."""

    def duties(fence: int) -> Mapping[str, Duty]:
        work, limits, money, lines = Bell(), Bell(), Bell(), Bell()
        more: dict[str, Duty] = {}
        if bulk is not None:
            more["batches"] = Batches(bulk, lines, fence)
            more["files"] = ExpiredFiles(bulk.files, bulk.store, bulk.objects, Bell())
        return more | {
            "configure": Configure(publish, Bell()),
            "listen": Listen(store, work, limits, money, lines),
            "spending": Spending(store, money, cap_microusd),
            "rebalance": Rebalance(store, work, fence),
            "deadlines": Deadlines(store, limits, fence),
            "reap": Reaper(store, Bell(), fence, lease_ms),
            "retention": Retention(store, Bell(), fence),
        }

    return duties


def run(settings: Settings) -> None:
    """Schedules until SIGTERM or SIGINT. ConfigError where something is missing or wrong."""
    log.configure(
        level=settings.log_level, format_=settings.log_format, keys={"process": "scheduler"}
    )
    asyncio.run(serve(settings))


async def serve(settings: Settings) -> None:
    """Wires one process and runs it until it is asked to stop; then gives its lease up."""
    if settings.redis_url is None:
        raise ConfigError("REDIS_URL is not set: say where the store is, or run `headrace up`")
    catalog, config = catalogs.load(settings.config, settings.refreshed)
    refs = credentials.load(os.environ, catalog, config)
    client = connect.commands(settings.redis_url)
    listener = connect.pubsub(settings.redis_url)
    producer = connect.producer(settings.redis_url)
    lease_ms = int(settings.dead_after_s * 1_000)
    cap_usd = settings.paid_daily_cap_usd
    cap_microusd = None if cap_usd is None else round(cap_usd * 1e6)
    costs = paid_costs(catalog.deployments, refs, capped=cap_microusd is not None)
    store = Store(client, listener, PREFIX, lease_ms, costs)
    lanes = Lanes(client, PREFIX)
    leader = Leader(client, PREFIX, f"{os.getpid()}-{uuid.uuid4().hex[:12]}")

    async def publish() -> int:
        return await publish_catalog(lanes, catalog, refs, settings)

    router = CatalogRouter(catalog, refs, margin=settings.context_margin)
    bulk = Bulk(
        store=BatchStore(client, PREFIX),
        files=Files(client, PREFIX),
        jobs=Jobs(producer, client, PREFIX),
        lanes=lanes,
        objects=objects.of_settings(settings),
        router=lambda: router,
        limits=Limits(
            max_lines=settings.max_batch_lines,
            paid=Paid.NEVER if cap_microusd == 0 else Paid(settings.paid),
            cost_cap_microusd=cap_microusd,
        ),
    )
    duties = duties_of(store, publish, lease_ms, cap_microusd, bulk)
    try:
        await until_stopped(lead_for_ever(leader, duties))
    finally:
        for each in (client, listener, producer):
            await each.aclose()


async def until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Runs `work` until it fails, or SIGTERM or SIGINT comes: then ends it."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        await end((working, stopping), again_s=2 * RELEASE_WITHIN_S)
    logger.info("stopped")
