"""Hands in many jobs and follows them to their ends, with bounded effort whatever their number."""

import asyncio
import contextlib
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from cli.client import FINAL_STATUSES, Api
from cli.codes import Unreachable
from cli.prompts import Ask
from shared.errors import GatewayError, Refused

SUBMITTERS = 16
FOLLOWERS = 64
HOLD_S = 20
PAGE = 100
MOST_PAGES = 5
LOOK_EVERY_S = 1.0
KEY_REFUSED = frozenset({401, 403})


@dataclass(slots=True)
class Tracked:
    """One job on its way. `doc` is what the API last said; `refusal` why it was not accepted."""

    ask: Ask
    key: str
    doc: dict[str, Any] = field(default_factory=dict)
    refusal: GatewayError | None = None
    ended: bool = False

    @property
    def id(self) -> str | None:
        """The job's id, once accepted."""
        return self.doc.get("id")

    @property
    def status(self) -> str:
        """Its status; `new` before it is accepted, `refused` if it never was."""
        if self.refusal is not None:
            return "refused"
        return str(self.doc.get("status", "new"))


class Tracker:
    """All jobs of one call. `changed` is called after each change, `ended` once for each job."""

    def __init__(
        self,
        api: Api,
        asks: Sequence[Ask],
        *,
        changed: Callable[[], None] = lambda: None,
        ended: Callable[[Tracked], None] = lambda _job: None,
    ) -> None:
        run = uuid.uuid4().hex
        self.jobs = [Tracked(ask, f"cli-{run}-{number}") for number, ask in enumerate(asks)]
        self.by_id: dict[str, Tracked] = {}
        self.started = time.monotonic()
        self._api, self._changed, self._ended = api, changed, ended

    def counts(self) -> Counter[str]:
        """How many jobs there are of each status."""
        return Counter(job.status for job in self.jobs)

    @property
    def done(self) -> int:
        """How many jobs have ended, refused ones included."""
        return sum(job.ended for job in self.jobs)

    def left_s(self) -> float | None:
        """Seconds until the last job ends, at the pace so far; None while there is no pace."""
        done = self.done
        if not done or done == len(self.jobs):
            return None
        return (time.monotonic() - self.started) / done * (len(self.jobs) - done)

    async def submit(self) -> None:
        """Hands in all jobs; a refused one has ended. Unreachable if there is nobody."""
        waiting = iter(self.jobs)

        async def submitter() -> None:
            for job in waiting:
                await self._submit(job)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(SUBMITTERS, len(self.jobs))):
                group.create_task(submitter())

    async def follow(self) -> None:
        """Returns when all jobs have ended, with their results in `doc`."""
        looking = asyncio.create_task(self._look())
        waiting = iter([job for job in self.jobs if not job.ended])

        async def follower() -> None:
            for job in waiting:
                await self._follow(job)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(FOLLOWERS, len(self.jobs))):
                    group.create_task(follower())
        finally:
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking

    async def _submit(self, job: Tracked) -> None:
        try:
            doc = await self._api.post("/v1/jobs", job.ask.body, key=job.key)
        except Refused as exc:
            if exc.status in KEY_REFUSED:  # so would all others be
                raise
            job.refusal = exc
            self._end(job)
            return
        job.doc = doc
        self.by_id[str(doc.get("id"))] = job
        if job.status in FINAL_STATUSES:
            self._end(job)
        self._changed()

    async def _follow(self, job: Tracked) -> None:
        while not job.ended:
            doc = await self._api.job(str(job.id), wait_s=HOLD_S)
            self._update(job, doc)

    def _update(self, job: Tracked, doc: dict[str, Any]) -> None:
        if job.ended:
            return
        job.doc = doc
        if job.status in FINAL_STATUSES:
            self._end(job)
        self._changed()

    def _end(self, job: Tracked) -> None:
        job.ended = True
        self._ended(job)
        self._changed()

    async def _look(self) -> None:
        """Refreshes what is queued and what runs, for show: the newest few hundred jobs."""
        while True:
            began = time.monotonic()
            after: str | None = None
            with contextlib.suppress(GatewayError):
                for _ in range(MOST_PAGES):
                    page = await self._api.get("/v1/jobs", limit=PAGE, after=after)
                    docs = page.get("data") or []
                    self._note(docs)
                    after = cursor(page)
                    if after is None or not any(doc.get("id") in self.by_id for doc in docs):
                        break
            await asyncio.sleep(max(LOOK_EVERY_S, 3 * (time.monotonic() - began)))

    def _note(self, docs: Sequence[dict[str, Any]]) -> None:
        for doc in docs:
            job = self.by_id.get(str(doc.get("id")))
            if job is not None and not job.ended and doc.get("status") not in FINAL_STATUSES:
                job.doc = {**job.doc, **doc}
        self._changed()


def cursor(page: dict[str, Any]) -> str | None:
    """What `after` is for the next page; None on the last."""
    if page.get("next_after"):
        return str(page["next_after"])
    docs = page.get("data") or []
    if page.get("has_more") and docs:
        return str(page.get("last_id") or docs[-1].get("id"))
    return None


def unwrap(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first cause in a task group's failure: Unreachable if that is among them."""
    for exc in group.exceptions:
        inner = unwrap(exc) if isinstance(exc, BaseExceptionGroup) else exc
        if isinstance(inner, Unreachable):
            return inner
    first = group.exceptions[0]
    return unwrap(first) if isinstance(first, BaseExceptionGroup) else first
