"""Functions and the choice among them, as Gemini writes them. Sources: wire-chat.md 1.2, 1.5."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
_ODD = re.compile(r"[^A-Za-z0-9_]")
_KEPT_CHARS = 50
_SAYS_NOTHING = frozenset(
    {"type", "properties", "required", "additionalProperties", "$schema", "title", "description"}
)
_MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY", "any": "ANY"}


def sent_name(name: str) -> str:
    """`name` where Gemini takes it, else always the same stand-in."""
    if _NAME.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"f_{_ODD.sub('_', name)[:_KEPT_CHARS]}_{digest}"


def callers_names(request: Mapping[str, Any]) -> dict[str, str]:
    """The caller's names by those Gemini was told, where they differ."""
    names = [name for each in _functions(request.get("tools")) if (name := _name(each))]
    return {sent: name for name in names if (sent := sent_name(name)) != name}


def declared(tools: Any) -> tuple[list[dict[str, Any]], frozenset[str]]:
    """`tools` of a request, and what of the caller's is dropped: tools that are no functions."""
    functions = _functions(tools)
    lost = isinstance(tools, list) and len(functions) < len(tools)
    made = [_declaration(each) for each in functions]
    return (
        [{"functionDeclarations": made}] if made else [],
        frozenset({"tools"} if lost else ()),
    )


def chosen(choice: Any) -> dict[str, Any] | None:
    """`toolConfig` of a request; None where the caller leaves the choice to the model."""
    names: list[str] = []
    mode = _MODES.get(choice) if isinstance(choice, str) else None
    if isinstance(choice, Mapping):
        allowed = choice.get("allowed_tools")
        if choice.get("type") == "allowed_tools" and isinstance(allowed, Mapping):
            names = [name for each in _functions(allowed.get("tools")) if (name := _name(each))]
            # AUTO knows no list; VALIDATED is AUTO with one.
            mode = "ANY" if allowed.get("mode") == "required" else "VALIDATED"
        elif name := _name(choice.get("function")):
            mode, names = "ANY", [name]
    if mode is None:
        return None
    allow = {"allowedFunctionNames": [sent_name(name) for name in names]} if names else {}
    return {"functionCallingConfig": {"mode": mode, **allow}}


def _functions(tools: Any) -> list[Mapping[str, Any]]:
    listed = tools if isinstance(tools, list) else []
    found = [each.get("function") for each in listed if isinstance(each, Mapping)]
    return [each for each in found if isinstance(each, Mapping) and _name(each)]


def _name(function: Any) -> str | None:
    name = function.get("name") if isinstance(function, Mapping) else None
    return name if isinstance(name, str) and name else None


def _declaration(function: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"name": sent_name(function["name"])}
    if function.get("description"):
        made["description"] = function["description"]
    parameters = function.get("parameters")
    if isinstance(parameters, Mapping) and not _empty(parameters):
        made["parametersJsonSchema"] = parameters
    return made


def _empty(schema: Mapping[str, Any]) -> bool:
    """Whether a schema allows no argument: Gemini wants none then, not an object without fields."""
    return (
        schema.keys() <= _SAYS_NOTHING
        and not schema.get("properties")
        and not schema.get("additionalProperties")
    )
