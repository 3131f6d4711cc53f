"""A worker's transcriptions, put together."""

from collections.abc import Callable

from shared.objects import Objects
from shared.routing import CatalogRouter
from shared.settings import Settings
from shared.store.files import Files
from shared.store.jobs import Jobs
from shared.store.lanes import Lanes
from workers.fetching import Fetcher
from workers.sandbox import Sandbox
from workers.transcribing.recording import Recordings
from workers.transcribing.step import Tools, Transcriptions
from workers.transport import Transport


def transcriptions_of(
    settings: Settings,
    jobs: Jobs,
    lanes: Lanes,
    files: Files,
    objects: Objects,
    transport: Transport,
    sandbox: Sandbox,
    router: Callable[[], CatalogRouter],
) -> Transcriptions:
    """The actor of transcriptions, as the settings say."""
    fetcher = Fetcher(
        transport,
        allow_private=settings.allow_private_urls,
        most_bytes=settings.max_audio_bytes,
        timeout_ms=int(settings.fetch_timeout_s * 1000),
    )
    recordings = Recordings(files, objects, fetcher, sandbox, settings.max_audio_s)
    cap = settings.paid_cap_microusd
    return Transcriptions(Tools(jobs, lanes, recordings, router, cap, settings.sharing))
