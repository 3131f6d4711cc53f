"""`headrace submit`: hand in one text or many, and follow them to their ends."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from cli import codes, show, typed
from cli.client import Api, find
from cli.codes import Unreachable
from cli.prompts import Ask, Options, asks
from cli.reading import read_job
from cli.tracker import Tracked, Tracker, unwrap
from shared.errors import ConfigError

app = typer.Typer(add_completion=False, rich_markup_mode=None)
BAD = ("failed", "expired", "cancelled", "refused")
ORDER = ("completed", "failed", "expired", "cancelled", "refused", "in_progress", "queued", "new")
SHOWN_IDS = 3


@app.command()
def submit(  # noqa: PLR0913 - a command's options are its parameters
    texts: Annotated[
        list[str] | None, typer.Argument(metavar="TEXT…", help="a prompt each")
    ] = None,
    *,
    model: Annotated[str, typer.Option(help="exact, family, or auto[:small…]")] = "auto",
    kind: Annotated[str, typer.Option(help="chat or embedding")] = "chat",
    priority: Annotated[str | None, typer.Option(help="interactive, normal or bulk")] = None,
    deadline: Annotated[int | None, typer.Option(min=1, help="seconds from now")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="of each answer")] = None,
    share: Annotated[
        str | None, typer.Option(help="with equal jobs: auto, always or never")
    ] = None,
    cache: Annotated[
        int | None, typer.Option(min=0, help="seconds an equal job's answer may be old; 0: none")
    ] = None,
    hedge: Annotated[
        str | None, typer.Option(help="a slow call made once more elsewhere: never or auto")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="a prompt a line, or .jsonl; - is stdin")
    ] = None,
    webhook: Annotated[str | None, typer.Option(help="an address told of each end")] = None,
    wait: Annotated[bool, typer.Option(help="follow them to their ends")] = True,
    stream: Annotated[bool, typer.Option(help="print one job's answer as it comes")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON line a job")] = False,
    url: Annotated[str | None, typer.Option(help="instead of HEADRACE_URL")] = None,
) -> None:
    """Hand in one text or many as jobs, and follow them.

    Exit code 0: all completed; 1: some did not; 2: wrong usage; 3: no Headrace; 130: interrupted,
    and the jobs go on.
    """
    if kind not in {"chat", "embedding"}:
        raise ConfigError(f"--kind is {kind!r}; it must be chat or embedding")
    if hedge not in {None, "never", "auto"}:
        raise ConfigError(f"--hedge is {hedge!r}; it must be never or auto")
    options = Options(
        kind, model, priority, deadline, max_tokens, stream, webhook, share, cache, hedge
    )
    jobs = asks(texts or [], file, options)
    if stream and (len(jobs) != 1 or not wait or as_json):
        raise ConfigError("--stream prints one answer: give one text, without --no-wait or --json")
    raise typer.Exit(asyncio.run(_submit(jobs, url, wait=wait, stream=stream, as_json=as_json)))


async def _submit(
    jobs: list[Ask], url: str | None, *, wait: bool, stream: bool, as_json: bool
) -> int:
    view = View(as_json=as_json, bar=len(jobs) > 1 and wait)
    async with Api(find(url), told=view.connection) as api:
        tracker = Tracker(api, jobs, changed=view.refresh, ended=view.ended if wait else view.skip)
        view.tracker = tracker
        try:
            with view.progress():
                await tracker.submit()
                if stream and tracker.jobs[0].id:
                    return await read_job(api, str(tracker.jobs[0].id))
                if wait:
                    await tracker.follow()
        except Unreachable:
            view.kept()
            raise
        except BaseExceptionGroup as group:
            cause = unwrap(group)
            if isinstance(cause, Unreachable):
                view.kept()
            raise cause from group
        except (asyncio.CancelledError, KeyboardInterrupt):
            view.interrupted()
            return codes.INTERRUPTED
    if not wait:
        view.accepted()
    view.summary()
    return codes.FAILED if any(job.status in BAD for job in tracker.jobs) else codes.OK


class View:
    """What a person or a script sees of it."""

    def __init__(self, *, as_json: bool, bar: bool) -> None:
        self.tracker: Tracker
        self._out, self._err = show.out(), show.err()
        self._json = as_json
        self._bar: Progress | None = None
        if bar and self._err.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                console=self._err,
                transient=True,
            )

    @contextmanager
    def progress(self) -> Iterator[None]:
        """While it is open, progress is shown."""
        if self._bar is None:
            yield
            return
        with self._bar as bar:
            bar.add_task("handing in", total=len(self.tracker.jobs))
            yield

    def refresh(self) -> None:
        """Something changed."""
        if self._bar is None:
            return
        counts = self.tracker.counts()
        left = self.tracker.left_s()
        where = {show.deployment(j.doc) for j in self.tracker.jobs if j.status == "in_progress"}
        words = [
            f"{counts['in_progress']} running, {counts['queued']} queued",
            f"{show.span(left)} left" if left is not None else "",
            "on " + ", ".join(sorted(filter(None, where))) if any(where) else "",
        ]
        text = "  ".join(filter(None, words))
        self._bar.update(self._bar.task_ids[0], completed=self.tracker.done, description=text)

    def connection(self, text: str) -> None:
        """The server does not answer, or does again."""
        self._err.print(text, soft_wrap=True)

    def skip(self, job: Tracked) -> None:
        """A job that was refused, where none is followed."""
        if job.refusal is not None:
            self._err.print(f"refused: {job.ask.label}: {job.refusal}")

    def ended(self, job: Tracked) -> None:
        """A job has ended: its result."""
        if self._json:
            self._out.out(line(job))
        elif job.status == "completed" and len(self.tracker.jobs) == 1:
            self._out.out(show.answer(job.doc))
        elif job.status == "completed":
            where = show.deployment(job.doc) or "?"
            self._out.out(f"# {job.ask.label}  [{where}, {job.id}]\n{show.answer(job.doc)}\n")
        else:
            why = job.refusal or show.error(job.doc) or "no reason given"
            self._err.print(f"{job.status}: {job.ask.label}: {why}")

    def accepted(self) -> None:
        """What has been handed in, where nobody waits for it."""
        for job in self.tracker.jobs:
            if job.id is not None:
                self._out.out(line(job) if self._json else str(job.id))

    def summary(self) -> None:
        """How it went, on stderr."""
        jobs = self.tracker.jobs
        if len(jobs) > 1 and not self._json:
            self._err.print(show.tally(self.tracker.counts(), ORDER))
        elif jobs[0].status == "completed" and not self._json:
            self._err.print(f"({show.deployment(jobs[0].doc) or '?'}, {jobs[0].id})")

    def interrupted(self) -> None:
        """The jobs go on without us: how to go on with them."""
        ids = self._going_on()
        self._err.print(f"interrupted; {len(ids)} jobs go on. To go on with them:")
        self._watchable(ids)

    def kept(self) -> None:
        """Nobody answers any more: the jobs that were handed in go on once somebody does."""
        if ids := self._going_on():
            self._err.print(f"jobs that are kept: {len(ids)}. To go on with them once it answers:")
            self._watchable(ids)

    def _going_on(self) -> list[str]:
        return [job.id for job in self.tracker.jobs if job.id and not job.ended]

    def _watchable(self, ids: list[str]) -> None:
        for job_id in ids[:SHOWN_IDS]:
            self._err.print(f"  {typed.again(('jobs', 'watch', job_id))}", soft_wrap=True)
        if len(ids) > SHOWN_IDS:
            self._err.print(f"  {typed.again(('jobs', 'list'))}", soft_wrap=True)


def line(job: Tracked) -> str:
    """A job as one line of JSON; a refused one has an error and no id."""
    if job.refusal is not None:
        refused = {"id": None, "status": "refused", "error": {"message": str(job.refusal)}}
        return orjson.dumps({**refused, "label": job.ask.label}).decode()
    return orjson.dumps(job.doc).decode()
