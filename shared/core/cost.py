"""What a call cost, in millionths of a US dollar, from its usage and the deployment's price."""

from shared.core.model import Price, Usage

_PER = 1_000_000
_HOUR_S = 3_600


def cost_microusd(usage: Usage, price: Price) -> int | None:
    """The cost, rounded to the nearest microdollar; None where a price that matters is unknown.

    Cached input costs the cached price, or the input price where none is known. Reasoning tokens
    are part of the output tokens. Audio costs by the second where no tokens were told, or none are
    priced; of audio without a price of its own the tokens are all that is billed.
    """
    if price.free:
        return 0
    hour = price.audio_microusd_per_hour
    by_token = price.input_microusd_per_1m is not None and usage.input_tokens > 0
    if usage.audio_seconds > 0 and not by_token:
        return None if hour is None else (usage.audio_seconds * hour + _HOUR_S // 2) // _HOUR_S
    cached = min(max(usage.cached_tokens, 0), usage.input_tokens)
    cached_price = price.cached_microusd_per_1m
    if cached_price is None:
        cached_price = price.input_microusd_per_1m
    total = 0
    for tokens, each in (
        (usage.input_tokens - cached, price.input_microusd_per_1m),
        (cached, cached_price),
        (usage.output_tokens, price.output_microusd_per_1m),
    ):
        if tokens <= 0:
            continue
        if each is None:
            return None
        total += tokens * each
    return (total + _PER // 2) // _PER
