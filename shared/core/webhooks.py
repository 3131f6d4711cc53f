"""When a webhook is sent again, and when no more: one pure function of what the receiver did.

Standard Webhooks 1.0: only a 2xx is success, a redirect is none; a 410 means never again; all
else is tried again on a schedule of about three days, later where the receiver asks for it.
"""

from dataclasses import dataclass
from typing import Final

DELAYS_MS: Final = tuple(
    seconds * 1000
    for seconds in (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 72_000)
)  # fmt: skip
"""Between one try and the next; 71 h 35 min in all."""
JITTER: Final = 0.1
MOST_RETRY_AFTER_MS: Final = 86_400_000
GONE: Final = 410
_OK_FROM, _OK_BELOW = 200, 300


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one try: an HTTP status, or None and why no answer came.

    `never` marks trouble that another try cannot mend, such as a private address.
    """

    status: int | None
    problem: str = ""
    retry_after_ms: int | None = None
    never: bool = False


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class Again:
    """Not yet: once more after `delay_ms`."""

    delay_ms: int


@dataclass(frozen=True, slots=True)
class GaveUp:
    """Every try failed, or no further one could succeed."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The receiver wants nothing more, now or later."""


Next = Delivered | Again | GaveUp | Gone


def after(answer: Answer, tries: int, draw: float) -> Next:
    """What follows the `tries`-th try (from 1). `draw` is even in [0, 1).

    Delays are shortened by up to a tenth, so that many that failed together do not return together.
    """
    if answer.status is not None and _OK_FROM <= answer.status < _OK_BELOW:
        return Delivered()
    if answer.status == GONE:
        return Gone()
    if answer.never or tries > len(DELAYS_MS):
        return GaveUp()
    delay_ms = round(DELAYS_MS[tries - 1] * (1 - JITTER * draw))
    asked_ms = min(answer.retry_after_ms or 0, MOST_RETRY_AFTER_MS)
    return Again(max(delay_ms, asked_ms))


def why(answer: Answer) -> str:
    """One line on a try that failed."""
    if answer.status is None:
        return answer.problem
    if answer.status == GONE:
        return "the receiver answered 410: it wants nothing more"
    if 300 <= answer.status < 400:  # noqa: PLR2004 - HTTP
        return f"the receiver answered {answer.status}: redirects are not followed"
    return f"the receiver answered {answer.status}"
