"""A worker whose loop is busy keeps its jobs, one whose loop hangs loses them."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from conserved import assert_at_rest, assert_conserved
from queue_world import DONE, PREFIX, WAIT_S, World, engine, until

from shared.core.model import Status
from shared.queue.engine import Engine, EngineSettings, Hand
from shared.queue.pulse import Duty, Spans, spans
from shared.queue.types import Report

LEASE_MS = 60_000  # of who must not be lost by the machine's being slow
BEAT_MS = 50


class Blocker:
    """An attempt that blocks the loop it runs on until it is let go."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.began = threading.Event()
        self.let_go = threading.Event()

    async def run(self, hand: Hand) -> Report:
        self.ran.append(hand.claim.job_id)
        self.began.set()
        self.let_go.wait(3 * WAIT_S)
        return DONE


@asynccontextmanager
async def apart(
    url: str, run: Callable[[Hand], Awaitable[Report]], **settings: int
) -> AsyncIterator[Engine]:
    """A real engine on the loop of a thread of its own, stopped at the end."""
    here = asyncio.get_running_loop()
    ready: asyncio.Future[tuple[Engine, asyncio.AbstractEventLoop]] = here.create_future()

    async def serve() -> None:
        made = Engine(url, ("alpha",), run, EngineSettings(drain_ms=5000, **settings))
        here.call_soon_threadsafe(ready.set_result, (made, asyncio.get_running_loop()))
        await made.serve()
        # closing a client does not wait for its transport, and this loop ends with us
        await until(_no_open_transport, "its connections are closed")

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    made, there = await ready
    try:
        yield made
    finally:
        asyncio.run_coroutine_threadsafe(made.stop(), there)
        await asyncio.to_thread(thread.join, WAIT_S)
        assert not thread.is_alive(), "the engine ends"


def _no_open_transport() -> bool:
    known = [*asyncio.get_running_loop()._transports.values()]  # type: ignore[attr-defined]
    return all(one._sock is None for one in known)


@asynccontextmanager
async def blocked(world: World, blocker: Blocker, **settings: int) -> AsyncIterator[Engine]:
    """An engine whose loop is blocked by the job "a"."""
    async with apart(world.url, blocker.run, beat_ms=BEAT_MS, **settings) as one:
        try:
            await world.accept(world.job("a"))
            await until(blocker.began.is_set, "its loop is blocked")
            yield one
        finally:
            blocker.let_go.set()


async def score(world: World, worker: str) -> float:
    return float(await world.client.zscore(f"{PREFIX}workers", worker) or 0)


async def renewed(world: World, worker: str) -> float:
    """The end of the lease as it was, once it has been renewed."""
    before = await score(world, worker)

    async def later() -> bool:
        return await score(world, worker) > before + 1

    await until(later, "the lease is renewed")
    return before


async def threads_of_the_store(world: World) -> list[str]:
    clients = await world.client.client_list()
    return [one["id"] for one in clients if one["name"] == "headrace-threaded"]


async def test_a_blocked_loop_keeps_its_jobs_past_the_end_of_its_own_lease(world: World) -> None:
    blocker = Blocker()
    async with blocked(world, blocker, lease_ms=LEASE_MS):
        (worker,) = await world.client.zrange(f"{PREFIX}workers", 0, -1)
        lease_end = int(await renewed(world, worker.decode())) + 1
        for now_ms in (lease_end - LEASE_MS // 2, lease_end):  # no gap: that would be an outage
            await world.set_clock(now_ms)
            assert await world.beat(lease_ms=LEASE_MS) == 0
        assert await world.claim("other", lease_ms=LEASE_MS) == []
        blocker.let_go.set()
        await until(lambda: _is(world, "a", Status.COMPLETED), "its finish counts")
    assert blocker.ran == ["a"]
    record = await world.jobs.get("a", None)
    assert record
    assert (record.requeues, record.uncertain_repeats) == (0, 0)
    await assert_at_rest(world.client)


async def test_a_loop_that_hangs_loses_its_jobs(world: World) -> None:
    blocker = Blocker()
    ran: list[str] = []

    async def run(hand: Hand) -> Report:
        ran.append(hand.claim.job_id)
        return DONE

    await world.configure(suspect_after=9)
    async with blocked(world, blocker, lease_ms=1000, hung_after_ms=1500) as hung:
        async with engine(world.url, run, lease_ms=4000, beat_ms=200):
            await until(lambda: _is(world, "a", Status.COMPLETED), "another runs it")
        blocker.let_go.set()
        await until(lambda: hung.stats.stale == 1, "its own finish comes too late")
    assert "a" in ran
    await assert_at_rest(world.client)


async def _is(world: World, job_id: str, status: Status) -> bool:
    return await world.status(job_id) is status


async def test_a_pulse_outlives_its_connection_and_an_emptied_library(world: World) -> None:
    blocker = Blocker()
    async with blocked(world, blocker, lease_ms=LEASE_MS) as one:
        await renewed(world, one.worker)
        for client_id in await threads_of_the_store(world):
            await world.client.execute_command("CLIENT", "KILL", "ID", client_id)
        await renewed(world, one.worker)
        await world.client.execute_command("FUNCTION", "FLUSH")
        await renewed(world, one.worker)


async def test_a_loop_that_is_on_time_again_needs_no_thread_to_speak_for_it(world: World) -> None:
    blocker = Blocker()
    async with blocked(world, blocker, lease_ms=LEASE_MS) as one:
        await until(lambda: threads_of_the_store(world), "the thread speaks")
        blocker.let_go.set()

        async def silent() -> bool:
            return not await threads_of_the_store(world)

        await until(silent, "the thread is silent")
        thread = f"pulse-{one.worker}"
        assert thread in {each.name for each in threading.enumerate()}
    await until(lambda: thread not in {t.name for t in threading.enumerate()}, "it is gone")


async def test_a_loop_that_answers_does_not_hang_however_late_its_own_renewals_are(
    world: World,
) -> None:
    calls: list[bool] = []
    async with engine(world.url, Blocker().run, beat_ms=BEAT_MS, hung_after_ms=200) as one:
        pulse_of = one._pulse
        await until(lambda: pulse_of._known, "the store knows it")
        call = pulse_of._call
        pulse_of._call = lambda: calls.append(call()) or True  # type: ignore[method-assign, func-returns-value]
        pulse_of.renewed = lambda _: None  # type: ignore[method-assign]
        await until(lambda: len(calls) >= 20, "the thread goes on")


async def test_a_pulse_makes_nobody_a_worker(each_world: World) -> None:
    world = each_world
    assert await pulse(world, "w1") is False
    assert not await world.client.exists(f"{PREFIX}workers")
    await world.accept(world.job("a"))
    await world.claim("w1")
    assert await world.lose_worker("w1") == 1
    assert await pulse(world, "w1") is False, "it was declared dead"
    assert await score(world, "w1") == 0
    await assert_conserved(world.client)


async def test_a_pulse_in_time_saves_a_worker_that_nobody_has_reaped_yet(
    each_world: World,
) -> None:
    world = each_world
    await world.accept(world.job("a"))
    (claim,) = await world.claim("w1")
    await world.client.zadd(f"{PREFIX}workers", {"w1": 1})
    assert await pulse(world, "w1")
    assert await world.beat() == 0
    assert await world.finish(claim)


async def test_a_worker_that_is_being_reaped_is_not_saved_by_a_pulse(each_world: World) -> None:
    world = each_world
    await world.accept(*(world.job() for _ in range(501)))
    claimed = await world.claim("w1", want=501)
    assert len(claimed) == 501
    assert await world.lose_worker("w1") == 500, "as many as one call takes back"
    assert await pulse(world, "w1") is False
    assert await world.beat() == 1
    await assert_conserved(world.client)


async def test_a_pulse_keeps_the_quarantine_of_who_runs_a_suspect(each_world: World) -> None:
    world = each_world
    await world.claim("w1", want=0)
    await world.client.set(f"{PREFIX}quarantined", "w1 bad", px=LEASE_MS)
    assert await pulse(world, "w1")
    assert await world.client.pttl(f"{PREFIX}quarantined") > LEASE_MS
    await world.client.set(f"{PREFIX}quarantined", "other bad", px=LEASE_MS)
    assert await pulse(world, "w1")
    assert await world.client.pttl(f"{PREFIX}quarantined") <= LEASE_MS, "another's is its own"


async def pulse(world: World, worker: str) -> bool:
    return bool(await world.run("pulse", worker=worker, lease_ms=LEASE_MS))


@pytest.mark.parametrize(
    ("renewed_at", "seen_at", "duty"),
    [
        (100.0, 100.0, Duty.REST),
        (98.1, 50.0, Duty.REST),
        (98.0, 98.0, Duty.RENEW),
        (50.0, 99.0, Duty.RENEW),
        (70.5, 70.5, Duty.RENEW),
        (70.0, 70.0, Duty.GIVE_UP),
        (50.0, 69.0, Duty.GIVE_UP),
    ],
)
def test_the_thread_speaks_only_for_a_loop_that_is_late_and_not_for_long(
    renewed_at: float, seen_at: float, duty: Duty
) -> None:
    assert Spans(late=2, hung=30, beat=1).duty(100, renewed_at, seen_at) is duty


def test_it_looks_when_the_loop_would_be_late_and_then_at_each_beat() -> None:
    by = Spans(late=2, hung=30, beat=1)
    assert by.pause(100, 99.5) == 1.5
    assert by.pause(100, 98) == 1
    assert by.pause(100, 10) == 1


@pytest.mark.parametrize(
    ("lease_ms", "beat_ms", "expected"),
    [(5000, 1000, Spans(2, 30, 1)), (2000, 1000, Spans(0.8, 30, 0.8))],
)
def test_a_lease_leaves_time_for_a_second_try(lease_ms: int, beat_ms: int, expected: Spans) -> None:
    found = spans(EngineSettings(lease_ms=lease_ms, beat_ms=beat_ms))
    assert found == expected
    assert found.late + found.beat < lease_ms / 1000
