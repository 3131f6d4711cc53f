"""How a provider speaks: in whose words, with which numbers, at what pace."""

import math
import random
from itertools import count

from simulator.clock import NowUs
from simulator.config import SimulatedProvider
from simulator.dialects import organisation_of
from simulator.faults import FaultSpec
from simulator.ledger import Account
from simulator.personalities import Answer, personality_of


class Voice:
    """A provider's way to answer. All spans given to it are simulated and divided by `speed`."""

    def __init__(self, spec: SimulatedProvider, speed: float, now_us: NowUs) -> None:
        self.personality = personality_of(spec)
        self.now_us = now_us
        self.numbers = count(1)
        self._spec, self._speed = spec, speed
        self.reset()

    def reset(self) -> None:
        """Draw the same latencies again; numbers go on."""
        self._latency = random.Random(self._spec.latency.seed)

    def latency_s(self) -> float:
        """Real seconds to the first token of the next answer."""
        latency = self._spec.latency
        if not latency.median_ms:
            return 0.0
        factor = math.exp(latency.sigma * self._latency.gauss(0, 1)) if latency.sigma else 1.0
        return latency.median_ms * factor / 1_000 / self._speed

    def tokens_per_real_s(self) -> float | None:
        """How fast output comes in real time; None is all at once."""
        rate = self._spec.output.tokens_per_s
        return None if rate is None else rate * self._speed

    def s_per_audio_s(self) -> float:
        """Real seconds that hearing a second of sound takes."""
        times = self._spec.output.audio_x
        return 1 / (times * self._speed) if times else 0.0

    def error_of(self, fault: FaultSpec, account: Account | None) -> Answer:
        """The error a fault stands for, in the provider's own words."""
        speaks = self.personality
        facts = {"model": account.model.id, "org": organisation_of(account)} if account else {}
        match fault.kind:
            case "rate_limited" | "model_gone":
                name: str = fault.kind
            case "key_revoked":
                name = "unauthorized"
            case _:
                name = fault.row or speaks.row_of_status(fault.status)
        if fault.code in speaks.rows:
            name = str(fault.code)
        plain = fault.kind in ("error", "error_in_200", "outage") and fault.row is None
        return speaks.trouble(
            name,
            status=fault.status if plain else None,
            message=fault.message,
            code=fault.code,
            wait_us=fault.retry_after_us,
            **facts,
        )
