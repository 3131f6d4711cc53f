"""Held chats a second with 64 callers, and what each costs every process.

With `--litellm` the same callers ask LiteLLM's proxy, installed into a directory of its own, about
the same simulator in the same run.
"""

import os
from typing import Any

from bench import chats, load, proc
from bench.client import Client
from bench.figures import Options, Result, judged, spread
from bench.litellm import Proxy
from bench.stack import KEY, Stack
from bench.wide import wide
from simulator import headrace_config, running

AT_ONCE = 64
PER_S = 600.0
TIMES_LITELLM = 5.0


def run(options: Options) -> Result:
    """Loads Headrace, then, if asked, LiteLLM's proxy, then Headrace again."""
    config = wide()
    simulator = running(config)
    rounds: dict[str, list[dict[str, Any]]] = {"headrace": [], "litellm": []}
    with simulator as address:
        with Stack(headrace_config(config, address)) as stack:
            extra = [simulator.pid, os.getpid()]
            for _ in range(1 if options.quick else 3):
                rounds["headrace"].append(_one(f"{stack.url}/v1", KEY, stack, extra, options))
        if options.litellm:
            with Proxy(address.base_urls) as proxy:
                for _ in range(1 if options.quick else 3):
                    rounds["litellm"].append(_one(proxy.url, proxy.key, proxy, extra, options))
    return _result(rounds, options)


def _one(
    url: str, key: str, system: "Stack | Proxy", extra: list[int], options: Options
) -> dict[str, Any]:
    simulator, client_pid = extra

    def now() -> proc.Moment:
        others = [proc.read(simulator, "simulator"), proc.read(client_pid, "client")]
        return proc.moment([*system.processes(), *(one for one in others if one)])

    async def main() -> tuple[load.Load, proc.Used]:
        client = Client(url, key)
        call = chats.held(client, f"t{os.urandom(3).hex()}")
        await load.closed(call, at_once=AT_ONCE, for_s=options.span_s(2, 0.3))
        before = now()
        taken = await load.closed(call, at_once=AT_ONCE, for_s=options.span_s(10, 1))
        after = now()
        client.close()
        return taken, proc.used(before, after)

    taken, spent = load.run(main())
    return {
        "per_s": round(taken.per_s, 1),
        "calls": taken.calls,
        "failed": taken.failed(),
        "latency_ms": spread(taken.latencies_ms),
        "cpu_ms_per_chat": spent.per_call_ms(taken.calls),
        "others_cpu_percent": spent.others_percent,
        "capacity_per_s": spent.capacity_per_s(taken.calls, len(os.sched_getaffinity(0))),
    }


def _best(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    return max(rounds, key=lambda one: float(one["per_s"]))


def _cpu_ms(one: dict[str, Any]) -> float:
    """What a chat costs the system measured: the simulator and the client are not of it."""
    spent = one["cpu_ms_per_chat"].items()
    return float(sum(ms for role, ms in spent if role not in ("simulator", "client")))


def _result(rounds: dict[str, list[dict[str, Any]]], options: Options) -> Result:
    best = _best(rounds["headrace"])
    figures: dict[str, Any] = {
        "at_once": AT_ONCE,
        **best,
        "rounds_per_s": [one["per_s"] for one in rounds["headrace"]],
    }
    failed = sum(int(one["failed"]) for one in rounds["headrace"])
    lines = [
        f"held chats      {best['per_s']:.0f}/s, p50 {best['latency_ms']['p50']:.0f} ms",
        f"CPU ms a chat   {best['cpu_ms_per_chat']}",
        "other programs  {others_cpu_percent:.0f} % of a core meanwhile; without them, by CPU time:"
        " {capacity_per_s:.0f}/s".format(**best),
    ]
    checks: list[tuple[str, float | None, str, float]] = [
        ("held chats per s", best["per_s"], ">=", PER_S),
        ("failed calls", failed, "<=", 0),
    ]
    if options.litellm:
        other = _best(rounds["litellm"])
        ratio = round(best["per_s"] / max(other["per_s"], 0.001), 2)
        by_cpu = round(_cpu_ms(other) / _cpu_ms(best), 2)
        figures |= {"litellm": other, "times_litellm": ratio, "times_litellm_by_cpu": by_cpu}
        lines.append(f"LiteLLM's proxy {other['per_s']:.0f}/s: Headrace does {ratio:.1f} times it")
        checks.append(("times LiteLLM's proxy", ratio, ">=", TIMES_LITELLM))
    return judged("throughput", figures, lines, *checks)
