"""A worker process for tests: what a job does stands in its doc.

    python tests/queue_worker.py URL LEASE_MS

{"do": "die"} ends the process at once; {"do": "hold"} never ends; {"do": "block"} neither, and
blocks the loop; {"ms": n} takes n ms.
"""

import asyncio
import os
import signal
import sys
import time

import orjson

from shared.queue.engine import Engine, EngineSettings, Hand
from shared.queue.types import Report, Verdict


async def run(hand: Hand) -> Report:
    what = orjson.loads(hand.claim.doc)
    if what.get("do") == "die":
        await asyncio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGKILL)
    if what.get("do") == "hold":
        await asyncio.Event().wait()
    while what.get("do") == "block":
        time.sleep(1)  # noqa: ASYNC251 - it is what is tested
    await asyncio.sleep(what.get("ms", 0) / 1000)
    return Report(Verdict.COMPLETE, result=hand.engine.worker.encode())  # type: ignore[attr-defined]


async def main(url: str, lease_ms: int) -> None:
    settings = EngineSettings(lease_ms=lease_ms, beat_ms=lease_ms // 5, drain_ms=200)
    engine = Engine(url, ["alpha", "beta"], run, settings)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: asyncio.ensure_future(engine.stop()))
    await engine.serve()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
