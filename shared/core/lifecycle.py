"""How a job's status may change: every transition by name, and nothing else.

    (new) ── accept ──▶ queued ── claim ──▶ in_progress ── complete ──▶ completed
                        │  ▲                 │  │  │
                        │  └─ retry, requeue ┘  │  └── fail ─────────▶ failed
                        │     take_back         │
                        ├── cancel ─────────────┴── cancel_running ──▶ cancelled
                        └── expire ──────────────── expire_running ──▶ expired

A move keeps a job queued. A replay is a new job. Final states have no way out. A queued job that
shares another's call, or is given a kept answer, ends without running: answer, fail_alike.
"""

from dataclasses import dataclass

from shared.core.model import Status

QUEUED, RUNNING = Status.QUEUED, Status.IN_PROGRESS


@dataclass(frozen=True, slots=True)
class Transition:
    """One allowed change, applied as compare-and-set on `source` (None: there was no job).

    `fenced`: only the holder of the newest lease may make it. `event` is what is told of it.
    """

    name: str
    source: Status | None
    target: Status
    event: str
    fenced: bool = False


ACCEPT = Transition("accept", None, QUEUED, "job.queued")
MOVE = Transition("move", QUEUED, QUEUED, "job.moved")
CLAIM = Transition("claim", QUEUED, RUNNING, "job.started")
RETRY = Transition("retry", RUNNING, QUEUED, "job.requeued", fenced=True)
REQUEUE = Transition("requeue", RUNNING, QUEUED, "job.requeued", fenced=True)
TAKE_BACK = Transition("take_back", RUNNING, QUEUED, "job.requeued")
COMPLETE = Transition("complete", RUNNING, Status.COMPLETED, "job.completed", fenced=True)
FAIL = Transition("fail", RUNNING, Status.FAILED, "job.failed", fenced=True)
DEAD_LETTER = Transition("dead_letter", RUNNING, Status.FAILED, "job.failed")
CANCEL = Transition("cancel", QUEUED, Status.CANCELLED, "job.cancelled")
CANCEL_RUNNING = Transition("cancel_running", RUNNING, Status.CANCELLED, "job.cancelled")
ANSWER = Transition("answer", QUEUED, Status.COMPLETED, "job.completed")
FAIL_ALIKE = Transition("fail_alike", QUEUED, Status.FAILED, "job.failed")
EXPIRE = Transition("expire", QUEUED, Status.EXPIRED, "job.expired")
EXPIRE_RUNNING = Transition("expire_running", RUNNING, Status.EXPIRED, "job.expired")

TRANSITIONS = (
    ACCEPT,
    MOVE,
    CLAIM,
    RETRY,
    REQUEUE,
    TAKE_BACK,
    COMPLETE,
    FAIL,
    DEAD_LETTER,
    CANCEL,
    CANCEL_RUNNING,
    ANSWER,
    FAIL_ALIKE,
    EXPIRE,
    EXPIRE_RUNNING,
)
BY_NAME = {transition.name: transition for transition in TRANSITIONS}
TERMINAL_EVENTS = frozenset(one.event for one in TRANSITIONS if one.target.final)


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """The job was not where the transition starts: nothing changes."""

    transition: Transition
    status: Status | None


def apply(transition: Transition, status: Status | None) -> Status | NotAllowed:
    """The status after the transition, or why there is none."""
    if status != transition.source:
        return NotAllowed(transition, status)
    return transition.target


def allowed(status: Status | None) -> tuple[Transition, ...]:
    """What may happen to a job in this status; nothing where it is final."""
    return tuple(one for one in TRANSITIONS if one.source == status)
