"""What ships beside the code: compose file, image, pinned requirements."""

import ast
import importlib.metadata
import os
import re
import subprocess
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

from cli.main import VERBS
from shared import catalog, settings
from shared.catalog_schema import Config

ROOT = Path(__file__).resolve().parents[2]
SERVICES = {"valkey", "api", "workers", "scheduler"}

_STRINGS = {"type": "array", "items": {"type": "string"}}
_COMMAND = {"anyOf": [{"type": "string"}, _STRINGS]}
_DURATION = {"type": "string", "pattern": r"^(\d+(us|ms|s|m|h))+$"}
# The compose specification's rules for the keys we use: an unknown key is a typing mistake.
_SERVICE = {
    "type": "object",
    "required": ["image"],
    "additionalProperties": False,
    "properties": {
        "image": {"type": "string"},
        "build": {"anyOf": [{"type": "string"}, {"type": "object"}]},
        "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
        "stop_grace_period": _DURATION,
        "command": _COMMAND,
        "environment": {
            "type": "object",
            "additionalProperties": {"type": ["string", "number", "null"]},
        },
        "volumes": _STRINGS,
        "ports": {
            "type": "array",
            "items": {"type": "string", "pattern": r"^([\d.]+:)?\d+:\d+(/tcp)?$"},
        },
        "depends_on": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "required": ["condition"],
                "additionalProperties": False,
                "properties": {
                    "condition": {
                        "enum": [
                            "service_started",
                            "service_healthy",
                            "service_completed_successfully",
                        ]
                    }
                },
            },
        },
        "healthcheck": {
            "type": "object",
            "required": ["test"],
            "additionalProperties": False,
            "properties": {
                "test": {
                    "type": "array",
                    "minItems": 2,
                    "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}],
                    "items": {"type": "string"},
                },
                "interval": _DURATION,
                "timeout": _DURATION,
                "start_period": _DURATION,
                "retries": {"type": "integer", "minimum": 1},
            },
        },
    },
}
COMPOSE = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["services"],
    "additionalProperties": False,
    "patternProperties": {"^x-": {}},
    "properties": {
        "services": {"type": "object", "additionalProperties": _SERVICE},
        "volumes": {"type": "object"},
    },
}


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_the_compose_file_keeps_to_the_specification(compose):
    jsonschema.validate(compose, COMPOSE, jsonschema.Draft202012Validator)
    assert set(compose["services"]) == SERVICES


def test_every_variable_of_the_compose_file_is_one_we_read(compose):
    known = settings.variables() | {
        name for provider in catalog.build(Config()).providers for name in provider.env
    }
    for service in compose["services"].values():
        assert set(service.get("environment", {})) <= known


def test_every_service_runs_a_verb_of_ours_and_waits_for_a_healthy_store(compose):
    for name in SERVICES - {"valkey"}:
        service = compose["services"][name]
        assert service["command"][0] in VERBS
        assert service["depends_on"] == {"valkey": {"condition": "service_healthy"}}
        assert "redis://valkey:" in service["environment"]["REDIS_URL"]
    assert "healthcheck" in compose["services"]["valkey"]
    assert "/readyz" in " ".join(compose["services"]["api"]["healthcheck"]["test"])


def test_only_the_api_is_published_and_on_this_machine_only(compose):
    published = {name for name, service in compose["services"].items() if service.get("ports")}
    assert published == {"api"}
    (port,) = compose["services"]["api"]["ports"]
    address, outer, inner = port.split(":")
    assert address == "127.0.0.1"
    assert outer == inner == compose["services"]["api"]["environment"]["HEADRACE_PORT"]


def test_every_named_volume_is_declared(compose):
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source.startswith("$") or source in compose["volumes"]


def test_the_store_keeps_what_was_acknowledged_and_evicts_nothing(compose):
    command = compose["services"]["valkey"]["command"]
    for option in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"):
        assert option in command


def test_the_image_installs_pinned_requirements_only_and_is_not_root():
    text = (ROOT / "Dockerfile").read_text()
    installs = re.findall(r"pip install [^&\n]*", text)
    assert installs
    for line in installs:
        assert "--require-hashes" in line or "--no-index" in line, line
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["python:3.11-slim"] * 2
    assert "\nUSER headrace\n" in text
    for name in set(re.findall(r"HEADRACE_[A-Z_]+", text)):
        assert name in settings.variables()


def pins(name):
    """What is pinned, by package and, where that differs, by marker."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    rows = re.findall(r"^([\w.-]+)==([^\s;\\]+)(?: ; ([^\\\n]*))?", text, re.MULTILINE)
    return {(package, marker.strip()): version for package, version, marker in rows}


@pytest.mark.parametrize("name", ["base", "build", "engines", "speech"])
def test_what_is_installed_first_is_left_as_it_is_by_what_comes_later(name):
    some, all_ = pins(name), pins("dev")
    assert some
    assert not {at: (some[at], all_[at]) for at in some.keys() & all_ if some[at] != all_[at]}


def planned(venv, *targets):
    """What `make` would do, in order: which requirements it installs.

    In a dry run nothing is there afterwards, so a `make` within it would install all again.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    ran = subprocess.run(
        ["make", "--dry-run", f"VENV={venv}", *targets],
        cwd=ROOT, env=env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return list(dict.fromkeys(re.findall(r"-r requirements/(\w+)\.txt", ran.stdout)))


def test_to_serve_only_what_running_needs_is_installed_and_in_either_order(tmp_path):
    assert planned(tmp_path, "up") == ["base", "build"]
    assert planned(tmp_path, "demo") == ["base", "build", "engines", "speech"]
    assert planned(tmp_path, "setup") == ["base", "build", "dev"]
    whole = planned(tmp_path, "check")
    assert whole == ["base", "build", "dev", "engines", "speech"]
    (tmp_path / ".base").touch()  # it has served
    assert planned(tmp_path, "up") == []
    assert planned(tmp_path, "check") == whole[2:]
    for stamp in (".ready", ".engines", ".speech"):
        (tmp_path / stamp).touch()
    assert planned(tmp_path, "check", "up", "demo") == []


def test_what_runs_imports_nothing_that_only_developing_needs():
    kept = {package.lower().replace("_", "-") for package, _ in (*pins("base"), *pins("engines"))}
    of = importlib.metadata.packages_distributions()
    strange = {}
    for house in ("api", "cli", "scheduler", "shared", "simulator", "workers"):
        for path in (ROOT / house).rglob("*.py"):
            for name in imported(path):
                there = {one.lower().replace("_", "-") for one in of.get(name, ())}
                if there - {"headrace"} and not there & kept:
                    strange[name] = str(path.relative_to(ROOT))
    assert not strange


def imported(path):
    """The packages of others that a file names, wherever it imports them."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("name", ["base", "dev", "engines", "speech", "build"])
def test_requirements_are_pinned_with_hashes_and_name_no_index(name):
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    assert not re.search(r"https?://|file://|index-url|find-links|^-", text, re.MULTILINE)
    blocks = [block for block in re.split(r"\n(?=\S)", text.strip()) if block[0] != "#"]
    for block in blocks:
        assert re.match(r"[a-zA-Z0-9._\[\]-]+==\S+", block), block
        assert "--hash=sha256:" in block, block


def test_every_dependency_we_name_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, wanted in {
        "base": project["dependencies"],
        "dev": project["dependencies"] + project["optional-dependencies"]["dev"],
    }.items():
        text = (ROOT / "requirements" / f"{name}.txt").read_text()
        pinned = {line.split("==")[0].split("[")[0] for line in text.splitlines() if "==" in line}
        for item in wanted:
            assert re.split(r"[<>=\[; ]", item)[0] in pinned, item
