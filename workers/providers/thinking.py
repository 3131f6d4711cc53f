"""How much a model shall think: efforts to a provider's own, or to a budget in tokens. Pure."""

from fnmatch import fnmatchcase

from shared.quirks import Quirks

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# Of the room for the answer, which holds the thoughts too (OpenRouter's shares, 2026-11).
_PERCENT = {"minimal": 10, "low": 20, "medium": 50, "high": 80, "xhigh": 95, "max": 95}
_LARGEST_BUDGET_TOKENS = 32_000


def levels(quirks: Quirks, model: str) -> tuple[str, ...] | None:
    """The efforts `model` takes; None where that is not known."""
    return next((known for like, known in quirks.efforts if fnmatchcase(model, like)), None)


def nearest(asked: str, known: tuple[str, ...]) -> str | None:
    """The strongest of `known` that is not above `asked`, else the weakest; None for no effort.

    Who asks for little thought is not given none.
    """
    if asked == "none" and asked in known:
        return asked
    ranked = sorted({*known} - {"none"}, key=EFFORTS.index)
    if asked not in EFFORTS or not ranked:
        return None
    most = EFFORTS.index(asked)
    return next((each for each in reversed(ranked) if EFFORTS.index(each) <= most), ranked[0])


def budget_tokens(asked: str, room_tokens: int, least_tokens: int = 1) -> int | None:
    """The tokens to think with, which leave at least as much room for the words as `least_tokens`.

    None where the room is too small to think in, or `asked` is no effort that thinks.
    """
    percent = _PERCENT.get(asked)
    if percent is None or room_tokens < 2 * least_tokens:
        return None
    share = min(room_tokens * percent // 100, _LARGEST_BUDGET_TOKENS)
    return max(least_tokens, min(share, room_tokens - least_tokens))
