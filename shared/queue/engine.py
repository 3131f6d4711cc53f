"""The engine: one asyncio loop a process that claims, runs and finishes jobs.

One Lua call a turn (`tick`) finishes a batch and claims a batch. Nobody polls: an idle engine
blocks on the wake lists of its providers; timers are armed to the next due moment. Only this loop
ever ticks or reconciles, one after the other, so that a reconcile never races a claim.
"""

import asyncio
import contextlib
import time
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import structlog
from redis.exceptions import RedisError

from shared.queue.claims import Finish, candidates, claims
from shared.queue.emitter import Emitter
from shared.queue.hand import EngineSettings as EngineSettings  # noqa: PLC0414 - for all
from shared.queue.hand import Hand as Hand  # noqa: PLC0414
from shared.queue.hand import Run, Stats
from shared.queue.listening import Listening
from shared.queue.pulse import Pulse
from shared.queue.scripts import Scripts, is_fault
from shared.queue.types import Claim, Report, Verdict
from shared.store.connect import commands

log = structlog.get_logger(__name__)

MOST_FINISHES = 256
MOST_DROPS = 256
REFUSED = Report(Verdict.RETRY, delay_ms=1000, reason="engine_error")


class Engine:
    """Runs the jobs of `providers` with `run`, at most `max_inflight` at a time."""

    def __init__(
        self,
        url: str,
        providers: Sequence[str],
        run: Run,
        settings: EngineSettings | None = None,
    ) -> None:
        self.settings = settings or EngineSettings()
        self.worker = uuid.uuid4().hex[:12]
        self.providers = list(providers)
        self.stats = Stats()
        self._run = run
        self._url = url
        self._hands: dict[tuple[str, int], Hand] = {}
        self._drops: OrderedDict[str, int] = OrderedDict()
        self._finishes: list[Finish] = []
        self._sent: list[tuple[Claim, int]] = []
        self._kick = asyncio.Event()
        self._more = True
        self._due_ms = 0
        self._turn = 0
        self._most_finishes = MOST_FINISHES
        self._offset_ms = time.time() * 1000 - time.monotonic() * 1000
        self._draining = False
        self._running = True
        self._reconcile_first = False
        self._client = commands(url)
        self.scripts = Scripts(self._client, self.settings.prefix)
        self.emitter = Emitter(self.scripts, self.worker)
        self._pulse = Pulse(url, self.worker, self.settings)
        self._listening = Listening(
            url,
            self.settings.prefix,
            self.worker,
            self.providers,
            block_ms=self.settings.block_ms,
            woken=self._woken,
            told=self._told,
        )

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

    def serve_providers(self, providers: Sequence[str]) -> None:
        """Claims for these providers from the next turn on. What runs is not touched."""
        if set(providers) == set(self.providers):
            return
        self.providers[:] = providers
        log.info("engine_serves", worker=self.worker, providers=self.providers)
        self._listening.listen_to(self.providers)
        self._look()

    async def serve(self) -> None:
        """Works until `stop`; what is in flight then is finished or given back."""
        helpers = [
            asyncio.create_task(self._beat()),
            asyncio.create_task(self._listening.serve()),
        ]
        self._pulse.start()
        log.info("engine_started", worker=self.worker, providers=self.providers)
        try:
            while self._running or self._finishes or self._hands:
                await self._turn_once()
        finally:
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
            await self._pulse.stop()
            await self.emitter.close()
            await self._client.aclose()
            log.info("engine_stopped", worker=self.worker, finished=self.stats.finished)

    async def stop(self) -> None:
        """Claims nothing more, lets calls end for `drain_ms`, gives the rest back unharmed."""
        self._draining = True
        self._listening.room.clear()
        self._kick.set()
        until = time.monotonic() + self.settings.drain_ms / 1000
        while self._hands and time.monotonic() < until:
            tasks = [hand.task for hand in self._hands.values() if hand.task]
            await asyncio.wait(tasks, timeout=until - time.monotonic())
        self._running = False
        for hand in list(self._hands.values()):
            if hand.task:
                hand.task.cancel()
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
            if self._finishes or (self._more and self._free()):
                return
        timer = None
        if self._free() > 0:
            self._listening.room.set()
            timer = self._arm()
        else:
            self._listening.room.clear()
        if self._running or self._hands:
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

    def _woken(self) -> bool:
        """Looks for work; False where there is no room for any."""
        if self._free() == 0:
            return False
        self._look()
        return True

    async def _tick(self, want: int) -> None:
        most = self._most_finishes
        finishes, self._finishes = self._finishes[:most], self._finishes[most:]
        sent, self._sent = self._sent[:MOST_FINISHES], self._sent[MOST_FINISHES:]
        self._turn += 1
        argv: list[bytes] = []
        header = {
            "worker": self.worker,
            "turn": self._turn,
            "lease_ms": self.settings.lease_ms,
            "providers": self.providers,
            "want": want,
            "idle": not self._hands and not self._finishes,
            "fins": [finish.header(argv) for finish in finishes] or None,
            "sent": [{"id": c.job_id, "fence": c.fence, "at": at} for c, at in sent] or None,
            "sigs": candidates(finishes) or None,
        }
        asked = time.monotonic()
        try:
            reply = await self.scripts("tick", header, *argv)
        except BaseException as error:
            self._finishes[:0] = finishes  # fenced: safe to send again
            self._sent[:0] = sent
            if is_fault(error):
                self._set_apart()
            raise
        self._take_in(reply, asked, len(finishes))

    def _take_in(self, reply: Sequence[Any], asked: float, finished: int) -> None:
        now_ms, more, due_ms, stale, rows = reply
        self._pulse.renewed(asked)
        self._offset_ms = int(now_ms) - asked * 1000
        self._due_ms = int(due_ms)
        self._more = self._more or (bool(more) and bool(rows))
        self._most_finishes = min(MOST_FINISHES, self._most_finishes * 2)
        self.stats.ticks += 1
        self.stats.finished += finished - len(stale)
        self.stats.stale += len(stale)
        for job_id in stale:
            log.warning("finish_was_stale", job_id=job_id.decode())
        for claim in claims(rows, int(now_ms)):
            self._start(claim)

    def _set_apart(self) -> None:
        """A script failed on a batch: goes on one by one, and without what it cannot take."""
        if self._most_finishes > 1:
            self._most_finishes = 1
            return
        if self._finishes:
            refused = self._finishes.pop(0)
            log.error("finish_refused", job_id=refused.claim.job_id)
            if refused.report != REFUSED:
                self._finishes.insert(0, Finish(refused.claim, REFUSED))

    def _start(self, claim: Claim) -> None:
        self.stats.claimed += 1
        if self._drops.pop(claim.job_id, 0) >= claim.fence:
            return  # it was cancelled while its claim was on the way
        if not self._running:
            self._finishes.append(Finish(claim, _given_back(was_sent=False)))
            return
        hand = Hand(claim, self)
        self._hands[claim.job_id, claim.fence] = hand
        hand.task = asyncio.get_running_loop().create_task(self._work(hand))
        hand.task.add_done_callback(lambda _: self._ended(hand))

    async def _work(self, hand: Hand) -> None:
        try:
            hand.report = await self._run(hand)
        except asyncio.CancelledError:
            hand.report = _given_back(was_sent=hand.was_sent)
        except BaseException:
            log.exception("attempt_crashed", job_id=hand.claim.job_id)
            # whatever went wrong, the job is tried again: never acknowledged by accident
            hand.report = Report(Verdict.RETRY, delay_ms=1000, reason="engine_error")
        if hand.emitted and not hand.dropped:
            await self.emitter.drained(hand.claim)

    def _ended(self, hand: Hand) -> None:
        """Also where the task was cancelled before its first step."""
        del self._hands[hand.claim.job_id, hand.claim.fence]
        hand.task = None  # its context holds the hand: a cycle that would stay until a collection
        self.emitter.forget(hand.claim)
        if not hand.dropped:
            report = hand.report or _given_back(was_sent=hand.was_sent)
            self._finishes.append(Finish(hand.claim, report))
        self._kick.set()

    def _told(self, word: str) -> None:
        verb, _, rest = word.partition(" ")
        job_id, _, fence = rest.partition(" ")
        if verb != "drop":
            return
        hand = self._hands.get((job_id, int(fence)))
        if hand and hand.task:
            hand.dropped = True
            hand.task.cancel()
        else:  # the reply with its claim may be on the way
            self._drops[job_id] = int(fence)
            while len(self._drops) > MOST_DROPS:
                self._drops.popitem(last=False)

    async def _beat(self) -> None:
        """Renews the lease, reaps the dead, notices work that no wake token told of."""
        client = commands(self._url, max_connections=1)
        scripts = Scripts(client, self.settings.prefix)
        header = {
            "worker": self.worker,
            "lease_ms": self.settings.lease_ms,
            "providers": self.providers,
        }
        try:
            while True:
                # the tick's own connection tells of an outage, once
                with contextlib.suppress(RedisError, OSError):
                    asked = time.monotonic()
                    _, taken, work = await scripts("beat", header)
                    self._pulse.renewed(asked)
                    if taken:
                        log.warning("leases_taken_back", jobs=taken)
                    if taken or work:
                        self._look()
                await asyncio.sleep(self.settings.beat_ms / 1000)
        finally:
            await client.aclose()

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


def _given_back(*, was_sent: bool) -> Report:
    return Report(Verdict.REQUEUE, reached=was_sent, uncertain=was_sent, reason="shutdown")
