import pytest

from shared.core.cost import cost_microusd
from shared.core.model import Price, Usage


@pytest.mark.parametrize(
    ("usage", "price", "cost"),
    [
        (Usage(1_000_000, 1_000_000), Price(100_000, 400_000), 500_000),
        (Usage(9, 3), Price(100_000, 400_000), 2),
        (Usage(1_000, 0, cached_tokens=600), Price(1_000_000, None, 100_000), 460),
        (Usage(1_000, 0, cached_tokens=600), Price(1_000_000, 1), 1_000),
        (Usage(10, 10), Price(0, 0), 0),
        (Usage(10, 10), Price(), None),
        (Usage(10, 10), Price(0, None), None),
        (Usage(10, 0), Price(0, None), 0),
        (Usage(5, 0, cached_tokens=99), Price(1_000_000, 0, 0), 0),
        (Usage(audio_seconds=3_600), Price(audio_microusd_per_hour=40_000), 40_000),
        (Usage(audio_seconds=45), Price(audio_microusd_per_hour=40_000), 500),
        (Usage(audio_seconds=45), Price(), None),
        (Usage(audio_seconds=45), Price(0, 0, audio_microusd_per_hour=0), 0),
        (Usage(900, 100, audio_seconds=45), Price(2_500_000, 10_000_000, None, 360_000), 3_250),
        (Usage(0, 0, audio_seconds=45), Price(2_500_000, 10_000_000, None, 360_000), 4_500),
    ],
)
def test_a_cost_is_counted_or_said_to_be_unknown(usage, price, cost):
    assert cost_microusd(usage, price) == cost


@pytest.mark.parametrize(
    ("price", "free"),
    [
        (Price(), False),
        (Price(0, 0), True),
        (Price(0, None), False),
        (Price(audio_microusd_per_hour=0), True),
        (Price(0, 0, audio_microusd_per_hour=1), False),
        (Price(1, 1, audio_microusd_per_hour=0), False),
    ],
)
def test_only_what_is_known_to_cost_nothing_is_free(price, free):
    assert price.free is free
