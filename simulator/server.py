"""Serving a simulator: blocking, or as a child process that dies with its parent."""

import asyncio
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simulator.app import Simulator
from simulator.config import SimulatorConfig
from simulator.personalities import personality_of

_BACKLOG = 4_096
_STOP_S = 5


@dataclass(frozen=True, slots=True)
class Address:
    """Where a simulator listens.

    `base_urls` end in `/v1`, or with what a personality's provider has in its place; `roots` are
    what stands before that, where some SDKs begin.
    """

    url: str
    base_urls: Mapping[str, str] = field(default_factory=dict)
    roots: Mapping[str, str] = field(default_factory=dict)

    @property
    def admin_url(self) -> str:
        """The admin API's address, without a slash at the end."""
        return f"{self.url}/admin"


class Connection(HttpToolsProtocol):
    """uvicorn's connection, lent to the exchange so that a fault can break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Close at once where a fault wants that."""
        super().connection_made(transport)
        port = self.server[1] if self.server else None
        if port is not None and self.config.app.refuses_connection(port):  # type: ignore[union-attr]
            transport.abort()

    def on_message_begin(self) -> None:
        """Hand this connection to the application."""
        super().on_message_begin()
        self.scope["extensions"] = {"simulator": self}  # type: ignore[dict-item]


def address_of(config: SimulatorConfig, host: str, ports: list[int]) -> Address:
    """The address of a simulator whose common port is the first, then one a provider if any."""
    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{ports[0]}"
    names = [provider.name for provider in config.providers]
    if config.own_ports:
        own = zip(names, ports[1:], strict=True)
        roots = {name: f"http://{shown}:{port}" for name, port in own}
    else:
        roots = {name: f"{url}/{name}" for name in names}
    base_urls = {
        provider.name: f"{roots[provider.name]}/{personality_of(provider).prefix}"
        for provider in config.providers
    }
    return Address(url, base_urls, roots)


def listen(config: SimulatorConfig, host: str, port: int) -> list[socket.socket]:
    """Open the common port, and one a provider after it if they have their own; 0 is any."""
    count = 1 + (len(config.providers) if config.own_ports else 0)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return [
        socket.create_server((host, port + i if port else 0), family=family, backlog=_BACKLOG)
        for i in range(count)
    ]


def serve_on(config: SimulatorConfig, sockets: list[socket.socket]) -> None:
    """Serve on open sockets until SIGINT or SIGTERM."""
    numbers = [each.getsockname()[1] for each in sockets]
    names = [provider.name for provider in config.providers]
    app = Simulator(config, ports=dict(zip(numbers[1:], names, strict=False)))
    settings = uvicorn.Config(
        app,
        http=Connection,
        loop="uvloop" if _has_uvloop() else "asyncio",
        ws="none",
        interface="asgi3",
        lifespan="off",
        proxy_headers=False,
        access_log=False,
        log_level="warning",
        backlog=_BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    uvicorn.Server(settings).run(sockets=sockets)


def serve(config: SimulatorConfig, host: str = "127.0.0.1", port: int = 9200) -> None:
    """Serve until SIGINT or SIGTERM; raises `OSError` where the port is taken."""
    serve_on(config, listen(config, host, port))


class running:  # noqa: N801 - reads as a sentence: with running(config) as address
    """A simulator in a child process, on a free loopback port, ended on leaving the block.

    Works with `with` and `async with`, which give its `Address`. The child ends when its parent
    does, even on SIGKILL: its standard input, a pipe the parent holds, then closes.
    """

    def __init__(self, config: SimulatorConfig, host: str = "127.0.0.1", port: int = 0) -> None:
        self._config = config
        self._place = (host, port)
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The child's process id."""
        if self._child is None:
            raise RuntimeError("the simulator is not running")
        return self._child.pid

    def __enter__(self) -> Address:
        root = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        child = subprocess.Popen(
            [sys.executable, "-m", "simulator.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )
        self._child = child
        assert child.stdin is not None  # noqa: S101 - for the type checker
        assert child.stdout is not None  # noqa: S101
        on_main = threading.current_thread() is threading.main_thread()
        pickle.dump((self._config, *self._place, os.getpid() if on_main else None), child.stdin)
        child.stdin.flush()
        line = child.stdout.readline()
        if not line:
            self.__exit__()
            raise RuntimeError(f"the simulator did not start: exit code {child.returncode}")
        told = orjson.loads(line)
        return Address(**told)

    def __exit__(self, *_: object) -> None:
        child = self._child
        if child is None:
            return
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        child.terminate()
        try:
            child.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        self._child = None

    async def __aenter__(self) -> Address:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.__exit__)


def _has_uvloop() -> bool:
    try:
        import uvloop  # noqa: F401, PLC0415 - absent on Windows
    except ImportError:
        return False
    return True
