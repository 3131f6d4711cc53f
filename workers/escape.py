"""Where a job may still go when its lane will not serve it: the order of escape. Pure.

Another credential is the lane's own affair; then come other models of the same provider, then other
providers, each in the order they were chosen in; paid ones last.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from shared.catalog import Catalog
from shared.core.decision import Candidate
from shared.core.model import lane_deployment, lane_provider
from shared.queue.types import Claim


def others(claim: Claim, catalog: Catalog) -> tuple[Candidate, ...]:
    """The other lanes of its choice, those after this one first; paid ones only from a paid one."""
    lanes = claim.candidates
    place = lanes.index(claim.lane) + 1 if claim.lane in lanes else 0
    paid = () if claim.lane in claim.paid_lanes else claim.paid_lanes
    found = _known((*lanes[place:], *lanes[:place]), claim, catalog, but=paid)
    mine = lane_provider(claim.lane)
    return tuple(sorted(found, key=lambda each: lane_provider(each.lane) != mine))


def paid(claim: Claim, catalog: Catalog) -> tuple[Candidate, ...]:
    """The last resort: the paid lanes that the job's wishes allow, from a lane that is free."""
    if claim.lane in claim.paid_lanes:
        return ()
    return tuple(_known(claim.paid_lanes, claim, catalog))


def untried(claim: Claim, found: Iterable[Candidate], history: Iterable[Mapping[str, Any]]) -> bool:
    """Whether one of these lanes has not failed this job yet."""
    failed = {each.get("deployment") for each in history} | {lane_deployment(claim.lane)}
    return any(lane_deployment(each.lane) not in failed for each in found)


def _known(
    lanes: Iterable[str], claim: Claim, catalog: Catalog, but: Iterable[str] = ()
) -> list[Candidate]:
    left_out = {claim.lane, *but}
    found = []
    for lane in lanes:
        there = catalog.by_id.get(lane_deployment(lane))
        if lane not in left_out and there is not None:
            found.append(Candidate(lane, there.context_tokens))
    return found
