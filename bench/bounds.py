"""The exact least time in which windows of known kinds admit a number of calls.

Every provider's windows are empty at the start. Times are microseconds from the start; `phase_us`
is how far into its current span a fixed window is then, by the provider's clock. A `Cut` lowers a
limit for good; what was admitted before it is the most that could be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["sliding", "fixed", "bucket"]
LONGEST_US = 10**13


@dataclass(frozen=True, slots=True)
class Cut:
    """From `at_us` on the limit is `limit`, and nothing says so."""

    at_us: int
    limit: int


@dataclass(frozen=True, slots=True)
class Supply:
    """One provider's request window."""

    limit: int
    span_us: int
    kind: Kind
    phase_us: int = 0
    cut: Cut | None = None


def admitted(supply: Supply, at_us: int) -> int:
    """The most calls this window can have admitted from the start until `at_us`, both included."""
    cut = supply.cut
    if cut is None or at_us < cut.at_us:
        return _uncut(supply, supply.limit, at_us)
    before = _uncut(supply, supply.limit, cut.at_us)
    return before + _after(supply, cut, at_us)


def _uncut(supply: Supply, limit: int, at_us: int) -> int:
    if supply.kind == "bucket":
        return limit + limit * at_us // supply.span_us
    return limit * (1 + (_phase_us(supply) + at_us) // supply.span_us)


def _after(supply: Supply, cut: Cut, at_us: int) -> int:
    if supply.kind == "bucket":
        return cut.limit * (at_us - cut.at_us) // supply.span_us
    phase_us = _phase_us(supply)
    edges = (phase_us + at_us) // supply.span_us - (phase_us + cut.at_us) // supply.span_us
    return cut.limit * edges


def _phase_us(supply: Supply) -> int:
    return supply.phase_us % supply.span_us if supply.kind == "fixed" else 0


def least_time_us(supplies: Sequence[Supply], calls: int) -> int:
    """The first moment at which all windows together can have admitted so many calls.

    ValueError where they never can.
    """

    def enough(at_us: int) -> bool:
        return sum(admitted(supply, at_us) for supply in supplies) >= calls

    if enough(0):
        return 0
    low, high = 0, 1_000
    while not enough(high):
        low, high = high, high * 2
        if high > LONGEST_US:
            raise ValueError(f"these windows never admit {calls} calls")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
