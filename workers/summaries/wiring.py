"""A worker's summaries, put together."""

from shared import tokens
from shared.kept import Kept
from workers.means import Means
from workers.summaries.reading import Reader
from workers.summaries.step import Summaries
from workers.summaries.tools import Tools


def summaries_of(means: Means) -> Summaries:
    """The actor of summaries, as the settings say."""
    settings = means.settings
    most_bytes = settings.max_document_bytes
    kept = Kept(means.files, means.objects)
    fetcher = means.fetcher(most_bytes)
    reader = Reader(means.files, means.objects, kept, fetcher, means.sandbox, most_bytes)
    cap = settings.paid_cap_microusd
    tools = Tools(
        means.jobs, means.lanes, kept, reader, means.router, tokens.count, cap, settings.sharing
    )
    return Summaries(tools)
