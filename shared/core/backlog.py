"""What waits where, as the scheduler sees it, and what it may do about it: values only.

Spans are ms, moments epoch ms by the store's clock. Counts by class: (interactive, normal, bulk).
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from shared.core.model import Priority
from shared.core.pace import Pace

Counts = tuple[int, int, int]
Step = tuple[float, int, float]
"""Seconds from when a lane opens, calls it starts at once then, and how its rate changes."""


class LaneReading(Protocol):
    """What the pure rules read of a lane; `shared.store.types.LaneState` is one.

    `rate_per_s` is what its windows admit on average or, where it has none, what it lately
    finished; None: not known. `free_requests` is what it may start at `open_ms` at once. `supply`
    says it in full, key by key and window by window (`tank`); empty where no window says anything.
    `pace` is how its deployment has answered of late.
    """

    @property
    def lane(self) -> str: ...  # noqa: D102 - described by the class
    @property
    def backlog(self) -> Counts: ...  # noqa: D102
    @property
    def running(self) -> int: ...  # noqa: D102
    @property
    def open_ms(self) -> int: ...  # noqa: D102
    @property
    def rate_per_s(self) -> float | None: ...  # noqa: D102
    @property
    def free_requests(self) -> int | None: ...  # noqa: D102
    @property
    def supply(self) -> tuple[Step, ...]: ...  # noqa: D102
    @property
    def dead(self) -> bool: ...  # noqa: D102
    @property
    def pace(self) -> Pace | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Due:
    """`count` queued jobs that are due together; each job is in one Due at most.

    `deadline_ms` is the latest of their deadlines: a job must not be found late, and paid for,
    when it is not.
    """

    deadline_ms: int
    count: int


@dataclass(frozen=True, slots=True)
class Group:
    """Queued jobs of one class in one lane that may run in the same lanes.

    `signature` is the store's own name for the candidate lists and comes back in a `Move`. `lanes`
    are the candidates that cost nothing extra, `paid`, apart from them, those that policy keeps for
    deadlines. `due` may be partial or empty: only jobs named there can ever move to a paid lane.
    """

    signature: str
    lane: str
    priority: Priority
    count: int
    lanes: tuple[str, ...]
    paid: tuple[str, ...] = ()
    due: tuple[Due, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One reading of everything a plan needs, taken at `now_ms`.

    `costs` gives the expected cost of one job of a paid lane, in microusd; a paid lane without one
    is not used. `paid_left_microusd` is what is left of today's cap, None: no cap. `lead_ms` is how
    long it may be from `now_ms` until the moves of the plan after this one are made.
    """

    now_ms: int
    lanes: tuple[LaneReading, ...]
    groups: tuple[Group, ...]
    costs: tuple[tuple[str, int], ...] = ()
    paid_left_microusd: int | None = None
    lead_ms: int = 0

    @property
    def queued(self) -> int:
        """Jobs in all groups."""
        return sum(group.count for group in self.groups)


@dataclass(frozen=True, slots=True)
class Move:
    """Take `count` jobs of one class and signature from the back of `source` to `target`.

    The back: the jobs its order would claim last, so that what is about to start stays.
    With `deadline_ms` only jobs due after `after_ms` and at or before it are taken, those due
    soonest first: who is due before that span is not what the move is for. The store
    moves fewer where fewer are left; with `pays` it takes a job to a free lane instead, once, where
    that can start it at once. It never moves a running job, and keeps each job's score.
    """

    source: str
    target: str
    count: int
    priority: Priority
    signature: str
    reason: str
    deadline_ms: int | None = None
    after_ms: int | None = None
    pays: bool = False


class LaneEventKind(StrEnum):
    """What the store announces on `{prefix}lane-events`, as `<kind> <lane>`."""

    THROTTLED = "throttled"  # parked on a quota window
    COOLED_DOWN = "cooled_down"  # a 429 or a failure: rests for a while
    RECOVERED = "recovered"  # a cooldown ended
    RAN_DRY = "ran_dry"  # open, with nothing of its own to claim
    BACKLOG = "backlog"  # more is queued than its windows take soon
    CONFIGURED = "configured"  # lanes or limits changed
    SPENDING = "spending"  # the first money of a day was paid, or four fifths of the day's cap
    CAPPED = "capped"  # a lane rests because the day's cap is used up
    UNSERVED = "unserved"  # work is left on a lane that nobody serves any more
    DIED = "died"  # a credential (named in the lane's place) was set aside
    DUE = "due"  # what may be paid for was queued and wants a look in so many ms (the lane's place)
    LIMITS = "limits"  # a deadline or wait limit is now the nearest of all
    BATCH = "batch"  # a batch was handed in, or lines of one have ended
    LOST = "lost"  # messages may have been missed: look at everything


@dataclass(frozen=True, slots=True)
class LaneEvent:
    """One announcement; `lane` is empty where it is about no lane. `in_ms`: by when to look."""

    kind: LaneEventKind
    lane: str = ""
    in_ms: int = 0


def parse_event(text: str) -> LaneEvent | None:
    """Reads `<kind> <lane>`; None for a kind this version does not know."""
    kind, _, lane = text.partition(" ")
    try:
        known = LaneEventKind(kind)
        return (
            LaneEvent(known, "", int(lane))
            if known is LaneEventKind.DUE
            else LaneEvent(known, lane)
        )
    except ValueError:
        return None
