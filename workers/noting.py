"""What answers say of a key itself, kept for all: the plan it is on, whose account it belongs to.

Never raises: what could not be noted is told again by the next answer.
"""

import time
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


class Notes:
    """Writes down what differs from what is known; mostly nothing does, and nothing is asked."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._other: dict[str, tuple[str, int]] = {}
        self._changes: dict[str, list[float]] = {}

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
        shown = report.attempt
        text = str(shown.get("message") or "")
        plan = plans.detected(deployment, report.learned)
        plan = plan or plans.refused(deployment, shown.get("status"), text)
        if plan is None or plan == ref.plan or not self._may_change(ref.id):
            return
        await self._tables.put_plan(ref.id, supply.rows.plans.get(ref.id), plan)
        log.info("plan_detected", credential=ref.id, plan=plan, was=ref.plan)

    def _may_change(self, credential: str) -> bool:
        """Whether a plan may change again: not for ever between two that contradict each other."""
        now_s = time.monotonic()
        recent = [at for at in self._changes.get(credential, ()) if now_s - at < CHANGES_S]
        self._changes[credential] = [*recent, now_s][-MOST_CHANGES:]
        return len(recent) < MOST_CHANGES

    async def _organisation(self, supply: Supply, credential: str, told: str) -> None:
        """The account that a key was told to belong to; another one only after some answers."""
        known = supply.rows.organisations.get(credential)
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
        if known is not None and times < TIMES:
            return
        self._other.pop(credential, None)
        await self._tables.put_organisation(credential, known, told)
        log.info("organisation_learned", credential=credential, organisation=told, was=known)
