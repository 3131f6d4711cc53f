"""How much one call can take, over all lanes a name may mean: what long texts are cut to. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.core.candidates import UNBOUNDED, Candidate
from shared.core.index import View

UNKNOWN_CONTEXT = 8_192  # where nobody says: what every model of today takes


@dataclass(frozen=True, slots=True, order=True)
class Room:
    """What one lane takes in a call, input and output together, in o200k tokens.

    `output_tokens` is the most it answers, in its own.
    """

    tokens: int
    output_tokens: int


def rooms(view: View, margin: float) -> tuple[Room, ...]:
    """The rooms of a view's lanes, the smallest first: of the free ones, where there are any."""
    lanes = [lane for tier in view.tiers for lane in tier.members]
    free = [lane for lane in lanes if lane.free]
    return tuple(sorted(_rooms(free or lanes, margin)))


def _rooms(lanes: Iterable[Candidate], margin: float) -> Iterable[Room]:
    for lane in lanes:
        window = max(min(each.tokens, each.input_tokens) for each in lane.windows)
        context = UNKNOWN_CONTEXT if lane.context_tokens >= UNBOUNDED else lane.context_tokens
        most = min(window, int(context / (1.0 + margin)))
        yield Room(int(most / max(lane.token_factor, 0.1)), lane.max_output_tokens)
