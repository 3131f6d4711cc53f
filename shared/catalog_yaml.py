"""Reading YAML that people write: safely, bounded, no key twice; and spans like `30s`."""

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

try:
    from yaml import CSafeLoader as _Safe
except ImportError:  # a PyYAML built without libyaml: eight times slower, and the same values
    from yaml import SafeLoader as _Safe  # type: ignore[assignment]

from shared.errors import ConfigError

MAX_BYTES = 4 * 1024 * 1024
MAX_NODES = 500_000
MAX_DEPTH = 100

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def span_ms(text: str) -> int:
    """The milliseconds of `250ms`, `30s`, `5m`, `1.5h` or `1d`; ValueError if it is none of them.

    At least 1 ms and at most 366 days.
    """
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ValueError("should be a span such as 250ms, 30s, 5m, 1.5h or 1d")
    ms = round(float(match[1]) * _UNIT_MS[match[2]])
    if not 1 <= ms <= 366 * _UNIT_MS["d"]:
        raise ValueError("should be a span between 1ms and 366d")
    return ms


def read(path: Path) -> dict[str, Any]:
    """The mapping a YAML file holds, {} if it is empty; ConfigError names the file and line."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes; is it the right file?")
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        reason = exc.strerror or type(exc).__name__
        raise ConfigError(f"{path}: cannot be read ({reason}); check the path") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: is not UTF-8 text; save it as UTF-8") from exc
    return parse(text, str(path))


def parse(text: str, name: str) -> dict[str, Any]:
    """The mapping that YAML `text` holds; `name` is what errors call it."""
    try:
        value = _value(_Loader(text))
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigError(f"{where}: {exc.problem or exc.context}") from exc
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        raise ConfigError(f"{name}: is not YAML we can read: {exc}") from exc
    if not isinstance(value, dict):
        raise ConfigError(f"{name}: should be a mapping that starts with a line like `providers:`")
    return value


def _value(loader: "_Loader") -> Any:
    try:
        node = loader.get_single_node()
        if node is None:
            return {}
        _expanded(node, {}, set())
        return loader.construct_document(node)
    finally:
        loader.dispose()


class _Loader(_Safe):
    """SafeLoader that refuses a key given twice, and values too deep for the C stack."""

    _depth = 0

    def descend_resolver(self, current_node: yaml.Node | None, current_index: object) -> None:
        """Called as the composer enters each value: the one place it lets us count."""
        del current_index
        self._depth += 1
        if self._depth > MAX_DEPTH:
            mark = current_node.start_mark if current_node else None
            raise yaml.MarkedYAMLError(
                problem=f"more than {MAX_DEPTH} values inside each other", problem_mark=mark
            )

    def ascend_resolver(self) -> None:
        """Called as the composer leaves each value."""
        self._depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable) or key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands here twice; keep one", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _expanded(node: yaml.Node, sizes: dict[int, int], open_: set[int]) -> int:
    """How many nodes `node` has once its aliases are written out; refuses loops and bombs."""
    if id(node) in open_:
        raise yaml.MarkedYAMLError(problem="an alias holds itself", problem_mark=node.start_mark)
    if id(node) in sizes:
        return sizes[id(node)]
    open_.add(id(node))
    size = 1
    for child in node.value if isinstance(node, yaml.CollectionNode) else ():
        parts = child if isinstance(child, tuple) else (child,)
        size += sum(_expanded(part, sizes, open_) for part in parts)
    open_.discard(id(node))
    if size > MAX_NODES:
        raise yaml.MarkedYAMLError(
            problem=f"more than {MAX_NODES} values, aliases written out",
            problem_mark=node.start_mark,
        )
    sizes[id(node)] = size
    return size
