"""`headrace up` and other commands as real processes, without any key or setting of their user."""

import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
WAIT_S = 60.0
HEADRACE = [sys.executable, "-m", "cli.main"]


def environment(**more: str) -> dict[str, str]:
    hidden = ("HEADRACE_", "REDIS_URL")
    kept = {n: v for n, v in os.environ.items() if not n.startswith(hidden) and "_KEY" not in n}
    return kept | more


@contextmanager
def started(*words: str, **env: str):
    process = subprocess.Popen(
        [*HEADRACE, "up", *words],
        cwd=ROOT,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*HEADRACE, *words],
        cwd=ROOT,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


def child(parent: int, word: str) -> int | None:
    """The pid of a child of `parent` with this word in its command line."""
    tasks = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    for pid in map(int, tasks):
        try:
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if re.search(rf"(^|[ /]){word}( |$)", line):
            return pid
    return None


def eventually(condition):
    deadline = time.monotonic() + WAIT_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)
    return found
