"""One runner for all bulk verbs: many files in, results out, whatever happens in between.

For each work: upload, hand in, follow, write, with so many at once that neither a folder of ten
thousand files nor a slow provider needs more than its share of memory, connections and files. Each
step is noted before it (`notes.py`): a run that was interrupted or killed goes on where it was.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from cli import results
from cli.client import FINAL_STATUSES, Api
from cli.notes import Note, Notes
from cli.results import Target, Work
from cli.tracker import KEY_REFUSED
from shared.errors import GatewayError, Refused

AT_ONCE: Final = 64
UPLOADS: Final = 4
HOLD_S: Final = 5
FILE_LIVES_S: Final = 30 * 86_400  # the longest there is: bulk work may wait long
NOT_FOUND: Final = 404
SERVER_ERROR: Final = 500

Reference = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Task:
    """What a verb asks for. `options` are those that change results; `wishes` those that do not.

    `request` makes a job's request of references to its sources; `render` a result's form of it.
    """

    verb: str
    kind: str
    options: Mapping[str, Any]
    wishes: Mapping[str, Any]
    request: Callable[[Work, tuple[Reference, ...]], dict[str, Any]]
    render: Callable[[str, Mapping[str, Any]], bytes]
    force: bool = False


@dataclass(slots=True)
class Outcome:
    """How a work stands: `new`, a job's status, `skipped`, `refused`; `why` says more."""

    work: Work
    status: str = "new"
    why: str = ""
    job: dict[str, Any] = field(default_factory=dict)
    written: tuple[Path, ...] = ()

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
        return outcome

    async def _steps(self, outcome: Outcome) -> None:
        work, task = outcome.work, self._task
        name, print_ = work.name(task.verb), work.print(task.options)
        if self._needless(outcome, print_):
            return
        await self._give_up(self._notes.get(name), print_)
        note = self._notes.begin(name, print_, anew=task.force)
        job = await self._job(outcome, note)
        while job["status"] not in FINAL_STATUSES:
            self._tell(outcome, job)
            job = await self._api.job(job["id"], wait_s=HOLD_S)
        self._tell(outcome, job)
        note = self._notes.get(name) or note
        if job["status"] == "completed":
            self._write(outcome)
            self._notes.finished(name, note.key)
        else:
            self._notes.forget(name, note.key)
            outcome.why = str((job.get("error") or {}).get("message") or "")
        if not note.done:
            await self._remove(note.files or ())

    async def _give_up(self, note: Note | None, print_: str) -> None:
        """Cancels a job of an earlier run whose result nobody would take any more."""
        if note is None or note.job is None or note.done or note.print == print_:
            return
        with contextlib.suppress(Refused):  # it is not there any more
            await self._api.post(f"/v1/jobs/{note.job}/cancel")
        await self._remove(note.files or ())

    def _needless(self, outcome: Outcome, print_: str) -> bool:
        """True where the results are there, or others are that must not be replaced."""
        work, note = outcome.work, self._notes.get(outcome.work.name(self._task.verb))
        there = work.there
        if self._task.force or not there:
            return False
        if note is None or note.print != print_:
            known = "of another input or other options" if note else "not known to be ours"
            outcome.status = "refused"
            outcome.why = f"{results.listed(there)} is there, {known}: --force replaces it"
            return True
        if note.done and len(there) == len(work.targets):
            outcome.status, outcome.why, outcome.written = "skipped", "done before", there
            return True
        return False

    async def _job(self, outcome: Outcome, note: Note) -> dict[str, Any]:
        """The job of this note: found again with all it came to, or handed in."""
        name = outcome.work.name(self._task.verb)
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
        return await self._hand_in(outcome, note)

    async def _hand_in(self, outcome: Outcome, note: Note) -> dict[str, Any]:
        work, task = outcome.work, self._task
        name = work.name(task.verb)
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
        try:
            job = await self._api.post("/v1/jobs", body, key=note.key)
        except Refused as refused:
            if refused.status < SERVER_ERROR:  # else it may be there, and is found by its key
                self._notes.forget(name, note.key)
                await self._remove(note.files or ())
            raise
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

    def _write(self, outcome: Outcome) -> None:
        """Writes the results. `failed` where one is missing, or another file came to stand there.

        The others are written all the same.
        """
        result = outcome.job.get("result")
        if not isinstance(result, dict):
            raise Refused(f"the result of {outcome.job['id']} is no longer kept")
        written: list[Path] = []
        missing: list[str] = []
        for target in outcome.work.targets:
            try:
                self._put(target, self._task.render(target.form, result))
            except Refused as refused:
                missing.append(str(refused))
            else:
                written.append(target.path)
        outcome.written = tuple(written)
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
