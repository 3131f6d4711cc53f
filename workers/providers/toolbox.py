"""The caller's tools and what it wishes done with them, read once for all native wires. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

_MODES = {"auto": "auto", "none": "none", "required": "any", "any": "any"}


@dataclass(frozen=True, slots=True)
class Toolbox:
    """`functions` the model may call. `mode`: auto, none or any (it must call one).

    `only` is the one it must call. `lost` names what no native wire takes.
    """

    functions: tuple[Mapping[str, Any], ...] = ()
    mode: str = "auto"
    only: str | None = None
    lost: tuple[str, ...] = ()

    @property
    def forced(self) -> bool:
        """Whether the model has no choice but to call."""
        return bool(self.functions) and self.mode == "any"


def read(tools: Any, choice: Any) -> Toolbox:
    """The toolbox of a request's `tools` and `tool_choice`."""
    found: dict[str, Mapping[str, Any]] = {}
    lost: set[str] = set()
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            found[function["name"]] = {k: v for k, v in function.items() if v is not None}
        else:
            kind = tool.get("type") if isinstance(tool, dict) else None
            lost.add(f"tools[].type={kind}")
    mode, only, allowed, known = _choice(choice)
    if not known:
        lost.add("tool_choice")
    if allowed is not None:
        found = {name: function for name, function in found.items() if name in allowed}
    return Toolbox(tuple(found.values()), mode, only, tuple(sorted(lost)))


def _choice(choice: Any) -> tuple[str, str | None, tuple[str, ...] | None, bool]:
    """Mode, the one function, the allowed ones, and whether it was understood."""
    if choice is None:
        return "auto", None, None, True
    if isinstance(choice, str):
        return _MODES.get(choice, "auto"), None, None, choice in _MODES
    if isinstance(choice, dict):
        name = _name(choice)
        if name is not None:
            return "any", name, None, True
        allowed = choice.get("allowed_tools")
        if isinstance(allowed, dict) and isinstance(allowed.get("tools"), list):
            names = tuple(each for each in map(_name, allowed["tools"]) if each is not None)
            wanted = allowed.get("mode")
            return _MODES.get(wanted if isinstance(wanted, str) else "", "auto"), None, names, True
    return "auto", None, None, False


def _name(value: Any) -> str | None:
    function = value.get("function") if isinstance(value, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None


def arguments(text: Any) -> dict[str, Any]:
    """A call's arguments as the object native wires want; text that is none stays inside one."""
    if isinstance(text, dict):
        return text
    if not isinstance(text, str) or not text.strip():
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {"arguments": text}
    return value if isinstance(value, dict) else {"arguments": value}
