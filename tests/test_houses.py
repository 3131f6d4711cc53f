"""The borders between the houses: who may import whom."""

import ast
import ssl
from pathlib import Path

import pytest

from bench.__main__ import BENCHES
from cli.main import VERBS

ROOT = Path(__file__).parent.parent
OURS = {"api", "bench", "cli", "scheduler", "shared", "simulator", "workers"}
MAY_IMPORT = {
    "shared": {"shared"},
    "api": {"api", "shared"},
    "workers": {"workers", "shared"},
    "scheduler": {"scheduler", "shared"},
    "simulator": {"simulator"},
    "cli": OURS - {"bench"},
    "bench": OURS,
}


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return found


def files(house: str) -> list[Path]:
    found = sorted((ROOT / house).rglob("*.py"))
    assert found, f"{house} holds no code"
    return found


@pytest.mark.parametrize("house", sorted(MAY_IMPORT))
def test_a_house_imports_only_what_it_may(house):
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files(house)
        for name in imported(path)
        if name.partition(".")[0] in OURS - MAY_IMPORT[house]
    ]
    assert not wrong


def test_the_core_imports_only_itself_and_the_standard_library():
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files("shared/core")
        for name in imported(path)
        if name.partition(".")[0] in OURS and not name.startswith("shared.core")
    ]
    assert not wrong


def test_the_core_reads_no_clock_and_no_environment():
    forbidden = {"time", "os", "random", "asyncio", "structlog", "redis"}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files("shared/core")
        for name in imported(path)
        if name.partition(".")[0] in forbidden
    ]
    assert not wrong


def modules() -> dict[str, Path]:
    """Every module of ours by its name."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for house in OURS
        for path in files(house)
    }


def named(path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of ours that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & set(known) or {node.module}
    return found & set(known)


def test_no_module_imports_itself_in_a_circle():
    known = modules()
    left = {name: named(path, known) for name, path in known.items()}
    while free := {name for name, wants in left.items() if not wants & set(left)}:
        left = {name: wants for name, wants in left.items() if name not in free}
    assert not sorted(left)


BEGUN = {"api.main", "bench.__main__", "cli.main", "scheduler.main", "workers.main"}
BEGUN |= {"cli.demo.__main__", "cli.engines.__main__", "simulator.__main__", "simulator.child"}
BEGUN |= {"simulator.speak"}
PARSERS = {f"workers.sandboxed.{name}" for name in ("child", "documents", "audio")}
TWINS = {"shared.core.breaker", "shared.core.fairness"}
"""What begins a process, what a child process is told to run, and the twins of Lua scripts."""


def test_every_module_is_reached_from_a_process_or_by_name():
    known = modules()
    reached: set[str] = set()
    todo = BEGUN | PARSERS | {verb for verb, _ in VERBS.values()} | set(BENCHES.values())
    while todo:
        name = todo.pop()
        reached.add(name)
        todo |= named(known[name], known) - reached
    packages = {name for name, path in known.items() if path.name == "__init__.py"}
    assert not sorted(set(known) - reached - packages - TWINS)


def test_no_authority_of_the_world_is_trusted_here():
    names = [ca["subject"] for ca in ssl.create_default_context().get_ca_certs()]
    assert len(names) == 1
    assert "nobody" in str(names)
