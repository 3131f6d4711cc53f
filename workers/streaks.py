"""Refusals in a row, by key and lane: where no wait is stated, the rest after each grows.

The first few rest alike: limits are learned from them (`teaching`). Calls that were under way
together count as one.
"""

from typing import Final

from shared.core.outcome import FailureKind
from shared.queue.types import Claim, Report

ALIKE: Final = 3
MOST: Final = 10_000
REFUSALS: Final = frozenset({FailureKind.RATE_LIMITED, FailureKind.QUOTA_EXHAUSTED})


class Streaks:
    """What this process saw. It is bounded: beyond `MOST` lanes it begins anew."""

    def __init__(self) -> None:
        self._refused: dict[tuple[str, str], int] = {}

    def of(self, claim: Claim) -> int:
        """How many refusals in a row there were when this call began."""
        return self._refused.get((claim.lane, claim.credential), 0)

    def note(self, claim: Claim, began_with: int, report: Report) -> None:
        """Counts what a call came to that began after so many refusals."""
        place = (claim.lane, claim.credential)
        outcome = report.attempt.get("outcome")
        if outcome == "succeeded":
            self._refused.pop(place, None)
        elif outcome in REFUSALS:
            if len(self._refused) >= MOST:
                self._refused.clear()
            self._refused[place] = max(self._refused.get(place, 0), began_with + 1)


def grown(refused: int) -> int:
    """After how many of them the rest has begun to grow, and so how often it is doubled."""
    return max(0, refused - ALIKE)
