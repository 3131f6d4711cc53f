"""Addresses of `headrace up`: a port to be had, a store that answers, an API that is ready."""

import asyncio
import http.client
import json
import shutil
import socket
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from shared.errors import ConfigError, StoreError

ANY = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - to reach it, not to bind
ASK_S = 1.0
OK = 200
MOST_BYTES = 1 << 22


def base_url(host: str, port: int) -> str:
    """Where this machine reaches a server that listens there."""
    host = ANY.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def claimable(host: str, port: int) -> int:
    """The port, or a free one for 0. ConfigError says who has it, as far as one can see."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OverflowError as exc:
            raise ConfigError(f"HEADRACE_PORT: there is no port {port}") from exc
        except socket.gaierror as exc:
            raise ConfigError(f"HEADRACE_HOST: no address {host!r} ({exc.strerror})") from exc
        except OSError as exc:
            raise ConfigError(_taken(host, port, exc)) from exc
        return int(probe.getsockname()[1])


def _taken(host: str, port: int, exc: OSError) -> str:
    url = base_url(host, port)
    if ask(url, "/healthz") == OK:
        return f"port {port} is in use: a Headrace or the like answers at {url} (see --port)"
    return f"cannot listen on {host} port {port}: {exc.strerror} (choose another with --port)"


def ready(url: str) -> bool:
    """Whether the API says that work can be accepted."""
    return ask(url, "/readyz") == OK


def ask(url: str, path: str) -> int | None:
    """The status of a GET; None if nobody answers within a second."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ASK_S)
    with closing(connection):
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None


def read(url: str, path: str, key: str | None) -> dict[str, Any] | None:
    """The object that a GET with this key answers; None if there is none within a second."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=ASK_S)
    with closing(connection):
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {key}"})
            answer = connection.getresponse()
            found = json.loads(answer.read(MOST_BYTES)) if answer.status == OK else None
        except (OSError, http.client.HTTPException, ValueError):
            return None
    return found if isinstance(found, dict) else None


def check_store(redis_url: str) -> None:
    """ConfigError if the store of REDIS_URL cannot be reached or used; shows no password."""
    from shared.store import connect  # noqa: PLC0415 - 300 ms that an embedded store saves

    async def check() -> None:
        client = connect.commands(redis_url)
        try:
            await connect.ensure_usable(client)
        finally:
            await client.aclose()

    try:
        asyncio.run(check())
    except StoreError as exc:
        shown = connect.redacted(redis_url)
        raise ConfigError(f"REDIS_URL: the store at {shown} cannot be used: {exc}") from exc


def headrace_command() -> list[str]:
    """The words that run this very `headrace`."""
    beside = Path(sys.executable).parent / "headrace"
    script = str(beside) if beside.exists() else shutil.which("headrace")
    return [sys.executable, script] if script else [sys.executable, "-m", "cli.main"]
