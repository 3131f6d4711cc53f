"""What the scheduler asks of the store: the whole of it. The values are in `shared.core.backlog`.

Every call may raise StoreError (the store did not answer: nothing may be assumed). Calls that
change something carry the leader's `fence` and raise StaleFence (`shared.store.leader`), having
changed nothing, where a newer leader has acted. Every call is bounded: its answer tells what is
left over.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from shared.core.backlog import LaneEvent, Move, Snapshot


@dataclass(frozen=True, slots=True)
class Reaped:
    """`jobs` were taken back; `next_ms` is when the next lease may end (None: no worker)."""

    jobs: int
    next_ms: int | None


@dataclass(frozen=True, slots=True)
class Expired:
    """`jobs` ended for their deadline or wait limit; `next_ms` is when to look again."""

    jobs: int
    next_ms: int


@dataclass(frozen=True, slots=True)
class Cleaned:
    """`removed` index entries of jobs whose keys are gone; `more` if the bound stopped it."""

    removed: int
    more: bool


@dataclass(frozen=True, slots=True)
class Spent:
    """Today's money. `day` counts from 1970, UTC; `capped`: lanes rest because of the day's cap."""

    day: int
    spent_microusd: int
    capped: bool


@dataclass(frozen=True, slots=True)
class Evacuated:
    """Jobs taken off lanes nobody serves; `next_ms` (a span) is when others may fail, None: none.

    `more` if the bound stopped it.
    """

    moved: int
    failed: int
    next_ms: int | None
    more: bool


@dataclass(frozen=True, slots=True)
class Dead:
    """A credential that is set aside: `tries` probes were asked for, the last one at `at_ms`.

    `lane`: only there, its model was gone.
    """

    credential: str
    tries: int = 0
    at_ms: int | None = None
    lane: str = ""

    @property
    def name(self) -> str:
        """What its probes are counted under."""
        return f"{self.lane}|{self.credential}" if self.lane else self.credential


class SchedulerStore(Protocol):
    """The store's side of scheduling."""

    async def now_ms(self) -> int:
        """The store's clock: the only one that deadlines and leases are compared with."""
        ...

    async def queued(self) -> int:
        """How many jobs have no final state: O(1), asked before a safety pass."""
        ...

    async def snapshot(self) -> Snapshot:
        """Lanes and groups as they stand, read in one call."""
        ...

    async def look(self, at_ms: int, notice_ms: int) -> None:
        """Says when lanes are looked at next: `due` tells of a job that must be seen before then.

        Such a job's deadline is less than `notice_ms` after `at_ms`. A snapshot forgets it.
        """
        ...

    async def move(self, moves: Sequence[Move], fence: int) -> Sequence[int]:
        """Moves at most `count` jobs each, atomically and in order; returns how many of each.

        No more than 500 jobs in all.
        """
        ...

    async def reap(self, fence: int) -> Reaped:
        """Takes back what dead workers held; nothing for one lease after a store restart."""
        ...

    async def expire_due(self, fence: int, most: int) -> Expired:
        """Ends at most `most` jobs past their deadline or wait limit."""
        ...

    async def clean(self, fence: int, most: int) -> Cleaned:
        """Drops at most `most` index entries whose jobs have outlived their retention."""
        ...

    async def spending(self) -> Spent:
        """What was paid today."""
        ...

    async def evacuate(self, fence: int, most: int) -> Evacuated:
        """Moves or fails at most `most` jobs that wait on lanes nobody serves any more."""
        ...

    async def dead(self) -> tuple[Dead, ...]:
        """Every credential that is set aside until a probe or an edit."""
        ...

    async def note_probe(self, name: str, tries: int, at_ms: int) -> None:
        """Keeps that one of the dead (by `Dead.name`) was seen (0 tries) or probed."""
        ...

    async def probe(self, credential: str, tries: int) -> None:
        """Asks a worker to test the credential."""
        ...

    def events(self) -> AsyncIterator[LaneEvent]:
        """Announcements as they come, LOST first; StoreError when the connection breaks."""
        ...


class Lease(Protocol):
    """The leader's lease; `shared.store.leader.Leader` is one."""

    @property
    def ttl_ms(self) -> int:
        """How long it holds without a renewal."""
        ...

    async def acquire(self) -> tuple[int | None, int]:
        """(fence, 0) where it is ours now; else (None, ms until the holder's lease ends)."""
        ...

    async def renew(self, fence: int) -> bool:
        """Holds it for another `ttl_ms`; False where it is no longer ours."""
        ...

    async def release(self, fence: int) -> None:
        """Gives it up, if it is still ours."""
        ...
