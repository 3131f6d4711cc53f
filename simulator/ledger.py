"""Who has spent what: meters and gates, shared by accounts, admitting all or nothing."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from simulator.config import Dimension, Key, LimitSpec, Model, SimulatedProvider
from simulator.windows import Window, make_window


@dataclass(slots=True)
class Meter:
    """One enforced window with what was seen of it. Spans are real, that is, scaled already."""

    spec: LimitSpec
    window: Window
    announced_limit: int
    peak: int = 0
    admitted: int = 0
    refused: int = 0


@dataclass(slots=True)
class Gate:
    """One limit of calls at once; `limit` None admits any number and only counts."""

    limit: int | None
    spec: LimitSpec | None = None
    now: int = 0
    peak: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call was not admitted at `at_us`.

    `wait_us` None: it never will be, or nobody knows when. Of all windows that refused it, this
    is the one with the longest wait.
    """

    dimension: Dimension
    limit: int
    used: int
    requested: int
    at_us: int
    wait_us: int | None
    span_us: int = 0
    too_large: bool = False
    others: "tuple[Refusal, ...]" = ()


@dataclass(frozen=True, slots=True)
class Spend:
    """What a call costs. `counted` tokens are those the provider's token windows count.

    `requests` is as how many it counts; it always is one of those at once.
    """

    counted: int
    input: int = 0
    output: int = 0
    audio_seconds: int = 0
    requests: int = 1

    def of(self, dimension: Dimension) -> int:
        """The amount of one dimension."""
        match dimension:
            case "requests":
                return self.requests
            case "concurrency":
                return 1
            case "tokens":
                return self.counted
            case "input_tokens":
                return self.input
            case "output_tokens":
                return self.output
            case "audio_seconds":
                return self.audio_seconds


@dataclass(slots=True)
class Counters:
    """What one account saw. Every request received ends in exactly one of `outcomes`."""

    received: int = 0
    admitted: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    images: int = 0
    audio_seconds: int = 0
    streams: int = 0
    first_at_us: int = 0
    last_answer_at_us: int = 0

    def ended(self, outcome: str) -> None:
        """Count one request under its outcome."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


@dataclass(slots=True)
class Account:
    """One key's use of one model: the meters and gates a call must pass, in order."""

    provider: SimulatedProvider
    model: Model
    key: Key
    meters: tuple[Meter, ...]
    gates: tuple[Gate, ...]
    counters: Counters = field(default_factory=Counters)

    def admit(self, spend: Spend, now_us: int) -> Refusal | None:
        """Spend on every meter and enter every gate, or spend nothing and say why."""
        for gate in self.gates:
            if gate.limit is not None and gate.now >= gate.limit:
                gate.refused += 1
                self._count_rejected(now_us)
                return Refusal("concurrency", gate.limit, gate.now, 1, now_us, None)
        worst = self._refusal(spend, now_us)
        if worst is not None:
            self._count_rejected(now_us)
            return worst
        for meter in self.meters:
            amount = spend.of(meter.spec.dimension)
            meter.window.take(amount, now_us)
            meter.admitted += amount
            meter.peak = max(meter.peak, meter.window.used(now_us))
        for gate in self.gates:
            gate.now += 1
            gate.peak = max(gate.peak, gate.now)
        return None

    def leave(self) -> None:
        """Leave every gate entered."""
        for gate in self.gates:
            gate.now -= 1

    def _refusal(self, spend: Spend, now_us: int) -> Refusal | None:
        found: list[Refusal] = []
        for meter in self.meters:
            window, dimension = meter.window, meter.spec.dimension
            amount = spend.of(dimension)
            wait_us = window.wait_us(amount, now_us)
            if wait_us == 0:
                continue
            meter.refused += 1
            used = window.used(now_us)
            found.append(
                Refusal(
                    dimension=dimension,
                    limit=window.limit,
                    used=used,
                    requested=amount,
                    at_us=now_us,
                    wait_us=wait_us,
                    span_us=window.span_us,
                    too_large=wait_us is None,
                )
            )
        if not found:
            return None
        worst = max(found, key=lambda one: (one.wait_us is None, one.wait_us or 0))
        return replace(worst, others=tuple(one for one in found if one is not worst))

    def _count_rejected(self, now_us: int) -> None:
        if self.provider.count_rejected:
            for meter in self.meters:
                if meter.spec.dimension == "requests":
                    meter.window.take(1, now_us)


class Ledger:
    """All accounts of one provider.

    Keys of one organisation share their meters; a limit of scope `key` is shared by all models.
    """

    def __init__(self, provider: SimulatedProvider, speed: float) -> None:
        self._speed = speed
        self._meters: dict[tuple[str, str, LimitSpec], Meter] = {}
        self._gates: dict[tuple[str, str, LimitSpec | None], Gate] = {}
        self.accounts: dict[tuple[str, str], Account] = {
            (key.id, model.id): self._account(provider, model, key)
            for key in provider.keys
            for model in provider.models
        }

    def _account(self, provider: SimulatedProvider, model: Model, key: Key) -> Account:
        specs = (*provider.limits, *model.limits)
        owner = f"org:{key.organisation}" if key.organisation else f"key:{key.id}"
        gates = [self._gate(owner, model.id, spec) for spec in specs if not spec.span_us]
        return Account(
            provider=provider,
            model=model,
            key=key,
            meters=tuple(self._meter(owner, model.id, spec) for spec in specs if spec.span_us),
            gates=(*gates, self._gate(f"key:{key.id}", model.id, None)),
        )

    def _meter(self, owner: str, model: str, spec: LimitSpec) -> Meter:
        place = (owner, model if spec.scope == "model" else "*", spec)
        if place not in self._meters:
            span_us = max(1, round(spec.span_us / self._speed))
            window = make_window(spec.kind, spec.limit, span_us, spec.anchor)
            self._meters[place] = Meter(spec, window, announced_limit=spec.limit)
        return self._meters[place]

    def _gate(self, owner: str, model: str, spec: LimitSpec | None) -> Gate:
        place = (owner, model if spec is None or spec.scope == "model" else "*", spec)
        return self._gates.setdefault(place, Gate(spec.limit if spec else None, spec))

    def scale(
        self, accounts: Iterable[Account], factor: float, now_us: int, *, announced: bool
    ) -> int:
        """Multiply every limit of these accounts; returns how many limits changed."""
        meters = {id(meter): meter for account in accounts for meter in account.meters}
        for meter in meters.values():
            self.set_limit(meter, round(meter.spec.limit * factor), now_us, announced=announced)
        return len(meters)

    @staticmethod
    def set_limit(meter: Meter, limit: int, now_us: int, *, announced: bool) -> None:
        """Change one limit; its headers follow only where `announced`."""
        meter.window.set_limit(limit, now_us)
        if announced:
            meter.announced_limit = limit
