"""Processes and connections die at any moment; every job still ends once."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import orjson
import pytest
from conserved import assert_at_rest, assert_conserved
from queue_world import DONE, World, engine, until
from redis.asyncio import Redis
from redis.exceptions import RedisError
from servers import valkey_server

from shared.core.model import Status
from shared.core.sharing import Sharing, Terms
from shared.queue.engine import Engine, Hand
from shared.queue.types import NewJob, Report
from shared.store.connect import commands
from shared.store.server_place import socket_path

ROOT = Path(__file__).parents[2]
LEASE_MS = 2000


@contextmanager
def worker(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A real worker process, gone at the end."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "queue_worker.py"), url, str(LEASE_MS)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()


async def running(world: World, count: int) -> None:
    await until(lambda: _running(world, count), f"{count} jobs run")


async def _running(world: World, count: int) -> bool:
    found = await world.client.hvals("{hr}:run")
    return sum(int(n) for n in found) >= count


async def all_done(world: World, count: int) -> None:
    async def ended() -> bool:
        return int(await world.client.hget("{hr}:done", "completed") or 0) == count

    await until(ended, f"{count} jobs completed", 0.05)
    space = await assert_at_rest(world.client)
    assert int(space.get("done")["completed"]) == count


def doc(**what: object) -> bytes:
    return orjson.dumps(what)


async def test_all_that_a_killed_worker_ran_is_done_by_another(world: World) -> None:
    with worker(world.url) as first:
        await world.accept(*(world.job(doc=doc(do="hold")) for _ in range(300)))
        await running(world, 300)
        first.kill()
        first.wait()
    await assert_conserved(world.client)
    async with engine(world.url, _complete, lease_ms=LEASE_MS, beat_ms=400):
        await all_done(world, 300)


async def test_a_worker_killed_while_its_thread_spoke_for_it_is_found_dead(world: World) -> None:
    async def thread_speaks() -> bool:
        clients = await world.client.client_list()
        return any(one["name"] == "headrace-threaded" for one in clients)

    with worker(world.url) as first:
        await world.accept(world.job(doc=doc(do="block")))
        await until(thread_speaks, "its loop is blocked and its thread speaks")
        first.kill()
        first.wait()
    async with engine(world.url, _complete, lease_ms=LEASE_MS, beat_ms=400):
        await all_done(world, 1)


async def test_those_who_follow_what_a_killed_worker_ran_end_with_it_by_one_call(
    world: World,
) -> None:
    ran: list[str] = []

    async def run(hand: Hand) -> Report:
        ran.append(hand.claim.job_id)
        return DONE

    shared = [Sharing(f"like-{n}", Terms(follow=True)) for n in range(30)]
    with worker(world.url) as first:
        jobs = [world.job(doc=doc(do="hold"), sharing=shared[n % 30]) for n in range(300)]
        await world.accept(*jobs)
        await running(world, 30)
        first.kill()
        first.wait()
    await assert_conserved(world.client)
    async with engine(world.url, run, lease_ms=LEASE_MS, beat_ms=400):
        await all_done(world, 300)
    assert sorted(ran) == [job.id for job in jobs[:30]], "each leader once, no follower"


async def test_a_worker_that_slept_past_its_lease_finishes_nothing(world: World) -> None:
    with worker(world.url) as sleeper:
        await world.accept(*(world.job(doc=doc(ms=300)) for _ in range(50)))
        await running(world, 50)
        sleeper.send_signal(signal.SIGSTOP)
        async with engine(world.url, _complete, lease_ms=LEASE_MS, beat_ms=400):
            await all_done(world, 50)
        before = await assert_at_rest(world.client)
        sleeper.send_signal(signal.SIGCONT)
        beat = await world.client.zscore("{hr}:workers", await _worker_of(world) or "")
        await until(lambda: _renewed(world, beat), "the sleeper is back")
        await world.accept(world.job("last", doc=doc()))
        await all_done(world, 51)
    after = await assert_at_rest(world.client)
    for noun in ("res", "ev"):
        kept = {k: v for k, v in after.under(noun).items() if k != "last"}
        assert kept == before.under(noun), "a late finish changed something"


async def _worker_of(world: World) -> str | None:
    names = await world.client.zrange("{hr}:workers", 0, -1)
    return names[0].decode() if names else None


async def _renewed(world: World, _: object) -> bool:
    return bool(await world.client.zcard("{hr}:workers"))


async def test_three_thousand_jobs_are_final_once_while_every_connection_is_killed(
    world: World,
) -> None:
    ran: list[str] = []

    async def run(hand: Hand) -> Report:
        ran.append(hand.claim.job_id)
        await asyncio.sleep(0.002)
        return DONE

    async with engine(world.url, run) as one:
        async with _killing_connections(world.url):
            for at in range(0, 3000, 250):
                await world.accept(*(world.job(f"k{n}") for n in range(at, at + 250)))
            await until(lambda: _done(world, 3000), "all are done")
        await all_done(world, 3000)
    assert one.stats.reconnects > 0, "the kills never hit the engine"
    assert len(ran) - 3000 <= one.stats.reconnects * 2 * one.settings.batch


@asynccontextmanager
async def _killing_connections(url: str, every_s: float = 0.3) -> AsyncIterator[None]:
    """Kills only once something went on since the last time: who never can ends nothing."""

    async def progress(killer: Redis) -> tuple[object, ...]:
        return await killer.get("{hr}:alive"), await killer.hget("{hr}:done", "completed")

    async def kill() -> None:
        killer = commands(url, max_connections=1)
        try:
            while True:
                before = await progress(killer)
                await asyncio.sleep(every_s)
                while await progress(killer) == before:  # noqa: ASYNC110 - no event tells
                    await asyncio.sleep(0.01)
                await killer.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        finally:
            await killer.aclose()

    task = asyncio.create_task(kill())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_killed_and_restarted_store_loses_nothing_and_blames_nobody(
    tmp_path: Path,
) -> None:
    held: list[Hand] = []
    let_go = asyncio.Event()

    async def run(hand: Hand) -> Report:
        held.append(hand)
        await let_go.wait()
        return DONE

    with valkey_server(tmp_path / "v", fsync="always") as server:
        world = World(server.url)
        await world.configure()
        async with engine(world.url, run, lease_ms=LEASE_MS, beat_ms=400):
            await world.accept(*(world.job() for _ in range(200)))
            await until(lambda: len(held) == 200, "all run")
            pid = int((tmp_path / "v" / "server.pid").read_text())
            os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(LEASE_MS / 1000 * 1.5)  # longer than a lease: the fault itself
            server.start(30)
            await until(lambda: _answers(world), "the store is back")
            await world.accept(world.job("after"))
            await until(lambda: len(held) == 201, "work goes on")
            let_go.set()
            await all_done(world, 201)
        assert len(held) == 201, "nothing was run twice"
        for hand in held:
            record = await world.jobs.get(hand.claim.job_id, None)
            assert record
            assert record.requeues == 0
        await world.close()


async def _answers(world: World) -> bool:
    try:
        return bool(await world.client.ping())
    except (RedisError, OSError):
        return False


class Swallowing:
    """Stands before the store; on demand it lets one script run and drops its reply."""

    def __init__(self, upstream: Path) -> None:
        self.upstream = upstream
        self.swallow: bytes | None = None  # the request whose reply is dropped
        self.swallow_reply: bytes | None = None
        self.swallowed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @asynccontextmanager
    async def listening(self, path: Path) -> AsyncIterator[str]:
        server = await asyncio.start_unix_server(self._serve, path)
        try:
            yield f"unix://{path}?db=0"
        finally:
            server.close()
            for writer in self._writers:
                writer.close()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, down: asyncio.StreamReader, up: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(up)
        store_in, store_out = await asyncio.open_unix_connection(str(self.upstream))
        replies = asyncio.create_task(self._replies(store_in, up))
        try:
            while data := await down.read(65536):
                if self.swallow and self.swallow in data:
                    self.swallow = None
                    replies.cancel()
                    await asyncio.gather(replies, return_exceptions=True)
                    store_out.write(data)
                    await store_out.drain()
                    await store_in.read(65536)  # the script has run
                    self.swallowed.set()
                    return
                store_out.write(data)
                await store_out.drain()
        finally:
            replies.cancel()
            up.close()
            store_out.close()

    async def _replies(self, store_in: asyncio.StreamReader, up: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, OSError):
            while data := await store_in.read(65536):
                if self.swallow_reply and self.swallow_reply in data:
                    self.swallow_reply = None
                    up.close()
                    self.swallowed.set()
                    return
                up.write(data)
                await up.drain()


async def test_a_claim_whose_reply_was_lost_runs_at_once(world: World, tmp_path: Path) -> None:
    ran: list[str] = []

    async def run(hand: Hand) -> Report:
        ran.append(hand.claim.job_id)
        return DONE

    proxy = Swallowing(socket_path(Path(_data_dir(world.url))))
    async with proxy.listening(tmp_path / "p.sock") as url, engine(url, run) as one:
        proxy.swallow_reply = b"the only one"
        await world.accept(world.job("a", doc=doc(text="the only one")))
        await proxy.swallowed.wait()
        await all_done(world, 1)
    assert ran == ["a"]
    assert one.stats.reconnects == 1
    record = await world.jobs.get("a", None)
    assert record
    assert (record.requeues, record.uncertain_repeats) == (1, 0)


async def test_a_finish_whose_reply_was_lost_counts_once(world: World, tmp_path: Path) -> None:
    proxy = Swallowing(socket_path(Path(_data_dir(world.url))))

    async def run(hand: Hand) -> Report:
        proxy.swallow = b'"fins":'
        return DONE

    async with proxy.listening(tmp_path / "p.sock") as url, engine(url, run):
        await world.accept(world.job("a"))
        await proxy.swallowed.wait()
        await all_done(world, 1)
    assert await world.kinds("a") == ["job.queued", "job.started", "job.completed"]


def _data_dir(url: str) -> str:
    return url.removeprefix("unix://").partition("?")[0].rpartition("/")[0]


async def test_a_job_that_kills_its_worker_is_put_aside_and_the_innocent_complete(
    world: World,
) -> None:
    stop = asyncio.Event()

    async def supervise() -> None:
        while not stop.is_set():
            with worker(world.url) as process:
                ended = asyncio.create_task(asyncio.to_thread(process.wait))
                stopped = asyncio.create_task(stop.wait())
                await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
                process.kill()
                await ended
                stopped.cancel()

    await world.accept(world.job("bad", doc=doc(do="die")))
    await world.accept(*(world.job(doc=doc(ms=500)) for _ in range(20)))
    supervising = asyncio.create_task(supervise())
    # another process beats on, as the scheduler does: silence would be an outage of the store
    beats = asyncio.create_task(_beats(world))
    try:
        await until(lambda: _is(world, "bad", Status.FAILED), "the bad one is a dead letter", 0.05)
        await until(lambda: _done(world, 20), "the innocent complete", 0.05)
    finally:
        stop.set()
        await supervising
        beats.cancel()
    record = await world.jobs.get("bad", None)
    assert record
    assert record.error
    assert record.error["code"] == "dead_letter"
    await assert_at_rest(world.client)


async def _beats(world: World) -> None:
    while True:
        await world.beat(lease_ms=LEASE_MS)
        await asyncio.sleep(0.3)


async def _is(world: World, job_id: str, status: Status) -> bool:
    return await world.status(job_id) is status


async def _done(world: World, count: int) -> bool:
    try:
        return int(await world.client.hget("{hr}:done", "completed") or 0) == count
    except (RedisError, OSError):
        return False


async def test_a_stopped_worker_gives_its_jobs_back_unblamed(world: World) -> None:
    with worker(world.url) as first:
        await world.accept(*(world.job(doc=doc(do="hold")) for _ in range(100)))
        await running(world, 100)
        first.terminate()
        await asyncio.to_thread(first.wait)
    space = await assert_conserved(world.client)
    assert {job["status"] for job in space.under("job").values()} == {"queued"}
    assert all(job.get("lost", "0") == "0" for job in space.under("job").values())
    async with engine(world.url, _complete):
        await all_done(world, 100)


async def _complete(hand: Hand) -> Report:
    return DONE


@pytest.mark.parametrize("batch", [1, 64])
async def test_an_engine_stopped_right_after_a_claim_leaves_nothing_behind(
    world: World, batch: int
) -> None:
    """A task cancelled before its first step still gives its job back."""
    started = asyncio.Event()

    async def run(hand: Hand) -> Report:
        started.set()
        await asyncio.Event().wait()
        return DONE

    jobs: list[NewJob] = [world.job() for _ in range(128)]
    await world.accept(*jobs)
    made: Engine
    async with engine(world.url, run, drain_ms=0, batch=batch) as made:
        await started.wait()
    assert made.inflight == 0
    space = await assert_conserved(world.client)
    assert not space.under("held")
