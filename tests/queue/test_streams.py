"""Event streams: written in order and once, heard without gaps, whatever breaks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from conserved import assert_at_rest
from queue_world import DONE, World, engine, until
from redis.exceptions import RedisError
from servers import valkey_server

from shared.queue.engine import Hand
from shared.queue.scripts import COMMANDS
from shared.queue.types import Event, Report, Verdict
from shared.store.connect import commands, pubsub
from shared.store.inbox import MOST_A_READ, MOST_WAITING, TERMINAL, Inbox, Watch


@asynccontextmanager
async def inbox_of(url: str) -> AsyncIterator[Inbox]:
    listens, asks = pubsub(url), commands(url)
    made = Inbox(listens, asks)
    await made.start()
    try:
        yield made
    finally:
        await made.close()
        await listens.aclose()
        await asks.aclose()


async def all_of(watch: Watch) -> list[Event]:
    async with asyncio.timeout(240):
        return [event async for event in watch]


def deltas(count: int, size: int = 1) -> list[bytes]:
    return [b'"%s%d"' % (b"x" * size, n) for n in range(count)]


def says(count: int, result: bytes = b'{"ok":1}'):
    async def run(hand: Hand) -> Report:
        for data in deltas(count):
            await hand.emit("job.delta", data)
        return Report(Verdict.COMPLETE, result=result)

    return run


def assert_whole(events: list[Event], count: int) -> None:
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert [e.data for e in events if e.type == "job.delta"] == deltas(count)
    assert [e.type for e in events if e.type in TERMINAL] == [events[-1].type]


async def test_deltas_are_written_in_order_before_the_finish(world: World) -> None:
    async with engine(world.url, says(2000)), inbox_of(world.url) as inbox:
        watch = inbox.expect("a")
        await world.accept(world.job("a", watcher=inbox.id))
        assert_whole(await all_of(watch), 2000)
    assert_whole(list(await world.jobs.events("a", None)), 2000)
    await assert_at_rest(world.client)


async def test_who_does_not_follow_a_job_is_told_of_its_end_only(world: World) -> None:
    async with engine(world.url, says(20)), inbox_of(world.url) as inbox:
        heard, deliver = [], inbox._deliver
        inbox._deliver = lambda line: (heard.append(line), deliver(line))
        watch = inbox.expect("a", end_only=True)
        await world.accept(world.job("a", watcher=inbox.id, follow=False))
        assert [event.type for event in await all_of(watch)] == ["job.completed"]
        assert watch.result == b'{"ok":1}'
        assert len(heard) == 1
    assert_whole(list(await world.jobs.events("a", None)), 20)


async def test_an_emit_whose_reply_was_lost_doubles_nothing(world: World) -> None:
    await world.accept(world.job("a"))
    (claim,) = await world.claim()
    one = {"id": "a", "fence": claim.fence, "n": 2, "first": 0}
    for _ in range(2):
        assert await world.run("emit", b"d", b"1", b"d", b"2", worker="w1", jobs=[one]) == []
    more = one | {"first": 1}
    await world.run("emit", b"d", b"2", b"d", b"3", worker="w1", jobs=[more])
    data = [event.data for event in await world.jobs.events("a", None) if event.type == "d"]
    assert data == [b"1", b"2", b"3"]


async def test_what_a_first_step_says_of_its_progress_is_told_while_it_runs(world: World) -> None:
    await world.accept(world.job("a"))
    (claim,) = await world.claim()

    async def step() -> object:
        (record,) = await world.jobs.many(["a"])
        assert record is not None
        return record.progress and (record.progress.total, record.progress.step)

    assert await step() is None
    one = {"id": "a", "fence": claim.fence, "n": 1, "first": 0}
    said = b'{"children":{"total":0},"step":{"phase":"cutting"}}'
    await world.run("emit", b"job.progress", said, worker="w1", jobs=[one])
    assert await step() == (0, {"phase": "cutting"})
    await world.lose_worker("w1")
    assert await step() is None  # nobody does it now


async def test_a_worker_that_lost_its_lease_says_nothing_more(world: World) -> None:
    await world.accept(world.job("a"), world.job("b"))
    one, two = await world.claim(want=2)
    await world.lose_worker("w1")
    (again,) = await world.claim("w2")
    stale = [{"id": c.job_id, "fence": c.fence, "n": 1, "first": 0} for c in (one, two)]
    args = [b"d", b"1", b"d", b"2"]
    assert await world.run("emit", *args, worker="w1", jobs=stale) == [b"a", b"b"]
    await world.lose_worker("w2")
    (mine,) = await world.claim("w1")
    old = {"id": mine.job_id, "fence": mine.fence - 2, "n": 1, "first": 0}
    assert await world.run("emit", b"d", b"1", worker="w1", jobs=[old]) == [mine.job_id.encode()]
    again = mine
    fresh = {"id": again.job_id, "fence": again.fence, "n": 1, "first": 0}
    assert await world.run("emit", b"d", b"1", worker="w1", jobs=[fresh]) == []


async def test_a_result_is_told_inline_up_to_64_kib(world: World) -> None:
    for size, inline in ((65_536, True), (65_537, False)):
        body = b"1" * size
        async with engine(world.url, says(0, body)), inbox_of(world.url) as inbox:
            watch = inbox.expect(f"s{size}")
            await world.accept(world.job(f"s{size}", watcher=inbox.id))
            events = await all_of(watch)
            assert watch.result == (body if inline else None)
            kept = await world.jobs.events(f"s{size}", None)
            assert events[-1] == kept[-1], "an event reads the same live and from the store"
            record = await world.jobs.get(f"s{size}", None)
            assert record
            assert record.result == body


async def test_an_error_is_told_inline(world: World) -> None:
    async def fails(hand: Hand) -> Report:
        return Report(Verdict.FAIL, error={"message": "no"})

    async with engine(world.url, fails), inbox_of(world.url) as inbox:
        watch = inbox.expect("a")
        await world.accept(world.job("a", watcher=inbox.id))
        assert (await all_of(watch))[-1].type == "job.failed"
        assert watch.result == b'{"message":"no"}'


async def test_attach_replays_from_any_event_on(world: World) -> None:
    async with engine(world.url, says(600)):
        await world.accept(world.job("a"))
        await until(lambda: _ended(world, "a"), "it ends")
    async with inbox_of(world.url) as inbox:
        for after in (0, 1, 255, 256, 257, 602, 603):
            watch = await inbox.attach("a", after)
            assert watch
            assert [e.id for e in await all_of(watch)] == list(range(after + 1, 604))
            watch.close()
        assert await inbox.attach("nothing", 0) is None
        assert await inbox.attach("a", 0, tenant="t2") is None


async def _ended(world: World, job_id: str) -> bool:
    record = await world.jobs.get(job_id, None)
    return bool(record and record.status.final)


async def test_a_watch_of_an_ended_job_whose_events_are_gone_ends(world: World) -> None:
    await world.accept(world.job("a"))
    (claim,) = await world.claim()
    await world.finish(claim)
    await world.client.delete("{hr}:ev:a")
    async with inbox_of(world.url) as inbox:
        watch = await inbox.attach("a", 0)
        assert watch
        assert await all_of(watch) == []


async def test_a_watch_hears_all_though_its_subscription_is_killed_again_and_again(
    world: World,
) -> None:
    async def slowly(hand: Hand) -> Report:
        for data in deltas(300):
            await hand.emit("job.delta", data)
            await asyncio.sleep(0.003)
        return DONE

    async with engine(world.url, slowly), inbox_of(world.url) as inbox:
        watches = [inbox.expect(f"j{n}") for n in range(10)]
        reading = asyncio.gather(*(all_of(watch) for watch in watches))
        await world.accept(*(world.job(f"j{n}", watcher=inbox.id) for n in range(10)))
        while not reading.done():
            heard = [watch.last for watch in watches]
            await world.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            await asyncio.wait([reading], timeout=0.1)
            while not reading.done() and [watch.last for watch in watches] == heard:
                await asyncio.wait([reading], timeout=0.01)  # who never hears can miss nothing
        for events in await reading:
            assert_whole(events, 300)


async def test_a_watch_whose_first_event_was_lost_still_hears_all(world: World) -> None:
    async with inbox_of(world.url) as inbox:
        watch = inbox.expect("a")
        await world.client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        await world.accept(world.job("a", watcher=inbox.id))
        (claim,) = await world.claim()
        await world.finish(claim)
        assert [e.type for e in await all_of(watch)][-1] == "job.completed"


async def test_a_watch_survives_a_restart_of_the_store(tmp_path: Path) -> None:
    with valkey_server(tmp_path / "v", fsync="always") as server:
        world = World(server.url)
        await world.configure()
        async with inbox_of(server.url) as inbox:
            watch = inbox.expect("a")
            await world.accept(world.job("a", watcher=inbox.id))
            (claim,) = await world.claim()
            server.stop()
            server.start(30)
            await until(lambda: _answers(world), "the store is back")
            assert await world.finish(claim)
            assert [e.id for e in await all_of(watch)] == [1, 2, 3]
        await world.close()


async def _answers(world: World) -> bool:
    try:
        return bool(await world.client.ping())
    except (RedisError, OSError):
        return False


async def test_a_slow_reader_holds_a_bounded_number_of_events_and_misses_none(
    world: World,
) -> None:
    count = MOST_WAITING * 8
    async with engine(world.url, says(count)), inbox_of(world.url) as inbox:
        watch = inbox.expect("a")
        await world.accept(world.job("a", watcher=inbox.id))
        await until(lambda: _ended(world, "a"), "it ends unread")
        assert len(watch._events) <= MOST_WAITING
        seen = []
        while len(seen) < count + 3:
            event = await watch.next(20)
            assert event
            seen.append(event)
            assert len(watch._events) <= MOST_WAITING
        assert_whole(seen, count)
        assert watch.ended


async def test_a_gap_is_read_once_not_once_a_message(world: World) -> None:
    async with inbox_of(world.url) as inbox:
        await world.accept(world.job("a"))
        (claim,) = await world.claim()
        watch = inbox.expect("a")
        await world.client.hset("{hr}:job:a", "watch", inbox.id)
        before = await _scripts_run(world)
        for at in range(5):
            jobs = [{"id": "a", "fence": claim.fence, "n": 40, "first": at * 40}]
            await world.run("emit", *([b"d", b"1"] * 40), worker="w1", jobs=jobs)
        await until(lambda: watch.last == 202, "all are heard")
        assert await _scripts_run(world) - before <= 5 + 8


async def _scripts_run(world: World) -> int:
    stats = await world.client.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{n}", {"calls": 0})["calls"]) for n in COMMANDS)


async def test_sixteen_processes_are_told_and_a_seventeenth_asks(world: World) -> None:
    await world.accept(world.job("a"))
    async with _inboxes(world.url, 17) as inboxes:
        watches = [await inbox.attach("a", 0) for inbox in inboxes]
        names = (await world.client.hget("{hr}:job:a", "watch") or b"").split(b",")
        assert len(names) == 16
        (claim,) = await world.claim()
        await world.finish(claim)
        for watch in watches:
            assert watch
            assert [e.id for e in await all_of(watch)] == [1, 2, 3]


async def test_processes_that_are_gone_make_room_for_new_watchers(world: World) -> None:
    await world.accept(world.job("a"))
    await world.client.hset("{hr}:job:a", "watch", ",".join(f"gone{n}" for n in range(16)))
    async with inbox_of(world.url) as inbox:
        assert await inbox.attach("a", 0)
        assert await world.client.hget("{hr}:job:a", "watch") == inbox.id.encode()


@asynccontextmanager
async def _inboxes(url: str, count: int) -> AsyncIterator[list[Inbox]]:
    if count == 0:
        yield []
        return
    async with inbox_of(url) as one, _inboxes(url, count - 1) as others:
        yield [one, *others]


async def test_watches_end_with_their_read_page_boundary(world: World) -> None:
    """A stream whose length is a whole number of pages ends too."""
    async with engine(world.url, says(MOST_A_READ * 2 - 3)):
        await world.accept(world.job("a"))
        await until(lambda: _ended(world, "a"), "it ends")
    async with inbox_of(world.url) as inbox:
        watch = await inbox.attach("a", 0)
        assert watch
        assert len(await all_of(watch)) == MOST_A_READ * 2
        with pytest.raises(StopAsyncIteration):
            await watch.next(1)


async def test_a_cancelled_attempt_leaves_nothing_in_the_emitter(world: World) -> None:
    started = asyncio.Event()

    async def run(hand: Hand) -> Report:
        await hand.emit("job.delta", b"1")
        started.set()
        await asyncio.Event().wait()
        return DONE

    async with engine(world.url, run) as one:
        await world.accept(world.job("a"))
        await started.wait()
        await world.jobs.cancel("a", None)
        await until(lambda: one.inflight == 0, "its task was cancelled")
        await until(lambda: not one.emitter._pending, "nothing is pending")
        assert not one.emitter._written
    await assert_at_rest(world.client)
