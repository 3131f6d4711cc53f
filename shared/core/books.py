"""What was used: rows of a day, a tenant and a deployment, added up by whatever one asks for."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass

NEAR_CAP = 0.8


@dataclass(frozen=True, slots=True)
class Counts:
    """`calls` reached a provider, `done` were answered, `free` of these cost nothing.

    `unpriced` were answered at a price nobody knows: they count no cost. `saved_microusd` is what
    the free ones would have cost by the list. `shared` and `kept` were answered by another job's
    call, while it ran or after it: no call was made, and `spared_microusd` is what theirs would
    have cost by the list.
    """

    calls: int = 0
    done: int = 0
    free: int = 0
    unpriced: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    audio_seconds: int = 0
    cost_microusd: int = 0
    saved_microusd: int = 0
    shared: int = 0
    kept: int = 0
    spared_microusd: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def free_share(self) -> float | None:
        """Of the answered calls; None where there were none."""
        return self.free / self.done if self.done else None


@dataclass(frozen=True, slots=True)
class Row:
    """One day's use of one deployment by one tenant. `day` counts from 1970, UTC."""

    day: int
    tenant: str
    deployment: str
    counts: Counts

    @property
    def provider(self) -> str:
        """Who was called."""
        return self.deployment.partition("/")[0]

    @property
    def model(self) -> str:
        """The provider's name of the model."""
        return self.deployment.partition("/")[2]

    def key(self, by: Sequence[str]) -> tuple[int | str, ...]:
        """Its values of the columns named: day, tenant, provider, model."""
        return tuple(getattr(self, name) for name in by)


def grouped(
    rows: Iterable[Row], by: Sequence[str]
) -> tuple[tuple[tuple[int | str, ...], Counts], ...]:
    """The sums by the columns named, in their order."""
    found: dict[tuple[int | str, ...], Counts] = {}
    for row in rows:
        key = row.key(by)
        found[key] = found.get(key, Counts()) + row.counts
    return tuple(sorted(found.items(), key=lambda pair: pair[0]))


def alert(spent_microusd: int, cap_microusd: int | None, *, capped: bool) -> str | None:
    """What a person should know of today's paid use: None, spending, near_cap or capped."""
    if capped:
        return "capped"
    if cap_microusd is not None and spent_microusd >= NEAR_CAP * cap_microusd > 0:
        return "near_cap"
    return "spending" if spent_microusd > 0 else None
