"""JSON schemas for hosts that take a part of the language only. Pure; the caller's is not changed.

What a host refuses is not lost: it becomes words in the description, which the model may heed.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import orjson

SIZES = frozenset(
    {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "contains"),
        *("minProperties", "maxProperties"),
    }
)
_NAMED = ("properties", "$defs", "definitions", "patternProperties")
_NESTED = ("items", "not", "additionalProperties")
_LISTS = ("anyOf", "allOf", "prefixItems")
_DEEPEST = 64  # what lies deeper goes as it is


def lowered(schema: Any, refused: Collection[str], *, closed: bool = False, depth: int = 0) -> Any:
    """`schema` without the keywords `refused`; `oneOf` is `anyOf`. `closed`: no other properties.

    A keyword may be refused for its value too, as `name=value`.
    """
    if not isinstance(schema, dict) or depth > _DEEPEST:
        return schema

    def inner(value: Any) -> Any:
        return lowered(value, refused, closed=closed, depth=depth + 1)

    result: dict[str, Any] = {}
    words: list[str] = []
    for name, value in schema.items():
        if name in refused or (isinstance(value, str) and f"{name}={value}" in refused):
            words.append(f"{name}: {_shown(value)}")
        else:
            known = "anyOf" if name == "oneOf" and "anyOf" not in schema else name
            result[known] = _within(known, value, inner)
    if words:
        said = result.get("description")
        result["description"] = " ".join([*([said] if said else []), f"({', '.join(words)})"])
    if closed and _is_object(result):
        result["additionalProperties"] = False
    return result


def _within(name: str, value: Any, inner: Callable[[Any], Any]) -> Any:
    """A keyword's value, with the schemas inside it lowered."""
    if name in _NAMED and isinstance(value, dict):
        return {key: inner(each) for key, each in value.items()}
    if name in _LISTS and isinstance(value, list):
        return [inner(each) for each in value]
    return inner(value) if name in _NESTED else value


def _is_object(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
