"""What a batch waits for as a whole: lanes without workers, lanes that rest, or other work."""

from collections.abc import Sequence
from typing import Any

from api.queues import stands
from api.views import until
from shared.core.batch import Batch
from shared.core.model import lane_deployment
from shared.core.waits import NAMES, NO_WORKER, describe
from shared.queue.types import LaneView


def waiting(batch: Batch, lanes: Sequence[LaneView]) -> dict[str, Any] | None:
    """Why no line of a batch in progress starts, as these lanes tell; None where some may."""
    return _at_rest(lanes) or _behind(batch, lanes)


def _at_rest(lanes: Sequence[LaneView]) -> dict[str, Any] | None:
    """The first to reopen, where every lane with work rests or has no worker; else None."""
    with_work = [lane for lane in lanes if any(lane.queued.values())]
    served = [lane for lane in with_work if lane.workers]
    if not with_work or any(lane.running or not lane.parked_until_ms for lane in served):
        return None
    if not served:
        return _view(NO_WORKER, "no live worker serves the lanes of what is queued")
    first = min(served, key=lambda lane: lane.parked_until_ms)
    reason, window = stands(first)
    used_up = dict.fromkeys(row["window"] for row in first.windows if row["free"] <= 0)
    window = window or ", ".join(used_up) or None
    rests, why = lane_deployment(first.lane), describe(reason, window, None)
    told = f"every lane with work rests, {rests} the shortest: {why}"
    more = {"deployment": rests, "window": window, "until": until(first.parked_until_ms)}
    return _view(reason or "paused", told, **more)


def _behind(batch: Batch, lanes: Sequence[LaneView]) -> dict[str, Any] | None:
    """The other jobs that wait or run, while none of its lines has an answer; else None."""
    if batch.completed or batch.failed:
        return None
    by = [sum(lane.queued.get(name, 0) for lane in lanes) for name in NAMES]
    running = sum(lane.running for lane in lanes)
    others = sum(by) + running - batch.outstanding
    if others <= 0:
        return None
    urgent = [f"{count:,} {name}" for name, count in zip(NAMES[:-1], by, strict=False) if count]
    named = f" ({', '.join(urgent)})" if urgent else ""
    told = (
        f"{others:,} other job{'s are' if others > 1 else ' is'} queued or run{named}:"
        " those more urgent or due sooner go first (completion_window)"
    )
    return _view("behind", told, position=others)


def _view(reason: str, message: str, **more: Any) -> dict[str, Any]:
    empty = {"deployment": None, "window": None, "until": None, "position": None}
    return {"reason": reason, **empty, **more, "message": message}
