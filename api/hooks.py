"""What a job says of webhooks: where its end is told, and how far that has come."""

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from api.views import attempt_view, seconds, until
from api.wiring import Service
from shared import addresses
from shared.core.model import Status
from shared.credentials import Secret
from shared.errors import Refused
from shared.store.hooks import Endpoint, SigningSecret, endpoint_id, own_hook
from shared.store.types import JobRecord
from shared.wire.webhooks import JobWebhook, new_secret

HINT_CHARS: Final = 4
MOST_MOVED: Final = 16
STATUS: Final = {
    Status.QUEUED: "pending",
    Status.IN_PROGRESS: "pending",
    Status.COMPLETED: "delivered",
}


async def own(service: Service, tenant: str, asked: JobWebhook) -> tuple[str, dict[str, Any]]:
    """A job's own webhook as it is stored, and as it is shown. Refused for a private address.

    Without a secret of its own the endpoint's sign; an endpoint nobody created is made for it.
    """
    await check_address(service, asked.url, "webhook")
    endpoint, known = await endpoint_at(service, tenant, asked.url)
    if not asked.secrets:
        await _with_secret(service, tenant, endpoint, asked.url, known)
    sealed = [sealed_secret(service, endpoint, secret).sealed for secret in asked.secrets]
    shown = {"endpoint": endpoint, "url": asked.url, "events": list(asked.types)}
    return own_hook(endpoint, asked.url, asked.types, sealed), shown


def sealed_secret(service: Service, endpoint: str, secret: str) -> SigningSecret:
    """A secret as the store keeps it. Refused (503) where there is no master key."""
    text = service.admin.sealing().seal(Secret(secret), endpoint)
    return SigningSecret(text, f"…{secret[-HINT_CHARS:]}")


async def check_address(service: Service, url: str, param: str) -> None:
    """Refused: an address that is not public, or not https, unless settings allow both."""
    if service.bounds.private_webhooks:
        return
    if not url.startswith("https://"):
        raise Refused(
            f"{param}: should be an https address; HEADRACE_ALLOW_PRIVATE_WEBHOOKS allows http",
            param=param,
            code="insecure_address",
        )
    host = urlsplit(url).hostname or ""
    if service.is_known_public(host):
        return
    if await addresses.private_host(url) is None:
        service.note_public(host)
    else:
        raise Refused(
            f"{param}: {host[:100]} is at a private address;"
            " HEADRACE_ALLOW_PRIVATE_WEBHOOKS allows those",
            param=param,
            code="private_address",
        )


async def endpoint_at(service: Service, tenant: str, url: str) -> tuple[str, Endpoint | None]:
    """The id of the endpoint of an address, and what is known of it; ids of moved ones are theirs.

    Refused: every id that the address could have is another's now.
    """
    here = endpoint_id(tenant, url)
    for moved in range(MOST_MOVED):
        id_ = endpoint_id(tenant, url, moved)
        known = await service.hooks.get(tenant, id_)
        if known is None or endpoint_id(tenant, known.url) == here:
            return id_, known
    raise Refused(
        f"url: {MOST_MOVED} endpoints were moved away from this address: delete some first",
        status=409,
        param="url",
        code="too_many_webhooks",
    )


async def _with_secret(
    service: Service, tenant: str, endpoint: str, url: str, known: Endpoint | None
) -> None:
    now_ms = service.clock.now_ms()
    if known is not None and (known.disabled or known.signing(now_ms)):
        return
    secrets = (sealed_secret(service, endpoint, new_secret()),)
    made = Endpoint(endpoint, tenant, url, "", (), secrets, now_ms, now_ms)
    if await service.hooks.put(known, made) == "full":
        raise Refused(
            "webhook.secret: there are too many endpoints to keep a secret for one more; send a"
            " secret, or delete endpoints",
            param="webhook.secret",
            code="too_many_webhooks",
        )


async def deliveries(service: Service, record: JobRecord) -> Sequence[dict[str, Any]]:
    """Every delivery of a job's end with its tries, oldest first; none before the end."""
    return await deliveries_of(service, record.id) if record.status.final else ()


async def deliveries_of(service: Service, told_of: str) -> Sequence[dict[str, Any]]:
    """Every delivery of the end of a job or a batch, oldest first."""
    told = await service.hooks.told(told_of)
    found = await asyncio.gather(*(service.jobs.get(telling, None) for telling in told))
    return [delivery_view(telling) for telling in found if telling is not None]


def delivery_view(telling: JobRecord) -> dict[str, Any]:
    """One delivery: what is told to whom, how far it has come, when it is tried again."""
    told = telling.doc.get("kwargs") or {}
    event, own_hook_ = told.get("event") or {}, told.get("own") or {}
    status = STATUS.get(telling.status, "failed")
    return {
        "id": telling.id,
        "event_id": event.get("id"),
        "event_type": event.get("type"),
        "endpoint": told.get("endpoint"),
        "url": own_hook_.get("url"),
        "status": status,
        "created_at": seconds(telling.created_ms),
        "next_try_at": until(telling.due_ms) if status == "pending" else None,
        "tries": [attempt_view(attempt) for attempt in telling.attempts],
        "error": telling.error["message"] if telling.error else None,
    }
