"""Whether a JSON value fits a JSON schema, as far as models are asked to keep to one. Pure.

Checked: type, enum, const, properties, required, additionalProperties, items, prefixItems, anyOf,
oneOf, allOf, local `$ref`, and the bounds of numbers, strings and arrays. Other words say nothing.
Whether a schema itself has these words in their right form is told by `core.schema_form`.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

MOST_WORK: Final = 200_000  # about a µs each: an enum's values and a list's names count too
VISIT: Final = 5
TEXT_CHARS: Final = 64  # of a text are one
MOST_DEEP: Final = 60
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


class TooMuch(Exception):  # noqa: N818 - what it is
    """A schema that asks for more work than any answer is worth."""


def problem(value: Any, schema: Mapping[str, Any]) -> str | None:
    """What is wrong, and where; None where the value fits."""
    try:
        return next(_Check(schema).problems(value, schema, "", 0), None)
    except TooMuch:
        return "the schema is too large to be checked"


class _Check:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._work = 0
        self._targets: dict[str, Any] = {}
        self._weights: dict[int, int] = {}  # of what stands in the schema, by its identity

    def problems(self, value: Any, schema: Any, path: str, depth: int) -> Iterator[str]:
        self._count(VISIT + len(path) // TEXT_CHARS)
        if depth > MOST_DEEP:
            raise TooMuch
        if schema is True or schema is None:
            return
        if not isinstance(schema, Mapping):
            yield f"{path or 'it'} may not be there"
            return
        if isinstance(ref := schema.get("$ref"), str):
            yield from self.problems(value, self._target(ref), path, depth + 1)
        self._count(sum(self._weight(schema.get(word)) for word in _COUNTED))
        yield from _of_type(value, schema, path)
        yield from self._combined(value, schema, path, depth)
        if isinstance(value, dict):
            yield from self._object(value, schema, path, depth)
        elif isinstance(value, list):
            yield from self._array(value, schema, path, depth)
        else:
            yield from _bounds(value, schema, path)

    def _fits(self, value: Any, schema: Any, depth: int) -> bool:
        return next(self.problems(value, schema, "", depth + 1), None) is None

    def _count(self, work: int) -> None:
        self._work += work
        if self._work > MOST_WORK:
            raise TooMuch

    def _weight(self, part: Any) -> int:
        """How much work comparing with all of a part of the schema is; counted once a part."""
        if not isinstance(part, (dict, list, str)):
            return 0
        if id(part) not in self._weights:
            self._weights[id(part)] = _size(part)
        return self._weights[id(part)]

    def _target(self, ref: str) -> Any:
        if ref not in self._targets:
            self._targets[ref] = self._found(ref)
        return self._targets[ref]

    def _found(self, ref: str) -> Any:
        found: Any = self._root
        for part in ref.removeprefix("#").strip("/").split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if name:
                found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def _combined(
        self, value: Any, schema: Mapping[str, Any], path: str, depth: int
    ) -> Iterator[str]:
        for part in _listed(schema.get("allOf")):
            yield from self.problems(value, part, path, depth + 1)
        for word in ("anyOf", "oneOf"):
            parts = _listed(schema.get(word))
            fitting = sum(self._fits(value, part, depth) for part in parts)
            if parts and (fitting == 0 or (word == "oneOf" and fitting > 1)):
                yield f"{path or 'it'} fits {fitting} of the schemas of {word}"

    def _object(
        self, value: dict[str, Any], schema: Mapping[str, Any], path: str, depth: int
    ) -> Iterator[str]:
        known = schema.get("properties")
        known = known if isinstance(known, Mapping) else {}
        for name in _listed(schema.get("required")):
            if isinstance(name, str) and name not in value:
                yield f"{_at(path, name)} is missing"
        others = schema.get("additionalProperties", True)
        for name, inner in value.items():
            if name in known:
                yield from self.problems(inner, known[name], _at(path, name), depth + 1)
            elif others is not True:
                yield from self.problems(inner, others, _at(path, name), depth + 1)

    def _array(
        self, value: list[Any], schema: Mapping[str, Any], path: str, depth: int
    ) -> Iterator[str]:
        if len(value) < _number(schema.get("minItems"), 0):
            yield f"{path or 'it'} has too few items"
        if len(value) > _number(schema.get("maxItems"), math.inf):
            yield f"{path or 'it'} has too many items"
        first = _listed(schema.get("prefixItems"))
        for at, inner in enumerate(value):
            shape = first[at] if at < len(first) else schema.get("items", True)
            yield from self.problems(inner, shape, f"{path}[{at}]", depth + 1)


_COUNTED: Final = ("enum", "const", "type", "required")


def _size(part: Any) -> int:
    """How many values are in a value, a long text counting as several. Not recursive."""
    found, left = 0, [part]
    while left:
        one = left.pop()
        found += 1 + (len(one) // TEXT_CHARS if isinstance(one, str) else 0)
        if isinstance(one, dict):
            found += sum(1 + len(name) // TEXT_CHARS for name in one)
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)
    return found


def _of_type(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    wanted = schema.get("type")
    names = [wanted] if isinstance(wanted, str) else _listed(wanted)
    if names and not any(_is(value, str(name)) for name in names):
        yield f"{path or 'it'} should be of type {' or '.join(map(str, names))}"
    if "const" in schema and not _same(value, schema["const"]):
        yield f"{path or 'it'} should be {schema['const']!r}"
    if "enum" in schema and not any(_same(value, one) for one in _listed(schema["enum"])):
        yield f"{path or 'it'} is none of the values of its enum"


def _bounds(value: Any, schema: Mapping[str, Any], path: str) -> Iterator[str]:
    where = path or "it"
    if isinstance(value, str):
        if len(value) < _number(schema.get("minLength"), 0):
            yield f"{where} is too short"
        if len(value) > _number(schema.get("maxLength"), math.inf):
            yield f"{where} is too long"
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if value < _number(schema.get("minimum"), -math.inf):
            yield f"{where} is less than {schema['minimum']}"
        if value > _number(schema.get("maximum"), math.inf):
            yield f"{where} is more than {schema['maximum']}"
        if value <= _number(schema.get("exclusiveMinimum"), -math.inf):
            yield f"{where} is not more than {schema['exclusiveMinimum']}"
        if value >= _number(schema.get("exclusiveMaximum"), math.inf):
            yield f"{where} is not less than {schema['exclusiveMaximum']}"


def _is(value: Any, name: str) -> bool:
    types = _TYPES.get(name)
    if types is None:
        return True
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, types)


def _same(one: Any, other: Any) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _number(value: Any, default: float) -> float:
    plain = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if plain else default


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else str(name)


_FENCE: Final = "```"


def bare(text: str) -> str:
    """An answer without the fence that models like to put around JSON."""
    whole = text.strip()
    head, opened, rest = whole.partition("\n")
    body, closed, last = rest.rpartition("\n")
    # not by a pattern: a small model may write thousands of line breaks, and every one is a way on
    word = head.removeprefix(_FENCE).rstrip()
    fence = head.startswith(_FENCE) and (not word or (word.isascii() and word.isalpha()))
    return body if fence and opened and closed and last.strip() == _FENCE else whole
