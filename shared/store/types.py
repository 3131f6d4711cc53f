"""What the store gives back: jobs as they stand, pages of them, live lanes."""

from dataclasses import dataclass
from typing import Any, Final

from shared.core.backlog import Step
from shared.core.model import Kind, Priority, Status, Usage
from shared.core.pace import Pace
from shared.core.waits import Before

SERVER_ERROR: Final = 500


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a parent is: its children, and what its last step said.

    `audio_seconds` are those of the completed children.
    """

    total: int
    ended: int
    completed: int
    audio_seconds: int
    step: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Family:
    """What a parent's step goes on from. `state` is None at its first.

    `children` are their ids, oldest first, `ended` counts those of them that have ended.
    """

    state: Any
    children: tuple[str, ...]
    ended: int


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as it stands. `doc` is what was accepted; `result` the response body (JSON).

    `shared_with` is the job that it follows, or by whose call it was answered; `cached_from` the
    one whose kept answer it was given.
    """

    id: str
    tenant: str
    kind: Kind
    status: Status
    priority: Priority
    created_ms: int
    started_ms: int | None
    completed_ms: int | None
    deadline_ms: int | None
    lane: str
    due_ms: int | None
    attempts: tuple[dict[str, Any], ...]
    requeues: int
    uncertain_repeats: int
    doc: dict[str, Any]
    result: bytes | None
    error: dict[str, Any] | None
    usage: Usage | None
    cost_microusd: int
    events: int
    shared_with: str | None = None
    cached_from: str | None = None
    parent: str | None = None
    progress: Progress | None = None

    @property
    def may_run(self) -> bool:
        """Whether what it needs must be kept: it lives, or failed for no fault of the request."""
        if self.status is Status.FAILED:
            return int((self.error or {}).get("status") or SERVER_ERROR) >= SERVER_ERROR
        return self.status not in (Status.COMPLETED, Status.CANCELLED)


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why a queued job waits: `position` counts jobs before it in its lane (None: > 10,000).

    `reason` is one of `quota cooldown concurrency delayed behind paused shared no_worker`; `window`
    names the quota window, `until_ms` the moment the lane reopens. `before` are the jobs before it.
    """

    reason: str
    window: str | None
    until_ms: int | None
    position: int | None
    before: Before | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first. `next_after` is the cursor for the next page, None at the end."""

    jobs: tuple[JobRecord, ...]
    next_after: str | None


@dataclass(frozen=True, slots=True)
class LaneState:
    """What selection and ETA read of a lane: refreshed a few times a second, never per job.

    `backlog` counts queued jobs by priority (interactive, normal, bulk); `rate_per_s` what its
    windows admit on average; `open_ms` when it may next claim (0: now); `dead` set aside.
    `free_requests` is what its windows admit right now, `pace` how its deployment has answered,
    `supply` what its keys start by when (`core.tank`), `workers` how many live ones serve it (None:
    not known).
    """

    lane: str
    backlog: tuple[int, int, int]
    running: int
    open_ms: int
    rate_per_s: float | None
    free_requests: int | None
    dead: bool
    reason: str
    last_interactive_ms: int
    pace: Pace | None = None
    supply: tuple[Step, ...] = ()
    workers: int | None = None
