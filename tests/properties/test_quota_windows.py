"""No window is ever overspent, whatever the order of taking, settling, restamping and arriving."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from least_time import least_time_ms

from shared.core import quota
from shared.core.ledger import Fixed, Rule
from shared.core.ledger_timed import FirstUse
from shared.core.model import Dimension, Window, WindowKind

START = 1_790_000_000_123
KINDS = {
    "sliding": (WindowKind.SLIDING, "epoch"),
    "fixed": (WindowKind.FIXED, "epoch"),
    "first_use": (WindowKind.FIXED, "first_use"),
    "bucket": (WindowKind.BUCKET, "epoch"),
}
each_kind = pytest.mark.parametrize("name", list(KINDS))
Arrivals = list[tuple[int, int]]  # (ms, units) by the provider's clock


# -- Providers: each counts arrivals its own way and says by how much a limit was passed.


def over_sliding(rule: Rule, arrivals: Arrivals) -> int:
    worst = 0
    for first, _ in arrivals:
        within = sum(n for at, n in arrivals if first <= at <= first + rule.span_ms)
        worst = max(worst, within - rule.limit)
    return worst


def over_fixed(rule: Rule, arrivals: Arrivals) -> int:
    counts: dict[int, int] = {}
    for at, n in arrivals:
        counts[at // rule.span_ms] = counts.get(at // rule.span_ms, 0) + n
    return max([0, *(n - rule.limit for n in counts.values())])


def over_first_use(rule: Rule, arrivals: Arrivals) -> int:
    worst, end, count = 0, 0, 0
    for at, n in sorted(arrivals):
        if at >= end:
            end, count = at + rule.span_ms, 0
        count += n
        worst = max(worst, count - rule.limit)
    return worst


def over_bucket(rule: Rule, arrivals: Arrivals) -> float:
    worst, level, last = 0.0, float(rule.limit), 0
    for at, n in sorted(arrivals):
        level = min(rule.limit, level + (at - last) * rule.limit / rule.span_ms) - n
        last, worst = at, max(worst, -level)
    return worst if worst > 1e-6 else 0


OVER: dict[str, Callable[[Rule, Arrivals], float]] = {
    "sliding": over_sliding,
    "fixed": over_fixed,
    "first_use": over_first_use,
    "bucket": over_bucket,
}


# -- A worker that claims, sends late, restamps, settles: driven by random choices.


@dataclass
class Call:
    taken_ms: int
    reserved: int
    sent: Arrivals = field(default_factory=list)


@dataclass
class Life:
    """`counting` is the rule the ledger goes by, `true` what the provider does."""

    counting: Rule
    true: Rule
    now: int = START
    ledger: Any = None
    waiting: list[Call] = field(default_factory=list)  # claimed, not sent yet
    open: list[Call] = field(default_factory=list)  # sent, not settled
    arrivals: Arrivals = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ledger = quota.fresh(self.counting)

    def claim(self, amount: int) -> Call | None:
        amount = min(amount, self.counting.limit)
        if quota.earliest(self.counting, self.ledger, self.now, amount) != self.now:
            return None
        self.ledger = quota.take(self.counting, self.ledger, self.now, amount)
        return Call(self.now, amount)

    def pass_until(self, ms: int) -> None:
        """A worker gives back what it has held for half a span; longer than that is no lateness."""
        for call in [c for c in self.waiting if ms - c.taken_ms > self.true.span_ms // 2]:
            self.waiting.remove(call)
            self.settle(call, 0)
        self.now = ms

    def send(self, call: Call, used: int, jitter: int) -> None:
        self.arrivals.append((self.now + jitter, used))
        call.sent = [(self.now + jitter, used)]
        self.open.append(call)

    def send_late(self, call: Call, used: int, jitter: int) -> None:
        """Restamps at the write; what no longer fits is not sent but given back."""
        late = quota.restamp(
            self.counting, self.ledger, self.now, call.taken_ms, self.now, call.reserved
        )
        count, _, _ = quota.view(self.counting, late, self.now)
        wide = replace(self.counting, limit=10**6)
        near_edge = isinstance(late, Fixed | FirstUse) and not quota.free(wide, late, self.now)
        if count > self.counting.limit or near_edge:
            self.settle(call, 0)
        else:
            self.ledger, call.taken_ms = late, self.now
            self.send(call, used, jitter)

    def settle(self, call: Call, used: int) -> None:
        self.ledger = quota.settle(
            self.counting, self.ledger, self.now, call.taken_ms, call.reserved, used
        )

    def foreign(self, amount: int) -> None:
        """Somebody else used the key, and a header told."""
        used, free, _ = quota.view(self.counting, self.ledger, self.now)
        if amount <= free:
            told = used + amount
            self.ledger = quota.observe(self.counting, self.ledger, self.now, told)
            self.arrivals.append((self.now, amount))

    def over(self, name: str) -> float:
        return OVER[name](self.true, [a for a in self.arrivals if a[1] > 0])


def rule_of(name: str, limit: int, span_ms: int) -> Rule:
    kind, anchor = KINDS[name]
    window = Window("w", Dimension.REQUESTS, limit, span_ms, kind, anchor)
    return quota.window_rule(window, START)


STEP = 7  # bytes: what, how much, how much of it, how late, which, and two of how long until next
TALES = st.binary(min_size=STEP, max_size=40 * STEP)


def share(byte: int, least: int, most: int) -> int:
    """A number from least to most by a byte; 0 and 255 reach both ends."""
    return least + (most - least) * byte // 255


def live(name: str, tale: bytes, *, guarded: bool = True) -> Life:
    """A life as random bytes tell it: far quicker than a choice drawn at a time."""
    true = rule_of(name, (1, 2, 5, 100)[tale[0] % 4], (1000, 7777)[tale[1] % 2])
    guard = true.guard_ms
    # only between edges on the wall may the provider's clock be ahead of ours
    earliest_jitter = -guard if name == "fixed" else 0
    life = Life(true if guarded else replace(true, guard_ms=0), true)
    for i in range(0, len(tale) - STEP + 1, STEP):
        what, much, part, late, which, wait, scale = tale[i : i + STEP]
        jitter = share(late, earliest_jitter, guard)
        if what % 8 < 5:  # claim, and send at once or hold
            amount = share(much, 1, true.limit)
            if which % 2:  # as a parked lane does: at the first moment it fits
                life.pass_until(quota.earliest(life.counting, life.ledger, life.now, amount))
            call = life.claim(amount)
            if call and what % 8 < 4:
                life.send(call, share(part, 1, call.reserved), jitter)
            elif call:
                life.waiting.append(call)
        elif what % 8 == 5 and life.waiting:
            call = life.waiting.pop(which % len(life.waiting))
            life.send_late(call, share(part, 1, call.reserved), jitter)
        elif what % 8 == 6 and life.open:
            call = life.open.pop(which % len(life.open))
            life.settle(call, call.sent[0][1])
        elif what % 8 == 7:
            life.foreign(share(much, 1, true.limit))
        longest = (3, guard, true.span_ms // 4, true.span_ms)[scale % 4]
        life.pass_until(life.now + share(wait, 0, longest))
    return life


@each_kind
@settings(max_examples=400, deadline=None)
@given(tale=TALES)
def test_no_window_is_ever_overspent(name: str, tale: bytes) -> None:
    life = live(name, tale)
    assert life.over(name) <= 0


@each_kind
def test_without_the_guard_a_late_call_overspends(name: str) -> None:
    """The worst of lateness: the last call of a full window comes late, the next at once."""
    true = rule_of(name, 4, 6000)
    for counting, broken in ((true, False), (replace(true, guard_ms=0), True)):
        life = Life(counting, true)
        life.now = START // 6000 * 6000 + 6000 - true.guard_ms // 2
        for _ in range(12):
            life.now = quota.earliest(counting, life.ledger, life.now, 4)
            call = life.claim(4)
            assert call
            late = len(life.arrivals) % 2 == 0
            life.send(call, 4, true.guard_ms if late else 0)
        assert (life.over(name) > 0) is broken


BYTE = st.integers(0, 255)


@each_kind
@settings(max_examples=300, deadline=None)
@given(tale=TALES, much=BYTE, rest=BYTE)
def test_earliest_fits_then_and_not_before(name: str, tale: bytes, much: int, rest: int) -> None:
    life = live(name, tale)
    rule, ledger, now = life.counting, life.ledger, life.now
    amount, keep = share(much, 1, rule.limit), share(rest, 0, rule.limit)
    at = quota.earliest(rule, ledger, now, amount, keep)
    assert at >= now
    assert quota.earliest(rule, ledger, at, amount, keep) == at
    if at > now:
        assert quota.earliest(rule, ledger, at - 1, amount, keep) == at
    assert (at == now) == (quota.free(rule, ledger, now) >= amount + min(keep, rule.limit - amount))


@settings(max_examples=300, deadline=None)
@given(tale=TALES, much=BYTE)
def test_a_sliding_ledger_waits_a_grain_and_the_guard_longer_than_it_must(
    tale: bytes, much: int
) -> None:
    life = live("sliding", tale)
    rule, amount = life.counting, share(much, 1, life.counting.limit)
    for call in life.waiting:
        life.settle(call, 0)
    for call in life.open:
        life.settle(call, call.sent[0][1])
    log = [(ms, n) for ms, n in life.arrivals if n]
    exact = next(
        now
        for now in sorted({life.now, *(ms + rule.span_ms for ms, _ in log)})
        if now >= life.now
        and sum(n for ms, n in log if ms > now - rule.span_ms) + amount <= rule.limit
    )
    grain = max(1, rule.span_ms // 1000)
    got = quota.earliest(rule, life.ledger, life.now, amount)
    assert got <= max(life.now, exact) + grain + rule.guard_ms


@each_kind
@settings(max_examples=400, deadline=None)
@given(tale=TALES, much=BYTE, rest=BYTE, less=BYTE, longer=BYTE)
def test_what_fits_the_slack_delays_no_head(
    name: str, tale: bytes, much: int, rest: int, less: int, longer: int
) -> None:
    life = live(name, tale)
    rule, ledger, now = life.counting, life.ledger, life.now
    head, keep = share(much, 1, rule.limit), share(rest, 0, rule.limit)
    at = quota.earliest(rule, ledger, now, head, keep)
    later = at + share(longer, 0, 2 * rule.span_ms)  # another window holds the head for longer
    if quota.earliest(rule, ledger, later, head, keep) == later:
        at = later
    small = min(
        share(less, 0, rule.limit),
        quota.free(rule, ledger, now),
        quota.slack(rule, ledger, now, at, head, keep),
    )
    ledger = quota.take(rule, ledger, now, small)
    assert quota.earliest(rule, ledger, at, head, keep) == at


@each_kind
@pytest.mark.parametrize("limit", [1, 3, 60, 500])
@pytest.mark.parametrize("span_ms", [1000, 6000, 60_000, 3_600_000])
def test_a_busy_window_is_used_almost_whole(name: str, limit: int, span_ms: int) -> None:
    """At least 97 % of what the kind admits, when calls wait for nothing but the window."""
    rule = rule_of(name, limit, span_ms)
    ledger, start, windows = quota.fresh(rule), START // span_ms * span_ms, 5
    now, taken = start, 0
    while taken < limit * windows:
        now = quota.earliest(rule, ledger, now, 1)
        ledger = quota.take(rule, ledger, now, 1)
        taken += 1
    least = least_time_ms([[Window("w", Dimension.REQUESTS, limit, span_ms, *KINDS[name])]], taken)
    assert least is not None
    assert least >= 0.97 * (now - start)
