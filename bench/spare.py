"""Could free quota still have done what was paid for? Judged afterwards, by the providers' rules.

Every call that a free key made is put back, at its moment, into fresh windows of that key (the
simulator's, which enforced them). A paid call was needless where one more call, in its place, would
have passed the windows of some free key, together with all that this key did: at any moment from
the paid call's start up to the job's deadline, less the time that 95 of 100 of its calls take. A
key counts while it may be called: not after it was revoked or its model withdrawn, not in an
outage, not while it rests after a 429. A gap counts against one paid call only: what was needless
is put in as if it had been done so.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from simulator.config import LimitSpec
from simulator.ledger import Spend
from simulator.windows import make_window

LOOKS = 12
"""How many moments between a paid call and its deadline are tried."""


@dataclass(frozen=True, slots=True, order=True)
class Use:
    """One call at a moment (µs, by the clock) and what it counted.

    `ended_us` is when that was known; until then it held `held`: input and output tokens.
    """

    at_us: int
    input: int
    output: int
    ended_us: int = 0
    held: tuple[int, int] = (0, 0)

    def known(self, at_us: int) -> "Use":
        """What one could know of it at that moment: what it used, or as much as it held."""
        if self.ended_us <= at_us:
            return self
        into, out = self.held
        return replace(self, input=max(into, self.input), output=max(out, self.output))


@dataclass(slots=True)
class Key:
    """A free key: its limits with real spans, its calls in order, when it was not to be called.

    `takes_us` is the time in which 95 of 100 of its calls end.
    """

    provider: str
    id: str
    limits: Sequence[LimitSpec]
    counts: str
    takes_us: int = 0
    uses: list[Use] = field(default_factory=list)
    shut: list[tuple[int, int]] = field(default_factory=list)

    def open(self, at_us: int) -> bool:
        """Whether it was to be called at that moment."""
        return not any(since <= at_us < until for since, until in self.shut)

    def takes(self, use: Use) -> bool:
        """Whether one more call would have passed, and every later one still."""
        quickest = sorted(self.limits, key=lambda spec: (spec.kind == "bucket", spec.span_us))
        return all(self._fits(spec, use) for spec in quickest)

    def _fits(self, spec: LimitSpec, more: Use) -> bool:
        """Puts the call among the others, as far as they and it can touch."""
        amount, uses = self._amount(spec, more), self._near(spec, more.at_us)
        window = make_window(spec.kind, spec.limit, spec.span_us, spec.anchor)
        before = bisect_right(uses, more.at_us, key=lambda use: use.at_us)
        for use in uses[:before]:
            window.take(self._amount(spec, use), use.at_us)
        if window.wait_us(amount, more.at_us) != 0:
            return False
        window.take(amount, more.at_us)
        for use in uses[before:]:
            wanted = self._amount(spec, use)
            if window.wait_us(wanted, use.at_us) != 0:
                return False
            window.take(wanted, use.at_us)
        return True

    def left(self, at_us: int) -> dict[str, int]:
        """What each of its windows had left at that moment, by the provider's rules."""
        found = {}
        for spec in self.limits:
            window = make_window(spec.kind, spec.limit, spec.span_us, spec.anchor)
            for use in self._near(spec, at_us):
                if use.at_us < at_us:
                    window.take(self._amount(spec, use), use.at_us)
            name = f"{spec.dimension} per {spec.span_us / 1e6:.1f} s {spec.kind}"
            found[name] = spec.limit - window.used(at_us)
        return found

    def _near(self, spec: LimitSpec, at_us: int) -> list[Use]:
        """The calls within two spans; all of them where the window is a bucket, which remembers."""
        if spec.kind == "bucket":
            return self.uses
        reach_us = 2 * spec.span_us
        first = bisect_left(self.uses, at_us - reach_us, key=lambda use: use.at_us)
        return self.uses[
            first : bisect_right(self.uses, at_us + reach_us, key=lambda use: use.at_us)
        ]

    def _amount(self, spec: LimitSpec, use: Use) -> int:
        counted = use.input + (use.output if self.counts != "input" else 0)
        return Spend(counted, use.input, use.output).of(spec.dimension)


@dataclass(frozen=True, slots=True)
class PaidCall:
    """A call that cost money: when it began, and by when the job was to be done."""

    job: str
    use: Use
    deadline_us: int


def needless(paid: Sequence[PaidCall], keys: Sequence[Key]) -> list[tuple[PaidCall, Key, int]]:
    """The paid calls that some free key could have made in time: call, key, moment."""
    found = []
    for call in sorted(paid, key=lambda one: one.deadline_us):
        gap = _gap(call, keys)
        if gap is not None:
            key, use = gap
            insort(key.uses, use)
            found.append((call, key, use.at_us))
    return found


def knowable(call: PaidCall, at_us: int, keys: Sequence[Key]) -> tuple[str, int] | None:
    """Whether a key had room by all that could be known at that moment: its provider, and when.

    A call that had not ended then counts what it held, as does what was begun later: how much a
    call uses is known when it has ended. The paid call counts what it would have held.
    """
    seen = [replace(key, uses=[use.known(at_us) for use in key.uses]) for key in keys]
    gap = _gap(replace(call, use=call.use.known(at_us)), seen)
    return gap and (gap[0].provider, gap[1].at_us)


def _gap(call: PaidCall, keys: Sequence[Key]) -> tuple[Key, Use] | None:
    for look in range(LOOKS + 1):
        for key in keys:
            span_us = call.deadline_us - key.takes_us - call.use.at_us
            use = replace(call.use, at_us=call.use.at_us + span_us * look // LOOKS)
            if span_us >= 0 and key.open(use.at_us) and key.takes(use):
                return key, use
    return None
