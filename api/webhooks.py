"""`/v1/webhook_endpoints` as OpenAI's SDK asks for it, and telling a job's end once more."""

import time
from dataclasses import replace
from typing import Any, Final

import orjson

from api.body import parse
from api.call import Call
from api.errors import not_found
from api.hold import TERMINAL
from api.hooks import check_address, endpoint_at, sealed_secret
from api.jobs import found, limit_of, shown
from api.outcome import job_headers
from api.views import seconds
from api.wiring import Service
from shared.core.model import Priority, Status
from shared.errors import Refused
from shared.store.hooks import MOST_ASKING, MOST_ENDPOINTS, Endpoint, telling_job
from shared.wire.webhooks import (
    EVENT_TYPES,
    EndpointChange,
    NewEndpoint,
    Rotation,
    Trial,
    new_secret,
    read,
)

MOST_ATTEMPTS: Final = 5
TRIAL_S: Final = 40.0
MOST_ID_CHARS: Final = 64


async def create(service: Service, call: Call) -> None:
    """Creates an endpoint; its secret is shown here and never again."""
    service.admit()
    asked = read(NewEndpoint, parse(await call.body(service.bounds.max_body_bytes)))
    await check_address(service, asked.url, "url")
    tenant, now_ms = call.key.tenant, service.clock.now_ms()
    id_, known = await endpoint_at(service, tenant, asked.url)
    if known is not None and known.name:
        raise Refused(
            f"url: the endpoint {known.id} has this address already; change that one",
            status=409,
            param="url",
            code="webhook_exists",
        )
    secret = asked.secret or new_secret()
    made = Endpoint(
        id=id_,
        tenant=tenant,
        url=asked.url,
        name=asked.name,
        event_types=tuple(dict.fromkeys(asked.event_types)),
        secrets=(sealed_secret(service, id_, secret),),
        created_ms=now_ms,
        updated_ms=now_ms,
    )
    await _put(service, known, made)
    await call.json(200, view(made) | {"signing_secret": secret})


async def index(service: Service, call: Call) -> None:
    """The caller's endpoints, newest first."""
    asked = call.query(("after", "limit"))
    every = await service.hooks.all(call.key.tenant)
    after, limit = asked.get("after"), limit_of(asked.get("limit"))
    if after is not None:
        ids = [one.id for one in every]
        if after not in ids:
            raise not_found("after must be the id of one of your endpoints", param="after")
        every = every[ids.index(after) + 1 :]
    data = [view(one) for one in every[:limit]]
    answer = {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(every) > limit,
    }
    await call.json(200, answer)


async def event_types(_service: Service, call: Call) -> None:
    """What an endpoint may ask to be told of."""
    call.query(())
    await call.json(200, {"object": "list", "data": list(EVENT_TYPES)})


async def get(service: Service, call: Call) -> None:
    """One endpoint."""
    await call.json(200, view(await _known(service, call)))


async def update(service: Service, call: Call) -> None:
    """Changes what is given; another address moves the endpoint, its id stays."""
    asked = read(EndpointChange, parse(await call.body(service.bounds.max_body_bytes)))
    if asked.url is not None:
        await check_address(service, asked.url, "url")

    def change(known: Endpoint) -> Endpoint:
        disabled = known.disabled
        if asked.disabled is not None:
            disabled = (known.disabled or "by its owner") if asked.disabled else ""
        types = known.event_types if asked.event_types is None else asked.event_types
        return replace(
            known,
            name=asked.name or known.name,
            url=asked.url or known.url,
            event_types=tuple(dict.fromkeys(types)),
            disabled=disabled,
        )

    await call.json(200, view(await _changed(service, call, change)))


async def delete(service: Service, call: Call) -> None:
    """Removes an endpoint; what is on its way there without a secret of its own fails."""
    for _ in range(MOST_ATTEMPTS):
        known = await _known(service, call)
        if await service.hooks.remove(known) == "done":
            answer = {"id": known.id, "object": "webhook_endpoint.deleted", "deleted": True}
            return await call.json(200, answer)
    raise _busy()


async def rotate(service: Service, call: Call) -> None:
    """A new secret, shown here and never again; the old one signs too for 24 h if it is kept."""
    raw = await call.body(service.bounds.max_body_bytes)
    asked = read(Rotation, parse(raw) if raw else {})
    secret = asked.secret or new_secret()
    keep_old = asked.keep_old_secret_active_for_24_hours

    def change(known: Endpoint) -> Endpoint:
        sealed = sealed_secret(service, known.id, secret)
        return known.rotated(sealed, service.clock.now_ms(), keep_old=keep_old)

    changed = await _changed(service, call, change)
    await call.json(200, view(changed) | {"signing_secret": secret})


async def test(service: Service, call: Call) -> None:
    """Sends a sample once, and answers with the receiver's status."""
    asked = read(Trial, parse(await call.body(service.bounds.max_body_bytes)))
    known = await _known(service, call)
    now_ms = service.clock.now_ms()
    event = {
        "id": f"evt_test_{now_ms}",
        "type": asked.event_type,
        "created_at": now_ms // 1000,
        "data": {"id": f"{asked.event_type.partition('.')[0]}_test"},
    }
    told = {"tenant": known.tenant, "endpoint": known.id, "own": None, "event": event}
    status = await _tried(service, told | {"trial": True})
    answer = {
        "object": "webhook_endpoint.test",
        "event_type": asked.event_type,
        "status_code": status,
        "success": True,
        "webhook_endpoint_id": known.id,
    }
    await call.json(200, answer)


async def _tried(service: Service, told: dict[str, Any]) -> int:
    job = telling_job(
        told["tenant"],
        told,
        priority=Priority.INTERACTIVE,
        deadline_ms=int(TRIAL_S * 1000),
        watcher=service.inbox.id,
        follow=False,
    )
    watch = service.inbox.expect(job.id, end_only=True)
    until = time.monotonic() + TRIAL_S
    try:
        await service.jobs.accept(job)
        while (left_s := until - time.monotonic()) > 0:
            event = await watch.next(left_s)
            if event is not None and event.type in TERMINAL:
                break
    except StopAsyncIteration:
        pass
    finally:
        watch.close()
    record = await service.jobs.get(job.id, None)
    if record is not None and record.status is Status.COMPLETED and record.result:
        status: int = orjson.loads(record.result)["status_code"]
        return status
    why = record.error["message"] if record and record.error else "no answer in time"
    raise Refused(
        f"the endpoint was not reached: {why}",
        status=502,
        type_="upstream_error",
        code="webhook_unreachable",
    )


async def redeliver(service: Service, call: Call) -> None:
    """Tells a job's end once more to everyone who was told, under the same event ids."""
    service.admit()
    record = await found(service, call)
    await tell_again(service, record.tenant, record.id)
    headers = [(b"location", f"/v1/jobs/{record.id}".encode()), *job_headers(record.id)]
    await call.json(202, await shown(service, record), headers)


async def tell_again(service: Service, tenant: str, told_of: str) -> None:
    """Tells the end of a job or a batch to who was told. Refused (409): nobody was."""
    told = await service.hooks.told(told_of)
    found = [await service.jobs.get(one, None) for one in told]
    tellings = [telling for telling in found if telling is not None]
    latest = {(t.doc["kwargs"]["endpoint"], t.doc["kwargs"]["event"]["id"]): t for t in tellings}
    if not latest:
        raise Refused(
            f"{told_of} has told nobody of its end: no webhook asked for it, or it has not ended",
            status=409,
            code="nothing_to_redeliver",
        )
    for telling in latest.values():
        if telling.status.final:
            job = telling_job(tenant, telling.doc["kwargs"])
            await service.jobs.accept(job)
            await service.hooks.note_told(told_of, job.id)


async def _known(service: Service, call: Call) -> Endpoint:
    given = call.param("id")
    known = await service.hooks.get(call.key.tenant, given) if len(given) <= MOST_ID_CHARS else None
    if known is None:
        raise not_found(
            f"there is no webhook endpoint {given[:MOST_ID_CHARS]}",
            param="id",
            code="webhook_not_found",
        )
    return known


async def _changed(service: Service, call: Call, change: Any) -> Endpoint:
    for _ in range(MOST_ATTEMPTS):
        known = await _known(service, call)
        changed: Endpoint = change(known)
        if changed == known:
            return known
        changed = replace(changed, updated_ms=service.clock.now_ms())
        match await service.hooks.put(known, changed):
            case "done":
                return changed
            case "full":
                raise _full()
    raise _busy()


async def _put(service: Service, known: Endpoint | None, made: Endpoint) -> None:
    match await service.hooks.put(known, made):
        case "full":
            raise _full()
        case "changed":
            raise _busy()


def _full() -> Refused:
    return Refused(
        f"there may be {MOST_ENDPOINTS:,} endpoints, and {MOST_ASKING} with event types: delete or"
        " change some first",
        status=409,
        code="too_many_webhooks",
    )


def _busy() -> Refused:
    return Refused(
        "somebody else changes this endpoint; try again", status=409, code="webhook_changed"
    )


def view(endpoint: Endpoint) -> dict[str, Any]:
    """OpenAI's endpoint object; `disabled` says why nothing is sent there, or null."""
    return {
        "id": endpoint.id,
        "object": "webhook_endpoint",
        "name": endpoint.name,
        "url": endpoint.url,
        "event_types": list(endpoint.event_types),
        "signing_secret_hint": endpoint.secrets[0].hint if endpoint.secrets else None,
        "created_at": seconds(endpoint.created_ms),
        "updated_at": seconds(endpoint.updated_ms),
        "disabled": endpoint.disabled or None,
    }
