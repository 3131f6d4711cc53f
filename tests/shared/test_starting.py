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
    return python(folder, BEGIN.format(form=form))


def python(folder, code, **more):
    path = os.pathsep.join([str(folder), *sys.path])
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path, "HEADRACE_DATA_DIR": str(folder), **more},
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


COUNTS = """
from shared import tokens

def run(found, base, **more):
    print(tokens._encoding.cache_info().currsize, "loaded")
"""


@pytest.mark.parametrize("kind", ["api", "workers"])
def test_who_counts_on_its_loop_has_the_ranks_before_it_serves(kind, tmp_path):
    """Loading them holds the interpreter's lock for a third of a second: no stream would go on."""
    (tmp_path / "process_of_a_test.py").write_text(COUNTS)
    code = (
        "import sys, process_of_a_test; from cli.main import main;"
        f" sys.modules['api.main'] = sys.modules['workers.pool'] = process_of_a_test;"
        f" sys.argv = ['headrace', '{kind}']; main()"
    )
    ended = python(tmp_path, code)
    assert ended.stdout.split() == ["1", "loaded"], ended.stderr


def test_a_worker_under_dramatiqs_own_command_has_them_too(tmp_path):
    code = (
        "import workers.main; from shared import tokens;"
        " print(tokens._encoding.cache_info().currsize, 'loaded')"
    )
    ended = python(tmp_path, code, REDIS_URL="redis://127.0.0.1:1/0")
    assert ended.stdout.split()[-2:] == ["1", "loaded"], ended.stderr
