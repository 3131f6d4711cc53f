"""A batch's output: gathered in parts while it runs, put together when it has ended.

A part is an object of its own, written before the store forgets what it holds; a part whose line in
the store was never written is overwritten or left unread, so every line is in the output once.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import structlog

from shared.batch_answers import outcome_line, unrun_line
from shared.batch_endpoints import ENDPOINTS, Endpoint
from shared.batch_lines import LineTooLong, Problem, read, rows
from shared.core.batch import Batch, BatchStatus, Mark, ending, file_id, job_id
from shared.core.model import Usage
from shared.objects import NoSuchObject, Objects
from shared.store.batches import KEPT_MS, LIVE, Batches, Change, Ended
from shared.store.files import MONTH_S, OUTPUT, File, Files, object_name

log = structlog.get_logger(__name__)

PIECE: Final = 50
PART_BYTES: Final = 8 * 1024 * 1024
FILES: Final = (("o", "output"), ("e", "error"))


@dataclass(slots=True)
class Part:
    """Lines on their way into the output: of each file, and what they used."""

    endpoint: Endpoint
    lines: dict[str, list[bytes]] = field(default_factory=lambda: {"o": [], "e": []})
    count: int = 0
    size: int = 0
    used: list[Usage] = field(default_factory=list)

    def add_all(self, ended: Sequence[Ended]) -> None:
        """Adds lines that have ended."""
        for one in ended:
            self.add(one)

    def add(self, ended: Ended) -> None:
        """Adds a line that has ended."""
        good, text = outcome_line(ended, self.endpoint)
        self.lines["o" if good else "e"].append(text)
        self.count += 1
        self.size += len(text)
        if ended.usage is not None:
            self.used.append(ended.usage)

    def incr(self) -> dict[str, int]:
        """What it adds to the batch's figures."""
        return {
            "collected": self.count,
            "u_in": sum(one.input_tokens for one in self.used),
            "u_out": sum(one.output_tokens for one in self.used),
            "u_cached": sum(one.cached_tokens for one in self.used),
            "u_reasoning": sum(one.reasoning_tokens for one in self.used),
        }


class Output:
    """Collects and finishes batches for the leader of one fence."""

    def __init__(self, batches: Batches, files: Files, objects: Objects, fence: int) -> None:
        self._batches = batches
        self._files = files
        self._objects = objects
        self._fence = fence

    async def collect(self, batch: Batch, most: int) -> bool:
        """Moves at most `most` ended lines into a part."""
        part = Part(ENDPOINTS[batch.endpoint])
        docs = part.endpoint.body is not None
        while part.count < most and part.size < PART_BYTES:
            piece = min(PIECE, most - part.count)
            found = await self._batches.ended(batch.id, part.count, piece, docs=docs)
            # subtitles of an hour's talk take their time, and the lease must be renewed meanwhile
            await asyncio.to_thread(part.add_all, found)
            if len(found) < PIECE:
                break
        names = [
            f"{kind} batches/{batch.id}/{batch.collected:08d}-{self._fence}-{kind}"
            for kind, lines in part.lines.items()
            if lines
        ]
        for name in names:
            await self._objects.put(name[2:], _in_parts(part.lines[name[0]]))
        change = Change(
            from_=LIVE,
            expect={"collected": str(batch.collected)},
            incr=part.incr(),
            trim=part.count,
            parts=tuple(names),
        )
        return await self._batches.change(batch.id, change, self._fence)

    async def finish(self, batch: Batch) -> bool:
        """Writes the output and error files; then the batch is final."""
        if batch.status is BatchStatus.IN_PROGRESS:
            change = Change(from_=(BatchStatus.IN_PROGRESS,), status=BatchStatus.FINALIZING)
            return await self._batches.change(batch.id, change, self._fence)
        parts = await self._batches.parts(batch.id)
        end = ending(batch)
        written = {}
        for kind, word in FILES:
            found = await self._write(batch, kind, word, [n for k, n in parts if k == kind])
            if found is not None:
                written[word] = found.id
        change = Change(from_=(batch.status,), status=end, set=written)
        done = await self._batches.change(batch.id, change, self._fence, keep_ms=KEPT_MS)
        log.info("batch_ended", batch=batch.id, status=end.value, lines=batch.total)
        return done

    async def _write(self, batch: Batch, kind: str, word: str, names: Sequence[str]) -> File | None:
        """One of its files; None where it would be empty."""
        unrun = kind == "e" and batch.fed < batch.total
        if not names and not unrun:
            return None
        counted = Counted(self._joined(batch, names, unrun=unrun))
        now_ms = await self._files.now_ms()
        name = file_id(batch.id, word)
        await self._objects.put(object_name(name), counted.parts())
        if not counted.size:
            await self._objects.delete(object_name(name))
            return None
        lives_s = batch.output_expires_s or MONTH_S
        file = File(
            id=name,
            tenant=batch.tenant,
            purpose=OUTPUT,
            filename=f"{batch.id}_{word}.jsonl",
            size=counted.size,
            created_ms=now_ms,
            expires_ms=now_ms + lives_s * 1000,
        )
        await self._files.put(file)
        return file

    async def _joined(
        self, batch: Batch, names: Sequence[str], *, unrun: bool
    ) -> AsyncIterator[bytes]:
        for name in names:
            async for part in self._objects.get(name):
                yield part
        if unrun:
            async for line in self._unrun(batch):
                yield line

    async def _unrun(self, batch: Batch) -> AsyncIterator[bytes]:
        """An error line for each line that was never handed in."""
        cancelled = batch.status is BatchStatus.CANCELLING
        mark = Mark.CANCELLED if cancelled else Mark.EXPIRED
        parts = self._objects.get(object_name(batch.input_file_id), batch.offset)
        try:
            async for row in rows(parts, batch.line, batch.offset):
                line = read(row, batch.endpoint)
                if not isinstance(line, Problem):
                    yield unrun_line(mark, job_id(batch.id, line.number), line.custom_id)
        except (NoSuchObject, LineTooLong) as problem:
            log.warning("batch_input_lost", batch=batch.id, reason=type(problem).__name__)

    async def sweep(self) -> bool:
        """Removes the parts of one batch that has ended; False where there is none."""
        found = await self._batches.to_sweep(1)
        for batch_id in found:
            for _, name in await self._batches.parts(batch_id):
                await self._objects.delete(name)
            await self._batches.swept(batch_id)
        return bool(found)


class Counted:
    """Parts on their way, and how many bytes they came to."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self.size = 0

    async def parts(self) -> AsyncIterator[bytes]:
        """The parts."""
        async for part in self._source:
            self.size += len(part)
            yield part


async def _in_parts(lines: Sequence[bytes]) -> AsyncIterator[bytes]:
    yield b"".join(lines)
