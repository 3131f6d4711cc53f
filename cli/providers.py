"""`headrace providers list|test|limits|add|remove`."""

import asyncio
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Annotated, Any
from urllib.parse import quote

import orjson
import typer
from rich.table import Table
from rich.text import Text

from cli import codes, show
from cli.client import Api, find
from shared.errors import ConfigError, Refused

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)
AT_ONCE = 8
COLOURS = {
    "open": "green",
    "ok": "green",
    "valid": "green",
    "limited": "yellow",
    "parked": "yellow",
    "resting": "yellow",
    "unproven": "yellow",
    "dead": "red",
    "invalid": "red",
    "unusable": "red",
    "unreachable": "red",
}

Url = Annotated[str | None, typer.Option(help="instead of HEADRACE_URL")]
Json = Annotated[bool, typer.Option("--json", help="one JSON line each")]
Name = Annotated[str | None, typer.Argument(help="a provider; none: all with a credential")]


@app.callback()
def providers() -> None:
    """List, test, add and remove providers and their credentials."""


@app.command(name="list")
def list_(
    *,
    everything: Annotated[bool, typer.Option("--all", help="those without a key too")] = False,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """List providers and how they do."""
    found = _in_use(asyncio.run(_providers(url)), everything=everything)
    if as_json:
        return _lines(found)
    rows = [
        (
            each["id"],
            _coloured(each["status"]),
            _counts(each["health"]["credentials"]) or "-",
            _plans(each.get("plans") or ()),
            str(each["deployments"]),
            str(sum(sum(lane["queued"].values()) for lane in each["lanes"])),
            str(sum(lane["running"] for lane in each["lanes"])),
            _breaker(each["breakers"]),
            show.span(ms / 1000) if (ms := each["health"]["latency_ms"]) is not None else "-",
        )
        for each in found
    ]
    names = (
        "provider",
        "status",
        "keys",
        "plans",
        "models",
        "queued",
        "running",
        "breaker",
        "test",
    )
    return show.out().print(_table(names, rows))


@app.command(name="test")
def try_(name: Name = None, *, as_json: Json = False, url: Url = None) -> None:
    """Test credentials by the cheapest real call, which lists the models.

    Exit code 0: none is bad; 1: one is, or could not be tested.
    """
    tests = asyncio.run(_tests(name, url))
    if as_json:
        _lines(tests)
    else:
        rows = [
            (
                each["provider"],
                each["credential"],
                _coloured(each["status"]),
                each["plan"] or "-",
                str(each["model_count"]),
                show.span(each["latency_ms"] / 1000),
                each["message"] or "",
            )
            for each in tests
        ]
        names = ("provider", "credential", "result", "plan", "models", "took", "")
        show.out().print(_table(names, rows))
    bad = any(each["status"] in {"invalid", "unreachable", "unexpected"} for each in tests)
    raise typer.Exit(codes.FAILED if bad else codes.OK)


@app.command()
def limits(name: Name = None, *, as_json: Json = False, url: Url = None) -> None:
    """Show every limit that is kept, what is left of it, and who told it."""
    found = [
        {"lane": lane["id"], **window}
        for each in asyncio.run(_providers(url))
        if name in (None, each["id"])
        for lane in each["lanes"]
        for window in lane["windows"]
    ]
    if as_json:
        return _lines(found)
    rows = [
        (
            each["lane"],
            each["credential"],
            each["window"],
            f"{each['limit']:,}",
            f"{each['used']:,.0f}",
            f"{each['free']:,.0f}",
            show.span(each["reset_in_s"]),
            each["source"],
        )
        for each in found
    ]
    names = ("lane", "credential", "window", "limit", "used", "free", "whole in", "source")
    return show.out().print(_table(names, rows))


@app.command()
def add(  # noqa: PLR0913 - a command's options are its parameters
    name: Annotated[str, typer.Argument(help="a provider; with --base-url, a new one's name")],
    *,
    key_env: Annotated[
        str | None, typer.Option(help="the environment variable that holds the key")
    ] = None,
    label: Annotated[str | None, typer.Option(help="a name for the credential")] = None,
    plan: Annotated[str | None, typer.Option(help="free, paid or another known one")] = None,
    tenant: Annotated[str | None, typer.Option(help="for this tenant only")] = None,
    organisation: Annotated[str | None, typer.Option(help="whose limits it shares")] = None,
    base_url: Annotated[str | None, typer.Option(help="of a new OpenAI-compatible one")] = None,
    model: Annotated[list[str] | None, typer.Option(help="a model of a new one")] = None,
    no_key: Annotated[bool, typer.Option("--no-key", help="the new one needs none")] = False,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Add a credential to a provider, or a new OpenAI-compatible provider.

    The key is read from --key-env, else from standard input: never from the command line, where
    other users of the machine can read it.
    """
    key = None if no_key else _key(key_env)
    if base_url is not None:
        if not model:
            raise ConfigError("--model: name at least one model that it serves")
        body: dict[str, Any] = {
            "id": name,
            "base_url": base_url,
            "models": [{"id": each} for each in model],
            "no_auth": no_key,
        }
        made = asyncio.run(_post("/v1/providers", body, url))
    else:
        made = {"id": name}
    if key is not None:
        wanted = {
            "provider": name,
            "key": key,
            "name": label,
            "plan": plan,
            "tenant": tenant,
            "organisation": organisation,
        }
        body = {field: value for field, value in wanted.items() if value is not None}
        made = asyncio.run(_post("/v1/credentials", body, url))
    show.out().out(orjson.dumps(made).decode() if as_json else f"added {made['id']}")


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="a credential's id, or a provider that was added")],
    *,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Remove a credential or an added provider; queued work moves, or fails and says why."""
    gone = asyncio.run(_remove(name, url))
    show.out().out(orjson.dumps(gone).decode() if as_json else f"removed {gone['id']}")


async def _providers(url: str | None) -> list[dict[str, Any]]:
    async with Api(find(url)) as api:
        return list((await api.get("/v1/providers"))["data"])


async def _post(path: str, body: Mapping[str, Any], url: str | None) -> dict[str, Any]:
    async with Api(find(url)) as api:
        return await api.post(path, body)


async def _remove(name: str, url: str | None) -> dict[str, Any]:
    async with Api(find(url)) as api:
        known = {each["id"] for each in (await api.get("/v1/credentials"))["data"]}
        noun = "credentials" if name in known else "providers"
        found: dict[str, Any] = await api.change("DELETE", f"/v1/{noun}/{quote(name, safe='')}")
        return found


async def _tests(name: str | None, url: str | None) -> list[dict[str, Any]]:
    """The tests of all credentials of a provider (or of all), some at a time."""
    turns = asyncio.Semaphore(AT_ONCE)
    async with Api(find(url)) as api:
        held = (await api.get("/v1/credentials"))["data"]
        wanted = [each for each in held if name in (None, each["provider"], each["id"])]
        if not wanted:
            missing = f"there is no credential of {name}" if name else "there are no credentials"
            raise ConfigError(f"{missing}: headrace providers add PROVIDER adds one")

        async def one(credential: Mapping[str, Any]) -> dict[str, Any]:
            named = quote(str(credential["id"]), safe="")
            async with turns:
                try:
                    return await api.post(f"/v1/credentials/{named}/test")
                except Refused as exc:
                    return _untested(credential, str(exc))

        return list(await asyncio.gather(*map(one, wanted)))


def _untested(credential: Mapping[str, Any], why: str) -> dict[str, Any]:
    return {
        "object": "credential.test",
        "credential": credential["id"],
        "provider": credential["provider"],
        "valid": None,
        "status": "unexpected",
        "message": why,
        "plan": credential["plan"],
        "models": [],
        "model_count": 0,
        "latency_ms": 0,
    }


def _key(variable: str | None) -> str:
    """The key to add. ConfigError where there is none."""
    if variable is not None:
        found = os.environ.get(variable, "").strip()
        if not found:
            raise ConfigError(f"--key-env: {variable} is not set")
        return found
    if sys.stdin.isatty():
        found = typer.prompt("key", hide_input=True, err=True).strip()
    else:
        found = sys.stdin.readline().strip()
    if not found:
        raise ConfigError("no key was given: name its variable with --key-env, or type it")
    return str(found)


def _plans(held: Iterable[Mapping[str, Any]]) -> str:
    """The plans of a provider's keys, each once, with who says so where it was found out."""
    named = (
        f"{one['plan']} (detected)" if one["source"] == "detected" else str(one["plan"])
        for one in held
    )
    return ", ".join(dict.fromkeys(named)) or "-"


def _in_use(found: Iterable[dict[str, Any]], *, everything: bool) -> list[dict[str, Any]]:
    return [each for each in found if everything or each["health"]["credentials"]]


def _lines(rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        show.out().out(orjson.dumps(row).decode())


def _table(names: Iterable[str], rows: Iterable[tuple[str | Text, ...]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _coloured(status: str) -> Text:
    return Text(status, style=COLOURS.get(status, ""))


def _counts(by_status: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(by_status.items()))


def _breaker(breakers: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(each["deployment"] for each in breakers if each["state"] == "open") or "-"
