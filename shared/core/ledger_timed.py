"""The ledger of a window from first use: its state is when that may have been, and an amount.

See `shared.core.ledger` for what it promises.
"""

from dataclasses import dataclass, replace

from shared.core.ledger import SPOILT, UNLIMITED, Rule


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
