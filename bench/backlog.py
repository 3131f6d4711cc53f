"""What a claim and an accept cost with 1,000, 100,000 and 1,000,000 jobs queued.

The jobs go in through the store's own `accept`, in its batches. Their lane is closed by a quota of
one call a day; the claims measured are of another lane, which then holds a thousand of its own and
shares every index with the backlog. One accept or claim a call, so that each pays for its own
sync to disk. The figures judged are the processor time of the server's thread, divided by that of a
yardstick of constant work at the same moment, which shows what other programs do to the machine.
`_script_us` are wall time, from `INFO commandstats`.
"""

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bench import load
from bench.figures import Options, Result, judged
from bench.filling import Filling
from bench.stack import KEY, clean_environment
from cli import address
from cli.tied import tie
from shared import log
from shared.store.server import Server

SIZES = (1_000, 100_000, 1_000_000)
QUICK = (200, 1_000)
CHANGE = 1.20
BYTES_A_JOB = 2_048
PROVIDERS = ("parked", "open")


def run(options: Options) -> Result:
    """Fills the store step by step and measures at each."""
    log.configure(level="error", format_="json")
    sizes = QUICK if options.quick else (*SIZES[:2], options.jobs or SIZES[2])
    with tempfile.TemporaryDirectory(prefix="hr-bench-", ignore_cleanup_errors=True) as folder:
        config = Path(folder) / "bench.yaml"
        config.write_text(yaml.safe_dump(_config()), encoding="utf-8")
        server = Server(Path(folder) / "valkey", fsync="always")
        with server, _api(server.url, config) as url:
            filling = Filling(server.url, config, f"{url}/v1", quick=options.quick)
            steps = load.run(filling.measure(sizes))
    return _result(steps)


def _config() -> dict[str, Any]:
    most = {"parked": 1, "open": 10_000_000}
    providers = {
        name: {
            "type": "openai-compatible",
            "base_url": "http://127.0.0.1:9/v1",
            "credentials": [{"id": f"{name}-1", "key": "sk-none", "plan": "free"}],
            "models": [
                {
                    "id": f"sim-{name}",
                    "context_window": 131_072,
                    "max_output_tokens": 4_096,
                    "limits": {"free": {"windows": [{"requests": most[name], "per": "1d"}]}},
                }
            ],
        }
        for name in PROVIDERS
    }
    return {"providers": providers, "api_keys": [{"name": "bench", "key": KEY, "role": "admin"}]}


@contextlib.contextmanager
def _api(redis_url: str, config: Path) -> Iterator[str]:
    """One API process on that store, without workers: nothing is claimed but by us."""
    port = address.claimable("127.0.0.1", 0)
    url = f"http://127.0.0.1:{port}"
    given = {"REDIS_URL": redis_url, "HEADRACE_LOG_LEVEL": "error"}
    words = ["api", "--port", str(port), "--config", str(config)]
    child = subprocess.Popen(
        tie([*address.headrace_command(), *words]),
        stdin=subprocess.DEVNULL,
        env=clean_environment() | given,
    )
    try:
        yield url
    finally:
        child.terminate()
        child.wait()


def _result(steps: list[dict[str, Any]]) -> Result:
    first, last = steps[0], steps[-1]
    figures: dict[str, Any] = {"steps": steps}
    checks: list[tuple[str, float | None, str, float]] = []
    slower = last["yardstick_cpu_us"] / first["yardstick_cpu_us"]
    figures["machine_change"] = round(slower, 3)
    for what in ("accept_cpu_us", "claim_cpu_us", "accept_script_us", "claim_script_us"):
        figures[f"{what}_change"] = round(last[what] / first[what] / slower, 3)
    checks += [
        (f"{what}, times the first", figures[f"{what}_change"], "<=", CHANGE)
        for what in ("accept_cpu_us", "claim_cpu_us")
    ]
    checks.append(("bytes a job beyond its body", last["bytes_a_job"], "<=", BYTES_A_JOB))
    lines = [
        f"{step['queued']:>9} queued  accept {step['accept_cpu_us']:.0f} µs, claim"
        f" {step['claim_cpu_us']:.0f} µs of the store's CPU; accept over HTTP p50"
        f" {step['accept_http_p50_ms']:.2f} ms; {step['bytes_a_job']} bytes a job"
        for step in steps
    ]
    return judged("backlog", figures, lines, *checks)
