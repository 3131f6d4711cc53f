"""How far several works are, in documents, and how long the rest takes at the pace so far. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Far:
    """How far a work is. `before` were done when it was first seen, by an earlier run."""

    done: int = 0
    total: int = 1
    before: int = 0
    last: int = 0  # parts to come that are no documents: the summary over all

    def seen(self, job: Mapping[str, Any]) -> "Far":
        """As far as its job tells, where it is one of several documents."""
        step = (job.get("progress") or {}).get("step") or {}
        found = step.get("documents") if isinstance(step, Mapping) else None
        if not isinstance(found, Mapping) or int(found.get("total") or 0) <= 1:
            return self
        done = int(found.get("completed") or 0) + int(found.get("failed") or 0)
        before = done if self.total == 1 else self.before
        return Far(done, int(found["total"]), before, last=1)

    def ended(self) -> "Far":
        """All of it is done."""
        return replace(self, done=self.total, last=0)


@dataclass(frozen=True, slots=True)
class Countdown:
    """What is left falls with the clock, and is reckoned anew only when something more is done."""

    began_s: float
    done: int = 0
    at_s: float = 0.0

    def seen(self, done: int, now_s: float) -> "Countdown":
        """So many are done now, of those that were not when it began."""
        return replace(self, done=done, at_s=now_s) if done != self.done else self

    def left_s(self, left: int, now_s: float) -> float | None:
        """Seconds until the `left` parts are done too; None while none was."""
        if self.done <= 0:
            return None
        each_s = (self.at_s - self.began_s) / self.done
        begun_s = min(now_s - self.at_s, each_s)  # the next one takes no longer than one
        return max(0.0, each_s * left - begun_s) if left else 0.0
