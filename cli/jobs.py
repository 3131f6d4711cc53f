"""`headrace jobs list|show|watch|cancel|replay`."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import quote

import orjson
import typer

from cli import codes, show
from cli.client import FINAL_EVENTS, Api, find
from cli.codes import Unreachable
from cli.reading import delta, payload, remark
from cli.sse import ServerEvent
from cli.tracker import cursor
from cli.watching import told
from shared.errors import Refused

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, add_completion=False)
PAGE = 100

Url = Annotated[str | None, typer.Option(help="instead of HEADRACE_URL")]
Json = Annotated[bool, typer.Option("--json", help="one JSON line each")]
Ids = Annotated[list[str], typer.Argument(metavar="ID…")]


@app.callback()
def jobs() -> None:
    """List, show, watch, cancel and replay jobs."""


@app.command(name="list")
def list_(
    *,
    status: Annotated[str | None, typer.Option(help="queued, in_progress, completed …")] = None,
    kind: Annotated[str | None, typer.Option(help="chat, embedding …")] = None,
    batch: Annotated[str | None, typer.Option(help="of this batch only")] = None,
    limit: Annotated[int, typer.Option(min=1, help="so many at most")] = 20,
    as_json: Json = False,
    url: Url = None,
) -> None:
    """List jobs, the newest first."""
    wanted = {"status": status, "kind": kind, "batch": batch}
    found = asyncio.run(_list(wanted, limit, url))
    if as_json:
        for job in found:
            show.out().out(orjson.dumps(job).decode())
    elif found:
        show.out().print(show.table(found))
    else:
        show.err().print("no such jobs")


async def _list(wanted: dict[str, str | None], limit: int, url: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: str | None = None
    async with Api(find(url)) as api:
        while len(found) < limit:
            size = min(PAGE, limit - len(found))
            page = await api.get("/v1/jobs", limit=size, after=after, **wanted)
            found.extend(page.get("data") or [])
            after = cursor(page)
            if after is None:
                break
    return found[:limit]


@app.command(name="show")
def show_(ids: Ids, *, as_json: Json = False, url: Url = None) -> None:
    """Show jobs: where they are, why they wait, which way they took, what came out."""

    async def one(api: Api, job_id: str) -> int:
        job = await api.job(job_id)
        text = orjson.dumps(job).decode() if as_json else "\n".join(show.page(job))
        show.out().out(text)
        return codes.OK

    raise typer.Exit(asyncio.run(_each(ids, url, one)))


@app.command()
def watch(
    ids: Ids,
    *,
    after: Annotated[str, typer.Option(help="go on after this event's id")] = "",
    as_json: Json = False,
    url: Url = None,
) -> None:
    """Watch jobs until they end: every event once, over broken connections.

    While one lasts, stderr tells what it waits for, where it or its parts run, and how long yet.

    Exit code 0: all completed; 1: some did not.
    """

    async def one(api: Api, job_id: str) -> int:
        try:
            async with told(api, job_id, as_json=as_json):
                return await _watch(api, job_id, after, as_json=as_json)
        except Unreachable:
            if api.met:
                show.err().print("the jobs are kept: the same command goes on with them")
            raise

    try:
        raise typer.Exit(asyncio.run(_each(ids, url, one)))
    except KeyboardInterrupt:
        show.err().print("interrupted; the jobs go on")
        raise typer.Exit(codes.INTERRUPTED) from None


async def _watch(api: Api, job_id: str, after: str, *, as_json: bool) -> int:
    out, err = show.out(), show.err()

    def lost(exc: Unreachable) -> None:
        err.print(f"(connection lost, going on: {exc})")

    open_line = False
    last = ""
    async for event in api.follow(job_id, after=after, lost=lost):
        data = payload(event)
        last = event.event
        if as_json:
            whole = {"job": job_id, "id": event.id, "event": event.event, "data": data}
            out.out(orjson.dumps(whole).decode())
        elif event.event == "job.delta":
            text = delta(data)
            out.out(text, end="")
            open_line = not text.endswith("\n") if text else open_line
        else:
            out.out(("\n" if open_line else "") + f"{job_id}  {event.id:>4}  " + short(event, data))
            open_line = False
    return codes.OK if last == "job.completed" else codes.FAILED


def short(event: ServerEvent, data: dict[str, Any]) -> str:
    """An event in words; the end of a job says why it failed."""
    if event.event in FINAL_EVENTS:
        why = show.error(data)
        return event.event.removeprefix("job.") + (f": {why}" if why else "")
    return remark(event.event, data)


@app.command()
def cancel(ids: Ids, *, as_json: Json = False, url: Url = None) -> None:
    """Cancel jobs that have not ended."""
    raise typer.Exit(asyncio.run(_each(ids, url, _act("cancel", as_json=as_json))))


@app.command()
def replay(ids: Ids, *, as_json: Json = False, url: Url = None) -> None:
    """Queue jobs again that failed, expired or were cancelled."""
    raise typer.Exit(asyncio.run(_each(ids, url, _act("replay", as_json=as_json))))


def _act(verb: str, *, as_json: bool) -> Callable[[Api, str], Awaitable[int]]:
    async def act(api: Api, job_id: str) -> int:
        job = await api.post(f"/v1/jobs/{quote(job_id, safe='')}/{verb}")
        status = job.get("status")
        show.out().out(orjson.dumps(job).decode() if as_json else f"{job_id}  {status}")
        return codes.OK

    return act


async def _each(ids: list[str], url: str | None, do: Callable[[Api, str], Awaitable[int]]) -> int:
    """Does it for each job; one that is refused does not stop the others. The worst code."""
    worst = codes.OK
    err = show.err()
    async with Api(find(url), told=lambda line: err.print(line, soft_wrap=True)) as api:
        for job_id in ids:
            try:
                worst = max(worst, await do(api, job_id))
            except Refused as exc:
                show.err().print(f"{job_id}: {exc}")
                worst = max(worst, codes.FAILED)
    return worst
