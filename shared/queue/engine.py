"""The engine: one asyncio loop a process that claims, runs and finishes jobs.

One Lua call a turn (`tick`) finishes a batch and claims a batch. Nobody polls: an idle engine
blocks on the wake lists of its providers; timers are armed to the next due moment. Only this loop
ever ticks or reconciles, one after the other, so that a reconcile never races a claim.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError

from shared.queue.claims import Finish, claims, job_header, signatures
from shared.queue.emitter import Emitter
from shared.queue.scripts import Scripts
from shared.queue.types import Claim, Report, Verdict
from shared.store.connect import blocking, commands

log = structlog.get_logger(__name__)

RESTAMP_MS = 5


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Times in ms. `batch` bounds one tick; `block_ms` how long an idle engine waits in Redis."""

    max_inflight: int = 1000
    batch: int = 64
    lease_ms: int = 5000
    beat_ms: int = 1000
    drain_ms: int = 30_000
    block_ms: int = 30_000
    prefix: str = "{hr}:"


@dataclass(slots=True)
class Hand:
    """What a running attempt holds: the claim, the way to say something of it, the store's clock."""

    claim: Claim
    engine: "Engine"
    task: "asyncio.Task[None] | None" = None
    dropped: bool = False
    emitted: int = 0
    was_sent: bool = False

    async def emit(self, kind: str, data: bytes) -> None:
        """Appends an event to the job's stream; waits where the store is behind."""
        self.emitted += 1
        await self.engine.emitter.emit(self.claim, kind, data)

    def sent(self) -> None:
        """Says that the request is being written to the socket: the quota counts from here."""
        self.was_sent = True
        now = self.engine.now_ms()
        if now - self.claim.claimed_ms > RESTAMP_MS:
            self.engine.mark_sent(self.claim, now)

    def now_ms(self) -> int:
        """The moment by the store's clock."""
        return self.engine.now_ms()


Run = Callable[[Hand], Awaitable[Report]]


@dataclass(slots=True)
class Stats:
    """Counters since the start."""

    ticks: int = 0
    claimed: int = 0
    finished: int = 0
    stale: int = 0
    reconnects: int = 0


class Engine:
    """Runs the jobs of `providers` with `run`, at most `max_inflight` at a time."""

    def __init__(
        self,
        url: str,
        providers: Sequence[str],
        run: Run,
        settings: EngineSettings | None = None,
        *,
        on_claim: Callable[[], None] | None = None,
    ) -> None:
        self.settings = settings or EngineSettings()
        self.worker = uuid.uuid4().hex[:12]
        self.providers = list(providers)
        self.stats = Stats()
        self._run = run
        self._on_claim = on_claim
        self._url = url
        self._hands: dict[tuple[str, int], Hand] = {}
        self._finishes: list[Finish] = []
        self._sent: list[tuple[Claim, int]] = []
        self._kick = asyncio.Event()
        self._room = asyncio.Event()
        self._more = True
        self._due_ms = 0
        self._turn = 0
        self._offset_ms = time.time() * 1000 - time.monotonic() * 1000
        self._draining = False
        self._running = True
        self._reconcile_first = False
        self._client = commands(url)
        self.scripts = Scripts(self._client, self.settings.prefix)
        self.emitter = Emitter(self.scripts, self.worker)

    def now_ms(self) -> int:
        """The moment by the store's clock, from the last tick on."""
        return int(time.monotonic() * 1000 + self._offset_ms)

    @property
    def inflight(self) -> int:
        """How many jobs this engine runs."""
        return len(self._hands)

    def mark_sent(self, claim: Claim, at_ms: int) -> None:
        """Re-stamps a reservation with the next tick: the call left later than it was claimed."""
        self._sent.append((claim, at_ms))
        self._kick.set()

    async def serve(self) -> None:
        """Works until `stop`; what is in flight then is finished or given back."""
        helpers = [asyncio.create_task(self._beat()), asyncio.create_task(self._listen())]
        log.info("engine_started", worker=self.worker, providers=self.providers)
        try:
            while self._running or self._finishes or self._hands:
                await self._turn_once()
        finally:
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await self.emitter.close()
            await self._client.aclose()
            log.info("engine_stopped", worker=self.worker, finished=self.stats.finished)

    async def stop(self) -> None:
        """Claims nothing more, lets calls end for `drain_ms`, gives the rest back unharmed."""
        self._draining = True
        self._kick.set()
        until = time.monotonic() + self.settings.drain_ms / 1000
        while self._hands and time.monotonic() < until:
            tasks = [hand.task for hand in self._hands.values() if hand.task]
            await asyncio.wait(tasks, timeout=until - time.monotonic())
        for hand in list(self._hands.values()):
            if hand.task:
                hand.task.cancel()
        self._running = False
        self._kick.set()

    def _free(self) -> int:
        if self._draining:
            return 0
        return max(0, min(self.settings.batch, self.settings.max_inflight - len(self._hands)))

    async def _turn_once(self) -> None:
        free = self._free()
        if self._finishes or self._sent or (self._more and free):
            self._more = False
            try:
                if self._reconcile_first:
                    await self._reconcile()
                await self._tick(free)
            except (RedisError, OSError) as error:
                await self._after_outage(error)
            if self._more or self._finishes:
                return
        if self._free() > 0:
            self._room.set()
        else:
            self._room.clear()
        if not self._running:
            if self._hands:
                await asyncio.sleep(0.01)
            return
        timer = self._arm()
        await self._kick.wait()
        self._kick.clear()
        if timer:
            timer.cancel()

    def _arm(self) -> asyncio.TimerHandle | None:
        if not self._due_ms:
            return None
        delay = max(0.0, (self._due_ms - self.now_ms()) / 1000 + 0.0005)
        return asyncio.get_running_loop().call_later(delay, self._look)

    def _look(self) -> None:
        self._more = True
        self._kick.set()

    async def _tick(self, want: int) -> None:
        finishes, self._finishes = self._finishes[:256], self._finishes[256:]
        sent, self._sent = self._sent[:256], self._sent[256:]
        self._turn += 1
        argv: list[bytes] = []
        header = {
            "worker": self.worker,
            "turn": self._turn,
            "lease_ms": self.settings.lease_ms,
            "providers": self.providers,
            "want": want,
            "idle": not self._hands,
            "fins": [finish.header(argv) for finish in finishes] or None,
            "sent": [{"id": c.job_id, "fence": c.fence, "at": at} for c, at in sent] or None,
        }
        outbox = [job for finish in finishes for job in finish.report.outbox]
        if outbox:
            header["sigs"] = signatures(outbox)
            header["outbox"] = []
            for job in outbox:
                argv.append(job.doc)
                header["outbox"].append(job_header(job) | {"doc": len(argv) + 1})
        asked = time.monotonic()
        try:
            reply = await self.scripts("tick", header, *argv)
        except BaseException:
            self._finishes[:0] = finishes  # fenced: safe to send again
            self._sent[:0] = sent
            raise
        now_ms, more, due_ms, stale, rows = reply
        self._offset_ms = int(now_ms) - asked * 1000
        self._due_ms = int(due_ms)
        self._more = bool(more) and self._free() > 0 and bool(rows)
        self.stats.ticks += 1
        self.stats.finished += len(finishes) - len(stale)
        self.stats.stale += len(stale)
        for job_id in stale:
            log.warning("finish_was_stale", job_id=job_id.decode())
        for claim in claims(rows, int(now_ms)):
            self._start(claim)

    def _start(self, claim: Claim) -> None:
        self.stats.claimed += 1
        hand = Hand(claim, self)
        self._hands[claim.job_id, claim.fence] = hand
        hand.task = asyncio.get_running_loop().create_task(self._work(hand))

    async def _work(self, hand: Hand) -> None:
        claim = hand.claim
        # whatever goes wrong in here, the job is tried again: never acknowledged by accident
        report = Report(Verdict.RETRY, delay_ms=1000, reason="engine_error")
        try:
            report = await self._run(hand)
            if hand.emitted:
                await self.emitter.drained(claim)
        except asyncio.CancelledError:
            report = Report(
                Verdict.REQUEUE,
                reached=hand.was_sent,
                uncertain=hand.was_sent,
                reason="shutdown",
            )
        except Exception:
            log.exception("attempt_crashed", job_id=claim.job_id)
        finally:
            self._hands.pop((claim.job_id, claim.fence), None)
            if not hand.dropped:
                self._finishes.append(Finish(claim, report, suspect_over=claim.lost_leases > 1))
            self._kick.set()

    async def _listen(self) -> None:
        """Blocks on the wake lists and on this worker's own; the only long wait of an idle engine."""
        prefix = self.settings.prefix
        own = f"{prefix}ctl:{self.worker}"
        block_s = self.settings.block_ms / 1000
        client = blocking(self._url, block_s)
        backoff_s = 0.05
        while True:
            wakes = [f"{prefix}wake:{name}" for name in self.providers]
            keys = [own, *wakes] if self._room.is_set() else [own]
            wait_s = block_s if self._room.is_set() else 1.0
            try:
                popped = await client.blpop(keys, timeout=wait_s)
                backoff_s = 0.05
            except (RedisError, OSError):
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, 1.0)
                self._look()
                continue
            if popped is None:
                continue
            if popped[0].decode() == own:
                self._told(popped[1].decode())
            else:
                self._look()

    def _told(self, word: str) -> None:
        verb, _, job_id = word.partition(" ")
        if verb != "drop":
            return
        for hand in list(self._hands.values()):
            if hand.claim.job_id == job_id and hand.task:
                hand.dropped = True
                hand.task.cancel()

    async def _beat(self) -> None:
        """Renews the lease, reaps the dead, notices work that no wake token told of."""
        client = commands(self._url)
        scripts = Scripts(client, self.settings.prefix)
        header = {
            "worker": self.worker,
            "lease_ms": self.settings.lease_ms,
            "providers": self.providers,
        }
        while True:
            try:
                _, taken, work = await scripts("beat", header)
                if taken:
                    log.warning("leases_taken_back", jobs=taken)
                if taken or work:
                    self._look()
            except (RedisError, OSError):
                pass  # the tick's own connection tells of it, once
            await asyncio.sleep(self.settings.beat_ms / 1000)

    async def _after_outage(self, error: Exception) -> None:
        if not self._reconcile_first:
            log.warning("store_lost", worker=self.worker, error=str(error)[:200])
        self.stats.reconnects += 1
        self._reconcile_first = True
        self._more = True
        with contextlib.suppress(RedisError, OSError):
            await self._client.connection_pool.disconnect()
        await asyncio.sleep(0.1)

    async def _reconcile(self) -> None:
        """Gives back what the store leased to us in a reply that was lost."""
        known = [job_id for job_id, _ in self._hands]
        known += [finish.claim.job_id for finish in self._finishes]
        self._turn += 1
        header = {
            "worker": self.worker,
            "lease_ms": self.settings.lease_ms,
            "known": known,
            "turn": self._turn,
        }
        _, taken, _ = await self.scripts("beat", header)
        self._reconcile_first = False
        log.info("store_back", worker=self.worker, taken_back=taken)
