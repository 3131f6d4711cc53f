"""What bulk verbs remember between runs: which work was handed in, as which job, and what is done.

One SQLite file in the data directory (`bulk.sqlite`): written before each step that must not happen
twice, so that a run can be killed at any moment and the same command goes on. Two runs of one
command share the key, the uploads and the job: whoever is first wins.
"""

import contextlib
import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from shared.errors import ConfigError

KEPT_S: Final = 366 * 86_400
BUSY_S: Final = 30.0
_TABLE: Final = """
CREATE TABLE IF NOT EXISTS work (
    verb TEXT NOT NULL, targets TEXT NOT NULL, print TEXT NOT NULL, key TEXT NOT NULL,
    files TEXT, job TEXT, done INTEGER NOT NULL DEFAULT 0, changed REAL NOT NULL,
    PRIMARY KEY (verb, targets)
) WITHOUT ROWID
"""
_MADE: Final = """
CREATE TABLE IF NOT EXISTS made (
    verb TEXT NOT NULL, path TEXT NOT NULL, print TEXT NOT NULL, shape TEXT NOT NULL,
    job TEXT NOT NULL, changed REAL NOT NULL, PRIMARY KEY (verb, path)
) WITHOUT ROWID
"""
_BY_PRINT: Final = "CREATE INDEX IF NOT EXISTS made_by_print ON made (print)"


@dataclass(frozen=True, slots=True)
class Name:
    """What tells one piece of work: its verb and the files it is to write."""

    verb: str
    targets: str


@dataclass(frozen=True, slots=True)
class Note:
    """What is known of it. `print` tells whether inputs and options are still the same.

    `key` makes handing it in twice one job; `files` are its uploads, `job` its job.
    """

    print: str
    key: str
    files: tuple[str, ...] | None
    job: str | None
    done: bool


class Notes:
    """The notes of one data directory."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._rows = connection

    def get(self, name: Name) -> Note | None:
        """What is known of it; None is nothing."""
        row = self._rows.execute(
            "SELECT print, key, files, job, done FROM work WHERE verb = ? AND targets = ?",
            (name.verb, name.targets),
        ).fetchone()
        if row is None:
            return None
        files = None if row[2] is None else tuple(orjson.loads(row[2]))
        return Note(row[0], row[1], files, row[3], bool(row[4]))

    def begin(self, name: Name, print_: str, *, anew: bool = False) -> Note:
        """Its note, made where there is none of these inputs and options.

        With `anew` one that is done is made again.
        """
        self._rows.execute(
            "INSERT INTO work (verb, targets, print, key, changed) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET print = excluded.print, key = excluded.key, files = NULL,"
            " job = NULL, done = 0, changed = excluded.changed"
            " WHERE print != excluded.print OR (done = 1 AND ?)",
            (name.verb, name.targets, print_, uuid.uuid4().hex, time.time(), anew),
        )
        return self._still(name)

    def uploaded(self, name: Name, key: str, files: tuple[str, ...]) -> Note:
        """Notes its uploads, unless another run did so first; what stands then."""
        self._set("files", orjson.dumps(files).decode(), name, key)
        return self._still(name)

    def handed_in(self, name: Name, key: str, job: str) -> None:
        """Notes its job."""
        self._set("job", job, name, key)

    def finished(self, name: Name, key: str) -> None:
        """Notes that its results are written."""
        self._rows.execute(
            "UPDATE work SET done = 1, changed = ? WHERE verb = ? AND targets = ? AND key = ?",
            (time.time(), name.verb, name.targets, key),
        )

    def forget(self, name: Name, key: str) -> None:
        """The next run begins it anew."""
        self._rows.execute(
            "DELETE FROM work WHERE verb = ? AND targets = ? AND key = ?",
            (name.verb, name.targets, key),
        )

    def wrote(self, verb: str, path: Path, print_: str, shape: str, job: str) -> None:
        """Notes of which inputs and options a file was made, and from which job's result."""
        self._rows.execute(
            "INSERT OR REPLACE INTO made VALUES (?, ?, ?, ?, ?, ?)",
            (verb, str(path.absolute()), print_, shape, job, time.time()),
        )

    def made(self, verb: str, path: Path) -> str | None:
        """Of which inputs and options the verb made a file; None where it is not known."""
        row = self._rows.execute(
            "SELECT print FROM made WHERE verb = ? AND path = ?", (verb, str(path.absolute()))
        ).fetchone()
        return None if row is None else str(row[0])

    def job_of(self, verb: str, print_: str, shapes: tuple[str, ...]) -> str | None:
        """The last job whose result, in one of these shapes, files of that print were made from."""
        marks = ", ".join("?" * len(shapes))
        row = self._rows.execute(
            "SELECT job FROM made WHERE verb = ? AND print = ?"  # noqa: S608 - question marks
            f" AND shape IN ({marks}) ORDER BY changed DESC",
            (verb, print_, *shapes),
        ).fetchone()
        return None if row is None else str(row[0])

    def _set(self, column: str, value: str, name: Name, key: str) -> None:
        self._rows.execute(
            f"UPDATE work SET {column} = ?, changed = ?"  # noqa: S608 - a word of ours
            f" WHERE verb = ? AND targets = ? AND key = ? AND {column} IS NULL",
            (value, time.time(), name.verb, name.targets, key),
        )

    def _still(self, name: Name) -> Note:
        note = self.get(name)
        if note is None:
            raise ConfigError(f"another run took the notes of {name.targets} away: run it again")
        return note


@contextmanager
def opened(folder: Path) -> Iterator[Notes]:
    """The notes of a data directory. ConfigError where they cannot be kept there."""
    path = folder / "bulk.sqlite"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.closing(
            sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        ) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            for statement in (_TABLE, _MADE, _BY_PRINT):
                connection.execute(statement)
            old = (time.time() - KEPT_S,)
            connection.execute("DELETE FROM work WHERE changed < ?", old)
            connection.execute("DELETE FROM made WHERE changed < ?", old)
            path.chmod(0o600)
            yield Notes(connection)
    except (OSError, sqlite3.Error) as exc:
        raise ConfigError(
            f"{path}: what is handed in cannot be noted there ({exc}):"
            " choose another folder with HEADRACE_DATA_DIR"
        ) from exc
