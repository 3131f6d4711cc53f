"""A call that left late costs a bucket what ran over while it waited, and nothing else."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core import quota
from shared.core.ledger import Rule
from shared.core.model import Dimension, Window, WindowKind
from simulator.windows import TokenBucket

START = 1_790_000_000_123
SPAN_MS = 8_824
ROUNDED_MS = 2


def rule_of(limit: int) -> Rule:
    window = Window("w", Dimension.REQUESTS, limit, SPAN_MS, WindowKind.BUCKET)
    return quota.window_rule(window, START)


@dataclass
class Life:
    """Calls are claimed where they fit, leave up to spans later, and are told of later still."""

    rule: Rule
    now: int = START
    ledger: Any = None
    held: list[int] = field(default_factory=list)
    left: list[tuple[int, int]] = field(default_factory=list)  # (claimed, sent), not told yet
    known: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = quota.fresh(self.rule)

    def claim(self) -> None:
        self.ledger = quota.take(self.rule, self.ledger, self.now, 1)
        self.held.append(self.now)

    def tell(self, claimed: int, sent: int) -> None:
        self.ledger = quota.restamp(self.rule, self.ledger, self.now, claimed, sent, 1)
        self.known.append(sent)

    def play(self, tale: bytes) -> "Life":
        for i in range(0, len(tale) - 1, 2):
            what, much = tale[i : i + 2]
            if what % 4 < 2 and quota.free(self.rule, self.ledger, self.now):
                self.claim()
            elif what % 4 == 2 and self.held:
                self.left.append((self.held.pop(much % len(self.held)), self.now))
            elif what % 8 == 3 and self.left:
                self.tell(*self.left.pop(much % len(self.left)))
            else:
                self.now += much * SPAN_MS // (400, 8000)[what // 8 % 2]
        for call in self.left:
            self.tell(*call)
        return self

    def full_ms(self) -> int:
        """When the ledger is full again: its level, to a millisecond of refill."""
        return quota.earliest(self.rule, self.ledger, self.now, self.rule.limit)

    def provider_full_ms(self) -> float:
        """When the provider is, where each call arrives as late as makes it longest.

        A call arrives within a guard after it left; so what comes first after the bucket was full
        finds it as if refill began a guard later.
        """
        rate = self.rule.limit / self.rule.span_ms
        brim, level, last = self.rule.limit - self.rule.guard_ms * rate, float("inf"), START
        for at in sorted([*self.known, *self.held]):
            level = min(level + (at - last) * rate, brim) - 1
            last = at
        return max(self.now, last + (self.rule.limit - level) / rate)


each_limit = pytest.mark.parametrize("limit", [1, 4, 30])


@each_limit
@settings(max_examples=300, deadline=None)
@given(tale=st.binary(min_size=2, max_size=60))
def test_late_calls_cost_a_bucket_what_ran_over_and_no_more(limit: int, tale: bytes) -> None:
    life = Life(rule_of(limit)).play(tale)
    late_by = life.full_ms() - life.provider_full_ms()
    assert -ROUNDED_MS <= late_by <= life.rule.guard_ms + ROUNDED_MS


@each_limit
@settings(max_examples=100, deadline=None)
@given(tale=st.binary(min_size=200, max_size=1200))
def test_what_is_remembered_of_many_late_calls_never_makes_a_bucket_fuller(
    limit: int, tale: bytes
) -> None:
    life = Life(rule_of(limit)).play(tale)
    assert life.full_ms() - life.provider_full_ms() >= -ROUNDED_MS


def test_a_burst_that_left_late_leaves_the_ledger_where_the_provider_is() -> None:
    """Claimed at once, sent by three busy workers over half a second, told of out of order."""
    life = Life(rule_of(30))
    provider = TokenBucket(30, SPAN_MS * 1000)
    for _ in range(29):
        life.claim()
    sent = [START + 40 + 16 * i for i in range(29)]
    for at in sent:
        assert provider.wait_us(1, at * 1000) == 0
        provider.take(1, at * 1000)
    life.now = sent[-1] + 200
    for at in (*sent[::3], *sent[2::3], *sent[1::3]):
        life.tell(START, at)
    life.held.clear()
    provider_full_ms = life.now + provider.full_us(life.now * 1000) // 1000
    assert abs(life.full_ms() - provider_full_ms) <= life.rule.guard_ms + ROUNDED_MS


def test_a_bucket_drawn_at_its_rate_stays_level_with_its_provider() -> None:
    """After a late burst every call is claimed when it fits: the ledger does not fall behind."""
    life = Life(rule_of(30))
    while quota.free(life.rule, life.ledger, life.now):
        life.claim()
    burst, life.held = life.held, []
    life.now += 300
    for claimed in burst:
        life.tell(claimed, life.now)
    for _ in range(200):
        life.now = quota.earliest(life.rule, life.ledger, life.now, 1)
        life.claim()
        claimed = life.held.pop()
        life.now += 12
        life.tell(claimed, life.now)
    late_by = life.full_ms() - life.provider_full_ms()
    assert -ROUNDED_MS <= late_by <= ROUNDED_MS
