"""What a person is told to type can be typed as it is shown."""

import sys

import pytest

from cli import typed
from cli.home import Home, usual


@pytest.fixture
def unfound(monkeypatch):
    """A shell that finds no `headrace`; what was typed is set by the test."""
    monkeypatch.setattr("shutil.which", lambda _: None)
    return lambda *argv: monkeypatch.setattr(sys, "argv", list(argv))


@pytest.mark.parametrize(
    ("named", "told"),
    [(None, "headrace"), ("/data/my own", "HEADRACE_DATA_DIR='/data/my own' headrace")],
)
def test_what_is_to_be_typed_finds_the_key_wherever_it_is_kept(named, told, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/headrace")
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path))  # elsewhere it may not be set
    assert typed.command(usual() if named is None else Home(tmp_path / named)) == told


@pytest.mark.parametrize("way", [".venv/bin/headrace", "/opt/my own/headrace"])
def test_where_the_shell_does_not_find_it_the_way_that_was_typed_is_shown(unfound, way):
    unfound(way, "up")
    assert typed.command(usual()) == (way if " " not in way else f"'{way}'")


def test_what_is_no_script_of_ours_is_not_shown(unfound):
    unfound("/src/cli/main.py", "up")
    assert typed.command(usual()) == "headrace"


def test_going_on_is_the_same_words_in_the_same_data_directory(unfound, monkeypatch, tmp_path):
    unfound("bin/headrace")
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path))
    told = f"HEADRACE_DATA_DIR={tmp_path} bin/headrace submit 'a b'"
    assert typed.again(["submit", "a b"]) == told
