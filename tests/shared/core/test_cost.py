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
    ],
)
def test_a_cost_is_counted_or_said_to_be_unknown(usage, price, cost):
    assert cost_microusd(usage, price) == cost
