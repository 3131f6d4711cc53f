"""LiteLLM's proxy in a virtual environment of its own, serving the simulator's providers."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import yaml

from bench import proc
from bench.chats import MODEL
from bench.stack import clean_environment
from cli import address
from cli.tied import tie

START_S = 120.0
STOP_S = 10.0
OK = 200


class Proxy:
    """A worker process a core, logs off, no database: its own advice for speed."""

    key = "sk-litellm-bench"

    def __init__(self, base_urls: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="hr-litellm-", ignore_cleanup_errors=True)
        self._home = Path(os.environ.get("BENCH_LITELLM_DIR") or self._folder.name)
        self._models = [
            {
                "model_name": MODEL,
                "litellm_params": {
                    "model": f"openai/{MODEL}",
                    "api_base": url,
                    "api_key": f"sk-sim-{name}-1",
                },
            }
            for name, url in base_urls.items()
        ]
        self._child: subprocess.Popen[bytes] | None = None
        self.url = ""

    def __enter__(self) -> Self:
        python = self._install()
        port = address.claimable("127.0.0.1", 0)
        cores = str(len(os.sched_getaffinity(0)))
        config = {
            "model_list": self._models,
            "general_settings": {"master_key": self.key},
            "litellm_settings": {"set_verbose": False, "num_retries": 0},
        }
        path = self._home / "litellm.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
        words = ["--config", str(path), "--port", str(port), "--host", "127.0.0.1"]
        log = (self._home / "litellm.log").open("wb")
        with log:
            self._child = subprocess.Popen(
                tie([str(python.parent / "litellm"), *words, "--num_workers", cores]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env=clean_environment() | {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"},
            )  # fmt: skip
        self.url = f"http://127.0.0.1:{port}/v1"
        self._wait(f"http://127.0.0.1:{port}")
        return self

    def __exit__(self, *_: object) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(STOP_S)
            child.kill()
            child.wait()
        self._folder.cleanup()

    def processes(self) -> list[proc.Process]:
        """The proxy's processes, all as `litellm`."""
        found = [] if self._child is None else proc.tree(self._child.pid)
        return [proc.Process(one.pid, "litellm", one.cpu_s, one.rss_mb) for one in found]

    def _install(self) -> Path:
        """Its python, installed first where it is not there yet."""
        python = self._home / "venv/bin/python"
        if not (python.parent / "litellm").exists():
            print("installing litellm[proxy] …", file=sys.stderr)
            venv.create(self._home / "venv", with_pip=True)
            words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([python, *words, "litellm[proxy]"], check=True)
        return python

    def _wait(self, base: str) -> None:
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self._child is not None and self._child.poll() is not None:
                break
            if address.ask(base, "/health/liveliness") == OK:
                return
            time.sleep(0.2)
        said = (self._home / "litellm.log").read_text(encoding="utf-8", errors="replace")
        raise RuntimeError(f"LiteLLM's proxy did not start:\n{said[-2000:]}")
