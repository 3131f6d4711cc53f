"""Which plan a key is on, from the limits its provider announces. Pure."""

from collections.abc import Iterable

from shared.core.model import Deployment, Limits
from shared.core.outcome import Learned


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
