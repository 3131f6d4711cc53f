"""`/v1/keys`: callers' API keys. A key is shown once, when it is made; its digest is kept."""

import secrets
from typing import Any, Final

from api.administration import admin_only, body_of, fixed, no_such, now_ms
from api.call import Call
from api.views import seconds
from api.wiring import Service
from shared.credentials import ApiKey, Secret, digest, new_api_key, tail
from shared.errors import Refused
from shared.store.tables import Row, Rows
from shared.wire import admin as wire

ID_CHARS: Final = 16


async def index(service: Service, call: Call) -> None:
    """Every key, without the keys: those made here, then those of configuration and files."""
    admin_only(call)
    rows = service.admin.live.current.rows.apikeys
    data = [_view(id_, row) for id_, row in sorted(rows.items(), key=_by_age)]
    data += [_view(_id(key), _row(key), "configuration") for key in service.keys.all()]
    await call.json(200, {"object": "list", "data": data})


async def get(service: Service, call: Call) -> None:
    """One of them."""
    admin_only(call)
    id_ = call.param("id")
    row = service.admin.live.current.rows.apikeys.get(id_)
    if row is not None:
        return await call.json(200, _view(id_, row))
    for key in service.keys.all():
        if _id(key) == id_:
            return await call.json(200, _view(id_, _row(key), "configuration"))
    raise no_such("key", id_)


async def create(service: Service, call: Call) -> None:
    """Makes one: 201, with the key itself, this once."""
    admin_only(call)
    asked = wire.read(wire.NewKey, await body_of(call))
    key, id_ = new_api_key(), f"key_{secrets.token_hex(8)}"
    others = {each.name for each in service.keys.all()}

    def made(_was: Row | None, rows: Rows) -> Row:
        if asked.name in others or any(row["name"] == asked.name for row in rows.apikeys.values()):
            raise Refused(
                f"name: there is a key called {asked.name} already",
                status=409,
                param="name",
                code="key_exists",
            )
        return {
            "name": asked.name,
            "role": asked.role,
            "tenant": asked.tenant or asked.name,
            "weight": asked.weight,
            "allowed_models": asked.allowed_models,
            "created_ms": now_ms(),
            **_secret(key),
        }

    row = await service.admin.change("apikeys", id_, made)
    location = (b"location", f"/v1/keys/{id_}".encode())
    shown = {**_view(id_, row or {}), "key": key.reveal()}
    await call.json(201, shown, (location,))


async def change(service: Service, call: Call) -> None:
    """Changes the role, the weight or the models of one."""
    admin_only(call)
    asked = wire.read(wire.KeyChange, await body_of(call))
    wire.refuse_null(asked, "role", "weight")
    await call.json(200, await _changed(service, call.param("id"), wire.said(asked)))


async def rotate(service: Service, call: Call) -> None:
    """Gives one a new key, shown this once; the old one is refused from now on."""
    admin_only(call)
    key = new_api_key()
    shown = await _changed(service, call.param("id"), _secret(key))
    await call.json(200, {**shown, "key": key.reveal()})


async def delete(service: Service, call: Call) -> None:
    """Revokes one: it is refused from now on, by every process."""
    admin_only(call)
    id_ = call.param("id")

    def gone(was: Row | None, _rows: Rows) -> None:
        _of_the_api(service, id_, was)

    await service.admin.change("apikeys", id_, gone)
    await call.json(200, {"id": id_, "object": "key", "deleted": True})


async def _changed(service: Service, id_: str, said: dict[str, Any]) -> dict[str, Any]:
    def changed(was: Row | None, _rows: Rows) -> Row:
        return {**_of_the_api(service, id_, was), **said}

    return _view(id_, await service.admin.change("apikeys", id_, changed) or {})


def _of_the_api(service: Service, id_: str, row: Row | None) -> Row:
    """The row of a key made here. Refused: 404, 409."""
    if row is not None:
        return row
    if any(_id(key) == id_ for key in service.keys.all()):
        raise fixed("key", "configuration or the file of `headrace up`")
    raise no_such("key", id_)


def _secret(key: Secret) -> dict[str, str]:
    return {"digest": digest(key.reveal()), "tail": tail(key)}


def _by_age(item: tuple[str, Row]) -> tuple[int, str]:
    return item[1]["created_ms"], item[0]


def _id(key: ApiKey) -> str:
    """The id of a key that is kept elsewhere: of its name, for its digest is nobody's business."""
    return f"key_{digest(f'name:{key.name}')[:ID_CHARS]}"


def _row(key: ApiKey) -> Row:
    allowed = None if key.allowed_models is None else sorted(key.allowed_models)
    return {
        "name": key.name,
        "role": key.role,
        "tenant": key.tenant,
        "weight": key.weight,
        "allowed_models": allowed,
        "tail": "",
    }


def _view(id_: str, row: Row, source: str = "api") -> dict[str, Any]:
    return {
        "id": id_,
        "object": "key",
        "name": row["name"],
        "source": source,
        "tail": f"…{row['tail']}" if row.get("tail") else None,
        "role": row["role"],
        "tenant": row["tenant"],
        "weight": row["weight"],
        "allowed_models": row["allowed_models"],
        "created_at": seconds(row.get("created_ms")),
    }
