"""How fast jobs are accepted: every 202 is durable, synced to disk before it is sent.

Their provider admits a few calls a minute, so that accepting is all the machine does.
"""

import os
from typing import Any

from bench import chats, load, proc
from bench.client import Client
from bench.figures import Options, Result, judged, spread
from bench.stack import KEY, Stack
from simulator import headrace_config, load_config, running

PER_S = 2_000.0
RATE_PER_S = 1_000.0
P99_MS = 10.0
AT_ONCE = 128
ACCEPTED = 202
SLOW = {
    "providers": {
        "slow": {"models": ["sim-small"], "limits": [{"requests": 6, "per": "1m"}]},
    }
}


def run(options: Options) -> Result:
    """Measures the most there is, then the latency at a steady 1,000 a second."""
    config = load_config(SLOW)
    with running(config) as address, Stack(headrace_config(config, address)) as stack:
        most, spent, steady = load.run(_measure(stack, options))
    rate = RATE_PER_S if not options.quick else 100.0
    figures: dict[str, Any] = {
        "at_once": AT_ONCE,
        "per_s": round(most.per_s, 1),
        "saturated_ms": spread(most.latencies_ms),
        "cpu_ms_per_job": spent.per_call_ms(most.calls),
        "others_cpu_percent": spent.others_percent,
        "capacity_per_s": spent.capacity_per_s(most.calls, len(os.sched_getaffinity(0))),
        "steady_per_s": rate,
        "steady_reached_per_s": round(steady.per_s, 1),
        "steady_ms": spread(steady.latencies_ms),
        "client_lag_ms": spread(steady.lag_ms),
        "failed": most.failed(ACCEPTED) + steady.failed(ACCEPTED),
    }
    lines = [
        f"at most         {most.per_s:.0f}/s with {AT_ONCE} callers",
        f"CPU ms a job    {figures['cpu_ms_per_job']}",
        "other programs  {others_cpu_percent:.0f} % of a core meanwhile; without them, by CPU time:"
        " {capacity_per_s:.0f}/s".format(**figures),
        "at {:.0f}/s       p50 {p50:.1f} ms, p99 {p99:.1f} ms".format(rate, **figures["steady_ms"]),
    ]
    return judged(
        "accept", figures, lines,
        ("accepted per s", most.per_s, ">=", PER_S),
        ("p99 at 1,000/s (ms)", figures["steady_ms"]["p99"], "<=", P99_MS),
        ("failed calls", figures["failed"], "<=", 0),
    )  # fmt: skip


async def _measure(stack: Stack, options: Options) -> tuple[load.Load, proc.Used, load.Load]:
    client = Client(f"{stack.url}/v1", KEY)
    call = chats.submitted(client, "a")

    def now() -> proc.Moment:
        ours = proc.read(os.getpid(), "client")
        return proc.moment([*stack.processes(), *([ours] if ours else [])])

    await load.closed(call, at_once=AT_ONCE, for_s=options.span_s(2, 0.3))
    before = now()
    most = await load.closed(call, at_once=AT_ONCE, for_s=options.span_s(8, 0.5))
    after = now()
    steady = await load.open_loop(
        call,
        rate_per_s=100.0 if options.quick else RATE_PER_S,
        for_s=options.span_s(10, 1),
    )
    client.close()
    return most, proc.used(before, after), steady
