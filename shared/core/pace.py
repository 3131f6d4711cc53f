"""How a deployment has answered of late: its speed, its cost, and how much it says.

The store keeps the moving means (shared/queue/lua/usage.lua); what follows from them is here.
Allowance: mean and twice the mean deviation, which few answers exceed (as TCP sets its timeouts:
Jacobson, "Congestion avoidance and control", 1988).
"""

from collections.abc import Iterable
from dataclasses import dataclass

FEW = 5
DEVIATIONS = 2
WEIGHT = 100
EXPECTED_OUTPUT_TOKENS = 512  # where the caller names no limit and nothing was measured


@dataclass(frozen=True, slots=True)
class Pace:
    """Moving means over answered calls; None: not measured.

    `each_us` is the time of one more output token. `share` is the part of the asked output limit
    that was used, 0 to 1. `cost_microusd` is by the list, whoever paid. `held_ms` runs from a
    job's claim until the store knows how it ended: the call, and what held it up before and after.
    `inputs` are the texts of a call to embed.
    """

    calls: int
    first_ms: float | None = None
    each_us: float | None = None
    total_ms: float | None = None
    share: float | None = None
    share_dev: float = 0.0
    output_tokens: float | None = None
    output_dev: float = 0.0
    cost_microusd: float | None = None
    input_tokens: float | None = None
    audio_seconds: float | None = None
    held_ms: float | None = None
    inputs: float | None = None

    @property
    def call_tokens(self) -> float | None:
        """What one call counts in a window of tokens."""
        if self.input_tokens is None:
            return None
        return max(1.0, self.input_tokens + (self.output_tokens or 0.0))

    def counts(self, dimension: str, *, each_input: bool = False) -> float | None:
        """What one call takes of a window that counts this; None: not measured, or nothing.

        `each_input`: the window counts every text of a call as a request.
        """
        match dimension:
            case "requests":
                return max(1.0, self.inputs or 1.0) if each_input else 1.0
            case "tokens":
                return self.call_tokens
            case "input_tokens":
                return None if self.input_tokens is None else max(1.0, self.input_tokens)
            case "output_tokens":
                return None if self.output_tokens is None else max(1.0, self.output_tokens)
            case "audio_seconds":
                return self.audio_seconds or None
            case _:
                return None

    def answer_ms(self, output_tokens: int) -> float | None:
        """How long an answer of so many tokens takes from its start."""
        if self.each_us is None:
            return self.total_ms
        return (self.first_ms or 0.0) + output_tokens * self.each_us / 1_000


def allowance(paces: Iterable[Pace], asked_tokens: int | None) -> int:
    """The output tokens to expect of a call, never above what was asked.

    The mean over the deployments it may go to, each weighing by its calls up to a hundred; a
    deployment with fewer than five says nothing yet.
    """
    total, weights = 0.0, 0
    for pace in paces:
        found = _allowed(pace, asked_tokens)
        if found is not None and pace.calls >= FEW:
            weight = min(pace.calls, WEIGHT)
            total += weight * found
            weights += weight
    expected = -(-total // weights) if weights else EXPECTED_OUTPUT_TOKENS
    return max(1, int(expected if asked_tokens is None else min(expected, asked_tokens)))


def _allowed(pace: Pace, asked_tokens: int | None) -> float | None:
    if asked_tokens is not None and pace.share is not None:
        return asked_tokens * (pace.share + DEVIATIONS * pace.share_dev)
    if pace.output_tokens is None:
        return None
    return pace.output_tokens + DEVIATIONS * pace.output_dev
