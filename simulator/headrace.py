"""Headrace's configuration for talking to simulated providers, as a plain mapping."""

from typing import Any

from simulator.config import Key, LimitSpec, Model, SimulatedProvider, SimulatorConfig
from simulator.durations import short_span
from simulator.server import Address

_CAPABILITIES = {
    "chat": ("chat", "stream", "tools", "json_schema", "vision"),
    "embedding": ("embedding",),
}


def headrace_config(
    config: SimulatorConfig,
    address: Address,
    *,
    declare_kinds: bool = True,
    declare_limits: bool = True,
) -> dict[str, Any]:
    """The `providers:` section that points Headrace at this simulator.

    Spans are real time, that is, divided by the speed. Without `declare_kinds` windows do not
    say how they count; without `declare_limits` no limit is given at all, to be learned.
    """
    return {
        "providers": {
            provider.name: {
                "type": "openai-compatible",
                "base_url": address.base_urls[provider.name],
                "credentials": [_credential(key) for key in provider.keys],
                "models": [
                    _model(config, provider, model, declare_kinds, declare_limits)
                    for model in provider.models
                ],
            }
            for provider in config.providers
        }
    }


def _credential(key: Key) -> dict[str, Any]:
    return {"id": key.id, "key": key.key, "plan": key.plan}


def _model(
    config: SimulatorConfig,
    provider: SimulatedProvider,
    model: Model,
    kinds: bool,
    limits: bool,
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": model.id,
        "category": model.category,
        "context_window": model.context_window,
        "max_output_tokens": model.max_output_tokens,
        "price_usd_per_1m": {
            "input": model.price_input_usd_per_1m,
            "output": model.price_output_usd_per_1m,
        },
        "capabilities": [each for kind in model.kinds for each in _CAPABILITIES[kind]],
    }
    specs = (*provider.limits, *model.limits)
    if limits and specs:
        plan = _plan(specs, config.speed, kinds)
        shown["limits"] = dict.fromkeys(dict.fromkeys(key.plan for key in provider.keys), plan)
    return shown


def _plan(specs: tuple[LimitSpec, ...], speed: float, kinds: bool) -> dict[str, Any]:
    plan: dict[str, Any] = {}
    at_once = [spec.limit for spec in specs if spec.dimension == "concurrency"]
    if at_once:
        plan["concurrency"] = min(at_once)
    windows = [
        {spec.dimension: spec.limit, "per": short_span(max(1, round(spec.span_us / speed)))}
        | ({"kind": spec.kind} if kinds else {})
        for spec in specs
        if spec.span_us
    ]
    if windows:
        plan["windows"] = windows
    return plan
