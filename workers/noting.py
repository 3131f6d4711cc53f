"""What answers say of a key itself, kept for all: the plan it is on, whose account it belongs to.

Never raises: what could not be noted is told again by the next answer.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from shared.core import organisations, plans
from shared.core.model import lane_deployment
from shared.errors import StoreError
from shared.queue.types import Claim, Report
from shared.store.tables import Tables
from shared.supply import Supply

log = structlog.get_logger(__name__)

MOST_CHANGES: Final = 4
CHANGES_S: Final = 600.0
TIMES: Final = 3  # in a row: what was told before is not given up for one answer
TIMES_IN_TEXT: Final = 2  # where nothing is known and only a text says it
NOTED_S: Final = 30.0  # by then a change is in every supply, or was overruled
DONE: Final = "done"

Put = Callable[[str, str | None, str | None], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Noted:
    """What this process wrote; it counts for as long as supplies still have the row of before."""

    row: str | None
    now: str
    at_s: float


@dataclass(frozen=True, slots=True)
class Change:
    """What of which key becomes `now`: over `was`, where the supply has `row`."""

    what: str
    credential: str
    row: str | None
    was: str | None
    now: str


class Notes:
    """Writes down what differs from what is known; mostly nothing does, and nothing is asked.

    One write at a time, each value of a key once: answers that come before the write is in their
    supply cost nothing.
    """

    def __init__(self, tables: Tables, now_s: Callable[[], float] = time.monotonic) -> None:
        self._tables = tables
        self._now_s = now_s
        self._other: dict[str, tuple[str, int]] = {}
        self._changes: dict[tuple[str, str], list[float]] = {}
        self._noted: dict[tuple[str, str], Noted] = {}
        self._writing = asyncio.Lock()

    async def heed(self, supply: Supply, claim: Claim, report: Report) -> None:
        """Learns from one answer."""
        try:
            if report.learned or report.attempt.get("status"):
                await self._plan(supply, claim, report)
            if report.organisation is not None:
                await self._organisation(supply, claim.credential, report.organisation)
        except StoreError as problem:
            log.warning("not_noted", credential=claim.credential, error=str(problem)[:200])

    async def _plan(self, supply: Supply, claim: Claim, report: Report) -> None:
        """A plan nobody declared is what announced limits say it is, or the text of a refusal."""
        ref = supply.ref(claim.credential)
        deployment = supply.catalog.by_id.get(lane_deployment(claim.lane))
        if ref is None or ref.plan_declared or deployment is None:
            return
        row = supply.rows.plans.get(ref.id)
        known = self._known("plan", ref.id, row)
        status = report.attempt.get("status")
        plan = plans.detected(deployment, report.learned) or plans.refused(
            deployment, status, report.marks, report.said, settled=known is not None
        )
        if plan is None or plan == (known or ref.plan) or not self._may_change("plan", ref.id):
            return
        change = Change("plan", ref.id, row, known, plan)
        if await self._note(change, self._tables.put_plan):
            log.info("plan_detected", credential=ref.id, plan=plan, was=known or ref.plan)

    async def _organisation(self, supply: Supply, credential: str, told: str) -> None:
        """The account that a key was told to belong to; another one only after some answers."""
        row = supply.rows.organisations.get(credential)
        known = self._known("organisation", credential, row)
        found = organisations.told_of(told)
        same = known is not None and organisations.told_of(known)
        if found is None or (same and same.name == found.name):
            self._other.pop(credential, None)
            return
        if supply.ref(credential) is None:
            return
        before, times = self._other.get(credential, (told, 0))
        times = times + 1 if before == told else 1
        self._other[credential] = (told, times)
        needed = TIMES if known is not None else TIMES_IN_TEXT if found.source == "429" else 1
        if times < needed:
            return
        self._other.pop(credential, None)
        if not self._may_change("organisation", credential):
            return
        change = Change("organisation", credential, row, known, told)
        if await self._note(change, self._tables.put_organisation):
            log.info("organisation_learned", credential=credential, organisation=told, was=known)

    def _known(self, what: str, credential: str, row: str | None) -> str | None:
        """What is known of a key: as the supply has it, or as was written since."""
        noted = self._noted.get((what, credential))
        if noted is None:
            return row
        if noted.row != row or self._now_s() - noted.at_s > NOTED_S:
            del self._noted[what, credential]
            return row
        return noted.now

    async def _note(self, change: Change, put: Put) -> bool:
        """Writes a value over what is known; whether that still stood there.

        Where it did not, another process was first: the supply will tell what it wrote.
        """
        place = (change.what, change.credential)
        noted = self._noted[place] = Noted(change.row, change.now, self._now_s())
        done = False
        try:
            async with self._writing:
                done = await put(change.credential, change.was, change.now) == DONE
        except BaseException:
            if self._noted.get(place) is noted:
                del self._noted[place]
            raise
        finally:
            if not done:
                self._changes[place].pop()
        return done

    def _may_change(self, what: str, credential: str) -> bool:
        """Whether a value may change again: not for ever between two that contradict each other."""
        now_s = self._now_s()
        recent = [at for at in self._changes.get((what, credential), ()) if now_s - at < CHANGES_S]
        if len(recent) < MOST_CHANGES:
            recent.append(now_s)
            self._changes[what, credential] = recent
            return True
        return False
