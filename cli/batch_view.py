"""What is seen of a batch: how far it is, who answers it, what it waits for; then how it went."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cli import show
from cli.telling import Standing, Teller

SHOWN_ERRORS: Final = 10
SHOWN_PLACES: Final = 3


@dataclass(frozen=True, slots=True)
class Places:
    """Where the results go, and the note while there are none."""

    output: Path
    errors: Path
    note: Path

    @property
    def there(self) -> tuple[Path, ...]:
        """Which of the results there are."""
        return tuple(path for path in (self.output, self.errors) if path.exists())


def describe(found: dict[str, Any], lanes: Sequence[dict[str, Any]]) -> str:
    """A batch on its way in one line: `lanes` are those of `/v1/queues`."""
    counts = found["request_counts"]
    words = [found["status"]]
    if counts["failed"]:
        words.append(f"{counts['failed']} failed")
    if tokens := (found.get("usage") or {}).get("total_tokens"):
        words.append(f"{tokens:,} tokens")
    by = (found.get("headrace") or {}).get("answered_by") or {}
    most = sorted(by, key=lambda name: -by[name])
    if most:
        words.append("on " + ", ".join(f"{name} ({by[name]})" for name in most[:SHOWN_PLACES]))
        if len(most) > SHOWN_PLACES:
            words[-1] += f" and {len(most) - SHOWN_PLACES} more"
    if waits := waiting(found, lanes):
        words.append(waits)
    return ", ".join(words)


def waiting(found: dict[str, Any], lanes: Sequence[dict[str, Any]]) -> str | None:
    """What a batch waits for: a lane that rests, or other work before its first line; else None."""
    if found["status"] != "in_progress":
        return None
    return waits_for(lanes) or stands_behind(found, lanes)


def stands_behind(found: dict[str, Any], lanes: Sequence[dict[str, Any]]) -> str | None:
    """How many other jobs wait or run, while none of its lines has an answer; else None."""
    counts = found["request_counts"]
    if counts["completed"] or counts["failed"]:
        return None
    there = sum(int(lane["running"]) + queued(lane) for lane in lanes)
    others = there - int(counts["total"])
    if others <= 0:
        return None
    return f"{others} other jobs are queued or run: those due sooner go first (--window 1h)"


def queued(lane: dict[str, Any]) -> int:
    """How many jobs a lane of `/v1/queues` holds, of all classes."""
    found = lane["queued"]
    return sum(map(int, found.values())) if isinstance(found, dict) else int(found)


def waits_for(lanes: Sequence[dict[str, Any]]) -> str | None:
    """What the first lane to reopen waits for, where every one with work rests; else None."""
    with_work = [lane for lane in lanes if queued(lane)]
    if not with_work or any(lane["running"] or not lane["parked_until"] for lane in with_work):
        return None
    first = min(with_work, key=lambda lane: lane["parked_until"])
    used_up = {w["window"]: None for w in first.get("windows") or () if w["free"] <= 0}
    reason = ": ".join(filter(None, (first["parked_reason"], ", ".join(used_up))))
    until = show.moment(first["parked_until"])
    return f"waits for {first['deployment']} until {until}" + (f" ({reason})" if reason else "")


class View:
    """What a person or a script sees of it."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._out, self._err = show.out(), show.err()
        self._teller = Teller(self._tell, as_json=as_json)
        self._pace: tuple[float, int] | None = None
        self._bar: Progress | None = None
        if self._err.is_terminal:
            self._bar = Progress(
                SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                TimeRemainingColumn(), TextColumn("{task.description}"),
                console=self._err, transient=True,
            )  # fmt: skip

    @contextmanager
    def progress(self) -> Iterator[None]:
        """While it is open, progress is shown."""
        if self._bar is None:
            yield
            return
        with self._bar as bar:
            bar.add_task("validating", total=None)
            yield

    def _tell(self, line: str) -> None:
        self._err.print(line, soft_wrap=True)

    def refresh(self, found: dict[str, Any], lanes: Sequence[dict[str, Any]]) -> None:
        """The batch as it stands, and the queues as they do."""
        counts = found["request_counts"]
        done = counts["completed"] + counts["failed"]
        if self._bar is not None:
            self._bar.update(
                self._bar.task_ids[0],
                total=counts["total"] or None,
                completed=done,
                description=describe(found, lanes),
            )
            return
        left_s = self._left_s(done, counts["total"])
        left = "" if left_s is None else f", about {show.span(left_s)} left"
        state = found["status"]
        waits = waiting(found, lanes)
        by = (found.get("headrace") or {}).get("answered_by") or {}
        facts = {"batch": found["id"], "counts": counts, "answered_by": by, "left_s": left_s}
        words = describe(found, lanes) + left
        self._teller.stands(Standing(done, counts["total"], words, state, waits, facts))

    def _left_s(self, done: int, total: int) -> float | None:
        """At the pace since the first look; None where nothing was done since."""
        now_s = time.monotonic()
        began_s, before = self._pace = self._pace or (now_s, done)
        if done == before or done >= total:
            return None
        return round((now_s - began_s) / (done - before) * (total - done), 1)

    def goes_on(self, found: dict[str, Any]) -> None:
        """An earlier call handed it in."""
        if self._json and self._bar is None:
            self._teller.event("goes_on", batch=found["id"], state=found["status"])
            return
        self._err.print(f"goes on with {found['id']} ({found['status']})")

    def done_before(self, batch_id: str | None, where: Places) -> None:
        """An earlier call wrote its results."""
        if self._json:
            said = {"id": batch_id, "status": "skipped", "files": files(where)}
            self._out.out(orjson.dumps(said).decode())
            return
        told = ", ".join(map(str, where.there))
        self._err.print(f"done: {told}; --force runs it again", soft_wrap=True)
        for path in where.there:
            self._out.out(str(path))

    def connection(self, text: str) -> None:
        """The server does not answer, or does again."""
        if self._json and self._bar is None:
            self._teller.event("connection", text=text)
        else:
            self._tell(text)

    def accepted(self, found: dict[str, Any]) -> None:
        """It was handed in, and nobody waits for it here."""
        self._out.out(orjson.dumps(found).decode() if self._json else found["id"])

    def interrupted(self, *, handed_in: bool) -> None:
        """The batch goes on without us, where there is one."""
        goes_on = "what was handed in goes on: the same command waits for it"
        nothing = "nothing was handed in: the same command begins again"
        self._err.print(f"interrupted; {goes_on if handed_in else nothing}", soft_wrap=True)

    def kept(self) -> None:
        """Nobody answers any more, and there is a batch, or what it is made of."""
        told = "what was handed in is kept: the same command goes on with it"
        if self._json and self._bar is None:
            self._teller.event("kept", text=told)
        else:
            self._tell(told)

    def summary(self, found: dict[str, Any], where: Places) -> None:
        """How it went."""
        counts = found["request_counts"]
        if self._json:
            self._out.out(orjson.dumps(found | {"files": files(where)}).decode())
            return
        for error in ((found.get("errors") or {}).get("data") or [])[:SHOWN_ERRORS]:
            line = f"line {error['line']}: " if error.get("line") else ""
            self._err.print(f"{line}{error['message']} ({error['code']})", soft_wrap=True)
        self._err.print(
            f"{found['id']} {found['status']}: {counts['completed']} of {counts['total']}"
            f" completed, {counts['failed']} failed"
        )
        for path in where.there:
            self._out.out(str(path))


def files(where: Places) -> dict[str, str | None]:
    """Where the results are, for scripts."""
    named = (("output", where.output), ("errors", where.errors))
    return {name: str(path) if path.exists() else None for name, path in named}
