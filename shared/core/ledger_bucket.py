"""The ledger of a bucket: its state is a level at a moment.

See `shared.core.ledger` for what it promises.
"""

import math
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

from shared.core.ledger import Rule

MICRO = 1_000_000
PEAKS = 24
LOOKS, KEPT_LOOKS = 32, 16
DEBT = 10
"""Bursts that a bucket owes at most: whatever was said to be used, it is filled again then."""

Peak = tuple[int, int]
Look = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Bucket:
    """A burst of the limit, refilled evenly at limit per span; starts full.

    `level` is in millionths of a unit at `at_ms`; None: full. A take from a bucket fuller than
    limit - guard's refill counts from there, so a provider may start refilling a guard later.
    `peaks` are the highest levels since a moment, falling: (ms, level). What is given back for a
    moment must not have filled the bucket over the brim since, or refill would count twice; with
    that the levels are those of a bucket that was asked for the real amounts from the start.
    `looks` are the highest levels of stretches: (first ms, last ms, level), oldest first, each less
    what ran over the brim since. A call that was sent late raises only those between its two
    moments; what then stands above the brim ran over, and nothing else did.
    `late` is the stretch (from, until ms) that calls were sent late in, and what ran over the brim
    in it: never more than the refill of that stretch, however many calls were late.
    Arithmetic is in doubles, as Lua's.
    """

    level: int | None = None
    at_ms: int = 0
    peaks: tuple[Peak, ...] = ()
    late: tuple[int, int, int] = (0, 0, 0)
    looks: tuple[Look, ...] = ()

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
        top, looks = self._cut(rule, now_ms)
        peaks = self._with_peak(rule, now_ms, now_ms, top)
        looks = _with_look(looks, now_ms, top, now_ms - rule.span_ms)
        left = self._owed(rule, top - amount * MICRO)
        return Bucket(left, now_ms, peaks, self.late, looks)

    def _cut(self, rule: Rule, now_ms: int) -> tuple[int, tuple[Look, ...]]:
        """The level, at most the brim, and the looks less what has run over it by now."""
        brim, most = self._brim(rule), rule.limit * MICRO
        if self.level is None:
            return brim, self.looks
        refill = math.floor(float(max(0, now_ms - self.at_ms)) * rule.limit * MICRO / rule.span_ms)
        over = min(max(0, self.level + refill - brim), most)
        looks = (
            _changed(self.looks, lambda look: max(look[2] - over, -most)) if over else self.looks
        )
        return min(self.level + refill, brim), looks

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
        peaks, looks = self._recent(rule, now_ms), self.looks
        if back < 0:
            level = min(level, self._brim(rule))
        else:
            brim = self._brim(rule)
            back = max(0, min(back, brim - self._peak_since(rule, now_ms, taken_ms)))
            peaks = tuple((ms, top + back if ms > taken_ms else top) for ms, top in peaks)
            looks = _changed(
                looks, lambda look: min(look[2] + back, brim) if look[1] > taken_ms else look[2]
            )
        return Bucket(self._owed(rule, level + back), now_ms, peaks, self.late, looks)

    def restamp(
        self, rule: Rule, now_ms: int, taken_ms: int, sent_ms: int, amount: int
    ) -> "Bucket":
        """See `Ledger`. Counted later, the level stood higher meanwhile; what ran over is lost."""
        since, until, over = self.late
        if taken_ms > until:
            since, until, over = taken_ms, sent_ms, 0
        since, until = min(since, taken_ms), max(until, sent_ms)
        level, looks = self._cut(rule, now_ms)
        then, brim = self._stood(rule, now_ms, sent_ms, level, looks), self._brim(rule)
        top = max([then, *(look[2] for look in looks if _between(look, taken_ms, sent_ms))])
        most = min(
            amount * MICRO,
            self._refill(rule, sent_ms - taken_ms),
            self._refill(rule, until - since) - over,
        )
        lost = max(0, min(top + amount * MICRO - brim, most))
        more = amount * MICRO - lost
        looks = _changed(
            looks,
            lambda look: (
                min(look[2] + more, brim)
                if _between(look, taken_ms, sent_ms)
                else max(look[2] - lost, -rule.limit * MICRO)
            ),
        )
        peaks = self._with_peak(rule, now_ms, sent_ms, min(top + more, brim))
        high = min(then + more, brim)
        looks = _with_look(looks, sent_ms, high, now_ms - rule.span_ms)
        left = self._owed(rule, level - lost)
        return Bucket(left, now_ms, peaks, (since, until, over + lost), looks)

    @staticmethod
    def _stood(rule: Rule, now_ms: int, at_ms: int, level: int, looks: tuple[Look, ...]) -> int:
        """How high it stood at a moment: nothing but refill since, up to the next look."""
        later = next(((first, high) for first, _, high in looks if first > at_ms), (now_ms, level))
        refill = math.floor(float(later[0] - at_ms) * rule.limit * MICRO / rule.span_ms)
        return max(later[1] - refill, -rule.limit * MICRO)

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


def _between(look: Look, taken_ms: int, sent_ms: int) -> bool:
    return look[1] > taken_ms and look[0] <= sent_ms


def _changed(looks: tuple[Look, ...], to: Callable[[Look], int]) -> tuple[Look, ...]:
    return tuple((look[0], look[1], to(look)) for look in looks)


def _with_look(looks: tuple[Look, ...], at_ms: int, level: int, old_ms: int) -> tuple[Look, ...]:
    """One look more, in its place; too many become fewer: what is older than `old_ms` is one."""
    before = bisect_right(looks, at_ms, key=lambda look: look[0])
    if before and at_ms <= looks[before - 1][1]:
        first, last, high = looks[before - 1]
        return (*looks[: before - 1], (first, last, max(high, level)), *looks[before:])
    looks = (*looks[:before], (at_ms, at_ms, level), *looks[before:])
    return looks if len(looks) <= LOOKS else _fewer(looks, old_ms)


def _fewer(looks: tuple[Look, ...], old_ms: int) -> tuple[Look, ...]:
    """Neighbours as one, with the level of the higher: what is old first, then the most alike."""
    kept = list(looks)
    while len(kept) > 1 and kept[1][1] <= old_ms:
        kept[:2] = [_both(kept[0], kept[1])]
    while len(kept) > KEPT_LOOKS:
        apart = [abs(one[2] - other[2]) for one, other in pairwise(kept)]
        alike = apart.index(min(apart))
        kept[alike : alike + 2] = [_both(kept[alike], kept[alike + 1])]
    return tuple(kept)


def _both(one: Look, other: Look) -> Look:
    return one[0], other[1], max(one[2], other[2])
