"""What a bench hands back, and how figures are made of samples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Options:
    """How to run: `quick` is a tiny size that shows only that the bench works."""

    quick: bool = False
    litellm: bool = False
    jobs: int | None = None
    case: str | None = None

    def size(self, full: int, quick: int) -> int:
        """The size asked for, else the full or the quick one."""
        return self.jobs or (quick if self.quick else full)

    def span_s(self, full: float, quick: float) -> float:
        """How long to measure."""
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Result:
    """One bench's outcome. `met` None: there is no budget, or it could not be judged."""

    name: str
    met: bool | None
    budget: dict[str, float]
    figures: dict[str, Any]
    lines: tuple[str, ...] = ()
    missed: tuple[str, ...] = field(default=())


def judged(
    name: str,
    figures: dict[str, Any],
    lines: Sequence[str],
    *checks: tuple[str, float | None, str, float],
) -> Result:
    """A result whose budget is `checks`: (figure, its value, "<=" or ">=", bound).

    A value of None was not measured: then nothing can be said to be met.
    """
    missed = tuple(
        f"{what} is {_shown(value)}, budget {how} {bound:g}"
        for what, value, how, bound in checks
        if value is not None and not (value <= bound if how == "<=" else value >= bound)
    )
    unknown = any(value is None for _, value, _, _ in checks)
    met = False if missed else None if unknown or not checks else True
    budget = {f"{what} {how}": bound for what, _, how, bound in checks}
    return Result(name, met, budget, figures, tuple(lines), missed)


def _shown(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"  # noqa: PLR2004


def percentile(samples: Sequence[float], share: float) -> float:
    """The nearest-rank percentile; NaN of nothing. `share` is 0 to 1."""
    if not samples:
        return math.nan
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]


def spread(samples: Sequence[float], digits: int = 3) -> dict[str, float]:
    """p50, p90, p99 and the most of some samples, rounded."""
    shares = {"p50": 0.50, "p90": 0.90, "p99": 0.99, "max": 1.0}
    return {name: round(percentile(samples, share), digits) for name, share in shares.items()}
