"""`/v1/providers`: who there is, how they do, and OpenAI-compatible ones of one's own."""

from typing import Any

from pydantic import ValidationError

from api import credentials
from api.administration import Administration, admin_only, body_of, fixed, no_such, now_ms
from api.auth import scope_of
from api.call import Call
from api.queues import lane_view, visible
from api.views import seconds, until
from api.wiring import Service
from shared import addresses
from shared import catalog as catalogs
from shared.catalog_schema import Config, ProviderDoc
from shared.errors import ConfigError, Refused
from shared.nearest import problems
from shared.queue.types import LaneView
from shared.store.tables import Row, Rows
from shared.supply import Held, Supply
from shared.wire import admin as wire

OF_A_KEY = frozenset({"id", "key"})


async def index(service: Service, call: Call) -> None:
    """Every provider there is a credential for; for an admin, those without one too."""
    call.query(())
    data = await _views(service, call, None)
    await call.json(200, {"object": "list", "data": data})


async def get(service: Service, call: Call) -> None:
    """One of them."""
    found = await _views(service, call, call.param("id"))
    if not found:
        raise no_such("provider", call.param("id"))
    await call.json(200, found[0])


async def create(service: Service, call: Call) -> None:
    """Adds an OpenAI-compatible provider, and its first credential where a `key` is given: 201."""
    admin_only(call)
    admin = service.admin
    asked = wire.read(wire.NewProvider, await body_of(call))
    if asked.key is not None:
        admin.sealing()
    said = {
        name: value
        for name, value in wire.said(asked).items()
        if name not in OF_A_KEY and value is not None
    }
    doc = await _checked(admin, asked.id, {"type": "openai-compatible", **said})
    taken = {one.name for one in admin.live.current.whole.providers}

    def made(was: Row | None, _rows: Rows) -> Row:
        if was is not None or asked.id in taken:
            raise Refused(
                f"id: there is a provider {asked.id} already: PATCH /v1/providers/{asked.id}"
                " changes one that was added here, another id adds another",
                status=409,
                param="id",
                code="provider_exists",
            )
        return {"doc": doc, "created_ms": now_ms(), "updated_ms": now_ms()}

    await admin.change("providers", asked.id, made)
    if asked.key is not None:
        await credentials.add(admin, wire.NewCredential(provider=asked.id, key=asked.key))
    location = (b"location", f"/v1/providers/{asked.id}".encode())
    await call.json(201, (await _views(service, call, asked.id))[0], (location,))


async def change(service: Service, call: Call) -> None:
    """Changes what is said of a provider that was added here."""
    admin_only(call)
    admin, id_ = service.admin, call.param("id")
    asked = wire.read(wire.ProviderChange, await body_of(call))
    wire.refuse_null(asked, "base_url", "models")
    stood = _added(admin.live.current, id_)
    said = wire.said(asked)
    doc = {name: value for name, value in {**stood["doc"], **said}.items() if value is not None}
    doc = await _checked(admin, id_, doc)

    def changed(was: Row | None, _rows: Rows) -> Row:
        if was is None:
            raise no_such("provider", id_)
        return {**was, "doc": doc, "updated_ms": now_ms()}

    await admin.change("providers", id_, changed)
    await call.json(200, (await _views(service, call, id_))[0])


async def delete(service: Service, call: Call) -> None:
    """Takes a provider away that was added here, and its credentials of the API with it."""
    admin_only(call)
    admin, id_ = service.admin, call.param("id")
    _added(admin.live.current, id_)
    # keys first, for one left behind would be sent to whoever is added by that name; and again, for
    # one that was added meanwhile
    await _without_keys(admin, id_)
    await admin.change("providers", id_, lambda _was, _rows: None)
    await _without_keys(admin, id_)
    await call.json(200, {"id": id_, "object": "provider", "deleted": True})


async def _without_keys(admin: Administration, id_: str) -> None:
    for held in admin.live.current.held:
        if held.ref.provider == id_ and held.source == "api":
            await admin.change("credentials", held.ref.id, lambda _was, _rows: None)
            await admin.tables.forget(held.ref.id)


def _added(supply: Supply, id_: str) -> Row:
    """The row of a provider that was added here. Refused: 404, 409."""
    row = supply.rows.providers.get(id_)
    if row is not None:
        return row
    if supply.whole.provider(id_) is None:
        raise no_such("provider", id_)
    raise fixed("provider", "catalog or the configuration")


async def _checked(admin: Administration, id_: str, doc: dict[str, Any]) -> dict[str, Any]:
    """The document, if a catalog can be built with it and its address may be called."""
    try:
        parsed = ProviderDoc.model_validate(doc)
        catalogs.build(Config(providers={id_: parsed}), Config())
    except ValidationError as exc:
        problem = problems(exc, ProviderDoc)[0]
        raise Refused(str(problem), param=problem.path, code="invalid_value") from None
    except ConfigError as exc:
        path, _, message = str(exc).splitlines()[0].partition(": ")
        path = path.removeprefix(f"providers.{id_}.")
        raise Refused(f"{path}: {message}", param=path[:200], code="invalid_value") from None
    host = None if admin.allow_private else await addresses.private_host(parsed.base_url or "")
    if host is not None:
        raise Refused(
            f"base_url: {host} is at a private address; set HEADRACE_ALLOW_PRIVATE_PROVIDERS, or"
            " add the provider in the configuration file",
            param="base_url",
            status=403,
            code="private_address",
        )
    return doc


async def _views(service: Service, call: Call, only: str | None) -> list[dict[str, Any]]:
    admin, supply = service.admin, service.admin.live.current
    scope = scope_of(call.key)
    lanes = await visible(service, call)
    rests, failures = await admin.tables.rests(), await admin.tables.failures()
    checks = await admin.tables.checks()
    by_provider: dict[str, list[LaneView]] = {}
    for lane in lanes:
        by_provider.setdefault(lane.lane.partition("/")[0], []).append(lane)
    shown = supply.whole.providers if scope is None else supply.catalog.providers
    found = []
    for provider in shown:
        if only not in (None, provider.name):
            continue
        held = [one for one in supply.held if one.ref.provider == provider.name]
        held = [one for one in held if scope is None or one.ref.tenant in (None, scope)]
        mine = by_provider.get(provider.name, [])
        row = supply.rows.providers.get(provider.name)
        found.append(
            {
                "id": provider.name,
                "object": "provider",
                "type": provider.type,
                "title": provider.title or provider.name,
                "source": "api" if row else "catalog",
                "base_url": provider.base_url,
                "status": _status(mine, held, rests),
                "deployments": len(supply.whole.by_provider.get(provider.name, ())),
                "credentials": sum(one.enabled and not one.problem for one in held),
                "plans": [
                    {"credential": one.ref.id, "plan": one.ref.plan, "source": one.plan_source}
                    for one in held
                    if one.enabled and not one.problem
                ],
                "health": _health(held, rests, checks),
                "breakers": _breakers(provider.name, rests, failures),
                "lanes": [lane_view(lane) for lane in mine],
                "created_at": seconds(row["created_ms"]) if row else None,
            }
        )
    return found


def _status(lanes: list[LaneView], held: list[Held], rests: Any) -> str:
    """`open` where any lane takes work, `parked` where all wait, `idle` where none was used yet.

    `dead` where every credential is set aside, `no_credential` where there is none in use.
    """
    live = [one for one in held if one.enabled and not one.problem]
    if not live:
        return "no_credential"
    if all((rest := rests.get(f"c:{one.ref.id}")) is not None and rest.dead for one in live):
        return "dead"
    if not lanes:
        return "idle"
    return "open" if any(not lane.parked_until_ms for lane in lanes) else "parked"


def _health(held: list[Held], rests: Any, checks: Any) -> dict[str, Any]:
    """The credentials by their status, and the quickest of their last tests."""
    by_status: dict[str, int] = {}
    for one in held:
        status = credentials.view(one, rests, {})["status"]
        by_status[status] = by_status.get(status, 0) + 1
    took = [
        check["latency_ms"]
        for one in held
        if (check := checks.get(one.ref.id)) is not None and check["valid"]
    ]
    return {"credentials": by_status, "latency_ms": min(took) if took else None}


def _breakers(provider: str, rests: Any, failures: Any) -> list[dict[str, Any]]:
    """Deployments that failed lately: how often in a row, and until when they rest."""
    now = now_ms()
    open_ = {
        scope[2:]: rest
        for scope, rest in rests.items()
        if scope.startswith("d:") and rest.until_ms > now
    }
    names = {*open_, *failures}
    return [
        {
            "deployment": name,
            "state": "open" if name in open_ else "closed",
            "failures": failures.get(name, 0),
            "until": until(open_[name].until_ms) if name in open_ else None,
        }
        for name in sorted(names)
        if name.partition("/")[0] == provider
    ]
