"""Whether an embedded server runs, who it is, and whether it takes commands: looking, no more."""

import fcntl
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import unquote, urlsplit

from shared.errors import ConfigError, StoreError
from shared.store.server_place import ServerOptions, url_of

LOG_TAIL_BYTES = 2_000
POLL_S = 0.01
PING_TIMEOUT_S = 1.0


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
