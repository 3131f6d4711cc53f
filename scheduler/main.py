"""One scheduler process. Several are safe: one leads, the others wait for its lease."""

import asyncio
import os
import signal
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import structlog
from redis.asyncio import Redis

from scheduler.batch_lines import Limits
from scheduler.batches import Batches, Bulk
from scheduler.bell import Bell
from scheduler.configure import Configure
from scheduler.deadlines import Deadlines
from scheduler.ending import end
from scheduler.evacuate import Evacuate
from scheduler.files import ExpiredFiles, HalfFiles
from scheduler.leading import RELEASE_WITHIN_S, Duties, Duty, lead_for_ever
from scheduler.listen import Listen
from scheduler.ports import SchedulerStore
from scheduler.probes import Probes
from scheduler.reaper import Reaper
from scheduler.rebalance import Rebalance
from scheduler.retention import Retention
from scheduler.spending import Spending
from scheduler.store import Store
from shared import objects
from shared.core.model import Paid
from shared.core.spill import paid_costs
from shared.errors import ConfigError
from shared.newest import NewestRouter
from shared.settings import Settings
from shared.store import connect
from shared.store.batches import Batches as BatchStore
from shared.store.files import Files
from shared.store.jobs import Jobs
from shared.store.lanes import Lanes, publish_catalog
from shared.store.leader import Leader
from shared.store.tables import Tables
from shared.supply import Base, Live, Supply

logger = structlog.get_logger(__name__)

PREFIX = "{hr}:"


def duties_of(
    store: SchedulerStore,
    publish: Callable[[], Awaitable[int]],
    lease_ms: int,
    cap_microusd: int | None = None,
    *,
    changed: Bell | None = None,
    probe_ms: int = 60_000,
    bulk: Bulk | None = None,
) -> Duties:
    """What the leader of a fence does; each time with bells of its own, so nothing is left over.

    `changed` rings where what is to be published may have changed.
    """

    def duties(fence: int) -> Mapping[str, Duty]:
        work, limits, money, left, died, lines = (Bell() for _ in range(6))
        more: dict[str, Duty] = {}
        if bulk is not None:
            more["batches"] = Batches(bulk, lines, fence)
            more["files"] = ExpiredFiles(bulk.files, bulk.store, bulk.jobs, bulk.objects, Bell())
            more["half_files"] = HalfFiles(bulk.objects, Bell())
        return more | {
            "configure": Configure(publish, changed or Bell()),
            "evacuate": Evacuate(store, publish, left, fence),
            "probes": Probes(store, died, probe_ms),
            "spending": Spending(store, money, cap_microusd),
            "listen": Listen(
                store,
                rebalance=work,
                deadlines=limits,
                evacuate=left,
                probes=died,
                spending=money,
                batches=lines,
            ),
            "rebalance": Rebalance(store, work, fence),
            "deadlines": Deadlines(store, limits, fence),
            "reap": Reaper(store, Bell(), fence, lease_ms),
            "retention": Retention(store, Bell(), fence),
        }

    return duties


def run(settings: Settings, base: Base) -> None:
    """Schedules until SIGTERM or SIGINT. ConfigError where something is missing or wrong."""
    asyncio.run(serve(settings, base))


async def serve(settings: Settings, base: Base) -> None:
    """Wires one process and runs it until it is asked to stop; then gives its lease up."""
    if settings.redis_url is None:
        raise ConfigError("REDIS_URL is not set: say where the store is, or run `headrace up`")
    client = connect.commands(settings.redis_url)
    listener = connect.pubsub(settings.redis_url)
    producer = connect.producer(settings.redis_url)
    lease_ms = int(settings.dead_after_s * 1_000)
    cap_microusd = settings.paid_cap_microusd
    store = Store(client, listener, PREFIX, lease_ms)
    lanes = Lanes(client, PREFIX)
    leader = Leader(client, PREFIX, f"{os.getpid()}-{uuid.uuid4().hex[:12]}")
    ears = connect.pubsub(settings.redis_url)
    live, changed = Live(base, Tables(client, PREFIX), Tables(ears, PREFIX)), Bell()
    publishing = asyncio.Lock()  # else an older reading could be written over a newer one

    def heed(supply: Supply) -> None:
        served = supply.catalog.deployments
        store.price(paid_costs(served, supply.credentials, capped=cap_microusd is not None))
        changed.ring()

    heed(live.current)
    live.on_change(heed)

    async def publish() -> int:
        async with publishing:
            supply = await live.reload()
            # a key that died and was replaced in the environment or a file is another key
            keys = await live.tables.keys_since(supply.prints())
            for credential in keys.replaced:
                await live.tables.set_health(credential, all_lanes=True)
                logger.info("credential_replaced", credential=credential)
            changed = await publish_catalog(lanes, supply.catalog, supply.credentials, settings)
            known = {held.ref.id for held in supply.held}
            for credential in keys.gone:  # from now on no call's end says anything of it
                await live.tables.put_away(credential, for_good=credential not in known)
            return changed

    bulk = bulk_of(settings, client, producer, live)
    probe_ms = int(settings.probe_s * 1_000)
    duties = duties_of(
        store, publish, lease_ms, cap_microusd, changed=changed, probe_ms=probe_ms, bulk=bulk
    )
    live.start()
    try:
        await until_stopped(lead_for_ever(leader, duties))
    finally:
        await live.close()
        for each in (client, listener, producer, ears):
            await each.aclose()


def bulk_of(settings: Settings, client: Redis, producer: Redis, live: Live) -> Bulk:
    """What batches stand on."""
    cap_microusd = settings.paid_cap_microusd
    return Bulk(
        store=BatchStore(client, PREFIX),
        files=Files(client, PREFIX),
        jobs=Jobs(producer, client, PREFIX),
        lanes=Lanes(client, PREFIX),
        objects=objects.of_settings(settings),
        router=NewestRouter(live, settings.context_margin),
        limits=Limits(
            max_lines=settings.max_batch_lines,
            paid=Paid.NEVER if cap_microusd == 0 else Paid(settings.paid),
            cost_cap_microusd=cap_microusd,
            sharing=settings.sharing,
        ),
    )


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
