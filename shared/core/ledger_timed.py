"""The ledgers whose state is a moment and a level: windows from first use, and buckets.

See `shared.core.ledger` for what they promise.
"""

import math
from dataclasses import dataclass, replace

from shared.core.ledger import SPOILT, UNLIMITED, Rule

MICRO = 1_000_000
PEAKS = 24
DEBT = 10
"""Bursts that a bucket owes at most: whatever was said to be used, it is filled again then."""


@dataclass(frozen=True, slots=True)
class FirstUse:
    """A fixed window that starts with the first call after the last one ended.

    Where the provider's window started is known only within [`low_ms`, `high_ms`]: nothing is sent
    from low + span - guard until high + span + guard. `sure`: a call known to have been sent at
    `high_ms` or before bounds it. `last_ms` is the latest stamp.
    """

    amount: int = 0
    low_ms: int = 0
    high_ms: int = 0
    last_ms: int = 0
    sure: bool = False
    open: bool = False

    def at(self, rule: Rule, now_ms: int) -> "FirstUse":
        """See `Ledger`."""
        over = self.open and now_ms >= self.high_ms + rule.span_ms + rule.guard_ms
        return FirstUse() if over or self.amount > SPOILT else self

    def used(self, rule: Rule, now_ms: int) -> int:  # noqa: ARG002 - the protocol's shape
        """See `Ledger`."""
        return self.amount

    def _quiet(self, rule: Rule, now_ms: int) -> bool:
        return self.open and now_ms >= self.low_ms + rule.span_ms - rule.guard_ms

    def free(self, rule: Rule, now_ms: int) -> int:
        """See `Ledger`."""
        return 0 if self._quiet(rule, now_ms) else rule.limit - self.amount

    def earliest(self, rule: Rule, now_ms: int, need: int) -> int:
        """See `Ledger`."""
        if not self._quiet(rule, now_ms) and self.amount + need <= rule.limit:
            return now_ms
        return self.reset_ms(rule, now_ms)

    def add(self, rule: Rule, now_ms: int, at_ms: int, amount: int) -> "FirstUse":
        """See `Ledger`."""
        return self._add(rule, now_ms, at_ms, amount, sure=False)

    def _add(self, rule: Rule, now_ms: int, at_ms: int, amount: int, *, sure: bool) -> "FirstUse":
        if self.open:
            return replace(self, amount=self.amount + amount, last_ms=max(self.last_ms, at_ms))
        if at_ms + rule.span_ms + rule.guard_ms <= now_ms:
            return self
        return FirstUse(amount, at_ms, at_ms, at_ms, sure, open=True)

    def settle(
        self,
        rule: Rule,  # noqa: ARG002 - the protocol's shape
        now_ms: int,  # noqa: ARG002
        taken_ms: int,
        delta: int,
        actual: int,
    ) -> "FirstUse":
        """See `Ledger`."""
        if not self.open or taken_ms < self.low_ms:
            return self
        amount = max(0, self.amount + delta)
        if amount == 0:
            return FirstUse()
        if actual == 0 and taken_ms <= self.high_ms:  # perhaps the one thought to be the first
            return replace(self, amount=amount, high_ms=self.last_ms, sure=False)
        return replace(self, amount=amount)

    def restamp(
        self, rule: Rule, now_ms: int, taken_ms: int, sent_ms: int, amount: int
    ) -> "FirstUse":
        """See `Ledger`."""
        if not self.open or taken_ms < self.low_ms:
            return self._add(rule, now_ms, sent_ms, amount, sure=True)
        if self.amount <= amount:
            return FirstUse(self.amount, sent_ms, sent_ms, sent_ms, sure=True, open=True)
        moved = replace(self, last_ms=max(self.last_ms, sent_ms))
        if taken_ms <= self.high_ms and not self.sure:
            return replace(moved, high_ms=max(self.high_ms, sent_ms), sure=True)
        return moved

    def slack(self, rule: Rule, now_ms: int, at_ms: int, need: int) -> int:
        """See `Ledger`."""
        low_ms, high_ms = (self.low_ms, self.high_ms) if self.open else (now_ms, now_ms)
        if at_ms >= high_ms + rule.span_ms + rule.guard_ms:
            return UNLIMITED
        if not self.open and at_ms >= low_ms + rule.span_ms - rule.guard_ms:
            return 0  # a window opened now would be ending then
        return rule.limit - self.amount - need

    def reset_ms(self, rule: Rule, now_ms: int) -> int:
        """See `Ledger`."""
        return self.high_ms + rule.span_ms + rule.guard_ms if self.open else now_ms


@dataclass(frozen=True, slots=True)
class Bucket:
    """A burst of the limit, refilled evenly at limit per span; starts full.

    `level` is in millionths of a unit at `at_ms`; None: full. A take from a bucket fuller than
    limit - guard's refill counts from there, so a provider may start refilling a guard later.
    `peaks` are the highest levels since a moment, falling: (ms, level). What is given back for a
    moment must not have filled the bucket over the brim since, or refill would count twice; with
    that the levels are those of a bucket that was asked for the real amounts from the start.
    `late` is the stretch (from, until ms) that calls were sent late in, and what ran over the brim
    in it: never more than the refill of that stretch, however many calls were late.
    Arithmetic is in doubles, as Lua's.
    """

    level: int | None = None
    at_ms: int = 0
    peaks: tuple[tuple[int, int], ...] = ()
    late: tuple[int, int, int] = (0, 0, 0)

    @staticmethod
    def _brim(rule: Rule) -> int:
        cut = math.ceil(float(rule.guard_ms) * rule.limit * MICRO / rule.span_ms)
        return rule.limit * MICRO - cut

    def _level(self, rule: Rule, ms: int) -> int:
        if self.level is None:
            return rule.limit * MICRO
        refill = math.floor(float(max(0, ms - self.at_ms)) * rule.limit * MICRO / rule.span_ms)
        return min(rule.limit * MICRO, self.level + refill)

    def at(self, rule: Rule, now_ms: int) -> "Bucket":
        """See `Ledger`."""
        kept = tuple(peak for peak in self.peaks if peak[0] > now_ms - rule.span_ms)
        level = None if self.level is None else self._owed(rule, self.level)
        return replace(self, level=level, peaks=kept)

    @staticmethod
    def _owed(rule: Rule, level: int) -> int:
        return max(level, -DEBT * rule.limit * MICRO)

    def used(self, rule: Rule, now_ms: int) -> int:
        """See `Ledger`."""
        return rule.limit - self.free(rule, now_ms)

    def free(self, rule: Rule, now_ms: int) -> int:
        """See `Ledger`."""
        return self._level(rule, now_ms) // MICRO

    def earliest(self, rule: Rule, now_ms: int, need: int) -> int:
        """See `Ledger`."""
        return self._reaches(rule, now_ms, need * MICRO)

    def _reaches(self, rule: Rule, now_ms: int, wanted: int) -> int:
        if self.level is None:
            return now_ms
        missing = float(wanted - self.level)
        at_ms = self.at_ms + math.ceil(missing * rule.span_ms / (rule.limit * MICRO))
        at_ms = max(now_ms, at_ms)
        if self._level(rule, at_ms) < wanted:
            at_ms += 1  # doubles: less than a ms off
        return at_ms

    def add(self, rule: Rule, now_ms: int, at_ms: int, amount: int) -> "Bucket":  # noqa: ARG002
        """See `Ledger`."""
        top = min(self._level(rule, now_ms), self._brim(rule))
        peaks = self._with_peak(rule, now_ms, now_ms, top)
        return Bucket(self._owed(rule, top - amount * MICRO), now_ms, peaks, self.late)

    def _recent(self, rule: Rule, now_ms: int) -> tuple[tuple[int, int], ...]:
        """The peaks of the last span: what came before has been refilled since."""
        return tuple(peak for peak in self.peaks if peak[0] > now_ms - rule.span_ms)

    def _with_peak(
        self, rule: Rule, now_ms: int, at_ms: int, top: int
    ) -> tuple[tuple[int, int], ...]:
        recent = self._recent(rule, now_ms)
        if at_ms <= now_ms - rule.span_ms:
            return recent
        earlier = [peak for peak in recent if peak[0] < at_ms and peak[1] > top]
        later = [peak for peak in recent if peak[0] >= at_ms]
        hidden = later and later[0][1] >= top
        peaks = earlier + ([] if hidden else [(at_ms, top)]) + later
        if len(peaks) > PEAKS:  # the two oldest become one: later and higher, so stricter
            peaks[:2] = [(peaks[1][0], peaks[0][1])]
        return tuple(peaks)

    def _peak_since(self, rule: Rule, now_ms: int, since_ms: int) -> int:
        now = min(self._level(rule, now_ms), self._brim(rule))
        recent = self._recent(rule, now_ms)
        return max([now, *(level for ms, level in recent if ms > since_ms)])

    def settle(
        self,
        rule: Rule,
        now_ms: int,
        taken_ms: int,
        delta: int,
        actual: int = 1,  # noqa: ARG002 - the protocol's shape
    ) -> "Bucket":
        """See `Ledger`."""
        if now_ms - taken_ms >= rule.span_ms:
            return self
        level, back = self._level(rule, now_ms), -delta * MICRO
        peaks = self._recent(rule, now_ms)
        if back < 0:
            level = min(level, self._brim(rule))
        else:
            room = self._brim(rule) - self._peak_since(rule, now_ms, taken_ms)
            back = max(0, min(back, room))
            peaks = tuple((ms, top + back if ms > taken_ms else top) for ms, top in peaks)
        return Bucket(self._owed(rule, level + back), now_ms, peaks, self.late)

    def restamp(
        self, rule: Rule, now_ms: int, taken_ms: int, sent_ms: int, amount: int
    ) -> "Bucket":
        """See `Ledger`. Counted later, the level stood higher meanwhile; what ran over is lost."""
        since, until, over = self.late
        if taken_ms > until:
            since, until, over = taken_ms, sent_ms, 0
        since, until = min(since, taken_ms), max(until, sent_ms)
        top, brim = self._peak_since(rule, now_ms, taken_ms) + amount * MICRO, self._brim(rule)
        most = min(
            amount * MICRO,
            self._refill(rule, sent_ms - taken_ms),
            self._refill(rule, until - since) - over,
        )
        lost = max(0, min(top - brim, most))
        level = min(self._level(rule, now_ms), brim)
        peaks = self._with_peak(rule, now_ms, sent_ms, min(top, brim))
        left = self._owed(rule, level - lost)
        return Bucket(left, now_ms, peaks, (since, until, over + lost))

    @staticmethod
    def _refill(rule: Rule, span_ms: int) -> int:
        return math.ceil(float(span_ms) * rule.limit * MICRO / rule.span_ms)

    def slack(self, rule: Rule, now_ms: int, at_ms: int, need: int) -> int:
        """See `Ledger`."""
        refill = math.floor(float(max(0, at_ms - now_ms)) * rule.limit * MICRO / rule.span_ms)
        level = min(self._level(rule, now_ms), self._brim(rule))
        return (level + refill) // MICRO - need

    def reset_ms(self, rule: Rule, now_ms: int) -> int:
        """See `Ledger`."""
        return self._reaches(rule, now_ms, rule.limit * MICRO) if rule.limit > 0 else now_ms
