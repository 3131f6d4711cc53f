"""`/healthz`, `/readyz` and `/metrics`: for who watches this process."""

import asyncio
from typing import Final

from api.call import Call
from api.metrics import CONTENT_TYPE
from api.wiring import Service
from shared.errors import StoreError

PATIENCE_S: Final = 1.5


async def alive(_service: Service, call: Call) -> None:
    """The process answers."""
    await call.json(200, {"status": "ok"})


async def ready(service: Service, call: Call) -> None:
    """200 only where work can be accepted; else 503 and what is missing."""
    checks = {"store": await _store(service), "catalog": _catalog(service)}
    if service.draining:
        checks["server"] = "going down"
    fine = all(value == "ok" for value in checks.values())
    body = {"status": "ready" if fine else "not_ready", "checks": checks}
    await call.json(200 if fine else 503, body, () if fine else ((b"retry-after", b"1"),))


async def _store(service: Service) -> str:
    try:
        async with asyncio.timeout(PATIENCE_S):  # a write is retried for longer than a probe waits
            return "ok" if await service.jobs.ready() else "the store does not take writes"
    except (StoreError, TimeoutError):
        return "the store does not answer: see REDIS_URL"


def _catalog(service: Service) -> str:
    if service.router.served:
        return "ok"
    return "no deployment has a credential: set a provider's key, or add one to the configuration"


async def metrics(service: Service, call: Call) -> None:
    """Prometheus' text format."""
    await call.reply(200, service.metrics.page(), kind=CONTENT_TYPE)
