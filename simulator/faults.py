"""Faults on command: what to break, for whom, and until when.

Before the body is read, not counted against any limit:
- `drop_before` closes the connection; `refuse` closes new connections to a provider's own port.

Before the quota, so they spend nothing, and in the provider's own words:
- `outage` is `error` for every call, lists of models too, whatever the key;
- `rate_limited` 429, with Retry-After if `retry_after` is given; `error` any `status` (503), or
  the one that `row` names of the provider's own (`GET /admin/rows` lists them);
- `key_revoked` 401; `model_gone` 404, or 400 with `code: model_decommissioned`;
- `limits` multiplies the limits by `factor` (0.1), once; headers tell it if `announced`.

After the quota, so they cost what an answer costs:
- `stall` never answers, `stall_midstream` stops after `after_chunks` (2);
- `drop_after` closes the connection when the answer is due;
- `broken_stream` closes it in the middle of an SSE line, or of a JSON body;
- `empty_body`, `empty_choices`, `empty_stream`: a 200 with nothing, no choice, no words;
- `error_in_200` an error body, or an error chunk after `after_chunks`; `malformed_json`;
- `filtered` the provider's content filter withholds the answer, in its way;
- `slow` takes `factor` (10) times as long, and is right.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

from simulator.ledger import Account

FaultKind = Literal[
    "outage",
    "rate_limited",
    "error",
    "stall",
    "stall_midstream",
    "drop_before",
    "drop_after",
    "refuse",
    "broken_stream",
    "empty_body",
    "empty_choices",
    "empty_stream",
    "error_in_200",
    "malformed_json",
    "filtered",
    "key_revoked",
    "model_gone",
    "limits",
    "slow",
]
KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
BEFORE_BODY: frozenset[FaultKind] = frozenset({"drop_before"})
ON_ARRIVAL: frozenset[FaultKind] = frozenset({"outage"})
BEFORE_QUOTA: frozenset[FaultKind] = frozenset(
    {"rate_limited", "error", "key_revoked", "model_gone", "limits"}
)
ON_CONNECT: frozenset[FaultKind] = frozenset({"refuse"})
AFTER_QUOTA: frozenset[FaultKind] = (
    frozenset(KINDS) - BEFORE_BODY - ON_ARRIVAL - BEFORE_QUOTA - ON_CONNECT
)


@dataclass(frozen=True, slots=True)
class FaultSpec:
    """One fault. Without `count`, `for_us` it lasts until removed. Spans are real time.

    `after_requests` matching requests pass unharmed first; then each is hit with
    `probability`. `factor` multiplies limits (`limits`) or times (`slow`); `after_chunks`
    counts stream chunks sent before a stream fault. Limits stay changed when the fault is spent.
    """

    kind: FaultKind
    provider: str | None = None
    model: str | None = None
    key: str | None = None
    count: int | None = None
    probability: float = 1.0
    for_us: int | None = None
    after_requests: int = 0
    status: int = 503
    row: str | None = None
    retry_after_us: int | None = None
    after_chunks: int = 2
    factor: float = 0.1
    code: str | None = None
    message: str | None = None
    announced: bool = False

    def meant_for(self, account: Account) -> bool:
        """Whether it is meant for this account."""
        return self.model in (None, account.model.id) and self.key in (None, account.key.id)


@dataclass(slots=True)
class Fault:
    """A fault and what has become of it."""

    id: int
    spec: FaultSpec
    seen: int = 0
    fired: int = 0
    until_us: int | None = None

    def spent(self, now_us: int) -> bool:
        """Whether it will never fire again."""
        spec = self.spec
        if spec.count is not None and self.fired >= spec.count:
            return True
        return self.until_us is not None and now_us >= self.until_us

    def matches(self, model: str | None, key: str | None) -> bool:
        """Whether it is meant for this model and key; None is not known and matches only any."""
        spec = self.spec
        return spec.model in (None, model) and spec.key in (None, key)


@dataclass(slots=True)
class FaultBook:
    """The armed faults of one provider, oldest first; the first that hits wins."""

    now_us: Callable[[], int]
    armed: list[Fault] = field(default_factory=list)
    draw_random: Callable[[], float] = field(default_factory=lambda: random.Random(7).random)

    def add(self, fault: Fault) -> None:
        """Arm it; its span starts now, or at the first request past `after_requests`."""
        if fault.spec.for_us is not None and not fault.spec.after_requests:
            fault.until_us = self.now_us() + fault.spec.for_us
        self.armed.append(fault)

    def draw(
        self, kinds: Iterable[FaultKind], model: str | None, key: str | None
    ) -> FaultSpec | None:
        """The fault of one of these kinds that hits this request, if any; it is then counted."""
        now_us = self.now_us()
        self.armed = [fault for fault in self.armed if not fault.spent(now_us)]
        for fault in self.armed:
            spec = fault.spec
            if spec.kind not in kinds or not fault.matches(model, key):
                continue
            fault.seen += 1
            if fault.seen <= spec.after_requests:
                continue
            if spec.for_us is not None and fault.until_us is None:
                fault.until_us = now_us + spec.for_us
            if spec.probability < 1 and self.draw_random() >= spec.probability:
                continue
            fault.fired += 1
            return spec
        return None
