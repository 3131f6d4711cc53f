"""The real system for a bench: `headrace up` with all its processes, in a directory of its own."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import orjson
import redis
import yaml

from bench import proc
from cli import address
from cli.tied import tie
from shared.store import server_place

KEY = "hr_bench_0123456789abcdef"
START_S = 90.0
STOP_S = 60.0
DROPPED = ("HEADRACE_", "REDIS_URL")


class Stack:
    """`headrace up` on a free port, ended on leaving the block.

    `config` is the configuration to serve, without API keys; `fsync` the store's; `tenants` are
    more callers: a name and an API key each.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        workers: int = 1,
        fsync: str = "always",
        env: Mapping[str, str] | None = None,
        tenants: Mapping[str, str] | None = None,
        told: bool = False,
    ) -> None:
        keys = [{"name": "bench", "key": KEY, "role": "admin"}]
        keys += [
            {"name": name, "key": key, "role": "user"} for name, key in (tenants or {}).items()
        ]
        self._config = {**config, "api_keys": keys}
        self._words = ["--host", "127.0.0.1", "--port", "0", "--workers", str(workers)]
        self._words += [] if told else ["--quiet"]
        self._env = {"HEADRACE_APPENDFSYNC": fsync, "HEADRACE_LOG_LEVEL": "warning", **(env or {})}
        self._folder = tempfile.TemporaryDirectory(prefix="hr-bench-", ignore_cleanup_errors=True)
        self._home = Path(self._folder.name)
        self._child: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        self.config_path.write_text(yaml.safe_dump(self._config), encoding="utf-8")
        places = ["--config", str(self.config_path), "--data-dir", str(self._data)]
        words = ["up", *places, *self._words]
        with (self._home / "up.log").open("wb") as log:
            self._child = subprocess.Popen(
                tie([*address.headrace_command(), *words]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=clean_environment() | self._env,
            )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._folder.cleanup()

    @property
    def config_path(self) -> Path:
        """The configuration it serves."""
        return self._home / "bench.yaml"

    @property
    def _data(self) -> Path:
        return self._home / "data"

    def _wait(self) -> None:
        """Until work can be accepted; RuntimeError with the last lines where it cannot."""
        assert self._child is not None  # noqa: S101 - for the type checker
        until = time.monotonic() + START_S
        while time.monotonic() < until and self._child.poll() is None:
            with contextlib.suppress(OSError):
                self.url = (self._data / "address").read_text(encoding="utf-8").strip()
            if self.url and address.ready(self.url):
                return
            time.sleep(0.05)
        raise RuntimeError(f"headrace up did not become ready:\n{self.log()}")

    def log(self) -> str:
        """The last lines it said."""
        lines = (self._home / "up.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-30:])

    def told(self, event: str) -> list[dict[str, Any]]:
        """What its parts logged of one event, in order; nothing unless it was `told`."""
        found, mark = [], f'"event":"{event}"'
        with (self._home / "up.log").open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if mark in line:
                    with contextlib.suppress(orjson.JSONDecodeError):
                        found.append(orjson.loads(line[line.find("{") :]))
        return found

    def processes(self) -> list[proc.Process]:
        """All processes of the stack as they stand."""
        return [] if self._child is None else proc.tree(self._child.pid)

    def pids(self, role: str) -> list[int]:
        """The processes of one role: `api`, `workers`, `scheduler`, `valkey-server`, `up`."""
        return [one.pid for one in self.processes() if one.role == role]

    def rss_mb(self) -> dict[str, float]:
        """Resident memory by role, the largest process of each."""
        most: dict[str, float] = {}
        for one in self.processes():
            most[one.role] = max(most.get(one.role, 0.0), round(one.rss_mb, 1))
        return most

    def store_url(self) -> str:
        """The address of its store."""
        return self._env.get("REDIS_URL") or server_place.url_of(self._data / "valkey")

    def store(self) -> "redis.Redis":
        """A connection to its store, to ask it for its figures."""
        return redis.Redis.from_url(self.store_url())


def clean_environment() -> dict[str, str]:
    """Our environment without settings of Headrace and without keys of real providers."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(DROPPED) and not name.endswith("_API_KEY")
    }
