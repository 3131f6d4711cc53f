"""What `headrace up` says once it serves."""

import pytest

from cli import greeting
from cli.home import Home, usual


@pytest.mark.parametrize(
    ("named", "typed"),
    [(None, "headrace"), ("/data/my own", "HEADRACE_DATA_DIR='/data/my own' headrace")],
)
def test_what_is_to_be_typed_finds_the_key_wherever_it_is_kept(named, typed, tmp_path, monkeypatch):
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path))  # elsewhere it may not be set
    assert greeting.command(usual() if named is None else Home(tmp_path / named)) == typed
