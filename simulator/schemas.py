"""A JSON value that satisfies a simple JSON Schema, the same for the same schema and text."""

from collections.abc import Mapping
from typing import Any

_MAX_DEPTH = 16
_FORMATS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "email": "miller@example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/",
    "ipv4": "192.0.2.1",
    "hostname": "example.com",
}


def satisfy(schema: Any, text: str) -> Any:
    """A value for the schema; free text fields hold `text`, cut or padded to their length.

    Knows type (also several), properties, items, enum, const, anyOf, oneOf, allOf, local $ref,
    bounds of length, count and number, and the common formats. Patterns are not followed.
    """
    return _value(schema, text, schema, 0)


def _value(schema: Any, text: str, root: Any, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > _MAX_DEPTH:
        return text
    chosen = _chosen(schema, root)
    if chosen is not None:
        return _value(chosen, text, root, depth + 1)
    if "const" in schema or schema.get("enum"):
        return schema["const"] if "const" in schema else schema["enum"][0]
    kind = _type_of(schema)
    if kind == "object":
        fields = schema.get("properties") or {}
        return {name: _value(sub, text, root, depth + 1) for name, sub in fields.items()}
    if kind == "array":
        count = max(1, int(schema.get("minItems", 1)))
        count = min(count, int(schema.get("maxItems", count)))
        return [_value(schema.get("items", {}), text, root, depth + 1) for _ in range(count)]
    return _scalar(kind, schema, text)


def _chosen(schema: Mapping[str, Any], root: Any) -> Any:
    """The schema this one stands for, if it is a reference, a choice or a sum."""
    if "$ref" in schema:
        return _resolve(str(schema["$ref"]), root)
    for word in ("anyOf", "oneOf"):
        if schema.get(word):
            return {**schema, word: None, **schema[word][0]}
    return _merged(schema, root) if schema.get("allOf") else None


def _scalar(kind: str, schema: Mapping[str, Any], text: str) -> Any:
    match kind:
        case "integer":
            return int(_number(schema, step=1))
        case "number":
            return _number(schema, step=0.5)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _string(schema, text)


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((k for k in kind if k != "null"), "null")
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    return str(kind)


def _merged(schema: Mapping[str, Any], root: Any) -> dict[str, Any]:
    whole = {name: value for name, value in schema.items() if name != "allOf"}
    properties = dict(whole.get("properties") or {})
    for part in schema["allOf"]:
        real = _resolve(str(part["$ref"]), root) if "$ref" in part else part
        properties.update(real.get("properties") or {})
        whole.update(real)
    return {**whole, "properties": properties} if properties else whole


def _resolve(reference: str, root: Any) -> Any:
    found = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step and isinstance(found, Mapping):
            found = found.get(step.replace("~1", "/").replace("~0", "~"), {})
    return found


def _number(schema: Mapping[str, Any], step: float) -> float:
    if "minimum" in schema:
        return float(schema["minimum"])
    if "exclusiveMinimum" in schema:
        return float(schema["exclusiveMinimum"]) + step
    if "maximum" in schema:
        return float(min(1, schema["maximum"]))
    if "exclusiveMaximum" in schema:
        return float(min(1, schema["exclusiveMaximum"] - step))
    return float(schema.get("multipleOf", 1))


def _string(schema: Mapping[str, Any], text: str) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    padded = text.ljust(least, ".")
    return padded if most is None else padded[: int(most)]
