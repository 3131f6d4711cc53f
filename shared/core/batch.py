"""A batch: its states, its figures, and what is to be done about it next. Pure.

```
validating ──bad file──▶ failed
    └─▶ in_progress ─▶ finalizing ─▶ completed
            │  └── window over ──▶ finalizing ─▶ expired
            └── cancel ──▶ cancelling ─▶ cancelled
```
"""

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from shared.core.model import Usage
from shared.core.sharing import Wish

WINDOWS_S: Final = {"1h": 3_600, "24h": 86_400, "7d": 7 * 86_400}
ID_CHARS: Final = 24  # hexadecimal: 96 bits


class BatchStatus(StrEnum):
    """OpenAI's words."""

    VALIDATING = "validating"
    FAILED = "failed"
    IN_PROGRESS = "in_progress"
    FINALIZING = "finalizing"
    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing follows it."""
        return self in FINAL


CANCELLABLE: Final = (BatchStatus.VALIDATING, BatchStatus.IN_PROGRESS)
FINAL: Final = frozenset(
    {BatchStatus.FAILED, BatchStatus.COMPLETED, BatchStatus.EXPIRED, BatchStatus.CANCELLED}
)


class Mark(StrEnum):
    """What became of a line, as the store marks it where it waits to be collected."""

    COMPLETED = "C"
    FAILED = "F"
    EXPIRED = "X"  # the window closed before it was done
    CANCELLED = "K"  # with its batch
    REFUSED = "R"  # it never became a job; its error is with the mark


@dataclass(frozen=True, slots=True)
class Chunk:
    """Lines that are being handed in: file bytes `start` to `end`, `count` lines after `line`.

    It is written before the first of them becomes a job, and until it is cleared all of them are
    handed in again by whoever leads: their job ids are their line numbers, so none becomes two.
    """

    start: int
    end: int
    line: int
    count: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it stands. `_ms` are moments, None until reached; `fed` counts lines handed in.

    `fed` includes those of `chunk`; `ended` of them have ended, and `waiting` of those are not yet
    in the output. `line` and `offset` are where the input goes on. `answered_by` counts completed
    lines by deployment. `model` is what all lines name, once they were looked at.
    """

    id: str
    tenant: str
    endpoint: str
    input_file_id: str
    window: str
    status: BatchStatus
    created_ms: int
    expires_ms: int
    moments: dict[str, int] = field(default_factory=dict)
    total: int = 0
    fed: int = 0
    ended: int = 0
    completed: int = 0
    failed: int = 0
    waiting: int = 0
    line: int = 0
    offset: int = 0
    chunk: Chunk | None = None
    metadata: dict[str, str] | None = None
    errors: tuple[dict[str, Any], ...] = ()
    output_file_id: str | None = None
    error_file_id: str | None = None
    output_expires_s: int | None = None
    usage: Usage = field(default_factory=Usage)
    collected: int = 0
    paid: str | None = None
    weight: int = 1
    allowed_models: tuple[str, ...] | None = None
    sharing: Wish = Wish()  # noqa: RUF009 - it is frozen
    answered_by: dict[str, int] = field(default_factory=dict)
    model: str | None = None

    def over(self, now_ms: int) -> bool:
        """Whether no further line is started."""
        return self.status is BatchStatus.CANCELLING or now_ms >= self.expires_ms

    @property
    def outstanding(self) -> int:
        """Lines handed in that have not ended."""
        return self.fed - self.ended


class Step(StrEnum):
    """What a batch needs next."""

    VALIDATE = "validate"
    FEED = "feed"
    STOP = "stop"  # cancel the lines that have not ended
    COLLECT = "collect"
    FINISH = "finish"
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Pace:
    """How much at once: at most `outstanding` lines handed in, by `chunk`, and so many collected.

    As many as may be stand ready, so that the lanes have work while a new leader takes over.
    """

    outstanding: int = 5_000
    collect: int = 500
    chunk: int = 200


def next_step(batch: Batch, now_ms: int, pace: Pace, *, collect_now: bool = False) -> Step:
    """What to do. `collect_now`: what waits to be collected has waited long enough."""
    over = batch.over(now_ms)
    done = batch.outstanding == 0 and (over or batch.fed >= batch.total)
    steps = {
        Step.WAIT: batch.status.final,
        Step.VALIDATE: batch.status is BatchStatus.VALIDATING,
        Step.FEED: batch.chunk is not None,
        Step.COLLECT: batch.waiting >= (1 if collect_now or done else pace.collect),
        Step.FINISH: done,
        Step.STOP: batch.status is BatchStatus.CANCELLING,
    }
    first = next((step for step, wanted in steps.items() if wanted), None)
    if first is not None:
        return first
    room = batch.outstanding <= max(0, pace.outstanding - pace.chunk)
    return Step.FEED if room and not over and batch.fed < batch.total else Step.WAIT


def ending(batch: Batch) -> BatchStatus:
    """The final state of a batch that has nothing left to do."""
    if batch.status is BatchStatus.CANCELLING:
        return BatchStatus.CANCELLED
    done = batch.completed + batch.failed >= batch.total
    return BatchStatus.COMPLETED if done else BatchStatus.EXPIRED


def job_id(batch_id: str, line: int) -> str:
    """The id of a line's job: the same whenever the line is handed in."""
    return f"job_{batch_id.removeprefix('batch_')}_{line}"


def file_id(batch_id: str, what: str) -> str:
    """The id of a file that a batch writes: the same whoever writes it."""
    digest = hashlib.sha256(f"{batch_id} {what}".encode()).hexdigest()
    return f"file-{digest[:ID_CHARS]}"


def mark_of_refusal(*, over: bool, cancelling: bool) -> Mark:
    """What a line is that cannot be handed in: not its fault where the batch is over."""
    if not over:
        return Mark.REFUSED
    return Mark.CANCELLED if cancelling else Mark.EXPIRED
