"""Which plan a key is on: by the limits its provider announces, or by its refusals. Pure."""

import re
from collections.abc import Iterable

from shared.core.candidates import FREE_PLANS
from shared.core.model import Deployment, Limits
from shared.core.outcome import Learned

_FREE_TIER = re.compile(r"free[_ -]?tier", re.IGNORECASE)
_PAID_TIER = re.compile(r"paid[_ -]?tier", re.IGNORECASE)
_SEARCHED_CHARS = 2_000
_LIMITED = 429
_FREE_SAID_BY = (402, 429)
FREE = "free"


def detected(deployment: Deployment, told: Iterable[Learned]) -> str | None:
    """The one plan whose windows are just as told; None where none is, or several are.

    A limit told without a span may be any window of its dimension. What only a 429 told is no
    evidence: it may speak of a rest of a window.
    """
    said = [each for each in told if each.source == "header"]
    if not said:
        return None
    fitting = [name for name, limits in deployment.plans if _fits(limits, said)]
    return fitting[0] if len(fitting) == 1 else None


def refused(
    deployment: Deployment, status: int | None, marks: Iterable[str], said: str, *, settled: bool
) -> str | None:
    """The plan that a refusal tells of; None where it tells of none, or the provider has no such.

    `marks` are its machine-readable words, `said` its text without what the request says too. A
    limit may name its tier (facts 3 and 7). A text is believed only where nothing is known of the
    key (`settled`), and never that a key costs nothing: a caller's words may be in it. Nor is an
    account without credit a free one: it may have some again tomorrow.
    """
    names = [name for name, _ in deployment.plans]
    if FREE not in names:
        return None
    paid = [name for name in names if name not in FREE_PLANS]
    words = " ".join(marks)
    if status in _FREE_SAID_BY and _FREE_TIER.search(words):
        return FREE
    if status != _LIMITED or len(paid) != 1:
        return None
    told = _PAID_TIER.search(words) or (not settled and _PAID_TIER.search(said[:_SEARCHED_CHARS]))
    return paid[0] if told else None


def _fits(limits: Limits, said: Iterable[Learned]) -> bool:
    windows = (*limits.windows, *limits.shared)
    return all(
        any(
            window.dimension == each.dimension
            and window.limit == each.limit
            and each.span_ms in (0, window.span_ms)
            for window in windows
        )
        for each in said
    )
