"""What answers say of limits, brought to the store that the fleet shares.

After each attempt: does what was told differ from what this process believes? Mostly it does not,
and then nothing is asked of the store. If it does, one compare-and-set (teach.lua) changes the
lane's configuration; who loses the race reads what stands there and looks again. The rules are
`core.learn` (told) and `core.estimate` (refused without figures); `lessons` applies them.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson
import structlog
from redis.exceptions import RedisError

from shared.core import estimate
from shared.core.estimate import Trail
from shared.core.learn import Evidence, Known, concurrency_told, learn
from shared.core.model import lane_deployment
from shared.core.outcome import FailureKind, Learned
from shared.queue.scripts import Scripts
from shared.queue.types import Claim, Report, Verdict
from shared.store import learned
from shared.supply import Supply
from workers import lessons
from workers.lessons import Look

log = structlog.get_logger(__name__)

BELIEF_S = 5.0
OBSERVE_S = 1.0
FLUSH_CALLS = 25
TRIES = 3
MOST_AT_ONCE = 4  # calls to the store; the others wait here, and need no connection meanwhile


@dataclass(slots=True)
class Belief:
    """What this process takes for true of one credential of a lane, and what it has heard of it."""

    raw: str = ""
    made: dict[str, Any] = field(default_factory=dict)
    known: tuple[Known, ...] = ()
    read_s: float = -1e9
    evidence: Evidence = field(default_factory=Evidence)
    observed_s: float = -1e9
    quiet: int = 0
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def unproven(self) -> bool:
        """Whether calls without a refusal are evidence of anything."""
        return any(k.guess or (k.ceiling or 0) > k.window.limit for k in self.known)


class Teacher:
    """Applies what reports tell. Never raises: a lesson lost is told again by the next answer."""

    def __init__(self, scripts: Scripts, supply: Supply) -> None:
        self._scripts = scripts
        self.take(supply)
        self._beliefs: defaultdict[tuple[str, str], Belief] = defaultdict(Belief)
        self._tasks: set[asyncio.Task[None]] = set()
        # by lane: its keys stand in one configuration, and would undo each other's tries
        self._changing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._gate = asyncio.Semaphore(MOST_AT_ONCE)

    def take(self, supply: Supply) -> None:
        """From now on specs are made of this supply."""
        self._catalog = supply.catalog
        self._refs = {ref.id: ref for ref in supply.credentials}

    async def heed(self, claim: Claim, report: Report) -> None:
        """Learns from one attempt; from a refusal beside it, so that its cooldown comes first."""
        if claim.credential not in self._refs:
            return
        refused = report.attempt.get("outcome") == FailureKind.RATE_LIMITED
        if refused:
            task = asyncio.create_task(self._learn(claim, report, refused=True))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif report.learned or self._beliefs[claim.lane, claim.credential].unproven:
            await self._learn(claim, report, refused=False)

    async def _learn(self, claim: Claim, report: Report, *, refused: bool) -> None:
        place = (claim.lane, claim.credential)
        belief = self._beliefs[place]
        try:
            if _old(belief):
                async with belief.reading:
                    if _old(belief):  # a burst of answers reads it once
                        await self._read(place, belief)
            if report.learned:
                sent_ms = int(report.attempt.get("sent_ms") or claim.claimed_ms)
                await self._told(place, belief, tuple(report.learned), sent_ms)
            if refused:
                await self._refused(place, belief, claim, report)
            elif report.verdict is Verdict.COMPLETE and belief.unproven:
                await self._quiet(place, belief)
        except (KeyError, RedisError, OSError) as error:  # KeyError: taken away meanwhile
            log.warning("lesson_lost", lane=claim.lane, error=str(error)[:200])

    async def _read(self, place: tuple[str, str], belief: Belief) -> None:
        prefix = self._scripts.prefix
        async with self._gate:
            text = await self._scripts.client.hget(f"{prefix}cfg", place[0])
        self._believe(place, belief, text.decode() if isinstance(text, bytes) else "")

    @staticmethod
    def _believe(place: tuple[str, str], belief: Belief, raw: str) -> None:
        belief.read_s = time.monotonic()
        if raw == belief.raw:
            return
        creds = (orjson.loads(raw).get("creds") or []) if raw else []
        belief.raw = raw
        belief.made = next((made for made in creds if made["id"] == place[1]), {})
        belief.known = tuple(learned.known_of(spec) for spec in belief.made.get("win") or ())

    # -- told

    async def _told(
        self, place: tuple[str, str], belief: Belief, told: tuple[Learned, ...], sent_ms: int
    ) -> None:
        before = belief.evidence
        lesson = learn(belief.known, told, before)
        belief.evidence = lesson.evidence
        if lesson.windows != belief.known:
            async with self._changing[place[0]]:
                for _ in range(TRIES):
                    lesson = learn(belief.known, told, before)
                    if lesson.windows == belief.known:
                        break
                    if await self._teach(place, belief, lesson.windows, told=told):
                        break
        await self._observe(place, belief, told, sent_ms)

    async def _observe(
        self, place: tuple[str, str], belief: Belief, told: tuple[Learned, ...], sent_ms: int
    ) -> None:
        """The provider's count of a window, where much of it is used: at most once a second.

        It is as old as the call that brought it: what came back since is no longer used.
        """
        now_s = time.monotonic()
        if now_s - belief.observed_s < OBSERVE_S:
            return
        asked = []
        for each in told:
            if each.remaining is None or each.remaining * 2 > each.limit:
                continue
            specs = [w for w in belief.made.get("win") or () if lessons.says(each, w)]
            asked += [
                {"w": w, "used": each.limit - each.remaining, "at": sent_ms} for w in specs[:1]
            ]
        if asked:
            belief.observed_s = now_s
            await self._call(place, {"observe": asked})

    # -- refused

    async def _refused(
        self, place: tuple[str, str], belief: Belief, claim: Claim, report: Report
    ) -> None:
        at_once = concurrency_told(report.said)
        if at_once is not None:
            await self._at_once(place, belief, at_once)
            return
        retry_ms = report.attempt.get("retry_after_ms")
        sent_ms = int(report.attempt.get("sent_ms") or claim.claimed_ms)
        async with self._changing[place[0]]:
            for _ in range(TRIES):
                look = await self._look(place, belief, with_log=True)
                echo = sent_ms <= look.trail.at_ms
                windows = belief.known
                if not lessons.informed(report.learned):
                    log_key = (belief.made.get("log") or {}).get("k", "")
                    windows = lessons.estimated(belief.known, log_key, look, retry_ms, echo=echo)
                trail = estimate.refused(
                    look.trail, look.now_ms, retry_ms, sent_ms, look.admitted_ms
                )
                if await self._teach(place, belief, windows, trail=trail):
                    return

    async def _at_once(self, place: tuple[str, str], belief: Belief, at_once: int) -> None:
        """A refusal that speaks of calls at once: their number where it is told."""
        async with self._changing[place[0]]:
            for _ in range(TRIES):
                now = belief.made.get("conc")
                if at_once and (now is None or at_once < now):
                    change: dict[str, Any] = {"conc": at_once}
                elif not at_once and now is None and not belief.made.get("aimd"):
                    change = {"aimd": True}
                else:
                    return
                if await self._teach(place, belief, belief.known, change=change):
                    return

    # -- quiet

    async def _quiet(self, place: tuple[str, str], belief: Belief) -> None:
        """Calls without a refusal let a lowered or guessed limit rise again, after enough."""
        belief.quiet += 1
        if belief.quiet < FLUSH_CALLS:
            return
        calls, belief.quiet = belief.quiet, 0
        async with self._changing[place[0]]:
            look = await self._look(place, belief)
            trail = replace(look.trail, quiet=look.trail.quiet + calls)
            windows = belief.known
            for i, known in enumerate(windows):
                raised = estimate.probe(known, trail, look.used.get(known.key, 0))
                if raised:
                    windows = (*windows[:i], raised[0], *windows[i + 1 :])
                    trail = raised[1]
                    break
            await self._teach(place, belief, windows, trail=trail)

    # -- the store

    async def _call(self, place: tuple[str, str], ask: Mapping[str, Any]) -> Any:
        async with self._gate:
            return await self._scripts("teach", {"lane": place[0], "cred": place[1], **ask})

    async def _look(
        self, place: tuple[str, str], belief: Belief, *, with_log: bool = False
    ) -> Look:
        raw = orjson.loads(await self._call(place, {"look": {"log": with_log}}))
        self._believe(place, belief, raw["raw"])
        windows, sent = raw["win"] or {}, raw["sent"] or {}
        return Look(
            now_ms=int(raw["now"]),
            running=int(raw["run"]),
            admitted_ms=int(raw["admitted"]),
            trail=Trail(**orjson.loads(raw["trail"])) if raw["trail"] else Trail(),
            used={key: int(row[0]) for key, row in windows.items()},
            free={key: int(row[1]) for key, row in windows.items()},
            sent={key: tuple((int(a), int(n)) for a, n in rows) for key, rows in sent.items()},
        )

    async def _teach(
        self,
        place: tuple[str, str],
        belief: Belief,
        windows: tuple[Known, ...],
        *,
        trail: Trail | None = None,
        told: tuple[Learned, ...] = (),
        change: Mapping[str, Any] | None = None,
    ) -> bool:
        """Changes the lane's configuration if it still is what we believe; else reads it anew."""
        entry = lessons.entry(belief.made, windows, told, lambda known: self._spec(place, known))
        made = learned.controlled(entry.made | dict(change or {}))
        lane = orjson.loads(belief.raw) if belief.raw else {}
        if not made.get("id") or not lane.get("creds"):
            return True  # nobody serves it any more
        lane["creds"] = lessons.in_place(lane["creds"], made, entry.shared)
        now = orjson.dumps(lane).decode() if made != belief.made else belief.raw
        keep: dict[str, str] = {}
        for cred in lane["creds"]:
            keep |= learned.rows(place[0], cred)
        ask: dict[str, Any] = {"was": belief.raw, "now": now, "keep": keep, "seed": entry.seeds}
        if trail is not None:
            ask["trail"] = orjson.dumps(asdict(trail)).decode()
        ref = self._refs[place[1]]
        far = bool(ref.organisation or ref.shares)  # other lanes' keys may share any of its windows
        spread = {key: spec for key, spec in entry.shared.items() if far or "|*|" in key}
        ask["shared"] = spread or None
        answer = (await self._call(place, {k: v for k, v in ask.items() if v is not None})).decode()
        if answer == "":
            if now != belief.raw:
                _tell(place, windows, made)
            self._believe(place, belief, now)
            return True
        self._believe(place, belief, answer)
        return False

    def _spec(self, place: tuple[str, str], known: Known) -> dict[str, Any]:
        deployment = self._catalog.by_id[lane_deployment(place[0])]
        return learned.spec_of(known, deployment, self._refs[place[1]], 0)


def _old(belief: Belief) -> bool:
    return time.monotonic() - belief.read_s > BELIEF_S


def _tell(place: tuple[str, str], windows: tuple[Known, ...], made: Mapping[str, Any]) -> None:
    log.info(
        "limits_learned",
        lane=place[0],
        credential=place[1],
        windows=[f"{k.window.limit}/{k.window.span_ms}ms {k.window.source}" for k in windows],
        grow=bool(made.get("grow")),
        concurrency=made.get("conc"),
    )
