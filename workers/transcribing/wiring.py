"""A worker's transcriptions, put together."""

from workers.means import Means
from workers.transcribing.recording import Recordings
from workers.transcribing.step import Tools, Transcriptions


def transcriptions_of(means: Means) -> Transcriptions:
    """The actor of transcriptions, as the settings say."""
    settings = means.settings
    fetcher = means.fetcher(settings.max_audio_bytes)
    recordings = Recordings(
        means.files, means.objects, fetcher, means.sandbox, settings.max_audio_s
    )
    cap = settings.paid_cap_microusd
    tools = Tools(means.jobs, means.lanes, recordings, means.router, cap, settings.sharing)
    return Transcriptions(tools)
