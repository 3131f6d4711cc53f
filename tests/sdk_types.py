"""Holds what we send to the types of an official SDK."""

import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter


def consumed(value: Any) -> None:
    """SDK types hold lazily validated iterables: going through them is what checks them."""
    if isinstance(value, Mapping):
        for each in value.values():
            consumed(each)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for each in value:
            consumed(each)


def valid(adapter: TypeAdapter[Any], body: Mapping[str, Any]) -> None:
    consumed(adapter.validate_python([body]))


def unknown_to(dumped: Any, sent: Any, path: str = "") -> list[str]:
    """What of `sent` a model forgot: fields its type does not know."""
    if isinstance(sent, dict):
        if not isinstance(dumped, dict):
            return [path]
        return [
            lost
            for name, value in sent.items()
            for lost in (
                unknown_to(dumped[name], value, f"{path}.{name}")
                if name in dumped
                else [f"{path}.{name}"]
            )
        ]
    if isinstance(sent, list) and isinstance(dumped, list) and len(sent) == len(dumped):
        pairs = enumerate(zip(dumped, sent, strict=True))
        return [lost for at, (a, b) in pairs for lost in unknown_to(a, b, f"{path}[{at}]")]
    return [] if dumped == sent else [path]


def valid_arguments(method: Callable[..., Any], body: Mapping[str, Any]) -> None:
    """Holds a body to the typed parameters of an SDK's method, whose models let extras pass."""
    hints = typing.get_type_hints(method, include_extras=True)
    assert body.keys() <= hints.keys(), body.keys() - hints.keys()
    for name, value in body.items():
        made = TypeAdapter(hints[name]).validate_python(value)
        assert extras(made, name) == []


def extras(made: Any, path: str) -> list[str]:
    """The fields in models that their types do not know."""
    if isinstance(made, BaseModel):
        known = [(f"{path}.{name}", getattr(made, name)) for name in type(made).model_fields]
        return [
            *(f"{path}.{name}" for name in made.model_extra or ()),
            *(lost for where, value in known for lost in extras(value, where)),
        ]
    if isinstance(made, list):
        return [lost for at, each in enumerate(made) for lost in extras(each, f"{path}[{at}]")]
    return []
