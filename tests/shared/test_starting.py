"""How a server process begins."""

import os
import subprocess
import sys

import pytest

from cli import tied
from shared.store import server_exec

PROCESS = """
import gc
import sys

COLLECTING = gc.isenabled()

def run(found, base, **more):
    assert (COLLECTING, gc.isenabled()) == (False, True)
    import redis.asyncio, structlog, uvicorn
    loaded = {"rich", "opentelemetry", "watchfiles"} & {
        name.partition(".")[0] for name, module in sys.modules.items() if module is not None
    }
    assert not loaded, loaded
    assert base.first is not None and base.first.whole.deployments
    assert more == {"providers": None}, more
    tell = structlog.get_logger()
    try:
        raise ValueError("of no consequence")
    except ValueError:
        tell.exception("told")
    sys.stdout.write("ran")
"""
BEGIN = (
    "from cli import processes; from shared.settings import Settings;"
    " processes.begin('workers', 'process_of_a_test',"
    " Settings(log_format='{form}'), providers=None)"
)


def begun(folder, form):
    (folder / "process_of_a_test.py").write_text(PROCESS)
    path = os.pathsep.join([str(folder), *sys.path])
    return subprocess.run(
        [sys.executable, "-c", BEGIN.format(form=form)],
        env={**os.environ, "PYTHONPATH": path, "HEADRACE_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_server_loads_nothing_that_only_terminals_and_tracers_need(tmp_path):
    for form in ("json", "console"):
        ended = begun(tmp_path, form)
        assert (ended.returncode, ended.stdout) == (0, "ran"), ended.stderr
        assert "of no consequence" in ended.stderr


@pytest.mark.parametrize("launcher", [tied.__file__, server_exec.__file__])
def test_a_launcher_loads_nothing_that_takes_as_long_as_its_start(launcher):
    code = (
        "import sys; exec(open(sys.argv[1]).read(), {'__name__': 'launcher'});"
        " sys.exit(', '.join({'argparse', 'contextlib', 'enum', 'pathlib', 're', 'typing'}"
        " & set(sys.modules)) or None)"
    )
    words = [sys.executable, "-I", "-S", "-c", code, launcher]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
