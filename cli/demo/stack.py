"""A whole Headrace for the demo: `headrace up` as a real process, on a configuration of its own."""

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cli import address
from cli.client import Place
from cli.home import Home
from cli.tied import tie
from shared import catalog
from shared.errors import GatewayError

READY_S = 180.0
STOP_S = 20.0
POLL_S = 0.1
TAIL_LINES = 30


class NotReady(GatewayError):  # noqa: N818 - what it says
    """`headrace up` did not come up; the message holds the last it said."""


@contextlib.contextmanager
def running(config: Mapping[str, Any], *words: str) -> Iterator[Place]:
    """Serves `config` on a free port, from an empty data directory that is removed afterwards.

    `words` are further options of `headrace up`.
    """
    with tempfile.TemporaryDirectory(prefix="headrace-demo-") as name:
        home = Home(Path(name) / "data")
        file = Path(name) / "headrace.yaml"
        file.write_text(yaml.safe_dump(dict(config), sort_keys=False), encoding="utf-8")
        argv = [*address.headrace_command(), "up", "--port", "0"]
        argv += ["--data-dir", str(home.path), "--config", str(file), "--log-level", "warning"]
        argv += words
        process = subprocess.Popen(  # noqa: S603 - our own words, no shell
            tie(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(),
        )
        said = deque[str](maxlen=TAIL_LINES)
        threading.Thread(target=_listen, args=(process, said), daemon=True).start()
        try:
            yield _ready(process, home, said)
        finally:
            _stop(process)


def environment() -> dict[str, str]:
    """Ours without keys, stores and settings: the demo spends nothing and touches no other data."""
    named, _ = catalog.load(None)
    hidden = {"REDIS_URL", *(name for provider in named.providers for name in provider.env)}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in hidden and not name.startswith("HEADRACE_")
    }
    quiet = ",".join(filter(None, (kept.get("NO_PROXY") or kept.get("no_proxy"), "127.0.0.1")))
    return {**kept, "NO_PROXY": quiet, "no_proxy": quiet}


def _ready(process: subprocess.Popen[str], home: Home, said: deque[str]) -> Place:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and process.poll() is None:
        url = home.address()
        if url is not None and address.ready(url):
            return Place(url, home.client_key())
        time.sleep(POLL_S)
    raise NotReady("headrace up did not come up. It said last:\n  " + "\n  ".join(said))


def _listen(process: subprocess.Popen[str], said: deque[str]) -> None:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    for line in process.stdout:
        said.append(line.rstrip())
        if "DEMO_LOGS" in os.environ:
            sys.stderr.write(line)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
