"""What was seen, as plain JSON values."""

from typing import Any

from simulator.ledger import Account, Counters, Meter
from simulator.provider import Provider

_SUMMED = (
    *("received", "admitted", "prompt_tokens", "completion_tokens"),
    *("images", "audio_seconds", "streams"),
)
_RATE_LIMITED = ("rate_limited", "too_large", "fault:rate_limited")


def provider_report(provider: Provider) -> dict[str, Any]:
    """All counts of one provider, in total and by model and key; times are real seconds."""
    models: dict[str, dict[str, Any]] = {}
    total = Counters()
    violations = 0
    for (key, model), account in provider.ledger.accounts.items():
        models.setdefault(model, {})[key] = _account(account, provider.now_us())
        _add(total, account.counters)
        outcomes = account.counters.outcomes
        violations += outcomes.get("rate_limited", 0)
    _add(total, provider.strangers)
    return {
        "dialect": provider.spec.dialect,
        "personality": provider.spec.personality,
        "total": _counters(total),
        "violations": violations,
        "strangers": _counters(provider.strangers),
        "models": models,
    }


def _account(account: Account, now_us: int) -> dict[str, Any]:
    gate = account.gates[-1]
    limits = [g.limit for g in account.gates if g.limit is not None]
    return {
        **_counters(account.counters),
        "violations": account.counters.outcomes.get("rate_limited", 0),
        "concurrency": {"now": gate.now, "peak": gate.peak, "limit": min(limits, default=None)},
        "windows": [_meter(meter, now_us) for meter in account.meters],
    }


def _meter(meter: Meter, now_us: int) -> dict[str, Any]:
    return {
        "dimension": meter.spec.dimension,
        "kind": meter.spec.kind,
        "scope": meter.spec.scope,
        "per_s": meter.window.span_us / 1e6,
        "limit": meter.window.limit,
        "announced_limit": meter.announced_limit,
        "used": meter.window.used(now_us),
        "peak": meter.peak,
        "admitted": meter.admitted,
        "refused": meter.refused,
    }


def _counters(counters: Counters) -> dict[str, Any]:
    outcomes = counters.outcomes
    rate_limited = sum(outcomes.get(each, 0) for each in _RATE_LIMITED)
    answered = outcomes.get("ok", 0)
    return {
        "received": counters.received,
        "admitted": counters.admitted,
        "answered_200": answered,
        "answered_429": rate_limited,
        "other": sum(outcomes.values()) - answered - rate_limited,
        "outcomes": dict(outcomes),
        "prompt_tokens": counters.prompt_tokens,
        "completion_tokens": counters.completion_tokens,
        "images": counters.images,
        "audio_seconds": counters.audio_seconds,
        "streams": counters.streams,
        "first_at": counters.first_at_us / 1e6,
        "last_answer_at": counters.last_answer_at_us / 1e6,
    }


def _add(total: Counters, part: Counters) -> None:
    for name in _SUMMED:
        setattr(total, name, getattr(total, name) + getattr(part, name))
    for outcome, number in part.outcomes.items():
        total.outcomes[outcome] = total.outcomes.get(outcome, 0) + number
    starts = [at for at in (total.first_at_us, part.first_at_us) if at]
    total.first_at_us = min(starts, default=0)
    total.last_answer_at_us = max(total.last_answer_at_us, part.last_answer_at_us)
