"""One API process: wired to the store, served by uvicorn, ended without losing a caller's job."""

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from redis.asyncio import Redis

from api.administration import Administration
from api.app import create_app
from api.keys import FileKeys
from api.live import LiveKeys, LiveRouter
from api.ports import Bulk
from api.server import Server, config
from api.wiring import Bounds, Service, Wiring
from shared import objects
from shared.clock import SystemClock
from shared.core.model import Paid, Priority
from shared.credentials import ApiKeys
from shared.errors import ConfigError, StoreError
from shared.settings import Settings
from shared.store import connect
from shared.store.batches import Batches
from shared.store.files import Files
from shared.store.hooks import Hooks
from shared.store.inbox import Inbox
from shared.store.jobs import Jobs
from shared.store.lanes import Lanes
from shared.store.tables import Tables
from shared.supply import Base, Live

logger = structlog.get_logger(__name__)

GC_ALLOCATIONS: Final = 10_000


def run(settings: Settings, base: Base) -> None:
    """Serves until SIGTERM or SIGINT. ConfigError for what is set wrong."""
    wiring = wire(settings, base)
    service = Service(wiring)
    gc.collect()
    gc.freeze()  # what is loaded stays: collections need not look at it again
    gc.set_threshold(GC_ALLOCATIONS, 20, 20)
    served = config(create_app(wiring, service), settings.host, settings.port)
    with asyncio.Runner(loop_factory=served.get_loop_factory()) as runner:
        runner.run(Server(served, service).serve())


def wire(settings: Settings, base: Base) -> Wiring:
    """Everything real. Nothing is connected before the server starts."""
    url = settings.redis_url
    if not url:
        raise ConfigError("REDIS_URL is not set: `headrace up` brings its own store")
    clock = SystemClock()

    def load_keys() -> ApiKeys:
        return ApiKeys.from_config(base.config, os.environ, settings.api_keys_file)

    clients = (connect.producer(url), connect.commands(url), *map(connect.pubsub, (url, url)))
    writes, reads, subscriber, ears = clients
    inbox, lanes, tables = Inbox(subscriber, reads), Lanes(reads), Tables(reads)
    live = Live(base, tables, Tables(ears))
    return Wiring(
        jobs=Jobs(writes, reads),
        lanes=lanes,
        usage=lanes.usage,
        hooks=Hooks(reads),
        bulk=Bulk(Files(reads), Batches(reads), objects.of_settings(settings)),
        inbox=inbox,
        router=LiveRouter(live, margin=settings.context_margin),
        keys=LiveKeys(FileKeys(load_keys, settings.api_keys_file, clock), live),
        admin=Administration(live, tables, base.vault),
        bounds=bounds(settings),
        clock=clock,
        start=_start(inbox, live),
        stop=_stop(inbox, live, clients),
    )


def bounds(settings: Settings) -> Bounds:
    """What of the settings is the API's."""
    return Bounds(
        max_body_bytes=settings.max_body_bytes,
        max_file_bytes=settings.max_file_bytes,
        max_batch_bytes=settings.max_batch_bytes,
        max_audio_bytes=settings.max_audio_bytes,
        hold_s=settings.hold_s,
        keepalive_s=settings.keepalive_s,
        private_webhooks=settings.allow_private_webhooks,
        private_documents=settings.allow_private_urls,
        max_document_bytes=settings.max_document_bytes,
        inline_body_bytes=settings.inline_body_bytes,
        paid=Paid(settings.paid),
        sharing=settings.sharing,
        hedging=settings.hedge_share > 0,
        paid_cap_microusd=settings.paid_cap_microusd,
        deadlines_s={
            Priority.INTERACTIVE: settings.deadline_interactive_s,
            Priority.NORMAL: settings.deadline_normal_s,
            Priority.BULK: settings.deadline_bulk_s,
        },
    )


def _start(inbox: Inbox, live: Live) -> Callable[[], Awaitable[None]]:
    async def start() -> None:
        try:
            await inbox.start()
            await live.reload()
        except StoreError as problem:  # it goes on trying; until then /readyz says what is missing
            logger.warning("store_not_there_yet", error=str(problem))
        live.start()

    return start


def _stop(inbox: Inbox, live: Live, clients: tuple[Redis, ...]) -> Callable[[], Awaitable[None]]:
    async def stop() -> None:
        await live.close()
        await inbox.close()
        for client in clients:
            await client.aclose()

    return stop
