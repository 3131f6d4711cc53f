"""What `headrace up` says once it serves."""

import json
import shlex

import pytest

from cli import greeting
from cli.home import Home, usual
from cli.served import Served, Supply
from shared.credentials import Secret


def test_curl_can_be_typed_as_it_is_shown(tmp_path):
    supply = Supply((Served("alpha", 1, 2, no_auth=False),), {})
    said = greeting.text("http://h:1", Home(tmp_path), supply, Secret("hr_mine"), "here")
    lines = [line.strip() for line in said.splitlines()]
    at = next(n for n, line in enumerate(lines) if "export HEADRACE_API_KEY=hr_mine" in line)
    words = shlex.split(lines[at + 1])
    assert words[:2] == ["curl", "http://h:1/v1/chat/completions"]
    assert "Authorization: Bearer $HEADRACE_API_KEY" in words
    assert json.loads(words[-1])["model"] == "auto"


@pytest.mark.parametrize(
    ("named", "typed"),
    [(None, "headrace"), ("/data/my own", "HEADRACE_DATA_DIR='/data/my own' headrace")],
)
def test_what_is_to_be_typed_finds_the_key_wherever_it_is_kept(named, typed, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/headrace")
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path))  # elsewhere it may not be set
    assert greeting.command(usual() if named is None else Home(tmp_path / named)) == typed


def test_where_the_shell_does_not_find_it_the_way_to_it_is_shown(tmp_path, monkeypatch):
    there = tmp_path / ".venv/bin"
    there.mkdir(parents=True)
    (there / "headrace").touch()
    monkeypatch.setattr("shutil.which", lambda _: None)
    monkeypatch.setattr("sys.executable", f"{tmp_path}/cli/../.venv/bin/python")
    monkeypatch.chdir(tmp_path)
    assert greeting.command(usual()) == ".venv/bin/headrace"
    monkeypatch.chdir("/")
    assert greeting.command(usual()).endswith("/.venv/bin/headrace")
    assert ".." not in greeting.command(usual())
