"""What the API needs of the rest: the store's jobs and inbox, the router, the callers' keys.

The real ones are wired in `main.py`; tests wire fakes. Moments are epoch ms by the store's clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from shared.core.batch import Batch
from shared.core.books import Row
from shared.core.model import Kind, Status
from shared.credentials import ApiKey
from shared.objects import Objects
from shared.queue.types import Accepted, Event, LaneView, NewJob
from shared.store.batches import BatchPage, NewBatch
from shared.store.files import File, FilePage
from shared.store.hooks import Endpoint, Written
from shared.store.types import Family, JobRecord, LaneState, Page, Waiting
from shared.submission import Routes


class Watch(Protocol):
    """One job's events, gap-free and in order; ends after the terminal one."""

    @property
    def result(self) -> bytes | None:
        """The result body, where the terminal event brought it along."""
        ...

    async def next(self, timeout_s: float) -> Event | None:
        """The next event; None after `timeout_s` without one. StopAsyncIteration at the end."""
        ...

    def close(self) -> None:
        """Stops watching. Idempotent."""
        ...


class Inbox(Protocol):
    """This process' mailbox for events."""

    @property
    def id(self) -> str:
        """What `NewJob.watcher` names."""
        ...

    def expect(self, job_id: str, *, end_only: bool = False) -> Watch:
        """Watches a job that is about to be accepted; no round trip. See `NewJob.follow`."""
        ...

    async def attach(self, job_id: str, after: int) -> Watch | None:
        """Watches a job that exists, from the event after `after`; None if there is none."""
        ...


class Jobs(Protocol):
    """The store's jobs. All raise StoreError; `tenant` None sees every tenant's."""

    async def accept(self, job: NewJob) -> Accepted:
        """Durable once it returns."""
        ...

    async def get(self, job_id: str, tenant: str | None) -> JobRecord | None:
        """A job as it stands; None if this tenant has no such job."""
        ...

    async def list(
        self,
        tenant: str | None,
        *,
        status: Status | None,
        kind: Kind | None,
        batch: str | None,
        parent: str | None,
        after: str | None,
        limit: int,
    ) -> Page:
        """A page of jobs, newest first."""
        ...

    async def cancel(self, job_id: str, tenant: str | None) -> JobRecord | None:
        """Cancels what has not ended; a final job stays as it is."""
        ...

    async def replay(
        self, job_id: str, tenant: str | None, deadline_ms: int | None = None
    ) -> JobRecord | None:
        """Queues a failed, cancelled or expired job again; Refused (409) for any other."""
        ...

    async def forget(self, job_id: str, tenant: str) -> bool:
        """Removes all that is kept of a job that has ended; False where there is none such."""
        ...

    async def many(self, ids: Sequence[str]) -> Sequence[JobRecord | None]:
        """Jobs as they stand, of whatever tenant, in the order asked for; None: no longer kept."""
        ...

    async def family(self, job_id: str) -> Family:
        """The state of a job of several steps, and its children."""
        ...

    async def waiting(self, record: JobRecord) -> Waiting | None:
        """Why a queued job waits."""
        ...

    async def ready(self) -> bool:
        """True where the store answers and takes writes."""
        ...


class Lanes(Protocol):
    """The store's lanes. All raise StoreError."""

    async def lanes(self) -> tuple[LaneView, ...]:
        """Every lane there is."""
        ...

    async def lane_states(self) -> Mapping[str, LaneState]:
        """What selection reads of the lanes; at most 100 ms old, one object a reading."""
        ...


class Usage(Protocol):
    """The store's books. All raise StoreError; days count from 1970, UTC."""

    async def today(self) -> int:
        """The day it is."""
        ...

    async def rows(self, first: int, last: int) -> Sequence[Row]:
        """What was used in these days."""
        ...

    async def spent_microusd(self, day: int) -> int:
        """What was paid that day, over all tenants."""
        ...


class Hooks(Protocol):
    """Endpoints that are told of ends, and the jobs that tell them. All raise StoreError."""

    async def all(self, tenant: str) -> tuple[Endpoint, ...]:
        """Every endpoint of a tenant, newest first."""
        ...

    async def get(self, tenant: str, endpoint: str) -> Endpoint | None:
        """One endpoint; None if this tenant has none of that id."""
        ...

    async def put(self, was: Endpoint | None, now: Endpoint) -> Written:
        """Writes `now` where `was` stands."""
        ...

    async def remove(self, was: Endpoint) -> Written:
        """Removes an endpoint as it was read."""
        ...

    async def told(self, job_id: str) -> tuple[str, ...]:
        """The jobs that tell of a job's end, oldest first."""
        ...

    async def note_told(self, job_id: str, telling: str) -> None:
        """Adds a telling job to those of a job."""
        ...


class Keys(Protocol):
    """The callers' API keys, by digest."""

    def find(self, key: str) -> ApiKey | None:
        """Who a key belongs to; None if nobody."""
        ...

    def all(self) -> tuple[ApiKey, ...]:
        """Those of the configuration and of files: they are changed there."""
        ...


class Router(Routes, Protocol):
    """Selection over one catalog snapshot."""

    def eta_ms(
        self,
        record: JobRecord,
        position: int | None,
        lanes: Mapping[str, LaneState],
        now_ms: int,
    ) -> tuple[int, int] | None:
        """When a queued job should be done: spans from now (p50, p95); None where not known.

        `position` counts the jobs before it in its lane; None is not known.
        """
        ...

    def tokens(self, deployment: str, counted: int) -> int:
        """How many tokens of a deployment so many of o200k are."""
        ...

    def models(self) -> tuple[dict[str, Any], ...]:
        """What `/v1/models` lists."""
        ...

    @property
    def served(self) -> int:
        """How many deployments there is a credential for."""
        ...


class Files(Protocol):
    """What the store knows of files. All raise StoreError."""

    async def now_ms(self) -> int:
        """The store's clock."""
        ...

    async def put(self, file: File) -> None:
        """Makes a file known."""
        ...

    async def get(self, file_id: str, tenant: str | None) -> File | None:
        """A file that has not expired; None if this tenant has none of that id."""
        ...

    async def postpone(self, file_id: str, until_ms: int) -> None:
        """Looks at an expired file again later."""
        ...

    async def forget(self, file: File) -> None:
        """Makes a file unknown."""
        ...

    async def list(
        self, tenant: str, *, purpose: str | None, after: str | None, limit: int, ascending: bool
    ) -> FilePage:
        """A page of a tenant's files; Refused where `after` is none of them."""
        ...


class Batches(Protocol):
    """The store's batches. All raise StoreError."""

    async def create(self, new: NewBatch) -> Batch:
        """Durable once it returns."""
        ...

    async def get(self, batch_id: str, tenant: str | None) -> Batch | None:
        """A batch as it stands; None if this tenant has none of that id."""
        ...

    async def list(self, tenant: str, *, after: str | None, limit: int) -> BatchPage:
        """A page of batches, newest first; Refused where `after` is none of them."""
        ...

    async def cancel(self, batch_id: str, tenant: str | None) -> Batch | None:
        """Begins to cancel; Refused where it has ended otherwise."""
        ...

    async def using(self, file_id: str) -> str | None:
        """A live batch that reads this file."""
        ...


@dataclass(frozen=True, slots=True)
class Bulk:
    """What files and batches are kept in."""

    files: Files
    batches: Batches
    objects: Objects
