"""`/v1/queues`: what waits where, until when, and how much is left."""

from typing import Any

from api.auth import scope_of
from api.call import Call
from api.views import seconds, until
from api.wiring import Service
from shared.core.candidates import SHARED
from shared.core.model import lane_deployment
from shared.core.waits import NO_WORKER, describe
from shared.queue.types import LaneView


def lane_view(lane: LaneView) -> dict[str, Any]:
    """One lane. `parked_until` null is open; `reason` null: what is queued there can start."""
    reason, window = stands(lane)
    return {
        "id": lane.lane,
        "object": "queue",
        "deployment": lane_deployment(lane.lane),
        "queued": lane.queued,
        "running": lane.running,
        "rate_per_min": lane.rate_per_min,
        "parked_until": until(lane.parked_until_ms) if lane.parked_until_ms else None,
        "parked_reason": lane.parked_reason or None,
        "workers": lane.workers,
        "reason": reason,
        "message": None if reason is None else describe(reason, window, None),
        "oldest_at": seconds(lane.oldest_ms),
        "windows": lane.windows,
    }


def stands(lane: LaneView) -> tuple[str | None, str | None]:
    """Why a lane starts nothing now, and by which window; None where it may."""
    if not lane.workers:
        return NO_WORKER, None
    if not lane.parked_until_ms:
        return None, None
    reason, _, window = lane.parked_reason.partition(" ")
    return reason or None, window or None


async def queues(service: Service, call: Call) -> None:
    """Every lane's depth, rate, windows, and the moment it reopens."""
    lanes = await visible(service, call)
    await call.json(200, {"object": "list", "data": [lane_view(lane) for lane in lanes]})


async def visible(service: Service, call: Call) -> tuple[LaneView, ...]:
    """All lanes for an admin; else the shared ones and those of the caller's own credentials."""
    lanes = await service.lanes.lanes()
    scope = scope_of(call.key)
    if scope is None:
        return lanes
    return tuple(lane for lane in lanes if lane.lane.rpartition("@")[2] in (SHARED, scope))
