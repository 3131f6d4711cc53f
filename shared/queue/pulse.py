"""Keeps a worker alive in the store while its loop is too busy to say so itself.

The loop's own ticks and heartbeats renew the lease. Where they are late, a thread renews it over a
connection of its own: the process lives, and what its loop does is worth waiting for. Not for ever:
a loop that gives no sign of life for `hung_after_ms` hangs, and its jobs are better off elsewhere.
What holds the interpreter's lock for a whole lease stops the thread too.
"""

import asyncio
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

import orjson
import redis
import structlog
from redis.exceptions import RedisError, ResponseError

from shared.queue.hand import EngineSettings
from shared.queue.scripts import library, source
from shared.store.connect import threaded

log = structlog.get_logger(__name__)

LATE_BEATS = 2  # heartbeats that the loop may miss before the thread speaks for it
LATE_SHARE = 0.4  # of the lease, at most: there must be time for a second try
ENDS_WITHIN_S = 1.0


class Duty(StrEnum):
    """What the thread does now."""

    REST = "rest"  # the loop renews by itself
    RENEW = "renew"
    GIVE_UP = "give_up"  # the loop hangs


@dataclass(frozen=True, slots=True)
class Spans:
    """When the loop is late and when it hangs, and how often it is then looked at; in seconds."""

    late: float
    hung: float
    beat: float

    def duty(self, now: float, renewed: float, seen: float) -> Duty:
        """By the moments of the loop's last renewal and of its last sign of life."""
        if now - renewed < self.late:
            return Duty.REST
        return Duty.RENEW if now - seen < self.hung else Duty.GIVE_UP

    def pause(self, now: float, renewed: float) -> float:
        """Until the next look: when the loop would be late, were this its last renewal."""
        left = renewed + self.late - now
        return left if left > 0 else self.beat


def spans(settings: EngineSettings) -> Spans:
    """What `settings` mean for the thread."""
    beat, lease = settings.beat_ms / 1000, settings.lease_ms / 1000
    late = min(LATE_BEATS * beat, LATE_SHARE * lease)
    return Spans(late, settings.hung_after_ms / 1000, min(beat, late))


class Pulse:
    """The thread of one worker. Only `renewed`, `start` and `stop` are for its loop."""

    def __init__(self, url: str, worker: str, settings: EngineSettings) -> None:
        self._url = url
        self._prefix = settings.prefix
        self._worker = worker
        self._header = orjson.dumps({"worker": worker, "lease_ms": settings.lease_ms})
        self._spans = spans(settings)
        self._renewed = self._seen = 0.0
        self._known = False  # the store knows the worker: there is something to renew
        self._asked = False  # the loop was asked for a sign of life and has not answered
        self._word = ""  # what the thread came to in this spell
        self._told = ""  # what was logged of it: each word once
        self._client: redis.Redis | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"pulse-{worker}", daemon=True)

    def start(self) -> None:
        """From now on the running loop is watched."""
        self._loop = asyncio.get_running_loop()
        self._renewed = self._seen = time.monotonic()
        self._thread.start()

    def renewed(self, asked: float) -> None:
        """The loop's own call, sent at `asked`, has renewed the lease."""
        self._renewed, self._seen = asked, time.monotonic()
        self._known = True

    async def stop(self) -> None:
        """Ends the thread; one that waits for the store ends by itself a little later."""
        self._ended.set()
        with suppress(TimeoutError):
            joined = asyncio.to_thread(self._thread.join, ENDS_WITHIN_S)
            await asyncio.wait_for(joined, ENDS_WITHIN_S)

    def _run(self) -> None:
        while not self._ended.wait(self._spans.pause(time.monotonic(), self._renewed)):
            try:
                if self._known:
                    self._look()
            except Exception:
                log.exception("pulse_failed", worker=self._worker)
        self._hang_up()

    def _look(self) -> None:
        now, renewed = time.monotonic(), self._renewed
        match self._spans.duty(now, renewed, self._seen):
            case Duty.REST:
                self._word = self._told = ""
                self._hang_up()
            case Duty.RENEW:
                self._ask_loop()
                self._renew()
            case Duty.GIVE_UP:
                self._ask_loop()
                self._hang_up()
                self._word = "loop_hangs"
                self._tell()

    def _ask_loop(self) -> None:
        """Has the loop give a sign of life; one question at a time waits there."""
        if self._asked or self._loop is None:
            return
        self._asked = True
        with suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        # a line to a log that nobody reads may block: the loop, not the thread that speaks for it
        self._seen = time.monotonic()
        self._asked = False
        self._tell()

    def _renew(self) -> None:
        try:
            kept = self._call()
        except (RedisError, OSError):
            self._hang_up()  # the loop's own calls tell of an outage
            return
        # refused: it was declared dead, and lives again when its own loop says so
        self._word = "lease_kept_for_busy_loop" if kept else "lease_was_lost"

    def _call(self) -> bool:
        self._client = self._client or threaded(self._url)
        run = self._client.execute_command
        try:
            kept = run("FCALL", f"{library()[0]}_pulse", 1, self._prefix, self._header)  # type: ignore[no-untyped-call]
        except ResponseError:  # a store without functions, or one that was emptied
            kept = run("EVAL", source("pulse"), 1, self._prefix, self._header)  # type: ignore[no-untyped-call]
        return bool(kept)

    def _tell(self) -> None:
        word = self._word
        if word and word != self._told:
            self._told = word
            late_ms = int((time.monotonic() - self._renewed) * 1000)
            log.warning(word, worker=self._worker, late_ms=late_ms)

    def _hang_up(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(RedisError, OSError):
                client.close()
