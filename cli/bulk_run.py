"""One call of a bulk verb, from its works to its exit code; and the options all such verbs have."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli import codes, home, results, show
from cli.bulk import AT_ONCE, Runner, Task
from cli.bulk_view import BulkView, Manner
from cli.client import Api, find
from cli.codes import Unreachable
from cli.notes import opened
from cli.results import Work
from cli.tracker import unwrap
from shared.errors import ConfigError, GatewayError

PRIORITIES: Final = ("interactive", "normal", "bulk")
PAID: Final = ("never", "deadline", "always")
MOST_AT_ONCE: Final = 1_000
LOOKED_AT: Final = 5
LOOK_EVERY_S: Final = 2.0

Paths = Annotated[
    list[str], typer.Argument(metavar="PATH…", help="files, folders, globs, http(s) addresses")
]
Out = Annotated[Path | None, typer.Option(help="the folder for the results, as a mirror")]
Force = Annotated[bool, typer.Option("--force", help="replace results that are there")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="say nothing but what failed")]
Json = Annotated[bool, typer.Option("--json", help="one JSON line a file, on stdout")]
Url = Annotated[str | None, typer.Option(help="instead of HEADRACE_URL")]
Model = Annotated[str, typer.Option(help="exact, family, or auto")]
Priority = Annotated[str, typer.Option(help="interactive, normal or bulk")]
Deadline = Annotated[int | None, typer.Option(min=1, help="seconds from now, for each file")]
Paid = Annotated[str | None, typer.Option(help="never, deadline or always")]
Webhook = Annotated[str | None, typer.Option(help="an address told of each job's end")]
AtOnce = Annotated[
    int, typer.Option(min=1, max=MOST_AT_ONCE, help="jobs that are handed in and not done")
]


@dataclass(frozen=True, slots=True)
class Call:
    """What a call of the verb says beside its work."""

    manner: Manner
    url: str | None = None
    at_once: int = AT_ONCE
    remark: str | None = None


def wishes(
    priority: str, deadline: int | None, paid: str | None, webhook: str | None
) -> dict[str, Any]:
    """What of a job's wishes is said. ConfigError names a wrong option."""
    one_of("--priority", priority, PRIORITIES)
    if paid is not None:
        one_of("--paid", paid, PAID)
    said = {"priority": priority, "deadline_s": deadline, "paid": paid, "webhook": webhook}
    return {name: value for name, value in said.items() if value is not None}


def one_of(option: str, value: str, known: Sequence[str]) -> str:
    """The value; ConfigError where it is none of those known."""
    if value not in known:
        raise ConfigError(f"{option} is {value!r}; it must be one of {', '.join(known)}")
    return value


def run(works: Sequence[Work], task: Task, call: Call) -> int:
    """Runs the works to their ends; the exit code."""
    return asyncio.run(_run(works, task, call))


async def _run(works: Sequence[Work], task: Task, call: Call) -> int:
    results.placed(works, force=task.force)
    view = BulkView(len(works), call.manner)
    view.remark(call.remark)
    at_once = min(call.at_once, len(works))
    with opened(home.of_environment().path) as notes:
        place = find(call.url)
        async with Api(place, connections=at_once + 2, told=view.connection) as api:
            runner = Runner(api, notes, task, view)
            try:
                with view.progress():
                    async with looking(api, view):
                        await runner.run(works, at_once)
            except BaseExceptionGroup as group:
                cause = unwrap(group)
                if isinstance(cause, Unreachable):
                    view.interrupted(reached=False)
                raise cause from group
            except (asyncio.CancelledError, KeyboardInterrupt):
                view.interrupted(reached=True)
                return codes.INTERRUPTED
    view.summary()
    return codes.OK if runner.all_good else codes.FAILED


@asynccontextmanager
async def looking(api: Api, view: BulkView) -> AsyncIterator[None]:
    """While it is open, a person sees where the parts of some running jobs are."""
    if not view.shows_places:
        yield
        return
    task = asyncio.create_task(_look(api, view))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _look(api: Api, view: BulkView) -> None:
    while True:
        places: Counter[str] = Counter()
        for parent in view.running()[:LOOKED_AT]:
            with contextlib.suppress(GatewayError):
                page = await api.get("/v1/jobs", parent=parent, status="in_progress", limit=100)
                places.update(filter(None, map(show.deployment, page.get("data") or [])))
        view.runs(places)
        await asyncio.sleep(LOOK_EVERY_S)
