"""`headrace up` as real processes, over a simulated provider; and what it refuses to begin with."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest
import yaml
from fake_api import KEY
from servers import free_port
from up_processes import ROOT, WAIT_S, child, eventually, run, started

import simulator
from cli import address
from cli.up import stopping


@pytest.fixture
def config(tmp_path):
    settings = simulator.preset("unlimited")
    with simulator.running(settings) as place:
        file = tmp_path / "headrace.yaml"
        file.write_text(yaml.safe_dump(simulator.headrace_config(settings, place)))
        yield file


@pytest.mark.timeout(300)
def test_up_serves_survives_kills_of_each_part_and_stops_cleanly(config, tmp_path):
    port, data = str(free_port()), str(tmp_path / "data")
    url = f"http://127.0.0.1:{port}"
    with started("-q", "--port", port, "--data-dir", data, "--config", str(config)) as up:
        said = []
        while "stop" not in (line := up.stdout.readline()):
            assert line, "\n".join(said)
            said.append(line)
        key = re.search(r"hr_[\w-]{43}", "".join(said))[0]
        assert address.ready(url)
        env = {"HEADRACE_URL": url, "HEADRACE_API_KEY": key}
        ran = run("submit", "hello", "--model", "sim-small", **env)
        assert (ran.returncode, bool(ran.stdout.strip())) == (0, True), ran.stderr

        here = run("submit", "hello again", "--model", "sim-small", HEADRACE_DATA_DIR=data)
        assert here.returncode == 0, here.stderr

        other = run("up", "--port", "0", "--data-dir", data)
        assert other.returncode == 2
        assert f"pid {up.pid}" in other.stderr

        for word in ("api", "workers", "scheduler", "valkey-server"):
            pid = eventually(lambda word=word: child(up.pid, word))
            os.kill(pid, signal.SIGKILL)
            eventually(lambda word=word, pid=pid: child(up.pid, word) not in (None, pid))
        eventually(lambda: address.ready(url))
        after = run("submit", "and now", "--model", "sim-small", HEADRACE_DATA_DIR=data)
        assert after.returncode == 0, after.stderr

        up.send_signal(signal.SIGTERM)
        assert up.wait(WAIT_S) == 0
        assert "headrace: stopping: Ctrl-C again to stop at once" in up.stdout.read()
        assert address.ask(url, "/healthz") is None


@pytest.mark.parametrize(
    ("running", "calls"),
    [(0, "Ctrl-C"), (1, "1 call is running, Ctrl-C"), (3, "3 calls are running, Ctrl-C")],
)
def test_what_stopping_waits_for_is_said(running, calls):
    assert stopping(running) == f"headrace: stopping: {calls} again to stop at once"


def test_an_answer_is_read_with_its_key_and_none_is_where_nobody_answers(fake):
    assert address.read(fake.url, "/v1/models", KEY)["data"][0]["id"] == "m1"
    assert address.read(fake.url, "/v1/models", None) is None
    assert address.read(f"http://127.0.0.1:{free_port()}", "/v1/models", KEY) is None


def test_a_port_in_use_is_named(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = run("up", "--port", port, "--data-dir", str(tmp_path / "data"))
    assert ran.returncode == 2
    assert f"port {port}" in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_a_store_that_cannot_be_reached_is_told_without_its_password(tmp_path):
    url = "redis://:hunter2@127.0.0.1:9/0"
    ran = run("up", "--port", "0", "--data-dir", str(tmp_path / "data"), REDIS_URL=url)
    assert ran.returncode == 2
    assert "REDIS_URL" in ran.stderr
    assert "hunter2" not in ran.stderr + ran.stdout


def test_a_wrong_configuration_is_one_line_and_nothing_is_started(tmp_path):
    (tmp_path / "bad.yaml").write_text("provders: {}\n")
    words = ["--port", "0", "--data-dir", str(tmp_path / "data")]
    ran = run("up", "--config", str(tmp_path / "bad.yaml"), *words)
    assert ran.returncode == 2
    assert "providers" in ran.stderr
    assert not (tmp_path / "data" / "valkey").exists()


def test_an_unexpected_fault_is_one_line_unless_debug_is_asked_for(headrace, monkeypatch):
    def broken(*_args: object) -> None:
        raise RuntimeError("oops")

    monkeypatch.setattr("cli.jobs.find", broken)
    ran = headrace("jobs", "list")
    assert ran.code == 1
    assert ran.err.startswith("headrace: RuntimeError: oops")
    monkeypatch.setenv("HEADRACE_DEBUG", "1")
    with pytest.raises(RuntimeError):
        headrace("jobs", "list")


def test_up_loads_nothing_that_only_tables_need_and_leaves_it_to_others():
    code = (
        "import sys; sys.argv = ['headrace', 'up', '--help']\n"
        "from cli.main import main\n"
        "try:\n main()\nexcept SystemExit: pass\n"
        "assert 'cli.up' in sys.modules and 'structlog' in sys.modules\n"
        "loaded = [name for name in sys.modules if name.partition('.')[0] == 'rich']\n"
        "import rich.table\n"
        "sys.exit(str(loaded) if loaded else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_help_imports_no_verb():
    code = (
        "import sys; sys.argv = ['headrace', '--help']\n"
        "from cli.main import main\n"
        "try:\n main()\nexcept SystemExit: pass\n"
        "heavy = {'httpx2', 'pydantic', 'redis', 'uvicorn', 'cli.up'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
