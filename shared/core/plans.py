"""Which plan a key is on: by the limits its provider announces, or by its refusals. Pure."""

import re
from collections.abc import Iterable

from shared.core.candidates import FREE_PLANS
from shared.core.model import Deployment, Limits
from shared.core.outcome import Learned

_FREE_TIER = re.compile(r"free[_ -]?tier|\btrial key\b|\bfree plan\b", re.IGNORECASE)
_PAID_TIER = re.compile(r"paid[_ -]?tier", re.IGNORECASE)
_BILLING = re.compile(r"\bbilling\b|payment required|upgrade (?:to|your) ", re.IGNORECASE)
_SEARCHED_CHARS = 2_000
_LIMITED, _UNPAID = 429, (402, 403)
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


def refused(deployment: Deployment, status: int | None, text: str) -> str | None:
    """The plan that a refusal tells of; None where it tells of none, or the provider has no such.

    A limit may name its tier (Gemini's metrics, Cohere's trial keys). Who is asked for billing is
    on no paid plan. Facts 3, 6 and 7.
    """
    text = text[:_SEARCHED_CHARS]
    names = [name for name, _ in deployment.plans]
    if FREE not in names:
        return None
    paid = [name for name in names if name not in FREE_PLANS]
    if status == _LIMITED and _FREE_TIER.search(text):
        return FREE
    if status == _LIMITED and _PAID_TIER.search(text):
        return paid[0] if len(paid) == 1 else None
    return FREE if status in _UNPAID and _BILLING.search(text) else None


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
