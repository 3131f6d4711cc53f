"""Values read from configuration; what is wrong is refused by its place and by name."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from simulator.durations import parse_span_us


class ConfigError(ValueError):
    """The configuration is wrong; the message says where and what would be right."""


def refuse_unknown(given: Iterable[str], where: str, names: Iterable[str]) -> None:
    """Raise `ConfigError` for the first name that is not known, with the nearest that is."""
    known = list(names)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.0)
            raise ConfigError(
                f"{where + ': ' if where else ''}unknown key {name!r}; nearest is {near[0]!r}"
            )


def section(
    value: Any, where: str, *, required: Iterable[str] = (), optional: Iterable[str] = ()
) -> Mapping[str, Any]:
    """A mapping with the required names and no unknown ones."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where or 'configuration'}: expected a mapping")
    refuse_unknown(value, where, (*required, *optional))
    for name in required:
        if name not in value:
            raise ConfigError(f"{where or 'configuration'}: {name!r} is missing")
    return value


def distinct(names: Iterable[str], where: str) -> None:
    """Refuse a name that stands there twice."""
    seen = list(names)
    for name in seen:
        if seen.count(name) > 1:
            raise ConfigError(f"{where}: {name!r} stands there twice")


def checked(value: Any, where: str, what: str, good: Callable[[Any], bool]) -> Any:
    """The value, if it is good."""
    if not good(value):
        raise ConfigError(f"{where}: expected {what}, got {value!r}")
    return value


def choice(value: Any, choices: tuple[Any, ...], where: str) -> Any:
    """One of these values."""
    return checked(value, where, "one of " + ", ".join(choices), lambda v: v in choices)


def whole(value: Any, where: str, *, least: int = 0) -> int:
    """A whole number of at least `least`."""
    good = isinstance(value, int) and not isinstance(value, bool) and value >= least
    return int(checked(value, where, f"a whole number from {least}", lambda _: good))


def number(value: Any, where: str, *, above: float | None = None) -> float:
    """A number from 0, or above `above`."""
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    good = good and (value >= 0 if above is None else value > above)
    return float(
        checked(value, where, "a number" + (" above 0" if above == 0 else ""), lambda _: good)
    )


def flag(value: Any, where: str) -> bool:
    """True or false."""
    return bool(checked(value, where, "true or false", lambda v: isinstance(v, bool)))


def text(value: Any, where: str) -> str:
    """A text that is not empty."""
    return str(checked(value, where, "a text", lambda v: isinstance(v, str) and bool(v)))


def items(value: Any, where: str) -> list[Any]:
    """A list."""
    return list(
        checked(value, where, "a list", lambda v: (isinstance(v, list) and bool(v)) or v == [])
    )


def span(value: Any, where: str) -> int:
    """A span of time, in microseconds."""
    try:
        return parse_span_us(value)
    except ValueError as exc:
        raise ConfigError(f"{where}: {exc}") from exc
