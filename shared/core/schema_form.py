"""Whether a JSON schema has the words that `core.json_shape` checks in their right form. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

_NUMBERS: Final = frozenset(
    {"minItems", "maxItems", "minLength", "maxLength"}
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
)
_SCHEMAS: Final = frozenset({"items", "additionalProperties"})
_LISTS: Final = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_NAMED: Final = frozenset({"properties", "$defs", "definitions"})
MOST_NAME_CHARS: Final = 64


def form_problem(schema: Mapping[str, Any], path: str) -> tuple[str, str] | None:
    """Where a schema is none, and what is wrong there; None where it is one. Not recursive."""
    left: list[tuple[str, Any]] = [(path, schema)]
    while left:
        where, one = left.pop()
        if isinstance(one, bool):
            continue
        if not isinstance(one, Mapping):
            return where, "should be a schema: an object, true or false"
        for word, value in one.items():
            if (wrong := _wrong(word, value)) is not None:
                return f"{where}.{word}", wrong
            left.extend(_inner(f"{where}.{word}", word, value))
    return None


def _wrong(word: str, value: Any) -> str | None:
    strings = isinstance(value, list) and all(isinstance(one, str) for one in value)
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    right, form = True, ""
    if word == "required":
        right, form = strings, "a list of strings"
    elif word == "type":
        right, form = strings or isinstance(value, str), "a string or a list of strings"
    elif word == "$ref":
        right, form = isinstance(value, str), "a string"
    elif word == "enum":
        right, form = isinstance(value, list), "a list"
    elif word in _LISTS:
        right, form = isinstance(value, list), "a list of schemas"
    elif word in _NAMED:
        right, form = isinstance(value, Mapping), "an object of schemas"
    elif word in _NUMBERS:
        right, form = number, "a number"
    return None if right else f"should be {form}"


def _inner(path: str, word: str, value: Any) -> Iterator[tuple[str, Any]]:
    if word in _SCHEMAS:
        yield path, value
    elif word in _LISTS:
        yield from ((f"{path}[{at}]", one) for at, one in enumerate(value))
    elif word in _NAMED:
        yield from ((f"{path}.{name[:MOST_NAME_CHARS]}", one) for name, one in value.items())
