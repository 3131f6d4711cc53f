"""How deeply JSON may nest: what we read must also be writable, and orjson writes 254 levels."""

from typing import Any, Final

MAX_DEPTH: Final = 100


def deeper_than(value: Any, levels: int) -> bool:
    """Whether lists and objects stand more than `levels` deep in each other. Not recursive."""
    layer: list[Any] = [value]
    for _ in range(levels):
        layer = [
            inner
            for outer in layer
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
        if not layer:
            return False
    return True


def too_deep(value: Any, raw: bytes) -> bool:
    """Whether `value`, which was read of `raw`, nests too deeply; most need not be walked."""
    return raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and deeper_than(value, MAX_DEPTH)
