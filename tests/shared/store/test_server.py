"""The embedded server: its life, its death, and what survives it."""

import fcntl
import os
import platform
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from redis import Redis

from shared.errors import ConfigError, StoreError
from shared.store import server_exec, server_place
from shared.store.server import Server, command
from shared.store.server_look import is_held, ping, ready, running_pid, running_url
from shared.store.server_place import ServerOptions, find_binary, socket_path, url_of

READY_S = 30.0
PARENT = """
import subprocess, sys, threading
from pathlib import Path
from shared.store.server import Server, command
from shared.store.server_look import ready
from shared.store.server_place import url_of
data_dir, how, fsync = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
if how == "server":
    server = Server(data_dir, fsync=fsync)
    server.start()
else:
    child = subprocess.Popen(command(data_dir, fsync=fsync))
    assert ready(url_of(data_dir), 30)
print("ready", flush=True)
sys.stdin.read()
"""
STARTER = """
import sys
from shared.store.server import Server
server = Server(sys.argv[1], fsync="everysec")
print("at the line", flush=True)
sys.stdin.readline()
server.start()
print(server.pid, server.reused, flush=True)
sys.stdin.read()
"""


def wait_until_free(data_dir: Path) -> None:
    """Returns when the kernel has released the dead server's lock."""
    with ServerOptions(data_dir).lock_file.open("r") as file:
        fcntl.flock(file, fcntl.LOCK_SH)


def kill(server: Server) -> None:
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until_free(server.options.data_dir)


def client_of(server: Server) -> closing[Redis]:
    return closing(Redis.from_url(server.url))


@contextmanager
def python(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("fsync", ["always", "everysec"])
@pytest.mark.parametrize("how", ["server", "command"])
def test_the_server_dies_when_its_parent_is_killed(tmp_path, how, fsync):
    with python(PARENT, str(tmp_path), how, fsync) as parent:
        while line_of(parent) != "ready":  # what it logs comes first
            assert parent.poll() is None
        assert running_url(ServerOptions(tmp_path))
        parent.kill()
        wait_until_free(tmp_path)
    assert not ping(url_of(tmp_path))


def test_the_server_outlives_the_thread_that_started_it(tmp_path):
    server = Server(tmp_path)
    ids: list[int] = []

    def start() -> None:
        ids.append(threading.get_native_id())
        server.start()

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    while Path(f"/proc/self/task/{ids[0]}").exists():  # join returns a little before the end
        time.sleep(0.001)
    try:
        assert server.is_alive()
        assert not server.reused
    finally:
        server.stop()


def test_the_launcher_refuses_to_outlive_a_parent_that_has_gone(tmp_path):
    launcher = [sys.executable, "-I", "-S", server_exec.__file__]
    files = ["--lock", str(tmp_path / "lock"), "--pid-file", str(tmp_path / "pid")]
    done = subprocess.run(
        [*launcher, *files, "--parent", "1", "--", "/bin/echo", "became"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "parent process has gone" in done.stderr
    assert "became" not in done.stdout


def test_what_was_acknowledged_survives_a_kill_of_the_server(tmp_path):
    with Server(tmp_path, fsync="always") as server:
        with client_of(server) as client:
            for number in range(500):
                client.set(f"job:{number}", number)
        first = server.pid
        kill(server)
        assert not server.is_alive()
        server.start()
        assert server.pid != first
        with client_of(server) as client:
            assert client.dbsize() == 500
            assert client.get("job:499") == b"499"


def test_data_survive_a_stop(tmp_path):
    with Server(tmp_path, fsync="everysec") as server, client_of(server) as client:
        client.set("job", "kept")
    with Server(tmp_path, fsync="everysec") as server, client_of(server) as client:
        assert client.get("job") == b"kept"


def test_a_torn_last_write_does_not_stop_the_start(tmp_path):
    with Server(tmp_path) as server, client_of(server) as client:
        client.set("job:1", "whole")
        client.set("job:2", "torn")
    (last,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
    os.truncate(last, last.stat().st_size - 3)
    with Server(tmp_path) as server, client_of(server) as client:
        assert client.get("job:1") == b"whole"
        assert client.get("job:2") is None


def test_damaged_data_are_an_error_that_shows_the_log(tmp_path):
    with Server(tmp_path) as server, client_of(server) as client:
        client.set("job:1", "x" * 100)
    (last,) = (tmp_path / "appendonlydir").glob("*.incr.aof")
    last.write_bytes(b"no such format\r\n" + last.read_bytes())
    with pytest.raises(StoreError, match="Bad file format"):
        Server(tmp_path).start()
    assert not is_held(ServerOptions(tmp_path))


def test_a_second_start_uses_the_running_server_and_does_not_end_it(tmp_path):
    with Server(tmp_path) as first:
        second = Server(tmp_path)
        assert second.start() == first.url
        assert second.reused
        assert not first.reused
        assert second.pid == first.pid
        second.stop()
        assert first.is_alive()


def test_many_starts_at_once_make_one_server(tmp_path):
    with (
        python(STARTER, str(tmp_path)) as a,
        python(STARTER, str(tmp_path)) as b,
        python(STARTER, str(tmp_path)) as c,
    ):
        starters = (a, b, c)
        for starter in starters:
            assert line_of(starter) == "at the line"
        for starter in starters:
            assert starter.stdin is not None
            starter.stdin.write("go\n")
            starter.stdin.flush()
        answers = []
        for starter in starters:
            while not (line := line_of(starter)).endswith(("True", "False")):
                assert line, "a starter ended"
            answers.append(line.split())
    assert len({pid for pid, _ in answers}) == 1
    assert sorted(reused for _, reused in answers) == ["False", "True", "True"]


def test_a_second_command_stands_by_and_takes_over_on_the_same_data(tmp_path):
    url = url_of(tmp_path)
    with subprocess.Popen(command(tmp_path)) as first:
        try:
            assert ready(url, READY_S)
            assert running_pid(ServerOptions(tmp_path)) == first.pid
            with closing(Redis.from_url(url)) as client:
                client.set("job", "kept")
            with subprocess.Popen(command(tmp_path), stderr=subprocess.PIPE, text=True) as second:
                try:
                    assert second.stderr is not None
                    assert "standing by" in second.stderr.readline()
                    first.kill()
                    first.wait()
                    assert ready(url, READY_S)
                    assert running_pid(ServerOptions(tmp_path)) == second.pid
                    with closing(Redis.from_url(url)) as client:
                        assert client.get("job") == b"kept"
                finally:
                    second.kill()
        finally:
            first.kill()


def test_the_foreground_command_is_the_server_and_ends_on_sigterm(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "shared.store.server", "--data-dir", str(tmp_path)]
    ) as process:
        try:
            assert ready(url_of(tmp_path), READY_S)
            assert running_pid(ServerOptions(tmp_path)) == process.pid
            assert b"valkey-server" in Path(f"/proc/{process.pid}/cmdline").read_bytes()
            process.terminate()
            assert process.wait() == 0
        finally:
            process.kill()


@pytest.mark.parametrize("name", ["with space and ü", "x" * 200, "%41?db=1#"])
def test_any_data_directory_gets_a_socket_that_only_we_can_reach(tmp_path, name):
    with Server(tmp_path / name) as server:
        path = socket_path(server.options.data_dir)
        assert stat.S_ISSOCK(path.stat().st_mode)
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.options.data_dir.stat().st_mode) == 0o700
        assert Server(tmp_path / name).start() == server.url
        with client_of(server) as client:
            assert client.config_get("dir")["dir"] == str(tmp_path / name)
    if path.parent != server.options.data_dir:
        path.parent.rmdir()


def test_a_recorded_socket_directory_that_has_gone_or_is_open_to_others_is_not_used(tmp_path):
    data_dir = tmp_path / ("x" * 200)
    first = socket_path(data_dir)
    assert socket_path(data_dir) == first
    first.parent.chmod(0o755)
    second = socket_path(data_dir)
    assert second.parent != first.parent
    second.parent.rmdir()
    third = socket_path(data_dir)
    assert third.parent.is_dir()
    for left in (first.parent, third.parent):
        left.rmdir()


@pytest.mark.parametrize("content", [b"", b"12 monkeys", b"\xff\xfe", b"1\n"])
def test_the_pid_file_may_say_anything(tmp_path, content):
    options = ServerOptions(tmp_path)
    options.pid_file.write_bytes(content)
    assert running_pid(options) is None
    with Server(tmp_path) as server:
        assert server.pid is not None
        assert server.pid > 1
        options.pid_file.write_bytes(content)
        second = Server(tmp_path)
        second.start()
        assert second.reused


def test_a_platform_without_a_binary_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(ConfigError, match=r"no embedded Valkey for linux-riscv64.*REDIS_URL"):
        find_binary()


def test_a_missing_wheel_is_told_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(server_place.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match="REDIS_URL"):
        Server(tmp_path).start()


def test_the_foreground_command_says_in_one_line_what_is_missing(tmp_path):
    code = (
        "import platform, sys; platform.machine = lambda: 'riscv64';"
        "from shared.store.server import main; main(['--data-dir', sys.argv[1]])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "REDIS_URL" in line


def test_a_binary_that_does_not_run_is_an_error(tmp_path):
    broken = tmp_path / "valkey-server"
    broken.write_bytes(b"\x7fELF not really")
    broken.chmod(0o700)
    with pytest.raises(StoreError, match=r"(?s)ended.*Exec format error"):
        Server(tmp_path / "data", binary=broken).start()


def test_a_data_directory_that_cannot_be_made_is_a_config_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="not usable"):
        Server(tmp_path / "file" / "data").start()


def test_an_unknown_fsync_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="always or everysec"):
        Server(tmp_path, fsync="sometimes")


def test_a_server_that_ignores_sigterm_is_killed(tmp_path):
    server = Server(tmp_path)
    server.start()
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    server.stop(timeout_s=0.05)
    assert not is_held(server.options)
    assert not Path(f"/proc/{pid}").exists()


def test_the_server_runs_with_the_settings_that_keep_jobs(tmp_path):
    with Server(tmp_path) as server, client_of(server) as client:
        expected = {
            "appendonly": "yes",
            "appendfsync": "always",
            "aof-load-truncated": "yes",
            "save": "",
            "maxmemory-policy": "noeviction",
            "port": "0",
        }
        assert {name: client.config_get(name)[name] for name in expected} == expected


def test_tcp_is_served_on_the_loopback_only_when_asked(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Server(tmp_path, port=port) as server:
        assert ping(f"redis://127.0.0.1:{port}")
        with client_of(server) as client:
            assert client.config_get("bind")["bind"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("reply", "expected"),
    [(b"+PONG\r\n", True), (b"-LOADING data\r\n", False), (b"", False), (b"-BUSY x\r\n", False)],
)
def test_only_a_pong_is_ready(tmp_path, reply, expected):
    with one_reply(tmp_path / "fake.sock", reply) as url:
        assert ping(url) is expected


def test_a_store_that_wants_a_password_is_an_error_and_not_a_wait(tmp_path):
    fake = one_reply(tmp_path / "fake.sock", b"-NOAUTH Authentication required.\r\n")
    with fake as url, pytest.raises(StoreError, match="NOAUTH"):
        ready(url, READY_S)


def test_waiting_ends_when_the_process_has_gone(tmp_path):
    assert not ready(f"unix://{tmp_path}/nothing.sock", timeout_s=3600, gone=lambda: True)


def test_waiting_ends_when_its_time_is_over(tmp_path):
    assert not ready(f"unix://{tmp_path}/nothing.sock", timeout_s=0.02)


def test_a_long_log_is_put_aside(tmp_path, monkeypatch):
    monkeypatch.setattr(server_place, "MAX_LOG_BYTES", 10)
    (tmp_path / "server.log").write_text("from long ago" * 10)
    with Server(tmp_path):
        assert (tmp_path / "server.log.1").read_text().startswith("from long ago")
        assert "from long ago" not in (tmp_path / "server.log").read_text()


@contextmanager
def one_reply(path: Path, reply: bytes) -> Iterator[str]:
    """A server that answers its one client with `reply`."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"unix://{path}"
        thread.join()
