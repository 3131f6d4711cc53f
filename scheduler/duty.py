"""How every duty runs: by itself, for as long as we lead, whatever goes wrong in it."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import structlog

from shared.errors import StoreError
from shared.store.leader import StaleFence

log = structlog.get_logger(__name__)

BACKOFF_BASE_S = 0.1
BACKOFF_CAP_S = 5.0
TOLD_AGAIN_S = 60.0


def backoff_s(failures: int, draw: float) -> float:
    """Full jitter: `draw` (0 to 1) of a span that doubles to 5 s, a tenth of it at the least."""
    longest: float = min(BACKOFF_CAP_S, BACKOFF_BASE_S * (1 << min(failures, 16)))
    return longest * (0.1 + 0.9 * draw)


async def keep(name: str, turn: Callable[[], Awaitable[None]]) -> None:
    """Runs `turn` again and again. It waits by itself; a failure is logged and waited out.

    One that lasts is told again every minute: it must not look as if it were over.

    StaleFence passes: whoever leads now does this duty, and we are to stop.
    """
    loop, failures, told_s = asyncio.get_running_loop(), 0, 0.0
    while True:
        began = loop.time()
        try:
            await turn()
        except StaleFence:
            raise
        except Exception as exc:  # noqa: BLE001 - one fault must not end the other duties
            if loop.time() - began > BACKOFF_CAP_S:
                failures = 0  # it did its work until now: this is a new trouble
            if not failures or loop.time() - told_s >= TOLD_AGAIN_S:
                told_s = loop.time()
                _tell(name, exc, failures + 1)
            failures += 1
            await asyncio.sleep(backoff_s(failures, random.random()))
        else:
            if failures:
                log.info("duty_resumed", duty=name, failures=failures)
            failures = 0


def _tell(name: str, exc: Exception, failures: int) -> None:
    if isinstance(exc, StoreError):
        log.warning("duty_waits_for_store", duty=name, failures=failures, reason=str(exc))
    else:
        log.error("duty_failed", duty=name, failures=failures, exc_info=exc)
