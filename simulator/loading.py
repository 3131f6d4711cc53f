"""Configuration from a mapping or a YAML file; anything unknown is refused by name."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, get_args

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
    Scope,
    SimulatedProvider,
    SimulatorConfig,
)
from simulator.durations import parse_span_us
from simulator.windows import Anchor, Kind

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


class ConfigError(ValueError):
    """The configuration is wrong; the message says where and what would be right."""


def load_config(mapping: Mapping[str, Any]) -> SimulatorConfig:
    """Read a whole configuration.

    Raises:
        ConfigError: a key is unknown (the message names the nearest), missing or of wrong type.
    """
    given = _section(
        mapping, "", required=("providers",), optional=("speed", "own_ports", "remember_ids")
    )
    providers = given["providers"]
    if not isinstance(providers, Mapping) or not providers:
        raise ConfigError("providers: expected a mapping of names to providers")
    return SimulatorConfig(
        providers=tuple(_provider(str(name), body) for name, body in providers.items()),
        speed=_number(given.get("speed", 1.0), "speed", above=0),
        own_ports=_flag(given.get("own_ports", False), "own_ports"),
        remember_ids=_whole(given.get("remember_ids", 200_000), "remember_ids", least=1),
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


def refuse_unknown(given: Iterable[str], where: str, names: Iterable[str]) -> None:
    """Raise `ConfigError` for the first name that is not known, with the nearest that is."""
    known = list(names)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.0)
            raise ConfigError(
                f"{where + ': ' if where else ''}unknown key {name!r}; nearest is {near[0]!r}"
            )


def load_limits(value: Any, where: str) -> tuple[LimitSpec, ...]:
    """Read `[{requests: 60, per: 1m, kind: fixed}, …]` or the shorthand `{rpm: 60, tpm: 6000}`."""
    if isinstance(value, Mapping):
        refuse_unknown(value, where, SHORTHANDS)
        return tuple(
            _limit_of(SHORTHANDS[name], amount, f"{where}.{name}") for name, amount in value.items()
        )
    return tuple(_limit(item, f"{where}[{i}]") for i, item in enumerate(_list(value, where)))


def _limit_of(short: tuple[Dimension, str | None], amount: Any, where: str) -> LimitSpec:
    dimension, span = short
    return LimitSpec(dimension, _whole(amount, where), parse_span_us(span) if span else 0)


def _limit(value: Any, where: str) -> LimitSpec:
    given = _section(value, where, optional=("per", "kind", "anchor", "scope", *_DIMENSIONS))
    dimensions = [name for name in _DIMENSIONS if name in given]
    if len(dimensions) != 1:
        raise ConfigError(f"{where}: name exactly one of {', '.join(_DIMENSIONS)}")
    dimension = dimensions[0]
    if dimension == "concurrency":
        refuse_unknown(given, where, ("concurrency", "scope"))
        span_us = 0
    else:
        span_us = _span_us(given.get("per", "1m"), f"{where}.per")
    return LimitSpec(
        dimension=dimension,
        limit=_whole(given[dimension], f"{where}.{dimension}"),
        span_us=span_us,
        kind=_choice(given.get("kind", "sliding"), get_args(Kind), f"{where}.kind"),
        anchor=_choice(given.get("anchor", "epoch"), get_args(Anchor), f"{where}.anchor"),
        scope=_choice(given.get("scope", "model"), get_args(Scope), f"{where}.scope"),
    )


def _provider(name: str, value: Any) -> SimulatedProvider:
    where = f"providers.{name}"
    if not name or "/" in name or name == "admin":
        raise ConfigError(f"{where}: a provider's name is a path segment, and not 'admin'")
    given = _section(
        value,
        where,
        required=("models",),
        optional=(
            *("keys", "limits", "counts", "latency", "output"),
            *("dialect", "announce", "count_rejected"),
        ),
    )
    models = tuple(
        _model(m, f"{where}.models[{i}]") for i, m in enumerate(_list(given["models"], where))
    )
    keys = tuple(
        _key(k, i, name, f"{where}.keys[{i}]")
        for i, k in enumerate(_list(given.get("keys", [{}]), f"{where}.keys"))
    )
    _distinct((m.id for m in models), f"{where}.models")
    _distinct((k.id for k in keys), f"{where}.keys")
    _distinct((k.key for k in keys), f"{where}.keys")
    return SimulatedProvider(
        name=name,
        models=models,
        keys=keys,
        limits=load_limits(given.get("limits", []), f"{where}.limits"),
        counts=_choice(given.get("counts", "input+output"), get_args(Counts), f"{where}.counts"),
        latency=_latency(given.get("latency", {}), f"{where}.latency"),
        output=_output(given.get("output", {}), f"{where}.output"),
        dialect=_choice(given.get("dialect", "openai"), get_args(Dialect), f"{where}.dialect"),
        announce=_announce(given.get("announce", {}), f"{where}.announce"),
        count_rejected=_flag(given.get("count_rejected", False), f"{where}.count_rejected"),
    )


def _model(value: Any, where: str) -> Model:
    value = {"id": value} if isinstance(value, str) else value
    given = _section(value, where, required=("id",), optional=_fields(Model))
    numbers = {
        name: _whole(given[name], f"{where}.{name}", least=1)
        for name in ("context_window", "max_output_tokens", "dimensions")
        if name in given
    }
    prices = {
        name: _number(given[name], f"{where}.{name}")
        for name in ("price_input_usd_per_1m", "price_output_usd_per_1m")
        if name in given
    }
    kinds = _list(given.get("kinds", ["chat"]), f"{where}.kinds")
    return Model(
        id=_text(given["id"], f"{where}.id"),
        kinds=tuple(_choice(kind, get_args(ModelKind), f"{where}.kinds") for kind in kinds),
        limits=load_limits(given.get("limits", []), f"{where}.limits"),
        category=_choice(given.get("category", "small"), _CATEGORIES, f"{where}.category"),
        **numbers,
        **prices,  # type: ignore[arg-type]
    )


def _key(value: Any, index: int, provider: str, where: str) -> Key:
    value = {"key": value} if isinstance(value, str) else value
    given = _section(value, where, optional=_fields(Key))
    organisation = given.get("organisation")
    return Key(
        id=_text(given.get("id", f"{provider}-{index + 1}"), f"{where}.id"),
        key=_text(given.get("key", f"sk-sim-{provider}-{index + 1}"), f"{where}.key"),
        organisation=None if organisation is None else _text(organisation, f"{where}.organisation"),
        plan=_text(given.get("plan", "free"), f"{where}.plan"),
    )


def _latency(value: Any, where: str) -> Latency:
    given = _section(value, where, optional=_fields(Latency))
    return Latency(
        median_ms=_number(given.get("median_ms", 0.0), f"{where}.median_ms"),
        sigma=_number(given.get("sigma", 0.0), f"{where}.sigma"),
        seed=_whole(given.get("seed", 0), f"{where}.seed"),
    )


def _output(value: Any, where: str) -> Output:
    given = _section(value, where, optional=_fields(Output))
    rate = given.get("tokens_per_s")
    return Output(
        median_tokens=_whole(given.get("median_tokens", 32), f"{where}.median_tokens", least=1),
        sigma=_number(given.get("sigma", 0.0), f"{where}.sigma"),
        tokens_per_s=None if rate is None else _number(rate, f"{where}.tokens_per_s", above=0),
    )


def _announce(value: Any, where: str) -> Announce:
    if isinstance(value, bool):
        return Announce(headers=value, retry_after=value, body=value)
    given = _section(value, where, optional=_fields(Announce))
    return Announce(**{name: _flag(flag, f"{where}.{name}") for name, flag in given.items()})


_CATEGORIES = ("small", "large", "reasoning")
_DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)


def _fields(cls: type) -> tuple[str, ...]:
    return tuple(cls.__dataclass_fields__)  # type: ignore[attr-defined]


def _section(
    value: Any, where: str, *, required: Iterable[str] = (), optional: Iterable[str] = ()
) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where or 'configuration'}: expected a mapping")
    refuse_unknown(value, where, (*required, *optional))
    for name in required:
        if name not in value:
            raise ConfigError(f"{where or 'configuration'}: {name!r} is missing")
    return value


def _distinct(names: Iterable[str], where: str) -> None:
    seen = list(names)
    for name in seen:
        if seen.count(name) > 1:
            raise ConfigError(f"{where}: {name!r} stands there twice")


def _checked(value: Any, where: str, what: str, good: Callable[[Any], bool]) -> Any:
    if not good(value):
        raise ConfigError(f"{where}: expected {what}, got {value!r}")
    return value


def _choice(value: Any, choices: tuple[Any, ...], where: str) -> Any:
    return _checked(value, where, "one of " + ", ".join(choices), lambda v: v in choices)


def _whole(value: Any, where: str, *, least: int = 0) -> int:
    good = isinstance(value, int) and not isinstance(value, bool) and value >= least
    return int(_checked(value, where, f"a whole number from {least}", lambda _: good))


def _number(value: Any, where: str, *, above: float | None = None) -> float:
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    good = good and (value >= 0 if above is None else value > above)
    return float(
        _checked(value, where, "a number" + (" above 0" if above == 0 else ""), lambda _: good)
    )


def _flag(value: Any, where: str) -> bool:
    return bool(_checked(value, where, "true or false", lambda v: isinstance(v, bool)))


def _text(value: Any, where: str) -> str:
    return str(_checked(value, where, "a text", lambda v: isinstance(v, str) and bool(v)))


def _list(value: Any, where: str) -> list[Any]:
    return list(
        _checked(value, where, "a list", lambda v: (isinstance(v, list) and bool(v)) or v == [])
    )


def _span_us(value: Any, where: str) -> int:
    try:
        return parse_span_us(value)
    except ValueError as exc:
        raise ConfigError(f"{where}: {exc}") from exc
