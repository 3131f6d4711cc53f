"""`headrace keys list|create|rotate|revoke`: callers' API keys."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import quote

import orjson
import typer
from rich.table import Table

from cli import show
from cli.client import Api, find
from shared.errors import ConfigError

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)

Url = Annotated[str | None, typer.Option(help="instead of HEADRACE_URL")]
Json = Annotated[bool, typer.Option("--json", help="one JSON line each")]
Key = Annotated[str, typer.Argument(metavar="NAME", help="a key's name or id")]


@app.callback()
def keys() -> None:
    """List, create, rotate and revoke API keys."""


@app.command(name="list")
def list_(*, as_json: Json = False, url: Url = None) -> None:
    """List API keys: never the keys themselves."""
    found = asyncio.run(_with(url, _all))
    if as_json:
        for each in found:
            show.out().out(orjson.dumps(each).decode())
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("name", "id", "role", "tenant", "weight", "models", "ends in", "from", "created"):
        table.add_column(name, overflow="fold")
    for each in found:
        models = each["allowed_models"]
        table.add_row(
            each["name"],
            each["id"],
            each["role"],
            each["tenant"],
            str(each["weight"]),
            "all" if models is None else ", ".join(models),
            each["tail"] or "-",
            each["source"],
            show.moment(each["created_at"]),
        )
    show.out().print(table)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="what to call it")],
    *,
    role: Annotated[str, typer.Option(help="admin or user")] = "user",
    tenant: Annotated[str | None, typer.Option(help="whose work it is; else its name")] = None,
    weight: Annotated[int, typer.Option(min=1, max=1000, help="its tenant's share")] = 1,
    model: Annotated[list[str] | None, typer.Option(help="only this model; repeatable")] = None,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Create an API key; it is shown this once."""
    body = {"name": name, "role": role, "tenant": tenant, "weight": weight, "allowed_models": model}
    wanted = {field: value for field, value in body.items() if value}

    async def make(api: Api) -> dict[str, Any]:
        return await api.post("/v1/keys", wanted)

    _show_key(asyncio.run(_with(url, make)), as_json=as_json)


@app.command()
def rotate(key: Key, *, as_json: Json = False, url: Url = None) -> None:
    """Give an API key a new secret, shown this once; the old one is refused at once."""

    async def turn(api: Api) -> dict[str, Any]:
        return await api.post(f"/v1/keys/{await _id(api, key)}/rotate")

    _show_key(asyncio.run(_with(url, turn)), as_json=as_json)


@app.command()
def revoke(key: Key, *, as_json: Json = False, url: Url = None) -> None:
    """Revoke an API key: every process refuses it at once."""

    async def gone(api: Api) -> Any:
        return await api.change("DELETE", f"/v1/keys/{await _id(api, key)}")

    found = asyncio.run(_with(url, gone))
    show.out().out(orjson.dumps(found).decode() if as_json else f"revoked {found['id']}")


async def _with(url: str | None, do: Callable[[Api], Awaitable[Any]]) -> Any:
    async with Api(find(url)) as api:
        return await do(api)


async def _all(api: Api) -> list[dict[str, Any]]:
    return list((await api.get("/v1/keys"))["data"])


async def _id(api: Api, key: str) -> str:
    """The id of a key by its id or its name. ConfigError where there is none."""
    for each in await _all(api):
        if key in (each["id"], each["name"]):
            return quote(str(each["id"]), safe="")
    raise ConfigError(f"there is no API key {key}: headrace keys list shows all")


def _show_key(made: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show.out().out(orjson.dumps(made).decode())
        return
    show.out().out(made["key"])
    show.err().print(f"{made['name']} ({made['id']}): keep it, it is not shown again")
