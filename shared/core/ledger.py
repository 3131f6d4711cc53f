"""The ledgers of quota windows, one kind a class: what has been taken, and when it stops counting.

The same arithmetic as shared/queue/lua/quota.lua, which is the one that runs; the twins are driven
to the same answers by tests/properties/test_quota_twins.py. Ledgers are values: a change returns a
new one. Moments are epoch ms, amounts integers >= 0.

A call counted at t is taken to reach the provider somewhere in [t, t + guard_ms].
"""

from bisect import bisect_left
from dataclasses import dataclass
from typing import Protocol, Self

from shared.core.model import WindowKind

UNLIMITED = 2**53 - 1
MOST = 10**12
"""Units that are taken at once, at most: more was never used, whoever says so."""
SPOILT = 10**15
"""A count that nobody can have taken: a ledger that holds more begins anew."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one window admits: `limit` units per `span_ms`, as `kind` counts.

    `anchor_ms` (fixed) shifts window starts from multiples of the span; None: from first use.
    `current` (fixed, zones) is the one window, start and end, that the plain offset may miss.
    """

    kind: WindowKind
    limit: int
    span_ms: int
    guard_ms: int
    anchor_ms: int | None = 0
    current: tuple[int, int] | None = None

    def bounds(self, at_ms: int) -> tuple[int, int]:
        """The anchored window that holds a moment: its start, and its end (not in it)."""
        base = self.anchor_ms or 0
        if self.current:
            start, end = self.current
            if start <= at_ms < end:
                return self.current
            base = start if at_ms < start else end
        start = base + (at_ms - base) // self.span_ms * self.span_ms
        return start, start + self.span_ms


class Ledger(Protocol):
    """What every kind answers. `at` must come first: it drops what no longer counts."""

    def at(self, rule: Rule, now_ms: int) -> Self:
        """This ledger at a moment, which never goes back."""

    def used(self, rule: Rule, now_ms: int) -> int:
        """Units that count now."""

    def free(self, rule: Rule, now_ms: int) -> int:
        """Units that may be taken now; below 0 where more is used than the limit."""

    def earliest(self, rule: Rule, now_ms: int, need: int) -> int:
        """The first moment when 0 < need <= limit units fit."""

    def add(self, rule: Rule, now_ms: int, at_ms: int, amount: int) -> Self:
        """Counts units sent at a moment up to now."""

    def settle(self, rule: Rule, now_ms: int, taken_ms: int, delta: int, actual: int) -> Self:
        """Corrects by `delta` what was taken at a moment; `actual` 0: it was never sent."""

    def restamp(self, rule: Rule, now_ms: int, taken_ms: int, sent_ms: int, amount: int) -> Self:
        """What was taken at one moment was sent at a later one."""

    def slack(self, rule: Rule, now_ms: int, at_ms: int, need: int) -> int:
        """Units that may be taken now so that `need` units still fit at `at_ms`."""

    def reset_ms(self, rule: Rule, now_ms: int) -> int:
        """When all is free again, where something is used."""


@dataclass(frozen=True, slots=True)
class Sliding:
    """At most the limit in any span: (grain, amount) in order; a grain is 1/1000 of the span.

    A grain counts until its end + span + guard, so the log is never looser than exact.
    """

    grains: tuple[tuple[int, int], ...] = ()

    @staticmethod
    def _grain(rule: Rule, ms: int) -> int:
        return ms // max(1, rule.span_ms // 1000)

    @staticmethod
    def _out_at(rule: Rule, grain: int) -> int:
        return (grain + 1) * max(1, rule.span_ms // 1000) + rule.span_ms + rule.guard_ms

    def at(self, rule: Rule, now_ms: int) -> "Sliding":
        """See `Ledger`."""
        gone = bisect_left(self.grains, True, key=lambda g: self._out_at(rule, g[0]) > now_ms)
        kept = Sliding(self.grains[gone:]) if gone else self
        return kept if kept.used(rule, now_ms) <= SPOILT else Sliding()

    def used(self, rule: Rule, now_ms: int) -> int:  # noqa: ARG002 - the protocol's shape
        """See `Ledger`."""
        return sum(amount for _, amount in self.grains)

    def free(self, rule: Rule, now_ms: int) -> int:
        """See `Ledger`."""
        return rule.limit - self.used(rule, now_ms)

    def earliest(self, rule: Rule, now_ms: int, need: int) -> int:
        """See `Ledger`."""
        excess, at_ms = self.used(rule, now_ms) + need - rule.limit, now_ms
        if excess <= 0:
            return now_ms
        for grain, amount in self.grains:
            excess, at_ms = excess - amount, self._out_at(rule, grain)
            if excess <= 0:
                break
        return at_ms

    def _change(self, grain: int, delta: int, *, insert: bool) -> "Sliding":
        i = bisect_left(self.grains, grain, key=lambda g: g[0])
        known = i < len(self.grains) and self.grains[i][0] == grain
        if not (known or insert):
            return self
        amount = max(0, (self.grains[i][1] if known else 0) + delta)
        return Sliding((*self.grains[:i], (grain, amount), *self.grains[i + known :]))

    def add(self, rule: Rule, now_ms: int, at_ms: int, amount: int) -> "Sliding":
        """See `Ledger`."""
        grain = self._grain(rule, at_ms)
        if self._out_at(rule, grain) <= now_ms:
            return self
        return self._change(grain, amount, insert=True)

    def settle(
        self,
        rule: Rule,
        now_ms: int,  # noqa: ARG002 - the protocol's shape
        taken_ms: int,
        delta: int,
        actual: int = 1,  # noqa: ARG002
    ) -> "Sliding":
        """See `Ledger`."""
        return self._change(self._grain(rule, taken_ms), delta, insert=False)

    def restamp(
        self, rule: Rule, now_ms: int, taken_ms: int, sent_ms: int, amount: int
    ) -> "Sliding":
        """See `Ledger`."""
        if self._grain(rule, taken_ms) == self._grain(rule, sent_ms):
            return self
        without = self.settle(rule, now_ms, taken_ms, -amount)
        return without.add(rule, now_ms, sent_ms, amount)

    def slack(self, rule: Rule, now_ms: int, at_ms: int, need: int) -> int:
        """See `Ledger`."""
        if at_ms >= self._out_at(rule, self._grain(rule, now_ms)):
            return UNLIMITED
        used = sum(amount for grain, amount in self.grains if self._out_at(rule, grain) > at_ms)
        return rule.limit - used - need

    def reset_ms(self, rule: Rule, now_ms: int) -> int:
        """See `Ledger`."""
        return self._out_at(rule, self.grains[-1][0] if self.grains else self._grain(rule, now_ms))


@dataclass(frozen=True, slots=True)
class Fixed:
    """At most the limit between two edges: (window start, amount) of this window and the next.

    Nothing is sent within the guard of an edge, on either side; what was all the same counts on
    both sides.
    """

    counts: tuple[tuple[int, int], ...] = ()

    def at(self, rule: Rule, now_ms: int) -> "Fixed":
        """See `Ledger`."""
        start, _ = rule.bounds(now_ms)
        kept = tuple(c for c in self.counts if c[0] >= start and (c[0] > start or c[1] <= SPOILT))
        return self if kept == self.counts else Fixed(kept)

    def used(self, rule: Rule, now_ms: int) -> int:
        """See `Ledger`."""
        return dict(self.counts).get(rule.bounds(now_ms)[0], 0)

    def free(self, rule: Rule, now_ms: int) -> int:
        """See `Ledger`."""
        start, end = rule.bounds(now_ms)
        quiet = now_ms < start + rule.guard_ms or now_ms >= end - rule.guard_ms
        return 0 if quiet else rule.limit - self.used(rule, now_ms)

    def earliest(self, rule: Rule, now_ms: int, need: int) -> int:
        """See `Ledger`."""
        start, end = rule.bounds(now_ms)
        if now_ms < end - rule.guard_ms and self.used(rule, now_ms) + need <= rule.limit:
            return max(now_ms, start + rule.guard_ms)
        start, later = rule.bounds(end)
        fits = self.used(rule, end) + need <= rule.limit
        return (start if fits else later) + rule.guard_ms

    def _change(self, rule: Rule, now_ms: int, at_ms: int, delta: int, *, insert: bool) -> "Fixed":
        counts = dict(self.counts)
        guard = rule.guard_ms
        near = {rule.bounds(ms) for ms in (at_ms - guard, at_ms, at_ms + guard)}
        for start, end in near:
            if end > now_ms and (insert or start in counts):
                counts[start] = max(0, counts.get(start, 0) + delta)
        return Fixed(tuple(sorted(counts.items())))

    def add(self, rule: Rule, now_ms: int, at_ms: int, amount: int) -> "Fixed":
        """See `Ledger`."""
        return self._change(rule, now_ms, at_ms, amount, insert=True)

    def settle(
        self,
        rule: Rule,
        now_ms: int,
        taken_ms: int,
        delta: int,
        actual: int = 1,  # noqa: ARG002 - the protocol's shape
    ) -> "Fixed":
        """See `Ledger`."""
        return self._change(rule, now_ms, taken_ms, delta, insert=False)

    def restamp(self, rule: Rule, now_ms: int, taken_ms: int, sent_ms: int, amount: int) -> "Fixed":
        """See `Ledger`."""
        without = self.settle(rule, now_ms, taken_ms, -amount)
        return without.add(rule, now_ms, sent_ms, amount)

    def slack(self, rule: Rule, now_ms: int, at_ms: int, need: int) -> int:
        """See `Ledger`."""
        if at_ms >= rule.bounds(now_ms)[1]:
            return UNLIMITED
        return rule.limit - self.used(rule, now_ms) - need

    def reset_ms(self, rule: Rule, now_ms: int) -> int:
        """See `Ledger`."""
        return rule.bounds(now_ms)[1] + rule.guard_ms
