"""What a held chat costs on top of the provider's own time, one at a time.

Each round asks the provider directly and through Headrace, in turn, so that both see the same
machine; first with every write synced to disk (the default), then with a sync every second. Added
p50 is the difference of the medians; added p99 is Headrace's p99 less the direct *median*, so that
a noisy direct p99 cannot hide anything.
"""

import os
from dataclasses import dataclass, field
from typing import Any

from bench import chats, load, proc
from bench.client import Client
from bench.figures import Options, Result, judged, percentile, spread
from bench.stack import KEY, Stack
from bench.wide import wide
from shared.store.server_place import Fsync
from simulator import Address, headrace_config, running

P50_MS = 4.0
P99_MS = 12.0
DIRECT_KEY = "sk-sim-alpha-1"
BESIDE = "beside"  # ours, but not of the stack whose cost is told
FSYNCS: tuple[Fsync, ...] = ("always", "everysec")


@dataclass(slots=True)
class Taken:
    """The direct calls and those through Headrace, and its processor time for one of them."""

    direct: load.Load = field(default_factory=load.Load)
    through: load.Load = field(default_factory=load.Load)
    cpu_ms: dict[str, float] = field(default_factory=dict)
    others_percent: float = 0.0


def run(options: Options) -> Result:
    """One stack at a time: two would keep each other's code out of the caches."""
    rounds = options.size(1_000, 30)
    config = wide()
    simulator = running(config)
    taken = {}
    with simulator as address:
        told = headrace_config(config, address)
        for fsync in FSYNCS:
            with Stack(told, fsync=fsync) as stack:
                taken[fsync] = _measure(stack, address, simulator.pid, rounds)
    return _result(taken, rounds)


def _measure(stack: Stack, address: Address, simulator_pid: int, rounds: int) -> Taken:
    def now() -> proc.Moment:
        beside = [proc.read(simulator_pid, BESIDE), proc.read(os.getpid(), BESIDE)]
        return proc.moment([*stack.processes(), *(one for one in beside if one)])

    taken = Taken()
    load.run(_rounds(address, stack.url, max(10, rounds // 10), Taken()))
    before = now()
    load.run(_rounds(address, stack.url, rounds, taken))
    spent = proc.used(before, now())
    taken.cpu_ms = spent.per_call_ms(taken.through.calls)
    taken.cpu_ms.pop(BESIDE, None)
    taken.others_percent = spent.others_percent
    return taken


async def _rounds(address: Address, url: str, rounds: int, taken: Taken) -> None:
    paths = (
        (taken.direct, Client(address.base_urls["alpha"], DIRECT_KEY)),
        (taken.through, Client(f"{url}/v1", KEY)),
    )
    for index in range(rounds):
        for place, (path, client) in enumerate(paths):
            call = chats.held(client, f"{place}-{rounds}-{index}")
            one = await load.closed(call, at_once=1, calls=1)
            path.latencies_ms += one.latencies_ms
            path.statuses += one.statuses
    for _, client in paths:
        client.close()


def _result(taken: dict[Fsync, Taken], rounds: int) -> Result:
    figures: dict[str, Any] = {"chats": rounds}
    lines = []
    for fsync, one in taken.items():
        direct = percentile(one.direct.latencies_ms, 0.5)
        samples = one.through.latencies_ms
        added = {share: round(percentile(samples, at) - direct, 3)
                 for share, at in (("p50", 0.5), ("p99", 0.99))}  # fmt: skip
        figures |= {
            f"{fsync}_direct_ms": spread(one.direct.latencies_ms),
            f"{fsync}_ms": spread(samples),
            f"{fsync}_added_ms": added,
            f"{fsync}_cpu_ms_per_chat": one.cpu_ms,
            f"{fsync}_others_cpu_percent": one.others_percent,
        }
        lines += [
            f"fsync {fsync:<9} added p50 {added['p50']:.2f} ms, p99 {added['p99']:.2f} ms",
            f"CPU ms a chat   {one.cpu_ms}, {sum(one.cpu_ms.values()):.2f} in all",
        ]
    failed = sum(one.direct.failed() + one.through.failed() for one in taken.values())
    figures["failed"] = failed
    added = figures["always_added_ms"]
    return judged(
        "overhead", figures, lines,
        ("added p50 (ms)", added["p50"], "<=", P50_MS),
        ("added p99 (ms)", added["p99"], "<=", P99_MS),
        ("failed calls", failed, "<=", 0),
    )  # fmt: skip
