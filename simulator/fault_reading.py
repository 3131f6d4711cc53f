"""Faults as they are posted: checked by name and by value."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from simulator.durations import parse_span_us
from simulator.faults import BEFORE_BODY, KINDS, ON_ARRIVAL, ON_CONNECT, FaultSpec
from simulator.reading import refuse_unknown

_SPANS = {"for": "for_us", "retry_after": "retry_after_us"}


def fault_spec(given: Mapping[str, Any], speed: float) -> FaultSpec:
    """Read a posted fault; `for` and `retry_after` are simulated spans. Raises `ValueError`."""
    names = [each.name for each in fields(FaultSpec) if not each.name.endswith("_us")]
    refuse_unknown(given, "", (*names, *_SPANS))
    kind = given.get("kind")
    if kind not in KINDS:
        if kind is None:
            raise ValueError(f"kind is required: {', '.join(KINDS)}")
        near = difflib.get_close_matches(str(kind), KINDS, n=1, cutoff=0.0)
        raise ValueError(f"unknown kind {kind!r}; nearest is {near[0]!r}")
    plain: dict[str, Any] = {name: value for name, value in given.items() if name not in _SPANS}
    if kind == "slow":
        plain.setdefault("factor", 10.0)
    if kind == "limits":
        plain.setdefault("count", 1)
    if kind in ON_CONNECT | ON_ARRIVAL and given.get("key") is not None:
        raise ValueError(f"{kind!r} strikes before the key is known; leave 'key' out")
    if given.get("row") is not None and kind not in ("error", "error_in_200"):
        raise ValueError(f"'row' names an error; {kind!r} has one of its own")
    if kind in BEFORE_BODY | ON_CONNECT | ON_ARRIVAL and given.get("model") is not None:
        raise ValueError(f"{kind!r} strikes before the model is known; leave 'model' out")
    for name, (good, what) in _FAULT_FIELDS.items():
        if name in given and not good(given[name]):
            raise ValueError(f"{name}: expected {what}, got {given[name]!r}")
    spans: dict[str, Any] = {
        field: round(parse_span_us(given[name]) / speed)
        for name, field in _SPANS.items()
        if name in given
    }
    return FaultSpec(**plain, **spans)


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= least


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and value >= 0


_FAULT_FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "count": (_whole(1), "a whole number from 1"),
    "after_requests": (_whole(0), "a whole number from 0"),
    "after_chunks": (_whole(0), "a whole number from 0"),
    "status": (lambda value: value in range(400, 600), "an error status"),
    "probability": (lambda value: _is_number(value) and value <= 1, "a number from 0 to 1"),
    "factor": (_is_number, "a number from 0"),
}
