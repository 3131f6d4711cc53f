"""What a worker lends to those who take parents in steps: its stores, its network, its sandbox."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.objects import Objects
from shared.routing import CatalogRouter
from shared.settings import Settings
from shared.store.files import Files
from shared.store.jobs import Jobs
from shared.store.lanes import Lanes
from workers.fetching import Fetcher
from workers.sandbox import Sandbox
from workers.transport import Transport


@dataclass(frozen=True, slots=True)
class Means:
    """A process's own, shared by all parents it works for. `router` gives the newest."""

    settings: Settings
    jobs: Jobs
    lanes: Lanes
    files: Files
    objects: Objects
    transport: Transport
    sandbox: Sandbox
    router: Callable[[], CatalogRouter]

    def fetcher(self, most_bytes: int) -> Fetcher:
        """What fetches from callers' addresses, as the settings say, and so much at most."""
        return Fetcher(
            self.transport,
            allow_private=self.settings.allow_private_urls,
            most_bytes=most_bytes,
            timeout_ms=int(self.settings.fetch_timeout_s * 1000),
        )
