"""`POST /v1/route/explain`: where a job would go and why, without running it."""

from typing import Any

from api import admit, submit
from api.call import Call
from api.errors import error_object
from api.views import until, waiting_view
from api.wiring import Service
from shared.core.candidates import Considered
from shared.core.features import Features
from shared.core.model import lane_deployment
from shared.routing import NoRoute
from shared.submission import Choice


async def explain(service: Service, call: Call) -> None:
    """The selection of a job's body: the same code as when it is handed in."""
    asked, wishes, _ = await submit.read(service, call)
    sized = admit.sized(service, call, asked, wishes, held=False)
    try:
        with submit.named_in_request():
            choice = await admit.choose(service, call, sized)
    except NoRoute as none:
        features = none.features
        await call.json(200, _view(features, none.considered, dict(none.skipped), none=none))
        return
    route = choice.route
    await call.json(
        200,
        _view(choice.features, route.considered, dict(route.skipped), choice=choice)
        | _waits(service, choice),
    )


def _waits(service: Service, choice: Choice) -> dict[str, Any]:
    eta, now_ms = choice.route.eta_ms, service.clock.now_ms()
    moments = None if eta is None else (now_ms + eta[0], now_ms + eta[1])
    return {"waiting": waiting_view(choice.route.waiting, moments)}


def _view(
    features: Features,
    considered: tuple[Considered, ...],
    skipped: dict[str, int],
    *,
    choice: Choice | None = None,
    none: NoRoute | None = None,
) -> dict[str, Any]:
    route = None if choice is None else choice.route
    refusal = None
    if none is not None:
        refusal = error_object(none.message, none.type, none.param, none.code)["error"]
    return {
        "object": "route",
        "chosen": None if route is None else lane_deployment(route.first),
        "request": features_view(features),
        "candidates": [
            {"deployment": one.deployment, "lane": one.lane, "kept": one.kept, "reason": one.reason}
            for one in considered
        ],
        "paid_candidates": [] if route is None else [*map(lane_deployment, route.paid_lanes)],
        "skipped": skipped,
        "waiting": None,
        "error": refusal,
    }


def features_view(features: Features) -> dict[str, Any]:
    """What was seen of the request: all that selection knows of it."""
    cap, deadline_ms = features.cost_cap_microusd, features.deadline_ms
    return {
        "model": features.model,
        "kind": features.kind.value,
        "type": features.request_type,
        "mode": features.mode or "balanced",
        "input_tokens": features.input_tokens,
        "output_tokens": features.output_tokens,
        "max_output_tokens": features.max_output_tokens,
        "capabilities": sorted(features.capabilities),
        "priority": features.priority.name.lower(),
        "paid": features.paid.value,
        "max_cost_usd": None if cap is None else cap / 1e6,
        "deadline_s": until(deadline_ms),
        "sticky": None if features.sticky is None else lane_deployment(features.sticky),
    }
