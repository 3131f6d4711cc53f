"""Acts as scheduler while the lease is ours, and only then.

The lease is thought lost as soon as it may be: when a renewal is refused, when none has succeeded
for as long as it holds, or when the store refuses our fence. Then every duty stops at once, and we
contend again. What a stopped duty had in flight carries the old fence and is refused.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Protocol

import structlog

from scheduler.duty import backoff_s, keep
from scheduler.ending import end
from scheduler.ports import Lease
from shared.errors import StoreError
from shared.store.leader import StaleFence

log = structlog.get_logger(__name__)

RENEWALS_A_TTL = 3
RELEASE_WITHIN_S = 1.0


class Duty(Protocol):
    """Something to do again and again; a turn waits by itself until there is something to do."""

    async def turn(self) -> None:
        """Waits, then does it."""
        ...


Duties = Callable[[int], Mapping[str, Duty]]


async def lead_for_ever(lease: Lease, duties: Duties) -> None:
    """Contends for the lease, leads while it lasts, and again. Cancelled, it gives the lease up."""
    failures = 0
    while True:
        asked_at = asyncio.get_running_loop().time()
        try:
            fence, wait_ms = await lease.acquire()
            if failures:
                log.info("store_is_back", failures=failures)
            failures = 0
        except StoreError as exc:
            if not failures:
                log.warning("scheduler_waits_for_store", reason=str(exc))
            failures += 1
            await asyncio.sleep(backoff_s(failures, random.random()))
            continue
        if fence is None:
            await asyncio.sleep((wait_ms + random.uniform(1, 100)) / 1_000)
            continue
        await _lead(lease, fence, asked_at, duties)


async def _lead(lease: Lease, fence: int, held_from: float, duties: Duties) -> None:
    log.info("leads", fence=fence)
    tasks = [asyncio.create_task(_hold(lease, fence, held_from), name="lease")]
    try:
        for name, duty in duties(fence).items():
            tasks.append(asyncio.create_task(keep(name, duty.turn), name=name))
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    except StaleFence as lost:
        log.warning("leads_no_more", fence=fence, reason=str(lost))
    finally:
        await end(tasks)
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(RELEASE_WITHIN_S):
                await lease.release(fence)


async def _hold(lease: Lease, fence: int, held_from: float) -> None:
    """Renews the lease; raises StaleFence at the moment it may be another's."""
    loop = asyncio.get_running_loop()
    ttl_s = lease.ttl_ms / 1_000
    held_until = held_from + ttl_s
    while True:
        await asyncio.sleep(ttl_s / RENEWALS_A_TTL)
        asked_at = loop.time()
        try:
            async with asyncio.timeout_at(held_until):
                kept = await lease.renew(fence)
        except (StoreError, TimeoutError) as exc:
            if loop.time() >= held_until:
                raise StaleFence("the lease could not be renewed in time") from exc
            continue
        if not kept:
            raise StaleFence("another scheduler holds the lease")
        held_until = asked_at + ttl_s
