"""Every bench runs at a tiny size on the real system; no figure is judged here."""

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from bench.__main__ import BENCHES

ROOT = Path(__file__).parents[2]
SIZES = {
    "throughput": [], "accept": [], "idle": [], "memory": ["--jobs", "200"],
    "batch": ["--jobs", "600"],
}  # fmt: skip


@pytest.mark.parametrize("name", BENCHES)
def test_a_bench_ends_with_one_json_object_of_its_figures(name):
    words = [sys.executable, "-m", "bench", name, "--json", "--quick", *SIZES.get(name, [])]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    lines = done.stdout.decode().splitlines()
    told = orjson.loads(lines[-1])
    assert told["name"] == name
    assert told["met"] in (True, False, None)
    assert told["figures"]
    assert told["budget"]
    assert {"cores", "cpu", "python", "valkey", "load"} <= told["machine"].keys()
    assert [line for line in lines[:-1] if line.startswith("{")] == []


def test_an_unknown_bench_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "nothing"], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 2
