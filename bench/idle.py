"""What the whole stack costs while there is nothing to do."""

import time
from typing import Any, cast

from bench import proc
from bench.figures import Options, Result, judged
from bench.stack import Stack
from simulator import headrace_config, preset, running

PERCENT = 1.0


def run(options: Options) -> Result:
    """Waits until the start is over, then watches."""
    config = preset("free_tiers")
    with running(config) as address, Stack(headrace_config(config, address)) as stack:
        time.sleep(options.span_s(8, 0.5))
        store = stack.store()
        commands, before = _commands(store), proc.moment(stack.processes())
        time.sleep(options.span_s(30, 1))
        after, told = proc.moment(stack.processes()), _commands(store)
        store.close()
        rss = stack.rss_mb()
    spent = proc.used(before, after)
    by_role = spent.percent()
    total = round(sum(by_role.values()), 2)
    per_s = round((sum(told.values()) - sum(commands.values()) - 1) / spent.elapsed_s, 1)
    often = {
        name: round((calls - commands.get(name, 0)) / spent.elapsed_s, 2)
        for name, calls in told.items()
        if calls > commands.get(name, 0)
    }
    figures: dict[str, Any] = {
        "seconds": round(spent.elapsed_s, 1),
        "cpu_percent": by_role,
        "cpu_percent_total": total,
        "commands_per_s": per_s,
        "commands": often,
        "rss_mb": rss,
        "others_cpu_percent": spent.others_percent,
    }
    lines = [
        f"processor       {total:.2f} % of one core: {by_role}",
        f"store           {per_s:.1f} commands/s",
    ]
    return judged("idle", figures, lines, ("CPU of the stack (%)", total, "<=", PERCENT))


def _commands(store: Any) -> dict[str, int]:
    stats = cast("dict[str, dict[str, Any]]", store.info("commandstats"))
    return {name.removeprefix("cmdstat_"): int(one["calls"]) for name, one in stats.items()}
