"""`python -m bench NAME --json [--quick]`: measure one thing, or `all` of them.

Human lines come first. With `--json` the last line is one JSON object: the figures, the budget,
`met` (null where it could not be judged) and the machine.
"""

import argparse
import importlib
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orjson

from bench.figures import Options, Result
from bench.machine import machine

BENCHES = {
    "overhead": "bench.overhead",
    "throughput": "bench.throughput",
    "accept": "bench.accept",
    "makespan": "bench.makespan",
    "idle": "bench.idle",
    "backlog": "bench.backlog",
    "memory": "bench.memory",
    "select": "bench.selection",
    "recovery": "bench.recovery",
    "cooldown": "bench.cooldown",
    "seven": "bench.seven",
    "batch": "bench.batch",
    "audio": "bench.audio",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what is asked for; 0 also where a budget is missed: that is a figure, not a fault."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("name", choices=[*BENCHES, "all"])
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--quick", action="store_true", help="a tiny size: shows that it works")
    parser.add_argument("--litellm", action="store_true", help="throughput: against its proxy too")
    parser.add_argument("--jobs", type=int, help="how many jobs or calls")
    parser.add_argument("--case", help="makespan: only this case")
    given = parser.parse_args(argv)
    if given.name == "all":
        return _all(given)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    options = Options(given.quick, given.litellm, given.jobs, given.case)
    before = machine()
    result: Result = importlib.import_module(BENCHES[given.name]).run(options)
    print(f"-- {result.name}")
    print("\n".join(result.lines))
    print(_verdict(result))
    if given.json:
        _print(asdict(result) | {"machine": before, "quick": given.quick})
    return 0


def _verdict(result: Result) -> str:
    if result.missed:
        return "MISSED: " + "; ".join(result.missed)
    return "within its budget" if result.met else "not judged"


def _all(given: argparse.Namespace) -> int:
    """Each in a process of its own, one after the other."""
    results: dict[str, Any] = {}
    failed = 0
    for name in BENCHES:
        words = [sys.executable, "-m", "bench", name, "--json"]
        words += [f"--{flag}" for flag in ("quick", "litellm") if getattr(given, flag)]
        done = subprocess.run(words, stdout=subprocess.PIPE, check=False)
        lines = done.stdout.decode().splitlines()
        if done.returncode or not lines:
            failed += 1
            results[name] = {"name": name, "met": None, "error": f"exit code {done.returncode}"}
            print(f"-- {name}\nDID NOT RUN (exit code {done.returncode})", flush=True)
            continue
        print("\n".join(lines[:-1]), flush=True)
        results[name] = orjson.loads(lines[-1])
    if given.json:
        met = all(one["met"] is True for one in results.values())
        _print({"name": "all", "met": met, "benches": results, "machine": machine()})
    return 1 if failed else 0


def _print(value: Any) -> None:
    print(orjson.dumps(value).decode(), flush=True)


if __name__ == "__main__":
    sys.exit(main())
