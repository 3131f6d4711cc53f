"""What crosses the queue's border: a job going in, a claim coming out, a report coming back.

The store's clock is the only clock: moments are epoch ms by Redis TIME.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from shared.core.model import Kind, Need, Priority, Status, Usage
from shared.core.outcome import Cooldown as Cooldown  # noqa: PLC0414 - a report's words, for all
from shared.core.outcome import Learned as Learned  # noqa: PLC0414
from shared.core.sharing import Sharing


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to accept. `doc` is JSON that never changes afterwards (see `shared.submission`).

    `candidates` are lanes in order of preference, `lane` the first of them; the worker of any of
    them may run the job. `paid_lanes` are candidates that cost more: no lane steals a job for them,
    the scheduler may move it there when policy allows. Times are spans in ms from acceptance.
    `idempotency` is (key digest, body digest); `live` is the digest of API key and body under which
    an SDK's retry finds the live job. `watcher` is the inbox of the API process that waits; if it
    does not `follow` the job, it is told of its end only. `hook` says who else is told of its end
    (`store/hooks.own_hook`), `told_as` as what beside a job (`response`). `sharing`: what it may
    have in common with its equals (None: nothing).
    """

    id: str
    tenant: str
    kind: Kind
    priority: Priority
    lane: str
    candidates: tuple[str, ...]
    need: Need
    doc: bytes
    paid_lanes: tuple[str, ...] = ()
    weight: int = 1
    deadline_ms: int | None = None
    max_wait_ms: int | None = None
    delay_ms: int = 0
    idempotency: tuple[str, str] | None = None
    live: str | None = None
    join_live: bool = False
    watcher: str | None = None
    follow: bool = True
    hook: str | None = None
    told_as: str | None = None
    batch: tuple[str, str] | None = None  # the batch it is a line of, and its custom id there
    parent: str | None = None  # the job whose step made it; it comes with that step's report
    sharing: Sharing | None = None


MOST_CHILDREN: Final = 1_000  # of one step: a parent's end cancels those that live in one call


class Acceptance(StrEnum):
    """What became of a `NewJob`."""

    NEW = "new"
    SHARED = "shared"  # new, and follows an equal job
    CACHED = "cached"  # new, and has ended with the answer of an equal job
    REPEATED = "repeated"  # same idempotency key and body: `job_id` is the first one's
    JOINED = "joined"  # an SDK's retry found its live job
    CONFLICT = "conflict"  # same idempotency key, another body
    FULL = "full"  # the queue is at its bound; nothing was written


@dataclass(frozen=True, slots=True)
class Accepted:
    """`status` is the job's status now: a repeated key may name a job that has ended.

    `of` is the job whose call or answer it is, where that is another one's.
    """

    how: Acceptance
    job_id: str
    created_ms: int
    status: Status = Status.QUEUED
    of: str | None = None

    @property
    def made(self) -> bool:
        """Whether the job that was handed in is there under its own id, and was not before."""
        return self.how in (Acceptance.NEW, Acceptance.SHARED, Acceptance.CACHED)


@dataclass(frozen=True, slots=True)
class Claim:
    """A job leased to this worker. `fence` makes a late finish harmless."""

    job_id: str
    fence: int
    lane: str
    credential: str
    tenant: str
    kind: Kind
    priority: Priority
    need: Need
    created_ms: int
    claimed_ms: int
    deadline_ms: int | None
    attempts: int
    requeues: int
    lost_leases: int
    candidates: tuple[str, ...]
    paid_lanes: tuple[str, ...]
    doc: bytes
    uncertain: bool = False  # an earlier attempt may have reached a provider
    streamed: bool = False  # deltas of an earlier attempt are in the event stream


class Verdict(StrEnum):
    """What to do with a job after an attempt. The engine applies it, fenced, in one call."""

    COMPLETE = "complete"
    FAIL = "fail"
    RETRY = "retry"  # spends an attempt
    REQUEUE = "requeue"  # spends none; counted
    CANCEL = "cancel"
    WAIT = "wait"  # a step of a parent was taken; it rests until children of it have ended


@dataclass(frozen=True, slots=True)
class Measured:
    """How a call went, for the books. Spans run from the moment it was sent.

    `first_ms` is the first token's (streams only), `total_ms` the end's. `asked_tokens` is the
    output limit the caller named, `list_microusd` the cost by the list (None: no price is known),
    which nobody pays where the call was `free`. `claimed_ms` is the moment its job was claimed.
    """

    total_ms: int
    first_ms: int | None = None
    asked_tokens: int | None = None
    list_microusd: int | None = None
    free: bool = False
    claimed_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Hedged:
    """Of an attempt that made two calls: who made the second, and what became of the other one.

    `won`: the second call is the attempt's, the first is the other. `reached`: the other may have
    reached its provider; `cooldowns` are for whom the other was made on.
    """

    lane: str
    credential: str
    won: bool
    reached: bool
    cooldowns: Sequence[Cooldown] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What an attempt came to: the worker's decision, for the engine to apply.

    `reached` False: the request never left (its reservation is given back). `lane` moves the job to
    another lane (None: stays). `delay_ms` before it may be claimed again. `result` is the response
    body (JSON), `error` our error object (JSON); `attempt` the JSON record of this attempt.
    `exclude_lane`: the job goes where it can be served first, in the order of escape: other models
    of this provider before other providers, or after them where `blame_provider`.
    `own_fault`: a failure that the job's equals would meet as well.
    `total` is what the job used, where `usage` is only this attempt's. `resume` tells whoever
    follows the stream what becomes of the deltas so far.

    WAIT: the parent's next step runs with `state` (JSON) once `awaits` of its children have ended,
    counted over its whole life; children come in `outbox`, MOST_CHILDREN at most (ValueError).
    How many live at once is the step's to bound. `progress` is shown as the job's until the next
    step says another.
    """

    verdict: Verdict
    attempt: dict[str, Any] = field(default_factory=dict)
    result: bytes | None = None
    error: dict[str, Any] | None = None
    usage: Usage | None = None
    total: Usage | None = None
    cost_microusd: int = 0
    reached: bool = True
    lane: str | None = None
    delay_ms: int = 0
    exclude_lane: bool = False
    blame_provider: bool = False
    cooldowns: Sequence[Cooldown] = ()
    learned: Sequence[Learned] = ()
    outbox: Sequence[NewJob] = ()
    reason: str = ""
    health: str = ""  # "ok" or "bad": what the deployment's breaker counts; "" says nothing of it
    uncertain: bool = False  # this attempt may have reached the provider and was not answered
    measured: Measured | None = None
    resume: dict[str, Any] | None = None
    hedge: Hedged | None = None
    own_fault: bool = False
    state: bytes = b"null"
    awaits: int = 0
    progress: dict[str, Any] | None = None
    organisation: str | None = None  # as the answer told it: `core/organisations.py`
    said: str = ""  # `Failed.said`
    marks: Sequence[str] = ()  # `Failed.marks`

    def __post_init__(self) -> None:
        if len(self.outbox) > MOST_CHILDREN:
            raise ValueError(f"a step makes at most {MOST_CHILDREN} children")


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a job's event stream. `id` counts from 1; `data` is JSON."""

    id: int
    type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class LaneView:
    """A lane as `/v1/queues` shows it. `parked_until_ms` 0 is open.

    `capped`: it rests because the day's cap on paid use is used up. `workers`: how many live ones
    serve it.
    """

    lane: str
    queued: dict[str, int]
    running: int
    parked_until_ms: int
    parked_reason: str
    windows: tuple[dict[str, Any], ...]
    rate_per_min: float
    oldest_ms: int | None
    capped: bool = False
    workers: int = 0
