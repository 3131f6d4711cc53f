"""A batch's input: checked line by line, then handed in as jobs, a chunk at a time.

A chunk is written down before the first of its lines becomes a job, and its lines' ids are their
numbers: whoever leads next hands the same chunk in again, and no line is lost or becomes two jobs.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
import structlog

from scheduler.batch_lines import INTERNAL, Limits, Look, Maker
from shared import tokens
from shared.batch_answers import refusal
from shared.batch_lines import (
    Line,
    LineTooLong,
    Problem,
    Row,
    rows,
)
from shared.core.batch import Batch, BatchStatus, Chunk, Mark, job_id, mark_of_refusal
from shared.errors import Refused
from shared.objects import NoSuchObject, Objects
from shared.queue.types import Acceptance, NewJob
from shared.store.batches import KEPT_MS, LIVE, Batches, Change
from shared.store.files import object_name
from shared.store.jobs import Jobs
from shared.store.lanes import Lanes
from shared.submission import Routes

log = structlog.get_logger(__name__)

CHUNK_BYTES: Final = 4 * 1024 * 1024
LINES_A_BREATH: Final = 200
PATIENCE_MS: Final = 3_600_000  # for a deployment that is away, before its line fails
MOVED_ON: Final = 500
FULL: Final = Refused("the queue is full", status=503, type_="server_error", code="overloaded")


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look at a whole file found."""

    lines: int
    problems: tuple[Problem, ...]
    model: str | None = None


class Input:
    """Checks and feeds batches for the leader of one fence."""

    def __init__(
        self,
        batches: Batches,
        jobs: Jobs,
        lanes: Lanes,
        objects: Objects,
        router: Callable[[], Routes],
        limits: Limits,
        fence: int,
    ) -> None:
        self._batches = batches
        self._jobs = jobs
        self._lanes = lanes
        self._objects = objects
        self._router = router
        self._limits = limits
        self._fence = fence

    # -- validating

    async def validate(self, batch: Batch) -> bool:
        """Looks at every line; then it is in progress, or failed and says which are wrong."""
        try:
            # what counts tokens is read meanwhile: its first chunk does not wait for it
            checked, _ = await asyncio.gather(self._check(batch), asyncio.to_thread(tokens.load))
        except NoSuchObject:
            message = f"The input file {batch.input_file_id} is not there any more."
            problem = Problem("file_not_found", message, "input_file_id")
            checked = Checked(0, (problem,))
        change = Change(
            from_=(BatchStatus.VALIDATING,),
            status=BatchStatus.IN_PROGRESS,
            set={
                "total": checked.lines,
                "line": 0,
                "offset": 0,
                "collected": 0,
                "model": checked.model or "",
            },
        )
        if not checked.problems:
            return await self._batches.change(batch.id, change, self._fence)
        errors = orjson.dumps([problem.view() for problem in checked.problems]).decode()
        change = Change(
            from_=(BatchStatus.VALIDATING,), status=BatchStatus.FAILED, set={"errors": errors}
        )
        log.info("batch_failed", batch=batch.id, first=checked.problems[0].code)
        return await self._batches.change(batch.id, change, self._fence, keep_ms=KEPT_MS)

    async def _check(self, batch: Batch) -> Checked:
        look = Look(batch, self._router(), await self._lanes.lane_states(), self._limits)
        parts = self._objects.get(object_name(batch.input_file_id))
        try:
            async for row in rows(parts):
                look.at(row)
                if look.enough:
                    break
                if row.number % LINES_A_BREATH == 0:
                    await asyncio.sleep(0)
        except LineTooLong as long:
            look.say(Problem("line_too_long", "This line is too long.", None, long.number))
        if not look.lines and not look.problems:
            look.say(Problem("empty_file", "The input file is empty.", "input_file_id"))
        return Checked(look.lines, tuple(look.problems), look.model)

    # -- feeding

    async def feed(self, batch: Batch, now_ms: int, most: int) -> bool:
        """Hands in the chunk that was begun, or the next, of `most` lines. False: it must wait."""
        chunk = batch.chunk
        if chunk is None:
            chunk = await self._begin(batch, now_ms, most)
            if chunk is None:
                return False
        found = [row async for row in self._read(batch, chunk)]
        over = batch.over(now_ms)
        patient = not over and now_ms <= chunk.since_ms + PATIENCE_MS
        made = await self._made(batch, found, now_ms)
        marks = await self._hand_in(batch, made, over=over, patient=patient)
        if marks is None:
            return False
        failed = sum(mark[0] in (Mark.REFUSED, Mark.FAILED) for mark in marks)
        change = Change(
            from_=LIVE,
            expect={"chunk": _text(chunk)},
            drop=("chunk",),
            incr={"ended": len(marks), "failed": failed} if marks else {},
            push=tuple(marks),
        )
        return await self._batches.change(batch.id, change, self._fence)

    async def _begin(self, batch: Batch, now_ms: int, most: int) -> Chunk | None:
        """Takes the next lines and writes down that they are being handed in."""
        count, end, last = 0, batch.offset, batch.line
        parts = self._objects.get(object_name(batch.input_file_id), batch.offset)
        async for row in rows(parts, batch.line, batch.offset):
            count, end, last = count + 1, row.end, row.number
            if count == most or end - batch.offset >= CHUNK_BYTES:
                break
        chunk = Chunk(batch.offset, end, batch.line, count, now_ms)
        change = Change(
            from_=(BatchStatus.IN_PROGRESS,),
            expect={"offset": str(batch.offset), "chunk": ""},
            set={"chunk": _text(chunk), "offset": end, "line": last},
            incr={"fed": count},
        )
        return chunk if await self._batches.change(batch.id, change, self._fence) else None

    def _read(self, batch: Batch, chunk: Chunk) -> Any:
        parts = self._objects.get(object_name(batch.input_file_id), chunk.start, chunk.end)
        return rows(parts, chunk.line, chunk.start)

    async def _made(
        self, batch: Batch, found: Sequence[Row], now_ms: int
    ) -> "list[tuple[Line, NewJob | Refused]]":
        lanes = await self._lanes.lane_states()
        maker = Maker(batch, self._router(), lanes, self._limits, now_ms)
        # counting tokens takes its time, and the lease must be renewed meanwhile
        return await asyncio.to_thread(maker.all, found)

    async def _hand_in(
        self,
        batch: Batch,
        made: "Sequence[tuple[Line, NewJob | Refused]]",
        *,
        over: bool,
        patient: bool,
    ) -> list[str] | None:
        """The marks of the lines that did not become jobs; None where some have to wait."""
        wanted = [(line, job) for line, job in made if isinstance(job, NewJob)]
        answers = await asyncio.gather(*(self._jobs.accept(job) for _, job in wanted))
        refused = [(line, why) for line, why in made if isinstance(why, Refused)]
        refused += [
            (line, FULL)
            for (line, _), answer in zip(wanted, answers, strict=True)
            if answer.how is Acceptance.FULL
        ]
        there = await self._batches.there([job_id(batch.id, line.number) for line, _ in refused])
        left = [one for one, known in zip(refused, there, strict=True) if not known]
        if patient and any(_passing(why) for _, why in left):
            return None
        cancelling = batch.status is BatchStatus.CANCELLING
        marks = []
        for line, why in left:
            passing = over and _passing(why)
            mark = mark_of_refusal(over=passing, cancelling=cancelling)
            marks.append(refusal(mark, job_id(batch.id, line.number), line.custom_id, why))
        return marks


def _passing(why: Refused) -> bool:
    """Whether what stands against a line may be gone later."""
    return why.status >= MOVED_ON and why.code != INTERNAL


def _text(chunk: Chunk) -> str:
    return orjson.dumps((chunk.start, chunk.end, chunk.line, chunk.count, chunk.since_ms)).decode()
