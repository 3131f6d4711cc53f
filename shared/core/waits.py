"""Why a queued job still waits and what stands before it, in words."""

from dataclasses import dataclass
from typing import Final

NO_WORKER: Final = "no_worker"
"""No live worker serves the lane: nothing says when one will, so there is no ETA."""
NAMES: Final = ("interactive", "normal", "bulk")
REASONS: Final = {
    NO_WORKER: "no live worker serves its lane, so it is not known when it starts",
    "cooldown": "the provider asked for a rest or fails",
    "concurrency": "as many calls as allowed are running",
    "delayed": "it is to be tried again later",
    "paused": "its lane is set aside until it is edited or probed",
    "shared": "an equal job is asked for it",
    "behind": "",
}


@dataclass(frozen=True, slots=True)
class Before:
    """The jobs before a queued one in its lane, by class, and how many the lane runs.

    `own` of those of its own class are its tenant's; None: not known.
    """

    by: tuple[int, int, int]
    running: int
    own: int | None = None

    @property
    def total(self) -> int:
        """How many are before it."""
        return sum(self.by)


def before(
    queued: tuple[int, int, int], rank: int, place: int, tenants: int, running: int
) -> Before:
    """What stands before a job of class `rank` with `place` of its tenant's own before it.

    Of other tenants as many are taken to be, for they take turns: no more than there are.
    """
    mine = min(place * max(1, tenants), queued[rank])
    by = [*queued[:rank], mine, 0, 0]
    return Before((by[0], by[1], by[2]), running, min(place, mine))


def before_new(queued: tuple[int, int, int], rank: int, running: int) -> Before:
    """What stands before a job of class `rank` that is only now queued."""
    by = [count if at <= rank else 0 for at, count in enumerate(queued)]
    return Before((by[0], by[1], by[2]), running)


def describe(
    reason: str | None,
    window: str | None,
    position: int | None,
    ahead: Before | None = None,
    *,
    line: bool = False,
) -> str:
    """A sentence for a person: the fields of a store's `Waiting`; `line`: of a batch."""
    if reason == "quota":
        why = f"the provider's limit{f' ({window})' if window else ''} is used up"
    else:
        why = REASONS.get(reason or "behind", reason or "")
    return "; ".join(filter(None, (why, _place(position, ahead, line=line))))


def _place(position: int | None, ahead: Before | None, *, line: bool) -> str:
    count = position if ahead is None else ahead.total
    if count is None:
        return ""
    running = "" if ahead is None or not ahead.running else f"; its lane runs {ahead.running:,}"
    if count == 0:
        return f"it is next{running}"
    jobs = f"{count:,} job{'s are' if count > 1 else ' is'} before it"
    if ahead is None:
        return jobs
    return f"{jobs}: {_classes(ahead, line=line)}{running}"


def _classes(ahead: Before, *, line: bool) -> str:
    """The jobs before one, and whose they are: `2 interactive, 5 bulk (3 its tenant's)`."""
    words = [f"{count:,} {name}" for name, count in zip(NAMES, ahead.by, strict=True) if count]
    if ahead.own:
        whose = "its tenant's, earlier lines of its batch among them" if line else "its tenant's"
        words[-1] += f" ({ahead.own:,} {whose})"
    return ", ".join(words)
