"""What a held chat costs on top of the provider's own time, one at a time.

Each round asks the provider directly and through Headrace, in turn, so that both see the same
machine. Added p50 is the difference of the medians; added p99 is Headrace's p99 less the direct
*median*, so that a noisy direct p99 cannot hide anything.
"""

import os
from typing import Any

from bench import chats, load, proc
from bench.client import Client
from bench.figures import Options, Result, judged, percentile, spread
from bench.stack import KEY, Stack
from bench.wide import wide
from simulator import Address, headrace_config, running

P50_MS = 4.0
P99_MS = 12.0
DIRECT_KEY = "sk-sim-alpha-1"
BESIDE = "beside"  # ours, but not of the stack whose cost is told
PATHS = ("direct", "always", "everysec")


def run(options: Options) -> Result:
    """Measures with every write synced to disk (the default) and with a sync every second."""
    rounds = options.size(1_000, 30)
    config = wide()
    simulator = running(config)
    with simulator as address:
        told = headrace_config(config, address)
        with Stack(told) as always, Stack(told, fsync="everysec") as everysec:
            urls = {"always": always.url, "everysec": everysec.url}

            def now() -> proc.Moment:
                beside = [proc.read(simulator.pid, BESIDE), proc.read(os.getpid(), BESIDE)]
                beside += [proc.read(one.pid, BESIDE) for one in everysec.processes()]
                return proc.moment([*always.processes(), *(one for one in beside if one)])

            before = now()
            taken = load.run(_rounds(address, urls, rounds))
            spent = proc.used(before, now())
    return _result(taken, rounds, spent)


async def _rounds(address: Address, urls: dict[str, str], rounds: int) -> dict[str, load.Load]:
    clients = {"direct": Client(address.base_urls["alpha"], DIRECT_KEY)}
    clients |= {name: Client(f"{url}/v1", KEY) for name, url in urls.items()}
    taken = {name: load.Load() for name in PATHS}
    for warm in (True, False):
        for index in range(max(10, rounds // 10) if warm else rounds):
            for name, client in clients.items():
                call = chats.held(client, f"{name}-{warm:d}-{index}")
                one = await load.closed(call, at_once=1, calls=1)
                if not warm:
                    taken[name].latencies_ms += one.latencies_ms
                taken[name].statuses += one.statuses
    for client in clients.values():
        client.close()
    return taken


def _result(taken: dict[str, load.Load], rounds: int, spent: proc.Used) -> Result:
    direct = percentile(taken["direct"].latencies_ms, 0.5)
    cpu_ms = spent.per_call_ms(taken["always"].calls)
    del cpu_ms[BESIDE]
    figures: dict[str, Any] = {"chats": rounds, "direct_ms": spread(taken["direct"].latencies_ms)}
    lines = [f"direct          p50 {direct:.2f} ms"]
    for name in PATHS[1:]:
        samples = taken[name].latencies_ms
        added = {share: round(percentile(samples, at) - direct, 3)
                 for share, at in (("p50", 0.5), ("p99", 0.99))}  # fmt: skip
        figures |= {f"{name}_ms": spread(samples), f"{name}_added_ms": added}
        lines.append(f"fsync {name:<9} added p50 {added['p50']:.2f} ms, p99 {added['p99']:.2f} ms")
    failed = sum(one.failed() for one in taken.values())
    figures |= {
        "failed": failed,
        "cpu_ms_per_chat": cpu_ms,
        "others_cpu_percent": spent.others_percent,
    }
    lines.append(f"CPU ms a chat   {cpu_ms}, {sum(cpu_ms.values()):.2f} in all")
    added = figures["always_added_ms"]
    return judged(
        "overhead", figures, lines,
        ("added p50 (ms)", added["p50"], "<=", P50_MS),
        ("added p99 (ms)", added["p99"], "<=", P99_MS),
        ("failed calls", failed, "<=", 0),
    )  # fmt: skip
