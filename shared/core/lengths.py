"""How much audio one call takes, over all lanes a name may mean: what recordings are cut to."""

from typing import Final

from shared.core.candidates import UNBOUNDED, Candidate
from shared.core.index import View

BYTES_PER_S: Final = 32_500  # a part's, if nothing of it can be compressed: 16 kHz, 16 bits, mono


def lengths_ms(view: View) -> tuple[int, ...]:
    """The longest part that each lane of a view takes in one call."""
    return tuple(_longest_s(one) * 1000 for tier in view.tiers for one in tier.members)


def _longest_s(one: Candidate) -> int:
    heard = max(window.audio_seconds for window in one.windows)
    most: list[int] = [one.audio_seconds, heard, one.audio_bytes // BYTES_PER_S]
    if per_s := one.deployment.audio.tokens_per_s:
        tokens = max(min(window.tokens, window.input_tokens) for window in one.windows)
        most += [int(room / per_s) for room in (tokens, one.context_tokens)]
    return min(UNBOUNDED // 1000, *most)
