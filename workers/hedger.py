"""Decides which claims of this process may be hedged, and reserves their second calls."""

from collections.abc import Sequence
from dataclasses import replace

import orjson
import structlog

from shared.core.model import Priority, lane_deployment, lane_provider
from shared.errors import StoreError
from shared.queue.hand import Hand
from shared.queue.types import Claim, Report, Verdict
from shared.settings import Settings
from shared.store.lanes import Lanes
from shared.supply import Supply
from workers import escape
from workers.attempt import Hedge
from workers.hedging import Budget, Latencies

log = structlog.get_logger(__name__)


def wish_of(doc: bytes) -> str | None:
    """What a job's document says of second calls: `never`, `auto`, or nothing."""
    if b'"hedge":' not in doc:  # mostly so, and documents may be large
        return None
    wish = (orjson.loads(doc).get("policy") or {}).get("hedge")
    return wish if wish in ("never", "auto") else None


class Hedger:
    """Second calls, on free lanes only: at most `hedge_share` of the calls that may have one.

    Those are the interactive ones, but for jobs that wish otherwise (`hedge`).
    """

    def __init__(self, lanes: Lanes, settings: Settings) -> None:
        self._lanes = lanes
        self._after_s = settings.hedge_after_s
        self._budget = Budget(settings.hedge_share)
        self._latencies = Latencies()

    def hedge(self, hand: Hand, supply: Supply, providers: Sequence[str]) -> Hedge | None:
        """When a second call may start for this claim; None where none may."""
        claim = hand.claim
        wish = wish_of(claim.doc)
        if wish == "never" or (wish is None and claim.priority is not Priority.INTERACTIVE):
            return None
        self._budget.earn()
        after_ms = self._slow_ms(claim)
        if after_ms is None or not self._budget.left:
            return None

        async def reserve() -> tuple[Claim, bool] | None:
            if not self._budget.left:
                return None
            self._budget.spend()
            second = await self._reserve(hand, supply, providers)
            if second is None:
                self._budget.give_back()
                return None
            return second, supply.free(second.credential)

        return Hedge(after_ms, reserve)

    async def _reserve(self, hand: Hand, supply: Supply, providers: Sequence[str]) -> Claim | None:
        """Other providers first: what is slow may be all of one."""
        claim = hand.claim
        mine = lane_provider(claim.lane)
        others = [each.lane for each in escape.others(claim, supply.catalog)]
        others = [lane for lane in others if lane not in claim.paid_lanes]
        others.sort(key=lambda lane: lane_provider(lane) == mine)
        try:
            found = await self._lanes.hedge(claim, hand.engine.worker, others, providers)
        except StoreError as problem:
            log.warning("not_hedged", job_id=claim.job_id, error=str(problem)[:200])
            return None
        return None if found is None else replace(claim, lane=found[0], credential=found[1])

    def _slow_ms(self, claim: Claim) -> int | None:
        if self._after_s is not None:
            return int(self._after_s * 1_000)
        stream = b'"stream":true' in claim.doc
        return self._latencies.slow_ms(lane_deployment(claim.lane), stream=stream)

    def note(self, claim: Claim, report: Report) -> None:
        """Remembers how fast a call was that answered."""
        measured = report.measured
        if measured is None or report.verdict is not Verdict.COMPLETE:
            return
        stream = measured.first_ms is not None
        ms = measured.total_ms if measured.first_ms is None else measured.first_ms
        self._latencies.note(lane_deployment(claim.lane), ms, stream=stream)
