"""A provider starts to answer 429: how soon two workers stop calling it.

Its first 429 and the last call it received are read from the simulator's counts every few
milliseconds; what arrives once the fleet has stopped would be a call in spite of the cooldown.
"""

import asyncio
import time
from typing import Any

from bench import chats, load
from bench.client import Client
from bench.figures import Options, Result, judged, spread
from bench.sim import Admin, Seen
from bench.stack import KEY, Stack
from simulator import Address, headrace_config, load_config, running

STOP_MS = 100.0
AT_ONCE = 32
LOOK_S = 0.003
REST_S = 3
QUIET_S = 1.5
FIRST, OTHER = "alpha", "beta"
PAIR = {
    "providers": {
        name: {
            "models": ["sim-small"],
            "latency": {"median_ms": 30},
            "limits": [{"requests": 10_000_000, "per": "1m", "kind": "bucket"}],
        }
        for name in (FIRST, OTHER)
    }
}


def run(options: Options) -> Result:
    """Several rounds: load on both providers, 429s from one, a rest, and again."""
    rounds = options.size(5, 1)
    config = load_config(PAIR)
    with running(config) as address, Stack(headrace_config(config, address), workers=2) as stack:
        found, failed = load.run(_rounds(stack, address, rounds))
    stopped = [one["stopped_ms"] for one in found]
    figures: dict[str, Any] = {
        "rounds": found,
        "stopped_ms": spread(stopped, 1),
        "calls_after_the_first_429": max(one["calls_after"] for one in found),
        "callers_failed": failed,
        "resolution_ms": LOOK_S * 1000,
    }
    lines = [
        f"stopped after   {', '.join(f'{ms:.0f}' for ms in stopped)} ms, round by round",
        f"calls           at most {figures['calls_after_the_first_429']} after the first 429",
    ]
    return judged(
        "cooldown", figures, lines,
        ("fleet stopped after (ms)", max(stopped), "<=", STOP_MS),
        ("callers failed", failed, "<=", 0),
    )  # fmt: skip


async def _rounds(stack: Stack, address: Address, rounds: int) -> tuple[list[dict[str, Any]], int]:
    admin, client = Admin(address), Client(f"{stack.url}/v1", KEY)
    seconds = 1 + rounds * (REST_S + 2 * QUIET_S)
    traffic = asyncio.ensure_future(
        load.closed(chats.held(client, "c"), at_once=AT_ONCE, for_s=seconds)
    )
    await asyncio.sleep(1)
    found = []
    for _ in range(rounds):
        found.append(await _round(admin))
        await asyncio.sleep(REST_S + QUIET_S - 1)
    taken = await traffic
    admin.close()
    client.close()
    return found, taken.failed()


async def _round(admin: Admin) -> dict[str, Any]:
    """429s from the first provider until none of its calls has come for a while."""
    await admin.fault(
        kind="rate_limited", provider=FIRST, retry_after=f"{REST_S}s", **{"for": "1s"}
    )
    before = (await admin.seen())[FIRST]
    first_s, last_s, at_first, now = 0.0, 0.0, before, before
    until = time.monotonic() + QUIET_S
    while time.monotonic() < until:
        looked_s = time.monotonic()
        seen: Seen = (await admin.seen())[FIRST]
        if not first_s and seen.limited > before.limited:
            first_s, at_first = looked_s, seen
        if seen.received > now.received:
            last_s = looked_s
        now = seen
        await asyncio.sleep(LOOK_S)
    return {
        "stopped_ms": round(1000 * max(0.0, last_s - first_s), 1) if first_s else 0.0,
        "calls_after": now.received - at_first.received,
        "upstream_429": now.limited - before.limited,
    }
