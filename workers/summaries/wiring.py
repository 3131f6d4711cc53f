"""A worker's summaries, put together."""

from collections.abc import Callable

from shared import tokens
from shared.kept import Kept
from shared.objects import Objects
from shared.routing import CatalogRouter
from shared.settings import Settings
from shared.store.files import Files
from shared.store.jobs import Jobs
from shared.store.lanes import Lanes
from workers.fetching import Fetcher
from workers.sandbox import Sandbox
from workers.summaries.reading import Reader
from workers.summaries.step import Summaries
from workers.summaries.tools import Tools
from workers.transport import Transport


def summaries_of(
    settings: Settings,
    jobs: Jobs,
    lanes: Lanes,
    files: Files,
    objects: Objects,
    transport: Transport,
    sandbox: Sandbox,
    router: Callable[[], CatalogRouter],
) -> Summaries:
    """The actor of summaries, as the settings say."""
    kept = Kept(files, objects)
    fetcher = Fetcher(
        transport,
        allow_private=settings.allow_private_urls,
        most_bytes=settings.max_document_bytes,
        timeout_ms=int(settings.fetch_timeout_s * 1000),
    )
    reader = Reader(files, objects, kept, fetcher, sandbox, settings.max_document_bytes)
    cap = settings.paid_cap_microusd
    tools = Tools(jobs, lanes, kept, reader, router, tokens.count, cap, settings.sharing)
    return Summaries(tools)
