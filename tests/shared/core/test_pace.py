"""What follows from how deployments have answered."""

import pytest

from shared.core.model import CredentialRef, Deployment, Kind, Price
from shared.core.pace import Pace, allowance
from shared.core.spill import UNPRICED_MICROUSD, paid_costs


@pytest.mark.parametrize(
    ("paces", "asked", "expected"),
    [
        ([], None, 512),
        ([], 100, 100),
        ([], 4_000, 512),
        ([Pace(9, output_tokens=40, output_dev=10)], None, 60),
        ([Pace(4, output_tokens=40)], None, 512),
        ([Pace(9, output_tokens=40, output_dev=10)], 50, 50),
        ([Pace(9, share=0.25, share_dev=0.1, output_tokens=9)], 1_000, 450),
        ([Pace(9, share=1.0, share_dev=0.5)], 1_000, 1_000),
        ([Pace(9, share=0.0)], 1_000, 1),
        ([Pace(10, output_tokens=10), Pace(30, output_tokens=50)], None, 40),
        ([Pace(10_000, output_tokens=10), Pace(100, output_tokens=50)], None, 30),
    ],
)
def test_the_output_to_expect_follows_from_what_came_and_never_exceeds_what_is_asked(
    paces, asked, expected
):
    assert allowance(paces, asked) == expected


def test_an_answer_takes_its_beginning_and_its_length():
    assert Pace(1, first_ms=100, each_us=2_000).answer_ms(50) == 200
    assert Pace(1, each_us=2_000).answer_ms(50) == 100
    assert Pace(1, total_ms=70).answer_ms(50) == 70
    assert Pace(1).answer_ms(50) is None


def test_lanes_that_may_cost_have_a_cost_and_others_none():
    def one(provider, price):
        kinds = frozenset({Kind.CHAT})
        return Deployment(f"{provider}/m", provider, "m", "x", "http://x", kinds, price=price)

    priced, unknown = Price(1_000_000, 2_000_000), Price()
    deployments = [one("paid", priced), one("free", priced), one("dark", unknown)]
    deployments.append(one("zero", Price(0, 0)))
    refs = [
        CredentialRef("a", "paid", "paid"),
        CredentialRef("b", "paid", "free", tenant="ann"),
        CredentialRef("c", "free", "free"),
        CredentialRef("d", "dark", "paid"),
        CredentialRef("e", "zero", "paid"),
    ]
    assert paid_costs(deployments, refs, capped=True) == {"paid/m@shared": 2_000}
    assert paid_costs(deployments, refs, capped=False) == {
        "paid/m@shared": 2_000,
        "dark/m@shared": UNPRICED_MICROUSD,
    }
