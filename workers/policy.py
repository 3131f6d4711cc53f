"""What a job wishes for its attempts, as its document says it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from shared.core.outcome import OnBreak, OnUncertain
from workers.providers.parameters import OnUnsupported
from workers.transport import Timeouts


@dataclass(frozen=True, slots=True)
class Policy:
    """The job's own wishes, from its document."""

    max_attempts: int
    on_uncertain: OnUncertain
    on_break: OnBreak
    timeouts: Timeouts
    unsupported: OnUnsupported


def asked_tokens(request: Mapping[str, Any]) -> int | None:
    """The output limit that the caller named, over all choices."""
    asked = request.get("max_completion_tokens") or request.get("max_tokens")
    return int(asked) * int(request.get("n") or 1) if asked else None


def policy_of(wishes: Mapping[str, Any], timeouts: Timeouts, max_attempts: int) -> Policy:
    """The wishes of a document; `timeouts` and `max_attempts` are the process's own."""
    if wishes.get("attempt_timeout_s"):
        total_ms = max(1, int(float(wishes["attempt_timeout_s"]) * 1_000))
        timeouts = replace(
            timeouts, total_ms=total_ms, first_byte_ms=min(timeouts.first_byte_ms, total_ms)
        )
    return Policy(
        max_attempts=int(wishes.get("max_attempts") or max_attempts),
        on_uncertain=OnUncertain(wishes.get("on_uncertain") or "retry"),
        on_break=OnBreak(wishes.get("on_break") or "fail"),
        timeouts=timeouts,
        unsupported=OnUnsupported(wishes.get("unsupported") or "drop"),
    )
