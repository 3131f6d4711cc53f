"""The engine as a process sees it: wakes, timers, drains, and silence where nothing is to do."""

import asyncio
import gc
from contextvars import ContextVar

import pytest
from conserved import assert_at_rest, assert_conserved
from queue_world import DONE, LANE, OTHER, World, engine, lane_of, until
from redis.exceptions import ResponseError

from shared.core.model import Status
from shared.queue.engine import Hand
from shared.queue.scripts import COMMANDS
from shared.queue.types import Report, Verdict


async def complete(hand: Hand) -> Report:
    return DONE


async def _completed(world: World, count: int) -> bool:
    return int(await world.client.hget("{hr}:done", "completed") or 0) == count


async def _sent(world: World) -> dict[str, int]:
    stats = await world.client.info("commandstats")
    calls = {
        name: int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"])
        for name in (*COMMANDS, "blpop", "lpush")
    }
    return calls | {"scripts": sum(calls[name] for name in COMMANDS)}


async def test_an_idle_engine_sends_its_heartbeat_and_nothing_else(world: World) -> None:
    async with engine(world.url, complete, beat_ms=100) as one:
        await world.accept(*(world.job() for _ in range(50)))
        await until(lambda: _completed(world, 50), "all are done")
        await until(lambda: _quiet(one), "it is quiet", 0.2)
        ticks = one.stats.ticks
        before = await _sent(world)
        await asyncio.sleep(1)  # a span to count in, not an event
        after = await _sent(world)
    assert one.stats.ticks == ticks
    assert 1 <= after["scripts"] - before["scripts"] <= 11
    assert after["blpop"] == before["blpop"]
    assert after["lpush"] == before["lpush"]


async def test_an_attempt_leaves_nothing_behind_for_a_collection(world: World) -> None:
    async def run(hand: Hand) -> Report:
        kept.set(hand)
        return DONE

    kept: ContextVar[Hand] = ContextVar("kept")
    async with engine(world.url, run):
        gc.collect()
        gc.disable()
        try:
            await world.accept(*(world.job() for _ in range(3)))
            await until(lambda: _completed(world, 3), "all are done")
            await until(lambda: not any(type(one) is Hand for one in gc.get_objects()), "all gone")
        finally:
            gc.enable()


async def _quiet(one: object) -> bool:
    ticks = one.stats.ticks  # type: ignore[attr-defined]
    await asyncio.sleep(0.3)
    return bool(ticks == one.stats.ticks)  # type: ignore[attr-defined]


async def test_a_full_engine_leaves_the_wake_token_to_another(world: World) -> None:
    hold = asyncio.Event()

    async def holds(hand: Hand) -> Report:
        await hold.wait()
        return DONE

    # no heartbeat comes to the rescue
    slow = {"beat_ms": 100_000, "lease_ms": 500_000}
    async with engine(world.url, holds, max_inflight=1, **slow) as full:
        await world.accept(world.job("a"))
        await until(lambda: full.inflight == 1, "it is full")
        async with engine(world.url, complete, **slow) as other:
            await until(lambda: _quiet(other), "the other waits")
            for n in range(50):
                await world.accept(world.job(f"b{n}"))
                await until(lambda n=n: _completed(world, n + 1), "another takes it")
            hold.set()
            await until(lambda: _completed(world, 51), "all are done")
    await assert_at_rest(world.client)


async def test_a_full_engine_does_not_spin_while_something_is_due(world: World) -> None:
    hold = asyncio.Event()

    async def holds(hand: Hand) -> Report:
        await hold.wait()
        return DONE

    async with engine(world.url, holds, max_inflight=1) as full:
        turns = 0
        once = full._turn_once

        async def counted() -> None:
            nonlocal turns
            turns += 1
            await once()

        full._turn_once = counted  # type: ignore[method-assign]
        await world.accept(world.job("a"), world.job("late", delay_ms=50))
        await until(lambda: full.inflight == 1, "it is full")
        await asyncio.sleep(0.5)  # a span to count in
        assert turns < 50
        hold.set()
        await until(lambda: _completed(world, 2), "both are done")


async def test_a_wake_during_a_turn_is_not_lost(world: World) -> None:
    slow = {"beat_ms": 100_000, "lease_ms": 500_000}
    async with engine(world.url, complete, **slow):
        for n in range(300):
            await world.accept(world.job(f"w{n}"))
        await until(lambda: _completed(world, 300), "all are done without a heartbeat")


async def test_a_thousand_delayed_jobs_never_start_early_and_all_start(world: World) -> None:
    early: list[str] = []

    async def run(hand: Hand) -> Report:
        due = hand.claim.created_ms + int(hand.claim.doc)
        if hand.claim.claimed_ms < due:
            early.append(hand.claim.job_id)
        return DONE

    jobs = [(1000 + n * 2) for n in range(1000)]
    await world.accept(*(world.job(delay_ms=ms, doc=str(ms).encode()) for ms in jobs))
    await assert_conserved(world.client)
    async with engine(world.url, run), engine(world.url, run):
        await until(lambda: _completed(world, 1000), "all have started")
    assert early == []
    await assert_at_rest(world.client)


async def test_delays_whose_timer_died_with_its_worker_are_noticed(world: World) -> None:
    async with engine(world.url, complete, beat_ms=50) as one:
        await until(lambda: one.stats.ticks > 0, "it is up")
        one._listening._woken = lambda: True  # the token goes to a worker that dies with its timer
        await world.accept(world.job("a", delay_ms=200))
        await until(lambda: _completed(world, 1), "the heartbeat sees that it is due")


async def test_a_cancel_reaches_the_running_task(world: World) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def run(hand: Hand) -> Report:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return DONE

    async with engine(world.url, run) as one:
        await world.accept(world.job("a"))
        await began.wait()
        await world.jobs.cancel("a", None)
        async with asyncio.timeout(20):
            await ended.wait()
        await until(lambda: one.inflight == 0, "its slot is free")
        assert one.stats.stale == 0, "a dropped job is not reported"
    assert await world.status("a") is Status.CANCELLED
    await assert_at_rest(world.client)


async def test_a_cancel_that_overtakes_its_claim_stops_the_attempt(world: World) -> None:
    ran: list[str] = []

    async def run(hand: Hand) -> Report:
        ran.append(hand.claim.job_id)
        return DONE

    async with engine(world.url, run) as one:
        one._told("drop a 1")
        await world.accept(world.job("a"), world.job("b"))
        await until(lambda: "b" in ran, "the other runs")
        assert "a" not in ran


@pytest.mark.parametrize("fault", [ValueError("x"), SystemExit(1), GeneratorExit()])
async def test_whatever_an_attempt_raises_the_job_is_tried_again(
    world: World, fault: BaseException
) -> None:
    tries = 0

    async def run(hand: Hand) -> Report:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise fault
        return DONE

    async with engine(world.url, run):
        await world.accept(world.job("a"))
        await until(lambda: _completed(world, 1), "the second try completes it")
    record = await world.jobs.get("a", None)
    assert record
    assert "job.requeued" in await world.kinds("a")
    await assert_at_rest(world.client)


async def test_a_finish_that_the_script_cannot_take_does_not_stop_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(hand: Hand) -> Report:
        if hand.claim.job_id == "bad" and hand.claim.attempts == 0:
            # a usage that is no table: the script raises on it
            return Report(Verdict.COMPLETE, result=b"1", lane=[1])  # type: ignore[arg-type]
        return DONE

    async with engine(world.url, run) as one:
        scripts = one.scripts

        async def picky(name: str, header: dict, *args: bytes):  # type: ignore[type-arg]
            if any(isinstance(fin.get("lane"), list) for fin in header.get("fins") or ()):
                raise ResponseError("ERR user_script:7: bad argument")
            return await scripts(name, header, *args)

        one.scripts = picky  # type: ignore[assignment]
        await world.accept(world.job("bad"), *(world.job() for _ in range(20)))
        await until(lambda: _completed(world, 21), "all are done, the bad one at its second try")
    await assert_at_rest(world.client)


async def test_a_stop_lets_calls_end_and_claims_nothing_more(world: World) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def run(hand: Hand) -> Report:
        began.set()
        await go.wait()
        return DONE

    async with engine(world.url, run, max_inflight=1) as one:
        await world.accept(world.job("a"), world.job("b"))
        await began.wait()
        stopping = asyncio.create_task(one.stop())
        await asyncio.sleep(0)
        go.set()
        await stopping
    statuses = [await world.status(name) for name in "ab"]
    assert sorted(str(s) for s in statuses) == ["completed", "queued"]
    await assert_conserved(world.client)


async def test_two_engines_of_different_providers_share_one_store(world: World) -> None:
    await world.configure({LANE: lane_of(), OTHER: lane_of(cred="c2")})
    seen: dict[str, set[str]] = {"alpha": set(), "beta": set()}

    def on(provider: str):
        async def run(hand: Hand) -> Report:
            seen[provider].add(hand.claim.lane)
            return DONE

        return run

    async with engine(world.url, on("alpha"), ["alpha"]), engine(world.url, on("beta"), ["beta"]):
        await world.accept(*(world.job(lane=(LANE, OTHER)[n % 2]) for n in range(200)))
        await until(lambda: _completed(world, 200), "all are done")
    assert seen == {"alpha": {LANE}, "beta": {OTHER}}
    await assert_at_rest(world.client)
