"""One runner for all bulk verbs: many files in, results out, whatever happens in between.

For each work: upload, hand in, follow, write, with so many at once that neither a folder of ten
thousand files nor a slow provider needs more than its share of memory, connections and files. Each
step is noted before it (`notes.py`): a run that was interrupted or killed goes on where it was.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Protocol

from cli import results
from cli.client import FINAL_STATUSES, NOT_FOUND, Api
from cli.notes import Note, Notes
from cli.results import Target, Work
from cli.tracker import KEY_REFUSED
from shared.errors import GatewayError, Refused

AT_ONCE: Final = 64
UPLOADS: Final = 4
HOLD_S: Final = 5
FILE_LIVES_S: Final = 30 * 86_400  # the longest there is: bulk work may wait long
SERVER_ERROR: Final = 500

Reference = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Task:
    """What a verb asks for. `options` are those that change results; `wishes` those that do not.

    `request` makes a job's request of references to its sources; `render` a result's form of it.
    `shapes` are those of a job's result that the forms can be made from, what is asked for first.
    """

    verb: str
    kind: str
    options: Mapping[str, Any]
    wishes: Mapping[str, Any]
    request: Callable[[Work, tuple[Reference, ...]], dict[str, Any]]
    render: Callable[[str, Mapping[str, Any]], bytes]
    force: bool = False
    shapes: tuple[str, ...] = ("",)


@dataclass(slots=True)
class Outcome:
    """How a work stands: `new`, a job's status, `skipped`, `refused`; `why` says more.

    `handed_in`: there is a job of it, which goes on without us; `asked`: there may be.
    """

    work: Work
    status: str = "new"
    why: str = ""
    job: dict[str, Any] = field(default_factory=dict)
    written: tuple[Path, ...] = ()
    handed_in: bool = False
    asked: bool = False

    @property
    def good(self) -> bool:
        """Its results are there."""
        return self.status in ("completed", "skipped")


class View(Protocol):
    """Who is told how it goes."""

    def changed(self, outcome: Outcome) -> None:
        """A work stands differently."""
        ...

    def ended(self, outcome: Outcome) -> None:
        """A work is done, or will not be."""
        ...


class Runner:
    """Runs works to their ends. Unreachable: nobody answers any more; what is noted goes on."""

    def __init__(self, api: Api, notes: Notes, task: Task, view: View) -> None:
        self._api, self._notes, self._task, self._view = api, notes, task, view
        self._uploads = asyncio.Semaphore(UPLOADS)
        self.all_good = True

    async def run(self, works: Iterable[Work], at_once: int = AT_ONCE) -> None:
        """All of them, `at_once` at a time, in order."""
        waiting = iter(works)

        async def worker() -> None:
            for work in waiting:
                outcome = await self._whole(work)
                self.all_good = self.all_good and outcome.good
                self._view.ended(outcome)

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(worker())

    async def _whole(self, work: Work) -> Outcome:
        outcome = Outcome(work)
        self._view.changed(outcome)
        try:
            await self._steps(outcome)
        except Refused as exc:
            if exc.status in KEY_REFUSED:  # so would all others be
                raise
            outcome.status, outcome.why = "refused", str(exc)
        except OSError as exc:
            outcome.status = "refused"
            outcome.why = f"{exc.filename or work.label}: {exc.strerror or exc}"
        outcome.why = briefly(work.label, outcome.why)
        return outcome

    async def _steps(self, outcome: Outcome) -> None:
        task = self._task
        print_ = outcome.work.print(task.options)
        work = self._left(outcome, print_)
        if work is None:
            return
        name = work.name(task.verb)
        await self._give_up(self._notes.get(name), print_ + task.shapes[0])
        note = self._begin(work, print_)
        job = await self._job(outcome, work, note)
        while job["status"] not in FINAL_STATUSES:
            self._tell(outcome, job)
            job = await self._api.job(job["id"], wait_s=HOLD_S)
        self._tell(outcome, job)
        note = self._notes.get(name) or note
        if job["status"] == "completed":
            self._write(outcome, work, print_)
            self._notes.finished(name, note.key)
        else:
            self._notes.forget(name, note.key)
            outcome.why = str((job.get("error") or {}).get("message") or "")
        if not note.done:
            await self._remove(note.files or ())

    def _begin(self, work: Work, print_: str) -> Note:
        """The note of a work; its job is one that made others of the same inputs and options."""
        task, notes = self._task, self._notes
        name = work.name(task.verb)
        note = notes.begin(name, print_ + task.shapes[0], anew=task.force)
        if task.force or note.job is not None or note.files is not None:
            return note
        job = notes.job_of(task.verb, print_, task.shapes)
        if job is not None:
            notes.handed_in(name, note.key, job)
        return notes.get(name) or note

    async def _give_up(self, note: Note | None, print_: str) -> None:
        """Cancels a job of an earlier run whose result nobody would take any more."""
        if note is None or note.job is None or note.done or note.print == print_:
            return
        with contextlib.suppress(Refused):  # it is not there any more
            await self._api.post(f"/v1/jobs/{note.job}/cancel")
        await self._remove(note.files or ())

    def _left(self, outcome: Outcome, print_: str) -> Work | None:
        """What is to be done of a work: all, or those of its results that are not there yet.

        None where all are there, or others are that must not be replaced.
        """
        work, verb = outcome.work, self._task.verb
        there, note = work.there, self._notes.get(work.name(verb))
        goes_on = note is not None and note.print.startswith(print_) and not note.done
        if self._task.force or not there or goes_on:
            return work
        made = {path: self._notes.made(verb, path) for path in there}
        others = [path for path, found in made.items() if found != print_]
        if others:
            found = made[others[0]]
            known = results.differs(found, print_) if found else "not known to be ours"
            outcome.status = "refused"
            outcome.why = f"{results.listed(others)} is there, {known}: --force replaces it"
            return None
        outcome.written = there
        if len(there) == len(work.targets):
            outcome.status, outcome.why = "skipped", "done before"
            return None
        return replace(work, targets=tuple(one for one in work.targets if one.path not in made))

    async def _job(self, outcome: Outcome, work: Work, note: Note) -> dict[str, Any]:
        """The job of this note: found again with all it came to, or handed in."""
        name = work.name(self._task.verb)
        outcome.handed_in = note.job is not None
        if note.job is not None:
            try:
                job = await self._api.job(note.job)
            except Refused as refused:
                if refused.status != NOT_FOUND:
                    raise
            else:
                if job["status"] != "completed" or job.get("result") is not None:
                    return job
            self._notes.forget(name, note.key)
            note = self._notes.begin(name, note.print)
        outcome.handed_in = False
        return await self._hand_in(outcome, work, note)

    async def _hand_in(self, outcome: Outcome, work: Work, note: Note) -> dict[str, Any]:
        task, name = self._task, work.name(self._task.verb)
        if note.files is None:
            files = tuple(
                [await self._upload(outcome, one.path) for one in work.sources if one.path]
            )
            note = self._notes.uploaded(name, note.key, files)
        uploads = iter(note.files or ())
        references = tuple(
            {"url": one.url} if one.url else {"file_id": next(uploads)} for one in work.sources
        )
        body = {
            "kind": task.kind,
            "request": task.request(work, references),
            "metadata": {"source": work.label[-512:]},
            **task.wishes,
        }
        outcome.asked = True
        try:
            job = await self._api.post("/v1/jobs", body, key=note.key)
        except Refused as refused:
            if refused.status < SERVER_ERROR:  # else it may be there, and is found by its key
                self._notes.forget(name, note.key)
                await self._remove(note.files or ())
            raise
        outcome.handed_in = True
        self._notes.handed_in(name, note.key, job["id"])
        return job

    async def _upload(self, outcome: Outcome, path: Path) -> str:
        async with self._uploads:
            outcome.status = "uploading"
            self._view.changed(outcome)
            made = await self._api.upload(path, "user_data", lives_s=FILE_LIVES_S)
        return str(made["id"])

    def _tell(self, outcome: Outcome, job: dict[str, Any]) -> None:
        outcome.job, outcome.status = job, str(job["status"])
        self._view.changed(outcome)

    def _write(self, outcome: Outcome, work: Work, print_: str) -> None:
        """Writes the results. `failed` where one is missing, or another file came to stand there.

        The others are written all the same.
        """
        result = outcome.job.get("result")
        if not isinstance(result, dict):
            raise Refused(f"the result of {outcome.job['id']} is no longer kept")
        task, missing = self._task, list[str]()
        for target in work.targets:
            try:
                self._put(target, task.render(target.form, result))
            except Refused as refused:
                missing.append(str(refused))
            else:
                outcome.written = (*outcome.written, target.path)
                job = str(outcome.job["id"])
                self._notes.wrote(task.verb, target.path, print_, task.shapes[0], job)
        if missing:
            outcome.status, outcome.why = "failed", "; ".join(missing)

    def _put(self, target: Target, content: bytes) -> None:
        if target.path.exists() and not self._task.force:
            if target.path.read_bytes() == content:
                return
            raise Refused(f"{target.path} is there, not as written: --force replaces it")
        results.write(target.path, content)

    async def _remove(self, files: Iterable[str]) -> None:
        """Takes uploads away that are of no more use; else they expire."""
        for file_id in files:
            with contextlib.suppress(GatewayError):
                await self._api.change("DELETE", f"/v1/files/{file_id}")


def briefly(label: str, why: str) -> str:
    """A reason without the name it begins with, where that is the end of what is named anyway."""
    head, colon, rest = why.partition(": ")
    named = colon and (label == head or label.endswith(f"/{head}"))
    return rest if named else why
