"""`headrace batch FILE.jsonl`: a file of requests in, a file of answers beside it.

What was handed in is noted beside the results until it has ended: the same command again goes on
with the same batch, wherever it was interrupted. What came to its end is noted in the data
directory: the same command again has nothing to do.
"""

import asyncio
import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from cli import codes, home, results
from cli.batch_view import Places, View
from cli.bulk_run import Force
from cli.client import NOT_FOUND, Api, find
from cli.codes import Unreachable
from cli.notes import Name, Notes, opened
from shared.batch_lines import MAX_LINE_BYTES
from shared.errors import ConfigError, Refused

app = typer.Typer(add_completion=False, rich_markup_mode=None)

FINAL: Final = frozenset({"completed", "failed", "expired", "cancelled"})
WINDOWS: Final = ("1h", "24h", "7d")
FIRST_LOOK_S: Final = 0.2
MOST_LOOK_S: Final = 2.0
READ_BYTES: Final = 1 << 20
_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Note:
    """What was handed in: enough to go on with it. `key` makes handing it in twice one batch."""

    digest: str
    endpoint: str
    window: str
    key: str
    file: str | None = None
    batch: str | None = None

    @property
    def print(self) -> str:
        """What tells whether the answers are the same: as `Work.print`, input and options."""
        options = hashlib.sha256(self.endpoint.encode()).hexdigest()
        return self.digest[: results.HALF] + options[: results.HALF]


def places(file: Path, out: Path | None) -> Places:
    """Beside the file, or in the folder `out`."""
    folder, stem = out or file.parent, file.name.removesuffix(".jsonl")
    return Places(
        folder / f"{stem}.output.jsonl",
        folder / f"{stem}.errors.jsonl",
        folder / f".{stem}.batch.json",
    )


@app.command()
def batch(
    file: Annotated[Path, typer.Argument(metavar="FILE.jsonl", help="one request a line")],
    *,
    out: Annotated[Path | None, typer.Option(help="the folder for the results")] = None,
    endpoint: Annotated[str | None, typer.Option(help="else the first line's url")] = None,
    window: Annotated[str, typer.Option(help="1h, 24h or 7d: then it expires")] = "24h",
    wait: Annotated[bool, typer.Option(help="until it has ended, and write the results")] = True,
    force: Force = False,
    as_json: Annotated[bool, typer.Option("--json", help="print the batch as JSON")] = False,
    url: Annotated[str | None, typer.Option(help="instead of HEADRACE_URL")] = None,
) -> None:
    """Run a file of requests as one batch.

    Each line is {"custom_id", "method": "POST", "url", "body"}, as OpenAI's. The answers are
    written beside the file, the errors too. Interrupted, the batch goes on: the same command again
    waits for it. What is done is not done again, and no result replaced, without --force.

    Exit code 0: every line completed; 1: some did not; 2: wrong usage or input; 3: no Headrace;
    130: interrupted.
    """
    if window not in WINDOWS:
        raise ConfigError(f"--window is {window!r}; it must be one of {', '.join(WINDOWS)}")
    if not file.is_file():
        raise ConfigError(f"{file} is no file")
    if file.stat().st_size == 0:
        raise ConfigError(f"{file} is empty")
    where = places(file, out)
    results.writable([where.output.parent])
    where.output.parent.mkdir(parents=True, exist_ok=True)
    fresh = Note(digest_of(file), endpoint or url_of(file), window, uuid.uuid4().hex)
    with opened(home.of_environment().path) as notes:
        run = Run(where, View(as_json=as_json), notes, force=force)
        code = run.needless(fresh)
        if code is None:
            code = asyncio.run(run.whole(file, fresh, url, wait=wait))
    raise typer.Exit(code)


def digest_of(file: Path) -> str:
    """What tells whether the file is the one that was handed in."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while part := content.read(READ_BYTES):
            digest.update(part)
    return digest.hexdigest()


def url_of(file: Path) -> str:
    """The url of the first line that holds anything. ConfigError where it has none."""
    with file.open("rb") as content:
        if content.peek(len(_BOM)).startswith(_BOM):
            content.seek(len(_BOM))
        lines = iter(lambda: content.readline(MAX_LINE_BYTES), b"")
        first = next((line for line in lines if line.strip()), b"")
    try:
        found = orjson.loads(first)["url"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        found = None
    if not isinstance(found, str):
        raise ConfigError(
            f"{file}, line 1: it must be a JSON object with a url, or give --endpoint"
        )
    return found


class Run:
    """One call of the command."""

    def __init__(self, where: Places, view: View, notes: Notes, *, force: bool) -> None:
        self._where, self._view, self._notes, self._force = where, view, notes, force
        targets = (where.output, where.errors)
        self._name = Name("batch", "\n".join(str(path.absolute()) for path in targets))

    def needless(self, fresh: Note) -> int | None:
        """The exit code where its results are there; None where there is something to do.

        ConfigError where others are there, which must not be replaced.
        """
        there = self._where.there
        if self._force or not there or self._pending(fresh) is not None:
            return None
        done = self._notes.get(self._name)
        if done is None or done.print != fresh.print:
            known = results.differs(done.print, fresh.print) if done else "not known to be its own"
            raise ConfigError(f"{results.listed(there)} is there, {known}: --force replaces it")
        if any(not Path(path).exists() for path in done.files or ()):
            return None
        self._view.done_before(done.job, self._where)
        return codes.FAILED if self._where.errors in there else codes.OK

    async def whole(self, file: Path, fresh: Note, url: str | None, *, wait: bool) -> int:
        """Hands the file in, or goes on with it, and waits for its end; the exit code."""
        note = self._noted(fresh)
        async with Api(find(url), told=self._view.connection) as api:
            try:
                found = await self._begun(api, file, note)
                if not wait:
                    self._view.accepted(found)
                    return codes.OK
                with self._view.progress():
                    found = await self._ended(api, found["id"])
                await self._write(api, found)
            except (asyncio.CancelledError, KeyboardInterrupt):
                kept = self._pending(fresh)
                self._view.interrupted(handed_in=kept is not None and kept.file is not None)
                return codes.INTERRUPTED
            except Unreachable:
                kept = self._pending(fresh)
                if kept is not None and kept.file is not None:
                    self._view.kept()
                raise
        self._done(fresh, found)
        self._where.note.unlink(missing_ok=True)
        self._view.summary(found, self._where)
        counts = found["request_counts"]
        good = found["status"] == "completed" and counts["completed"] == counts["total"]
        return codes.OK if good else codes.FAILED

    def _noted(self, fresh: Note) -> Note:
        """The note of the call before, if it was about the same work; else a new one, written.

        Results that were taken away are written again from the batch that is done.
        """
        if (kept := self._pending(fresh)) is not None:
            return kept
        done = self._notes.get(self._name)
        if done is not None and done.print == fresh.print and not self._force:
            fresh = replace(fresh, batch=done.job)
        return self._keep(fresh)

    def _pending(self, fresh: Note) -> Note | None:
        """The note of a call before about the same work that has not come to its end."""
        try:
            kept = Note(**orjson.loads(self._where.note.read_bytes()))
        except (OSError, orjson.JSONDecodeError, TypeError):
            return None
        same = replace(fresh, key="") == replace(kept, key="", file=None, batch=None)
        return kept if same else None

    def _done(self, note: Note, found: dict[str, Any]) -> None:
        """Notes that a batch has completed, and which files it wrote; else that none has."""
        name = self._name
        if (before := self._notes.get(name)) is not None:
            self._notes.forget(name, before.key)
        if found["status"] == "completed":
            key = self._notes.begin(name, note.print).key
            self._notes.uploaded(name, key, tuple(str(one.absolute()) for one in self._where.there))
            self._notes.handed_in(name, key, found["id"])
            self._notes.finished(name, key)

    def _keep(self, note: Note) -> Note:
        part = self._where.note.with_suffix(".part")
        part.write_bytes(orjson.dumps(asdict(note)))
        part.replace(self._where.note)
        return note

    async def _begun(self, api: Api, file: Path, note: Note) -> dict[str, Any]:
        """The batch of this note: found again, or handed in."""
        if note.batch is not None:
            try:
                found = await api.get(f"/v1/batches/{note.batch}")
            except Refused as refused:
                if refused.status != NOT_FOUND:
                    raise
                note = replace(note, key=uuid.uuid4().hex, file=None, batch=None)
            else:
                self._view.goes_on(found)
                return found
        if note.file is None:
            uploaded = await api.upload(file, "batch")
            note = self._keep(replace(note, file=uploaded["id"]))
        body = {
            "input_file_id": note.file,
            "endpoint": note.endpoint,
            "completion_window": note.window,
        }
        try:
            found = await api.post("/v1/batches", body, key=note.key)
        except Refused:
            self._where.note.unlink(missing_ok=True)  # the next call begins anew
            raise
        self._keep(replace(note, batch=found["id"]))
        return found

    async def _ended(self, api: Api, batch_id: str) -> dict[str, Any]:
        look_s = FIRST_LOOK_S
        while True:
            found = await api.get(f"/v1/batches/{batch_id}")
            self._view.refresh(found, await self._lanes(api))
            if found["status"] in FINAL:
                return found
            await asyncio.sleep(look_s)
            look_s = min(MOST_LOOK_S, look_s * 1.5)

    async def _lanes(self, api: Api) -> Sequence[dict[str, Any]]:
        """What the queues wait for, where this key may look."""
        try:
            return (await api.get("/v1/queues"))["data"] or ()
        except Refused:
            return ()

    async def _write(self, api: Api, found: dict[str, Any]) -> None:
        where = self._where
        for name, target in (("output", where.output), ("error", where.errors)):
            file_id = found[f"{name}_file_id"]
            if file_id is None:
                target.unlink(missing_ok=True)  # of an earlier run: it would be taken for this one
            else:
                await api.download(f"/v1/files/{file_id}/content", target)
