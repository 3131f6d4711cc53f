"""`headrace import FILE`: providers and keys of the Lambda LLM Proxy into a running Headrace."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from cli import codes, migration, old_settings, show
from cli.client import Api, find
from cli.migration import Known, Plan, Step
from cli.old_settings import Old
from shared.errors import ConfigError, Refused

app = typer.Typer(add_completion=False, rich_markup_mode=None)

MOST_BYTES: Final = 4 * 1024 * 1024
CONFLICT: Final = 409
KEY_REFUSED: Final = (401, 403)
PRIVATE: Final = "private_address"


@app.command(name="import")
def import_(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="its settings (JSON), or a .env file; - is stdin"),
    ] = None,
    *,
    environment: Annotated[
        bool, typer.Option("--environment", help="this shell's variables instead of a file")
    ] = False,
    tenant: Annotated[str | None, typer.Option(help="the keys are for this tenant only")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be done, and do nothing")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line an entry")] = False,
    url: Annotated[str | None, typer.Option(help="instead of HEADRACE_URL")] = None,
) -> None:
    """Bring providers and keys over from the Lambda LLM Proxy.

    FILE is what its page keeps as `app_settings` (version 1 or 2), or its server's .env file
    (LP_TYPE_0, LP_KEY_0 …). Keys go to the running Headrace, which keeps them encrypted; they are
    never printed. What has no place in Headrace is named. Done twice it changes nothing.

    Exit code 0: all is there; 1: some is not; 2: wrong usage or no settings; 3: no Headrace.
    """
    if (file is None) is not environment:
        raise ConfigError("name a FILE of settings, or --environment: one of them")
    old = old_settings.of_variables(os.environ) if file is None else _read(file)
    view = View(as_json=as_json)
    raise typer.Exit(asyncio.run(_import(old, view, tenant, url, dry_run=dry_run)))


def _read(file: Path) -> Old:
    """The settings of a file. ConfigError names the file and what is wrong with it."""
    name = "standard input" if str(file) == "-" else str(file)
    try:
        with sys.stdin.buffer if str(file) == "-" else file.open("rb") as opened:
            content = opened.read(MOST_BYTES + 1)
        return _settings(content)
    except OSError as exc:
        raise ConfigError(f"{name} cannot be read: {exc.strerror or exc}") from exc
    except ConfigError as exc:
        raise ConfigError(f"{name}: {exc}") from None


def _settings(content: bytes) -> Old:
    if len(content) > MOST_BYTES:
        raise ConfigError(f"it has more than {MOST_BYTES} bytes")
    try:
        return old_settings.read(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ConfigError("it is no text in UTF-8") from None


class View:
    """Tells what becomes of each entry: a line each, on stdout; what is left out on stderr."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self.bad = 0

    def entry(self, place: str, status: str, what: str, remarks: Sequence[str] = ()) -> None:
        """An entry that was `added`, is `there` already, `would be added`, or `refused`."""
        self.bad += status == "refused"
        if self._as_json:
            row = {"entry": place, "status": status, "what": what, "remarks": list(remarks)}
            show.out().out(orjson.dumps(row).decode())
            return
        show.out().print(f"{place}: {status}: {what}")
        for remark in remarks:
            show.err().print(f"  {place}: {remark}")

    def left_out(self, remarks: Sequence[str]) -> None:
        """What of the settings has no place in Headrace."""
        for remark in remarks:
            show.err().print(f"left out: {remark}")


async def _import(
    old: Old, view: View, tenant: str | None, url: str | None, *, dry_run: bool
) -> int:
    async with Api(find(url)) as api:
        listed = (await api.get("/v1/providers"))["data"]
        known = [Known(one["id"], one["base_url"], one["deployments"]) for one in listed]
        plan = migration.plan(old, known, tenant)
        for step in plan.steps:
            if dry_run:
                view.entry(step.place, "would be added", _what(step), step.remarks)
            else:
                await _do(api, step, view)
        for place, why in plan.refused:
            view.entry(place, "refused", why)
        view.left_out(old.remarks)
        if not dry_run:
            view.left_out(await _unserved(api, plan))
    return codes.FAILED if view.bad else codes.OK


async def _do(api: Api, step: Step, view: View) -> None:
    """One entry. What refuses one says so, and the others go on; a refused API key ends it all."""
    try:
        if step.provider is not None:
            await _made(api, "/v1/providers", step.provider)
        fresh = await _made(api, "/v1/credentials", step.credential)
    except Refused as exc:
        if exc.status in KEY_REFUSED and exc.code != PRIVATE:
            raise
        view.entry(step.place, "refused", str(exc))
    else:
        view.entry(step.place, "added" if fresh else "there", _what(step), step.remarks)


async def _made(api: Api, path: str, body: Mapping[str, Any]) -> bool:
    """Whether it was made now; False where it was there. Refused: it cannot be."""
    try:
        await api.post(path, body)
    except Refused as exc:
        if exc.status != CONFLICT:
            raise
        return False
    return True


def _what(step: Step) -> str:
    """A step in words; never its key."""
    credential = step.credential
    words = [f"a key of {credential['provider']}"]
    if step.provider is not None:
        models = ", ".join(model["id"] for model in step.provider["models"])
        words = [f"the provider {credential['provider']} ({models}), and its key"]
    if "plan" in credential:
        words.append(f"plan {credential['plan']}")
    if "allowed_models" in credential:
        words.append(f"for {', '.join(credential['allowed_models'])} only")
    if "enabled" in credential:
        words.append("disabled, as it was")
    return ", ".join(words)


async def _unserved(api: Api, plan: Plan) -> list[str]:
    """The models that a key is allowed and that no provider serves: they may be gone."""
    served = {
        name
        for model in (await api.get("/v1/models"))["data"]
        for name in (model["id"], *model["deployments"])
    }
    found = []
    for step in plan.steps:
        provider = step.credential["provider"]
        names = step.credential.get("allowed_models", ())
        gone = [name for name in names if not {name, f"{provider}/{name}"} & served]
        if gone and step.credential.get("enabled", True):
            found.append(
                f"{step.place}: {provider} is not known to serve {', '.join(gone)}; allow others"
                " with PATCH /v1/credentials/{id}, or see GET /v1/models"
            )
    return found
