"""The exact least time in which windows of known kinds admit a number of calls.

Every provider's windows are empty at the start. Times are microseconds from the start; `phase_us`
is how far into its current span a fixed window is then, by the provider's clock. A `Cut` lowers a
limit for good; what was admitted before it is the most that could be. While it is `Shut` a provider
admits nothing; before and after it the same window admits what it can.
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
class Shut:
    """From `from_us` on, and before `to_us`, everything is refused."""

    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Supply:
    """One provider's request window; at most one of `cut` and `shut`."""

    limit: int
    span_us: int
    kind: Kind
    phase_us: int = 0
    cut: Cut | None = None
    shut: Shut | None = None


def admitted(supply: Supply, at_us: int) -> int:
    """The most calls this window can have admitted from the start until `at_us`, both included."""
    shut, cut = supply.shut, supply.cut
    if shut is not None and at_us >= shut.from_us:
        return _around(supply, shut, at_us)
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


def _around(supply: Supply, shut: Shut, at_us: int) -> int:
    """Calls until `at_us`, which is not before the shut time."""
    limit, span_us = supply.limit, supply.span_us
    before = _uncut(supply, limit, shut.from_us - 1) if shut.from_us > 0 else 0
    if at_us < shut.to_us:
        return before
    match supply.kind:
        case "sliding":  # so many at once, as early as may be, are the most there can be
            again_us = max(shut.to_us, before // limit * span_us)
            more = limit * (1 + (at_us - again_us) // span_us) if at_us >= again_us else 0
        case "fixed":
            phase_us = _phase_us(supply)
            first = (phase_us + shut.to_us) // span_us
            spent = shut.from_us > 0 and first == (phase_us + shut.from_us - 1) // span_us
            more = limit * ((phase_us + at_us) // span_us - first + (not spent))
        case "bucket":
            gained = limit * (span_us + max(0, shut.from_us - 1)) - before * span_us
            waited_us = shut.to_us - max(0, shut.from_us - 1)
            level = min(limit * span_us, gained + limit * waited_us)
            more = (level + limit * (at_us - shut.to_us)) // span_us
    return before + more


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
