"""Configuration from a mapping or a YAML file; anything unknown is refused by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import yaml

from simulator.config import (
    Announce,
    Counts,
    Dialect,
    Dimension,
    Key,
    Latency,
    LimitSpec,
    Model,
    ModelKind,
    Output,
    PersonalityName,
    Scope,
    SimulatedProvider,
    SimulatorConfig,
    Speakers,
)
from simulator.durations import parse_span_us
from simulator.reading import (
    ConfigError,
    choice,
    distinct,
    flag,
    items,
    number,
    refuse_unknown,
    section,
    span,
    text,
    whole,
)
from simulator.windows import ANCHORS, Kind

SHORTHANDS: Mapping[str, tuple[Dimension, str | None]] = {
    "rps": ("requests", "1s"),
    "rpm": ("requests", "1m"),
    "rpd": ("requests", "1d"),
    "tpm": ("tokens", "1m"),
    "tpd": ("tokens", "1d"),
    "tokens_per_month": ("tokens", "30d"),
    "ash": ("audio_seconds", "1h"),
    "asd": ("audio_seconds", "1d"),
    "concurrency": ("concurrency", None),
}


def load_config(mapping: Mapping[str, Any]) -> SimulatorConfig:
    """Read a whole configuration.

    Raises:
        ConfigError: a key is unknown (the message names the nearest), missing or of wrong type.
    """
    given = section(
        mapping, "", required=("providers",), optional=("speed", "own_ports", "remember_ids")
    )
    providers = given["providers"]
    if not isinstance(providers, Mapping) or not providers:
        raise ConfigError("providers: expected a mapping of names to providers")
    return SimulatorConfig(
        providers=tuple(_provider(str(name), body) for name, body in providers.items()),
        speed=number(given.get("speed", 1.0), "speed", above=0),
        own_ports=flag(given.get("own_ports", False), "own_ports"),
        remember_ids=whole(given.get("remember_ids", 200_000), "remember_ids", least=1),
    )


def load_file(path: Path) -> SimulatorConfig:
    """Read a YAML file; raises `ConfigError` or `OSError`."""
    try:
        mapping = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as exc:
        raise ConfigError(f"{path}: not YAML: {exc}") from exc
    if not isinstance(mapping, Mapping):
        raise ConfigError(f"{path}: expected a mapping with the key 'providers'")
    return load_config(mapping)


def load_limits(value: Any, where: str) -> tuple[LimitSpec, ...]:
    """Read `[{requests: 60, per: 1m, kind: fixed}, …]` or the shorthand `{rpm: 60, tpm: 6000}`."""
    if isinstance(value, Mapping):
        refuse_unknown(value, where, SHORTHANDS)
        return tuple(
            _limit_of(SHORTHANDS[name], amount, f"{where}.{name}") for name, amount in value.items()
        )
    return tuple(_limit(item, f"{where}[{i}]") for i, item in enumerate(items(value, where)))


def _limit_of(short: tuple[Dimension, str | None], amount: Any, where: str) -> LimitSpec:
    dimension, span = short
    return LimitSpec(dimension, whole(amount, where), parse_span_us(span) if span else 0)


def _limit(value: Any, where: str) -> LimitSpec:
    given = section(value, where, optional=("per", "kind", "anchor", "scope", *_DIMENSIONS))
    dimensions = [name for name in _DIMENSIONS if name in given]
    if len(dimensions) != 1:
        raise ConfigError(f"{where}: name exactly one of {', '.join(_DIMENSIONS)}")
    dimension = dimensions[0]
    if dimension == "concurrency":
        refuse_unknown(given, where, ("concurrency", "scope"))
        span_us = 0
    else:
        span_us = span(given.get("per", "1m"), f"{where}.per")
    return LimitSpec(
        dimension=dimension,
        limit=whole(given[dimension], f"{where}.{dimension}"),
        span_us=span_us,
        kind=choice(given.get("kind", "sliding"), get_args(Kind), f"{where}.kind"),
        anchor=_anchor(given.get("anchor", "epoch"), f"{where}.anchor"),
        scope=choice(given.get("scope", "model"), get_args(Scope), f"{where}.scope"),
    )


def _provider(name: str, value: Any) -> SimulatedProvider:
    where = f"providers.{name}"
    if not name or "/" in name or name == "admin":
        raise ConfigError(f"{where}: a provider's name is a path segment, and not 'admin'")
    given = section(
        value,
        where,
        required=("models",),
        optional=(
            *("keys", "limits", "counts", "latency", "output"),
            *("dialect", "personality", "announce", "count_rejected"),
        ),
    )
    if "dialect" in given and given.get("personality") is not None:
        raise ConfigError(f"{where}: a personality has its own dialect; leave 'dialect' out")
    models = tuple(
        _model(m, f"{where}.models[{i}]") for i, m in enumerate(items(given["models"], where))
    )
    keys = tuple(
        _key(k, i, name, f"{where}.keys[{i}]")
        for i, k in enumerate(items(given.get("keys", [{}]), f"{where}.keys"))
    )
    distinct((m.id for m in models), f"{where}.models")
    distinct((k.id for k in keys), f"{where}.keys")
    distinct((k.key for k in keys), f"{where}.keys")
    return SimulatedProvider(
        name=name,
        models=models,
        keys=keys,
        limits=load_limits(given.get("limits", []), f"{where}.limits"),
        counts=choice(given.get("counts", "input+output"), get_args(Counts), f"{where}.counts"),
        latency=_latency(given.get("latency", {}), f"{where}.latency"),
        output=_output(given.get("output", {}), f"{where}.output"),
        dialect=choice(given.get("dialect", "openai"), get_args(Dialect), f"{where}.dialect"),
        announce=_announce(given.get("announce", {}), f"{where}.announce"),
        count_rejected=flag(given.get("count_rejected", False), f"{where}.count_rejected"),
        personality=_personality(given.get("personality"), f"{where}.personality"),
    )


def _personality(value: Any, where: str) -> PersonalityName | None:
    if value is None:
        return None
    found: PersonalityName = choice(value, get_args(PersonalityName), where)
    return found


def _anchor(value: Any, where: str) -> str:
    name = text(value, where)
    try:
        if name not in ANCHORS:
            ZoneInfo(name)
    except (ValueError, OSError, ZoneInfoNotFoundError) as exc:
        raise ConfigError(f"{where}: {name!r} is neither epoch, first_use nor a time zone") from exc
    return name


def _model(value: Any, where: str) -> Model:
    value = {"id": value} if isinstance(value, str) else value
    given = section(value, where, required=("id",), optional=_fields(Model))
    numbers = {
        name: whole(given[name], f"{where}.{name}", least=1)
        for name in (
            *("context_window", "max_output_tokens", "dimensions"),
            *("max_audio_bytes", "max_audio_seconds"),
        )
        if name in given
    }
    if "min_billed_seconds" in given:
        numbers["min_billed_seconds"] = whole(
            given["min_billed_seconds"], f"{where}.min_billed_seconds"
        )
    prices = {
        name: number(given[name], f"{where}.{name}")
        for name in ("price_input_usd_per_1m", "price_output_usd_per_1m", "price_usd_per_hour")
        if name in given
    }
    kinds = items(given.get("kinds", ["chat"]), f"{where}.kinds")
    return Model(
        id=text(given["id"], f"{where}.id"),
        kinds=tuple(choice(kind, get_args(ModelKind), f"{where}.kinds") for kind in kinds),
        limits=load_limits(given.get("limits", []), f"{where}.limits"),
        category=choice(given.get("category", "small"), _CATEGORIES, f"{where}.category"),
        timestamps=flag(given.get("timestamps", True), f"{where}.timestamps"),
        translates=flag(given.get("translates", False), f"{where}.translates"),
        speakers=choice(given.get("speakers", "none"), get_args(Speakers), f"{where}.speakers"),
        **numbers,
        **prices,  # type: ignore[arg-type]
    )


def _key(value: Any, index: int, provider: str, where: str) -> Key:
    value = {"key": value} if isinstance(value, str) else value
    given = section(value, where, optional=_fields(Key))
    organisation = given.get("organisation")
    return Key(
        id=text(given.get("id", f"{provider}-{index + 1}"), f"{where}.id"),
        key=text(given.get("key", f"sk-sim-{provider}-{index + 1}"), f"{where}.key"),
        organisation=None if organisation is None else text(organisation, f"{where}.organisation"),
        plan=text(given.get("plan", "free"), f"{where}.plan"),
    )


def _latency(value: Any, where: str) -> Latency:
    given = section(value, where, optional=_fields(Latency))
    return Latency(
        median_ms=number(given.get("median_ms", 0.0), f"{where}.median_ms"),
        sigma=number(given.get("sigma", 0.0), f"{where}.sigma"),
        seed=whole(given.get("seed", 0), f"{where}.seed"),
    )


def _output(value: Any, where: str) -> Output:
    given = section(value, where, optional=_fields(Output))
    rate, times = given.get("tokens_per_s"), given.get("audio_x")
    return Output(
        median_tokens=whole(given.get("median_tokens", 32), f"{where}.median_tokens", least=1),
        sigma=number(given.get("sigma", 0.0), f"{where}.sigma"),
        tokens_per_s=None if rate is None else number(rate, f"{where}.tokens_per_s", above=0),
        audio_x=None if times is None else number(times, f"{where}.audio_x", above=0),
    )


def _announce(value: Any, where: str) -> Announce:
    if isinstance(value, bool):
        return Announce(headers=value, retry_after=value, body=value)
    given = section(value, where, optional=_fields(Announce))
    return Announce(**{name: flag(value, f"{where}.{name}") for name, value in given.items()})


_CATEGORIES = ("small", "large", "reasoning")
_DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)


def _fields(cls: type) -> tuple[str, ...]:
    return tuple(cls.__dataclass_fields__)  # type: ignore[attr-defined]
