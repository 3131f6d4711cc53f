"""`/v1/credentials`: upstream keys. Their secrets come in and never go out."""

import secrets
from typing import Any, Final

import orjson

from api.administration import Administration, admin_only, body_of, fixed, no_such, now_ms
from api.call import Call
from api.hold import TERMINAL
from api.views import seconds, until
from api.wiring import Service
from shared.catalog import Provider
from shared.credentials import Secret, known_plan, sendable, tail
from shared.errors import ConfigError, Refused
from shared.nearest import unknown
from shared.queue.tasks import CHECK_CREDENTIAL, TENANT, task
from shared.store.tables import Rest, Row, Rows
from shared.supply import Held, Supply
from shared.wire import admin as wire

TEST_S: Final = 25.0
TEST_DEADLINE_MS: Final = 60_000


async def index(service: Service, call: Call) -> None:
    """Every credential, in use or not, and how it does."""
    admin_only(call)
    admin = service.admin
    rests, checks = await admin.tables.rests(), await admin.tables.checks()
    data = [view(held, rests, checks) for held in admin.live.current.held]
    await call.json(200, {"object": "list", "data": data})


async def get(service: Service, call: Call) -> None:
    """One of them."""
    admin_only(call)
    await _answer(service.admin, call, 200, call.param("id"))


async def create(service: Service, call: Call) -> None:
    """Adds one: 201. Every process uses it without a restart."""
    admin_only(call)
    asked = wire.read(wire.NewCredential, await body_of(call))
    made = await add(service.admin, asked)
    location = (b"location", f"/v1/credentials/{made}".encode())
    await _answer(service.admin, call, 201, made, location)


async def add(admin: Administration, asked: wire.NewCredential) -> str:
    """Keeps a new credential; its id. Refused: 400, 409, 503."""
    vault, supply = admin.sealing(), admin.live.current
    provider = supply.whole.provider(asked.provider)
    if provider is None:
        names = {one.name for one in supply.whole.providers}
        raise Refused(
            f"provider: {unknown(asked.provider, names, 'provider')}",
            status=404,
            param="provider",
            code="provider_not_found",
        )
    key = _key(asked.key)
    _refuse_twice(supply, provider.name, key)
    id_ = f"cred_{secrets.token_hex(8)}"
    row = {
        **wire.said(asked),
        "plan": _plan(provider, asked.plan),
        "enabled": asked.enabled,
        "priority": asked.priority,
        "sealed": vault.seal(key, id_),
        "tail": tail(key),
        "created_ms": now_ms(),
        "updated_ms": now_ms(),
    }
    del row["key"]
    await admin.change("credentials", id_, lambda _was, _rows: row)
    return id_


async def change(service: Service, call: Call) -> None:
    """Changes what is said; a new `key` rotates the secret. An edit takes a dead one back."""
    admin_only(call)
    admin, id_ = service.admin, call.param("id")
    asked = wire.read(wire.CredentialChange, await body_of(call))
    wire.refuse_null(asked, "key", "enabled", "priority")
    held = _held(admin.live.current, id_)
    said = {name: value for name, value in wire.said(asked).items() if name != "key"}
    if held.source != "api":
        _only_what_may(asked, held)
    elif "plan" in said:
        provider = admin.live.current.whole.provider(held.ref.provider)
        said["plan"] = _plan(provider, asked.plan) if provider else asked.plan
    if asked.key is not None:
        key = _key(asked.key)
        _refuse_twice(admin.live.current, held.ref.provider, key, but=id_)
        said |= {"sealed": admin.sealing().seal(key, id_), "tail": tail(key)}

    def changed(was: Row | None, _rows: Rows) -> Row:
        if was is None and held.source == "api":
            raise no_such("credential", id_)
        return {**(was or {}), **said, "updated_ms": now_ms()}

    await admin.change("credentials", id_, changed)
    await admin.tables.set_health(id_, all_lanes=True)
    await _answer(admin, call, 200, id_)


async def delete(service: Service, call: Call) -> None:
    """Takes one away; what was queued for it moves, or fails and says why."""
    admin_only(call)
    admin, id_ = service.admin, call.param("id")
    held = _held(admin.live.current, id_)
    if held.source != "api":
        raise fixed("credential", held.source)
    await admin.change("credentials", id_, lambda _was, _rows: None)
    await admin.tables.forget(id_)
    await call.json(200, {"id": id_, "object": "credential", "deleted": True})


async def test(service: Service, call: Call) -> None:
    """Makes the cheapest real call with it, on a worker, and lists the models."""
    admin_only(call)
    service.admit()
    id_ = call.param("id")
    held = _held(service.admin.live.current, id_)
    found = await _tested(service, id_)
    now = _held(service.admin.live.current, id_)
    await call.json(
        200,
        {
            "object": "credential.test",
            "credential": id_,
            "provider": held.ref.provider,
            "valid": found["valid"],
            "status": found["status"],
            "message": found["message"] or None,
            "http_status": found["http_status"],
            "plan": now.ref.plan,
            "plan_source": now.plan_source,
            "models": found["models"],
            "model_count": len(found["models"]),
            "latency_ms": found["latency_ms"],
            "checked_at": seconds(found["checked_ms"]),
        },
    )


async def _tested(service: Service, id_: str) -> dict[str, Any]:
    """The result of a worker's test. Refused (504) where none comes in time."""
    job = task(
        CHECK_CREDENTIAL,
        {"credential": id_},
        deadline_ms=TEST_DEADLINE_MS,
        watcher=service.inbox.id,
    )
    watch = service.inbox.expect(job.id)
    try:
        await service.jobs.accept(job)
        while True:
            try:
                event = await watch.next(TEST_S)
            except StopAsyncIteration:
                break
            if event is None or event.type in TERMINAL:
                break
    finally:
        watch.close()
    body = watch.result
    if body is None:
        record = await service.jobs.get(job.id, TENANT)
        body = record.result if record else None
    if body is None:
        raise Refused(
            f"no worker has run the test within {TEST_S:g} s: does one run? It is the job {job.id}",
            status=504,
            type_="server_error",
            code="test_timeout",
        )
    found: dict[str, Any] = orjson.loads(body)
    return found


def view(held: Held, rests: dict[str, Rest] | Any, checks: Any) -> dict[str, Any]:
    """One credential as it is shown: never more of its secret than the last four characters."""
    ref = held.ref
    status, reason, until_ms = _status(held, rests)
    check = checks.get(ref.id)
    return {
        "id": ref.id,
        "object": "credential",
        "provider": ref.provider,
        "name": held.name or None,
        "source": held.source,
        "tail": f"…{held.tail}" if held.tail else None,
        "plan": ref.plan,
        "plan_source": held.plan_source,
        "tenant": ref.tenant,
        "organisation": held.organisation,
        "organisation_source": held.organisation_source,
        "enabled": held.enabled,
        "allowed_models": None if ref.allowed_models is None else sorted(ref.allowed_models),
        "priority": ref.priority,
        "status": status,
        "reason": reason,
        "until": until(until_ms),
        "resting": _resting(ref.id, rests),
        "last_test": None if check is None else _last_test(check),
        "created_at": seconds(held.created_ms),
        "updated_at": seconds(held.updated_ms),
    }


def _status(held: Held, rests: Any) -> tuple[str, str | None, int | None]:
    """`ok`, `resting` until a moment, `dead`, `disabled` or `unusable`, and why."""
    if held.problem:
        return "unusable", held.problem, None
    if not held.enabled:
        return "disabled", None, None
    rest = rests.get(f"c:{held.ref.id}")
    if rest is None or rest.until_ms <= now_ms():
        return "ok", None, None
    return ("dead", rest.reason, None) if rest.dead else ("resting", rest.reason, rest.until_ms)


def _resting(id_: str, rests: Any) -> list[dict[str, Any]]:
    """The single lanes it rests on."""
    now = now_ms()
    return [
        {
            "lane": scope[2:].rpartition("|")[0],
            "reason": rest.reason,
            "until": None if rest.dead else until(rest.until_ms),
        }
        for scope, rest in sorted(rests.items())
        if scope.startswith("l:") and scope.endswith(f"|{id_}") and rest.until_ms > now
    ]


def _last_test(check: Row) -> dict[str, Any]:
    return {
        "valid": check["valid"],
        "status": check["status"],
        "message": check["message"] or None,
        "model_count": check["models"],
        "latency_ms": check["latency_ms"],
        "checked_at": seconds(check["checked_ms"]),
    }


async def _answer(admin: Administration, call: Call, status: int, id_: str, *headers: Any) -> None:
    held = _held(admin.live.current, id_)
    rests, checks = await admin.tables.rests(), await admin.tables.checks()
    await call.json(status, view(held, rests, checks), headers)


def _held(supply: Supply, id_: str) -> Held:
    found = next((held for held in supply.held if held.ref.id == id_), None)
    if found is None:
        raise no_such("credential", id_)
    return found


def _only_what_may(asked: wire.CredentialChange, held: Held) -> None:
    if held.source == "none":
        raise fixed("credential", "provider, which needs no key")
    wrong = sorted(asked.model_fields_set - wire.OF_CONFIGURED)
    if wrong:
        refused = fixed("credential", held.source)
        refused.param = wrong[0]
        raise refused


def _key(text: str) -> Secret:
    try:
        return sendable(text, "key")
    except ConfigError as problem:
        raise Refused(str(problem), param="key", code="invalid_value") from None


def _plan(provider: Provider, plan: str | None) -> str | None:
    if plan is None:
        return None
    try:
        return known_plan(provider, plan, "plan")
    except ConfigError as problem:
        raise Refused(str(problem), param="plan", code="invalid_value") from None


def _refuse_twice(supply: Supply, provider: str, key: Secret, but: str = "") -> None:
    """The same key twice would be counted twice against one quota."""
    for held in supply.held:
        known = supply.stored_secret(held.ref.id)
        if held.ref.id != but and held.ref.provider == provider and known and known == key:
            raise Refused(
                f"key: this key is the credential {held.ref.id} already",
                status=409,
                param="key",
                code="credential_exists",
            )
