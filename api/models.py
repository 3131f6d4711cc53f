"""`/v1/models`: every name a request may give as its model."""

from typing import Any

from api.call import Call
from api.errors import not_found
from api.wiring import Service


def _visible(service: Service, call: Call) -> dict[str, dict[str, Any]]:
    allowed = call.key.allowed_models
    return {
        model["id"]: model
        for model in service.router.models()
        if allowed is None or _may_use(model, allowed)
    }


def _may_use(model: dict[str, Any], allowed: frozenset[str]) -> bool:
    """As selection reads an allow list: names, or `provider/*`."""
    names = {model["id"], *model["deployments"]}
    names |= {f"{one.partition('/')[0]}/*" for one in model["deployments"]}
    return not allowed.isdisjoint(names)


async def index(service: Service, call: Call) -> None:
    """All of them."""
    await call.json(200, {"object": "list", "data": list(_visible(service, call).values())})


async def get(service: Service, call: Call) -> None:
    """One of them; names hold slashes."""
    model = _visible(service, call).get(call.param("id"))
    if model is None:
        raise not_found(
            "no model is called that: GET /v1/models lists all names",
            param="model",
            code="model_not_found",
        )
    await call.json(200, model)
