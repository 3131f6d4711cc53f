"""The engine in dramatiq's frame: a broker, an actor class, a middleware, by public API only.

`dramatiq workers.main` and `headrace workers` both boot a stock Worker; its threads idle, since our
consumers yield nothing, and the middleware runs the Engine on one loop beside them.
"""

import asyncio
import concurrent.futures
import inspect
import os
import signal
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import dramatiq
import structlog
import uvloop
from dramatiq.broker import Broker, Consumer, MessageProxy
from dramatiq.message import Message
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

from shared.core.model import Kind, Need, Priority
from shared.errors import ConfigError
from shared.queue.engine import Engine, EngineSettings, Hand
from shared.queue.types import Claim, NewJob, Report, Verdict
from shared.store.connect import producer
from shared.store.jobs import Jobs

log = structlog.get_logger(__name__)

# they raise into threads or block the loop thread; Retries: the engine owns retrying
REFUSED = (TimeLimit, ShutdownNotifications, AsyncIO, Results, Retries)
TASK_RETRIES = 5


@dataclass(slots=True)
class Outbox:
    """What a running actor enqueues; written with its finish, and closed by it."""

    jobs: list[NewJob] = field(default_factory=list)
    closed: bool = False


outbox: ContextVar[Outbox | None] = ContextVar("outbox", default=None)
holding: ContextVar[Hand] = ContextVar("holding")
"""What runs the actor that asks: tasks of our own get their arguments only."""


class AsyncActor(dramatiq.Actor[Any, Any]):
    """Keeps the coroutine function, which dramatiq's own actor would wrap in a blocking call."""

    def __init__(self, fn: Callable[..., Any], **options: Any) -> None:
        self.raw = fn
        super().__init__(fn, **options)


class _NothingToConsume(Consumer):
    """What the stock Worker reads: the Engine claims, so nothing ever comes out of here."""

    def __init__(self, timeout_ms: int) -> None:
        self._timeout_s = timeout_ms / 1000
        self._closed = threading.Event()

    def __next__(self) -> None:
        self._closed.wait(self._timeout_s)

    def requeue(self, messages: Iterable[Any]) -> None:
        """Nothing was taken."""

    def close(self) -> None:
        """Lets the consumer thread go."""
        self._closed.set()


class EventBroker(Broker):
    """dramatiq's Broker on our queue. Enqueueing is idempotent by message id: the job id."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "{hr}:",
        middleware: Sequence[Middleware] | None = None,
    ) -> None:
        super().__init__(middleware=[CurrentMessage()] if middleware is None else list(middleware))
        self.url = url
        self.prefix = prefix

    def add_middleware(self, middleware: Middleware, **where: Any) -> None:
        """Adds a middleware; ConfigError for those that would break the loop thread."""
        if isinstance(middleware, REFUSED):
            raise ConfigError(
                f"{type(middleware).__name__} cannot run on Headrace's event loop: it blocks or"
                " raises into a thread; the engine has its own time limits, retries and results"
            )
        super().add_middleware(middleware, **where)

    def declare_queue(self, queue_name: str) -> None:
        """Declares a queue; there are no delay queues, delays live in the store."""
        if queue_name not in self.queues:
            self.emit_before("declare_queue", queue_name)
            self.queues[queue_name] = None
            self.emit_after("declare_queue", queue_name)

    def consume(
        self,
        queue_name: str,  # noqa: ARG002 - dramatiq's signature
        prefetch: int = 1,  # noqa: ARG002
        timeout: int = 1000,
    ) -> Consumer:
        """A consumer that yields nothing."""
        return _NothingToConsume(timeout)

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Puts a message on the lane of its queue, `delay` ms from now.

        Inside a running actor it becomes part of the call that finishes the job; elsewhere it is
        written at once (a blocking call: from async code use `Jobs.accept`).
        """
        self.emit_before("enqueue", message, delay)
        job = NewJob(
            id=message.message_id,
            tenant="system",
            kind=Kind.TASK,
            priority=Priority.NORMAL,
            lane=f"own/{message.queue_name}@shared",
            candidates=(f"own/{message.queue_name}@shared",),
            need=Need(),
            doc=message.encode(),
            delay_ms=delay or 0,
        )
        box = outbox.get()
        if box is not None and not box.closed:
            box.jobs.append(job)
        else:
            _run_apart(self._accept(job))
        self.emit_after("enqueue", message, delay)
        return message

    async def _accept(self, job: NewJob) -> None:
        client = producer(self.url)
        try:
            await Jobs(client, client, self.prefix).accept(job)
        finally:
            await client.aclose()

    async def perform(self, hand: Hand) -> Report:
        """Runs the actor of a claimed job, with the hooks of dramatiq's own worker in its order."""
        proxy = MessageProxy(self._message(hand.claim))
        box = Outbox()
        outbox.set(box)
        holding.set(hand)
        report = Report(Verdict.COMPLETE)
        try:
            self.emit_before("process_message", proxy)
            result = None if proxy.failed else await self._call(proxy, hand)
            self.emit_after("process_message", proxy, result=result)
            if isinstance(result, Report):
                report = result
        except SkipMessage as skipped:
            if proxy.failed:
                proxy.stuff_exception(skipped)
            self.emit_after("skip_message", proxy)
            report = Report(Verdict.CANCEL, reason="skipped", reached=False)
        except BaseException as error:
            proxy.stuff_exception(error)
            self.emit_after("process_message", proxy, exception=error)
            if isinstance(error, asyncio.CancelledError):
                raise
            log.exception("actor_failed", job_id=hand.claim.job_id)
            report = _after_crash(hand.claim)
        finally:
            proxy.clear_exception()
            box.closed = True
        if proxy.failed and report.verdict is not Verdict.FAIL:
            report = replace(report, verdict=Verdict.FAIL)
        word = "nack" if report.verdict is Verdict.FAIL else "ack"
        self.emit_before(word, proxy)
        self.emit_after(word, proxy)
        return replace(report, outbox=(*report.outbox, *box.jobs)) if box.jobs else report

    async def _call(self, proxy: MessageProxy, hand: Hand) -> Any:
        actor = self.get_actor(proxy.actor_name)
        raw = getattr(actor, "raw", actor.fn)
        if hand.claim.kind is not Kind.TASK:
            return await raw(hand)
        if inspect.iscoroutinefunction(raw):
            return await raw(*proxy.args, **proxy.kwargs)
        return await asyncio.to_thread(raw, *proxy.args, **proxy.kwargs)

    def _message(self, claim: Claim) -> Message[Any]:
        if claim.kind is Kind.TASK:
            return Message.decode(claim.doc)
        queue = queue_of(claim.lane)
        return Message(
            queue_name=queue or "jobs",
            actor_name=queue or claim.kind.value,
            args=(),
            kwargs={},
            options={"tenant": claim.tenant, "lane": claim.lane},
            message_id=claim.job_id,
            message_timestamp=claim.created_ms,
        )


def queue_of(lane: str) -> str | None:
    """The queue of our own whose actor takes a job's steps; None where a provider does the work."""
    own, _, rest = lane.partition("/")
    return rest.rpartition("@")[0] if own == "own" else None


def _after_crash(claim: Claim) -> Report:
    if claim.attempts + 1 < TASK_RETRIES:
        wait_ms = 1000 * 2**claim.attempts
        return Report(Verdict.RETRY, delay_ms=wait_ms, reason="internal_error")
    error = {"message": "internal error", "type": "server_error", "code": "internal_error"}
    return Report(Verdict.FAIL, error=error, reason="internal_error")


def _run_apart(work: "Awaitable[None]") -> None:
    """Runs a coroutine to its end from blocking code, whether or not a loop runs here."""

    async def run() -> None:
        await work

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, run()).result(timeout=30)


class EngineMiddleware(Middleware):
    """Starts the Engine when a dramatiq worker boots and stops it before it shuts down.

    `setup` runs on the engine's loop and returns what to do with a claim and how to clean up.
    """

    def __init__(
        self,
        providers: Sequence[str],
        settings: EngineSettings,
        setup: "Callable[[EventBroker], Awaitable[Callable[[], Awaitable[None]]]] | None" = None,
    ) -> None:
        self.providers = providers
        self.settings = settings
        self.setup = setup
        self.engine: Engine | None = None
        self.failed: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._up = threading.Event()

    def serve(self, providers: Sequence[str]) -> None:
        """Claims for these providers from now on; on the engine's loop once it runs."""
        self.providers = list(providers)
        if self.engine is not None:
            self.engine.serve_providers([*providers, "own"])

    def after_worker_boot(self, broker: Broker, worker: Any) -> None:  # noqa: ARG002
        """Runs the engine on a loop of its own; raises what its set-up raised."""
        assert isinstance(broker, EventBroker)  # noqa: S101
        self._thread = threading.Thread(
            target=self._serve, args=(broker,), name="engine", daemon=True
        )
        self._thread.start()
        self._up.wait()
        if self.failed is not None:
            raise self.failed

    def before_worker_shutdown(self, broker: Broker, worker: Any) -> None:  # noqa: ARG002
        """Drains the engine; blocks until it is done."""
        if self.engine and self._loop and self._thread:
            asyncio.run_coroutine_threadsafe(self.engine.stop(), self._loop)
            self._thread.join(self.settings.drain_ms / 1000 + 15)

    def _serve(self, broker: EventBroker) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            try:
                runner.run(self._main(broker))
            except BaseException as error:  # the booting thread raises it
                self.failed = error
                log.exception("engine_died")
                if self._up.is_set():  # a worker without its engine would idle for ever
                    os.kill(os.getpid(), signal.SIGTERM)
            finally:
                self._up.set()

    async def _main(self, broker: EventBroker) -> None:
        self._loop = asyncio.get_running_loop()
        close = await self.setup(broker) if self.setup else None
        self.engine = Engine(broker.url, [*self.providers, "own"], broker.perform, self.settings)
        self._up.set()
        try:
            await self.engine.serve()
        finally:
            if close:
                await close()
