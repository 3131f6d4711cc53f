"""In dramatiq's frame: the hooks of its own worker, its command line, what it must refuse."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from conserved import assert_at_rest, assert_conserved
from dramatiq.brokers.stub import StubBroker
from dramatiq.middleware import (
    AsyncIO,
    CurrentMessage,
    Middleware,
    Retries,
    ShutdownNotifications,
    SkipMessage,
    TimeLimit,
)
from dramatiq.results import Results
from dramatiq.results.backends import StubBackend
from queue_world import World, engine, until

from shared.core.model import Status
from shared.errors import ConfigError
from shared.queue.broker import AsyncActor, EventBroker
from shared.store.server import Server

ROOT = Path(__file__).parents[2]
HOOKS = (
    "before_process_message", "after_process_message", "after_skip_message", "before_ack",
    "after_ack", "before_nack", "after_nack",
)  # fmt: skip


class Trace(Middleware):
    """Notes every hook of one message, with what it was given."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def before_process_message(self, _broker: Any, message: Any) -> None:
        self.lines.append("before_process_message")
        if message.actor_name == "skipped":
            raise SkipMessage("not today")
        if message.actor_name == "rejected":
            message.fail()

    def after_process_message(
        self, _broker: Any, _message: Any, *, result: Any = None, exception: Any = None
    ) -> None:
        self.lines.append(f"after_process_message {result!r} {exception!r}")


def _note(name: str) -> Callable[..., None]:
    def hook(self: Trace, broker: Any, message: Any) -> None:
        self.lines.append(name)

    return hook


for _name in HOOKS[2:]:
    setattr(Trace, _name, _note(_name))


def actors(broker: dramatiq.Broker) -> dict[str, Any]:
    """The same actors on any broker."""

    def returns() -> int:
        return 7

    def raises() -> None:
        raise ValueError("broken")

    def skipped() -> None:
        raise AssertionError("never runs")

    def rejected() -> None:
        raise AssertionError("never runs")

    def current() -> str:
        message = CurrentMessage.get_current_message()
        return message.actor_name if message else "none"

    return {
        fn.__name__: dramatiq.actor(fn, broker=broker, queue_name="q")
        for fn in (returns, raises, skipped, rejected, current)
    }


def stock(name: str) -> list[str]:
    trace = Trace()
    broker = StubBroker(middleware=[CurrentMessage(), trace])
    broker.emit_after("process_boot")
    made = actors(broker)
    worker = dramatiq.Worker(broker, worker_timeout=50, worker_threads=1)
    worker.start()
    made[name].send()
    broker.join("q", fail_fast=False)
    worker.join()
    worker.stop()
    broker.close()
    return trace.lines


@pytest.mark.parametrize("name", ["returns", "raises", "skipped", "rejected", "current"])
async def test_the_hooks_are_those_of_dramatiqs_own_worker(
    world: World, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = await asyncio.to_thread(stock, name)
    monkeypatch.setattr("shared.queue.broker.TASK_RETRIES", 0)
    trace = Trace()
    broker = EventBroker(world.url, middleware=[CurrentMessage(), trace])
    made = actors(broker)
    await asyncio.to_thread(made[name].send)
    async with engine(world.url, broker.perform, ["own"]):
        await until(lambda: _none_alive(world), "it has ended")
    # dramatiq acknowledges what raised; with no tries left we say that it failed
    if name == "raises":
        expected = [line.replace("_ack", "_nack") for line in expected]
    assert trace.lines == expected
    await assert_at_rest(world.client)


async def _none_alive(world: World) -> bool:
    return int(await world.client.get("{hr}:alive") or 0) == 0


async def test_a_cancelled_actor_is_seen_out_by_its_hooks(world: World) -> None:
    trace = Trace()
    broker = EventBroker(world.url, middleware=[trace])
    began = asyncio.Event()

    async def waits() -> None:
        began.set()
        await asyncio.Event().wait()

    actor = AsyncActor(
        waits, broker=broker, actor_name="waits", queue_name="q", priority=0, options={}
    )
    message = await asyncio.to_thread(actor.send)
    async with engine(world.url, broker.perform, ["own"]):
        await began.wait()
        await world.jobs.cancel(message.message_id, None)
        await until(lambda: len(trace.lines) == 2, "its hooks ran")
    assert trace.lines == ["before_process_message", "after_process_message None CancelledError()"]


async def test_what_an_actor_enqueues_is_written_with_its_finish(world: World) -> None:
    broker = EventBroker(world.url)
    seen: list[str] = []
    raised = False

    @dramatiq.actor(broker=broker, queue_name="q")
    def child(name: str) -> None:
        seen.append(name)

    def sends(name: str) -> None:
        nonlocal raised
        child.send(name)
        assert not asyncio.run(_exists(world.url)), "nothing is written before the finish"
        if not raised:
            raised = True
            raise ValueError("after it enqueued")

    parent = dramatiq.actor(sends, broker=broker, queue_name="q", actor_name="parent")
    await asyncio.to_thread(parent.send, "x")
    async with engine(world.url, broker.perform, ["own"]):
        await until(lambda: _none_alive(world), "all have ended")
    assert seen == ["x", "x"], "a retry's finish brings what it enqueued too"
    await assert_at_rest(world.client)


async def _exists(url: str) -> bool:
    world = World(url)
    try:
        kinds = [
            await world.client.hgetall(key) async for key in world.client.scan_iter("{hr}:job:*")
        ]
    finally:
        await world.close()
    return len([k for k in kinds if k[b"status"] == b"queued"]) > 0


async def test_what_is_enqueued_after_the_finish_is_written_at_once(world: World) -> None:
    broker = EventBroker(world.url)
    later: list[asyncio.Task[None]] = []
    go = asyncio.Event()

    @dramatiq.actor(broker=broker, queue_name="other")
    def child() -> None: ...

    async def parent() -> None:
        async def after() -> None:
            await go.wait()
            await asyncio.to_thread(child.send)

        later.append(asyncio.create_task(after()))

    actor = AsyncActor(
        parent, broker=broker, actor_name="p", queue_name="q", priority=0, options={}
    )
    message = await asyncio.to_thread(actor.send)
    async with engine(world.url, broker.perform, ["own"]):
        await until(lambda: _is_completed(world, message.message_id), "the parent ended")
        go.set()
        await later[0]
        await until(lambda: _done(world, 2), "the late child ran too")


async def _is_completed(world: World, job_id: str) -> bool:
    return await world.status(job_id) is Status.COMPLETED


async def _done(world: World, count: int) -> bool:
    return int(await world.client.hget("{hr}:done", "completed") or 0) == count


async def test_enqueueing_twice_is_one_job(world: World) -> None:
    broker = EventBroker(world.url)

    @dramatiq.actor(broker=broker, queue_name="q")
    def child() -> None: ...

    message = child.message()
    for _ in range(3):
        await asyncio.to_thread(broker.enqueue, message)
    assert int(await world.client.get("{hr}:alive") or 0) == 1
    await assert_conserved(world.client)


@pytest.mark.parametrize(
    "middleware",
    [TimeLimit(), ShutdownNotifications(), AsyncIO(), Retries(), Results(backend=StubBackend())],
)
def test_what_would_break_the_loop_is_refused(middleware: Middleware) -> None:
    broker = EventBroker("unix:///nowhere?db=0")
    with pytest.raises(ConfigError, match=type(middleware).__name__):
        broker.add_middleware(middleware)
    with pytest.raises(ConfigError):
        EventBroker("unix:///nowhere?db=0", middleware=[middleware])


async def test_dramatiqs_command_line_boots_a_module_and_runs_its_actors(
    valkey: Server, world: World
) -> None:
    env = os.environ | {
        "TINY_STORE": valkey.url,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'queue'}",
    }
    process = subprocess.Popen(  # noqa: ASYNC220 - started, not waited for
        [sys.executable, "-m", "dramatiq", "tiny_module", "-p", "1", "-t", "1"],
        cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        broker = EventBroker(valkey.url)

        @dramatiq.actor(broker=broker, queue_name="tiny")
        def parent(number: int) -> None: ...

        for number in range(5):
            await asyncio.to_thread(parent.send, number)
        await until(lambda: _done(world, 10), "parents and children have run", 0.1)
        process.terminate()
        assert await asyncio.to_thread(process.wait, 60) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    await assert_at_rest(world.client)
