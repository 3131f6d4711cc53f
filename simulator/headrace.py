"""Headrace's configuration for talking to simulated providers, as a plain mapping."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.config import (
    Key,
    LimitSpec,
    Model,
    PersonalityName,
    SimulatedProvider,
    SimulatorConfig,
)
from simulator.durations import short_span
from simulator.personalities.gemini_audio import TOKENS_PER_S
from simulator.server import Address

_CAPABILITIES = {
    "chat": ("chat", "stream", "tools", "json_schema", "vision"),
    "embedding": ("embedding",),
    "transcription": ("transcription",),
}
_COMPATIBLE = "openai-compatible"
# Headrace's type for each personality; those that speak OpenAI's wire are named by their likeness.
_NATIVE: Mapping[PersonalityName, str] = {
    "gemini": "gemini",
    "cohere": "cohere",
    "anthropic": "anthropic",
}
# Their headers name no span, or always a minute: what they mean is a minute of the wall clock, and
# that is wrong where the clock runs faster.
_SPANS_BY_NAME = frozenset({"groq", "cohere", "anthropic"})
_UNTOLD = frozenset({"concurrency"})


@dataclass(frozen=True, slots=True)
class _Telling:
    """What the configuration is to tell."""

    speed: float
    kinds: bool
    limits: bool


def headrace_config(
    config: SimulatorConfig,
    address: Address,
    *,
    declare_kinds: bool = True,
    declare_limits: bool = True,
    declare_dialect: bool = False,
) -> dict[str, Any]:
    """The `providers:` section that points Headrace at this simulator.

    Spans are real time, that is, divided by the speed. Without `declare_kinds` windows do not
    say how they count; without `declare_limits` no limit is given at all, to be learned. With
    `declare_dialect` it says how the headers are to be read, else they must speak for themselves;
    a provider with a personality is always named for what it plays, and at another speed than 1 the
    headers of those that mean the wall clock's minutes and days are not read.
    """
    telling = _Telling(config.speed, declare_kinds, declare_limits)
    providers = {}
    for provider in config.providers:
        section = _provider(provider, address.base_urls[provider.name], telling)
        if declare_dialect and provider.personality is None:
            dialect = provider.dialect.removesuffix("-like")
            section["quirks"] = {"rate_dialect": dialect}
        providers[provider.name] = section
    return {"providers": providers}


def _provider(provider: SimulatedProvider, base_url: str, telling: _Telling) -> dict[str, Any]:
    section: dict[str, Any] = {
        "type": _type(provider),
        "base_url": base_url,
        "credentials": [_credential(key) for key in provider.keys],
        "models": [_model(provider, model, telling) for model in provider.models],
    }
    if provider.personality is not None and provider.personality not in _NATIVE:
        section["quirks"] = {"like": provider.personality}
    if telling.speed != 1 and provider.personality in _SPANS_BY_NAME:
        section["quirks"] = {**section.get("quirks", {}), "rate_dialect": "none"}
    if any(key.organisation for key in provider.keys):
        section["scope"] = "organisation"
    if telling.limits:
        section["counts"] = provider.counts
        if provider.personality == "gemini":
            section["embedding_requests"] = "input"
        shared = [_window(spec, telling) for spec in provider.limits if _is_shared(spec)]
        if shared:
            section["limits"] = _by_plan(provider, {"windows": shared})
    return section


def _type(provider: SimulatedProvider) -> str:
    return (
        _COMPATIBLE
        if provider.personality is None
        else _NATIVE.get(provider.personality, _COMPATIBLE)
    )


def _credential(key: Key) -> dict[str, Any]:
    shown = {"id": key.id, "key": key.key, "plan": key.plan}
    return shown | ({"organisation": key.organisation} if key.organisation else {})


def _model(provider: SimulatedProvider, model: Model, telling: _Telling) -> dict[str, Any]:
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
    if "transcription" in model.kinds:
        shown |= _hearing(model)
        if provider.personality == "gemini":
            shown["audio_tokens_per_second"] = TOKENS_PER_S
    plan = _plan((*provider.limits, *model.limits), telling)
    if telling.limits and plan:
        shown["limits"] = _by_plan(provider, plan)
    return shown


def _hearing(model: Model) -> dict[str, Any]:
    """What it takes of audio, and what it tells of it."""
    shown: dict[str, Any] = {
        "max_audio_bytes": model.max_audio_bytes,
        "min_billed_seconds": model.min_billed_seconds,
        "timestamps": "word" if model.timestamps else "none",
        "speakers": model.speakers,
        "translates": model.translates,
        "price_usd_per_audio_hour": model.price_usd_per_hour,
    }
    if model.max_audio_seconds is not None:
        shown["max_audio_seconds"] = model.max_audio_seconds
    return shown


def _by_plan(provider: SimulatedProvider, limits: dict[str, Any]) -> dict[str, Any]:
    return dict.fromkeys(dict.fromkeys(key.plan for key in provider.keys), limits)


def _plan(specs: Sequence[LimitSpec], telling: _Telling) -> dict[str, Any]:
    """A model's own limits. Calls at once are told per model, also where models share them."""
    plan: dict[str, Any] = {}
    at_once = [spec.limit for spec in specs if spec.dimension == "concurrency"]
    if at_once:
        plan["concurrency"] = min(at_once)
    own = [spec for spec in specs if spec.dimension not in _UNTOLD and not _is_shared(spec)]
    windows = [_window(spec, telling) for spec in own]
    if windows:
        plan["windows"] = windows
    return plan


def _is_shared(spec: LimitSpec) -> bool:
    return spec.scope == "key" and spec.dimension not in _UNTOLD


def _window(spec: LimitSpec, telling: _Telling) -> dict[str, Any]:
    per = short_span(max(1, round(spec.span_us / telling.speed)))
    window: dict[str, Any] = {spec.dimension: spec.limit, "per": per}
    if telling.kinds:
        window["kind"] = spec.kind
        if spec.kind == "fixed" and spec.anchor != "epoch":
            window["anchor"] = spec.anchor
    return window
