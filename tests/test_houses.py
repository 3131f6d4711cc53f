"""The borders between the houses: who may import whom."""

import ast
from pathlib import Path

import pytest

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
