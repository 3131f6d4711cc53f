"""Lines of a provider's error table, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from simulator.durations import SECOND_US, ceil_seconds, go_duration

NOTHING: Mapping[str, Any] = MappingProxyType({})
_UNTOLD_WAIT_US = 30 * SECOND_US


@dataclass(frozen=True, slots=True)
class Row:
    """One error as a provider words it.

    `{model}`, `{org}`, `{message}`, `{limit}`, `{requested}`, `{prompt}`, `{wanted}`, `{wait}` (as
    Go writes it), `{wait_s}` and `{reset_ms}` are filled in wherever a text holds them. `more`
    joins the error object; `raw` is the whole body where the provider uses another shape for this
    one. `retry` says whether a wait is told in headers, where one is known.
    """

    status: int
    message: str
    type: str = ""
    code: str | None = None
    param: str | None = None
    more: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    raw: Mapping[str, Any] | None = None
    retry: bool = False


def facts_of(wait_us: int | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """Everything a row may ask for; what is not given has a plain default."""
    told_us = _UNTOLD_WAIT_US if wait_us is None else wait_us
    return {
        "model": "",
        "org": "org_sim",
        "message": "Bad request.",
        "limit": 8_000,
        "requested": 12_000,
        "prompt": 12_000,
        "wanted": 0,
        "wait": go_duration(told_us),
        "wait_s": ceil_seconds(told_us),
        "reset_ms": 4_102_444_800_000,
        **given,
    }


def filled(row: Row, facts: Mapping[str, Any]) -> Row:
    """The row with its texts filled in."""
    return replace(
        row,
        message=row.message.format_map(facts),
        more=_filled(row.more, facts),
        raw=_filled(row.raw, facts),
    )


def _filled(value: Any, facts: Mapping[str, Any]) -> Any:
    if isinstance(value, str):
        return value.format_map(facts)
    if isinstance(value, Mapping):
        return {name: _filled(part, facts) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(part, facts) for part in value]
    return value
