"""The real local engines as processes of their own, on a free port each."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from servers import free_port

from cli.tied import tie

ROOT = Path(__file__).parent.parent
KEY = "a-key-of-this-test"
START_S = 60.0


@dataclass(frozen=True)
class Engine:
    url: str
    pid: int

    def http(self, key: str = KEY) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {key}", "Connection": "close"}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=300, trust_env=False)


@contextmanager
def engine(kind: str) -> Iterator[Engine]:
    """`headrace engine KIND`, once it serves."""
    port = free_port()
    words = [sys.executable, "-m", "cli.main", "engine", kind, "--port", str(port)]
    env = os.environ | {"HEADRACE_ENGINE_KEY": KEY, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        tie(words), cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert "serving" in said, said + process.stdout.read()
        one = Engine(f"http://127.0.0.1:{port}", process.pid)
        deadline = time.monotonic() + START_S
        while not _healthy(one):
            assert time.monotonic() < deadline, "it does not answer"
            time.sleep(0.02)
        yield one
    finally:
        process.terminate()
        assert process.wait(60) is not None
        process.stdout.close()


def _healthy(one: Engine) -> bool:
    try:
        return httpx2.get(f"{one.url}/health", trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False
