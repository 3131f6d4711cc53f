"""What the command line's tests share: a stand-in API and the command, run in this process."""

from dataclasses import dataclass

import pytest
from fake_api import KEY, FakeApi, serving

from cli.main import main


@dataclass
class Ran:
    code: int
    out: str
    err: str


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """A running stand-in that the command line talks to."""
    with serving(FakeApi()) as api:
        monkeypatch.setenv("HEADRACE_URL", api.url)
        monkeypatch.setenv("HEADRACE_API_KEY", KEY)
        monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path))
        yield api


@pytest.fixture
def headrace(monkeypatch, capsys):
    """`headrace WORD…` in this process: its exit code, stdout and stderr."""

    def run(*words: str) -> Ran:
        monkeypatch.setattr("sys.argv", ["headrace", *words])
        code = 0
        try:
            main()
        except SystemExit as exc:
            code = exc.code if isinstance(exc.code, int) else 0 if exc.code is None else 1
        said = capsys.readouterr()
        return Ran(code, said.out, said.err)

    return run
