"""The recording of a transcription, wherever it is, as parts in the object store."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

from shared.core.audio_work import Piece, Stage, Work
from shared.core.cutting import Span
from shared.errors import Refused
from shared.objects import NoSuchObject, Objects
from shared.store.files import File, Files, object_name
from workers.fetching import Fetcher
from workers.sandbox import MIB, Bounds, Sandbox, temporary_folder
from workers.sandboxed.watchdog import TOO_LONG

PARSER: Final = "audio:cut"
STATUS: Final = 422
OVERLAP_MS: Final = 2_000
VOICES_OVERLAP_MS: Final = 30_000  # in which speakers are known again; a quarter of a part at most
VOICES_BYTES: Final = 128 * MIB  # an hour that cannot be compressed
LOOK_AFTER_MS: Final = 600_000  # the scheduler removes what a job left behind when it has ended
AT_ONCE: Final = 2  # recordings that a process cuts
FETCHES: Final = 16  # recordings that come from an address, or have come and wait to be cut
FETCHES_OF_ONE: Final = 4  # of these, of one tenant: addresses may be slow
CPU_S: Final = 90  # and a second for so many of sound, of both passes: see `sandboxed/sound.py`
HEARD_PER_CPU_S: Final = 20
PURPOSE: Final = "transcription"
PIECE_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Bounded:
    """What a recording may be: `longest_ms` in all."""

    longest_ms: int

    def bounds(self, *, voices: bool) -> Bounds:
        """What cutting one up may use: its time grows with its length."""
        seconds = CPU_S + self.longest_ms / 1000 / HEARD_PER_CPU_S
        return Bounds(most_bytes=VOICES_BYTES if voices else 64 * MIB, seconds=seconds)


class Recordings:
    """Reads recordings and keeps their parts. Its methods raise StoreError."""

    def __init__(
        self, files: Files, objects: Objects, fetcher: Fetcher, sandbox: Sandbox, longest_s: float
    ) -> None:
        self._files = files
        self._objects = objects
        self._fetcher = fetcher
        self._sandbox = sandbox
        self._bounded = Bounded(round(longest_s * 1000))
        self._room = asyncio.Semaphore(AT_ONCE)
        self._fetches = asyncio.Semaphore(FETCHES)
        self._shares = WeakValueDictionary[str, asyncio.Semaphore]()

    async def cut_up(
        self,
        request: Mapping[str, Any],
        tenant: str,
        job: str,
        mark: str,
        *,
        most_ms: int,
        tell: Callable[[str], Awaitable[None]],
        voices: bool = False,
    ) -> Work:
        """The recording of a request, its parts kept, none of them longer than `most_ms`.

        Refused: it cannot be had, or heard. `mark` is in the names of the parts, so that no other
        step's are overwritten; `tell` hears what is being done. `voices`: parts share so much that
        those who speak in one are known in the next.
        """
        async with (
            temporary_folder() as folder,
            self._ready(request, tenant, folder, tell) as called,
        ):
            await tell("cutting")
            parts = folder / "parts"
            parts.mkdir()
            wanted = {
                "most_ms": most_ms,
                "overlap_ms": min(VOICES_OVERLAP_MS, most_ms // 4) if voices else OVERLAP_MS,
                "always": voices,
                "longest_ms": self._bounded.longest_ms,
            }
            try:
                found = await self._sandbox.run(
                    PARSER,
                    wanted,
                    files={"audio": folder / "recording"},
                    out=parts,
                    bounds=self._bounded.bounds(voices=voices),
                )
            except Refused as refused:
                if refused.code == "time_bound":  # whoever ended it, this is why
                    refused = Refused(TOO_LONG, code=refused.code)
                raise named(called, refused) from None
            return await self._kept(found, parts, job, mark)

    async def there(self, name: str) -> bool:
        """Whether a part is still kept."""
        try:
            async for _ in self._objects.get(name, 0, 1):
                pass
        except NoSuchObject:
            return False
        return True

    async def drop(self, work: Work) -> None:
        """Removes the parts: nothing is left to be heard."""
        for piece in work.pieces:
            if piece.name is not None:
                await self._objects.delete(piece.name)
                await self._files.forget(_file(piece.name, "", "", 0, 0))

    @asynccontextmanager
    async def _ready(
        self,
        request: Mapping[str, Any],
        tenant: str,
        folder: Path,
        tell: Callable[[str], Awaitable[None]],
    ) -> AsyncIterator[str]:
        """What the recording is called; it is in the folder, and there is room to cut it.

        Who waits for an address takes no room of those that can be cut.
        """
        path = folder / "recording"
        if request.get("url") is None:
            async with self._room:
                await tell("reading")
                yield await self._read(request, tenant, path)
            return
        share = self._shares.get(tenant) or asyncio.Semaphore(FETCHES_OF_ONE)
        self._shares[tenant] = share  # kept by those who use it
        async with share, self._fetches:
            await tell("reading")
            called = await self._read(request, tenant, path)
            await self._room.acquire()
        try:
            yield called
        finally:
            self._room.release()

    async def _read(self, request: Mapping[str, Any], tenant: str, path: Path) -> str:
        """Writes the recording to a file, and returns what it is called."""
        if (url := request.get("url")) is not None:
            try:
                return (await self._fetcher.fetch(url, path)).name or "the address"
            except Refused as refused:
                raise named("url", refused, "url") from None
        called, name = str(request.get("filename") or "file"), request.get("object")
        if name is None:
            file = await self._files.get(request["file_id"], tenant)
            if file is None:  # or another tenant's: the same for both
                raise Refused(
                    f"file_id: No such File object: {request['file_id'][:64]}",
                    status=404,
                    param="file_id",
                    code="file_not_found",
                )
            called, name = file.filename, object_name(file.id)
        try:
            with path.open("wb") as out:
                async for part in self._objects.get(name):
                    await asyncio.to_thread(out.write, part)
        except NoSuchObject as gone:
            raise _gone() from gone
        return called

    async def _kept(self, found: Mapping[str, Any], parts: Path, job: str, mark: str) -> Work:
        pieces = []
        for number, one in enumerate(found["parts"]):
            span = Span(one["start_ms"], one["end_ms"], one["from_ms"], one["to_ms"])
            if one["file"] is None:
                pieces.append(Piece(span, Stage.SILENT))
                continue
            file_id = f"part-{job}-{mark}-{number}"
            await self._files.put(
                _file(object_name(file_id), one["file"], job, one["bytes"],
                      await self._files.now_ms())
            )  # fmt: skip
            name = object_name(file_id)
            await self._objects.put(name, _pieces(parts / one["file"]))
            pieces.append(
                Piece(span, Stage.TO_DO, name=name, size=one["bytes"], digest=one["digest"])
            )
        return Work(found["duration_ms"], found["digest"], tuple(pieces))


def named(called: str, refused: Refused, param: str = "file") -> Refused:
    """What is wrong with a recording, with what it is called."""
    message = f"{called[:200]}: {refused.message}"
    return Refused(message, status=STATUS, param=param, code=refused.code)


def _gone() -> Refused:
    return Refused("the file is no longer there", status=STATUS, param="file_id", code="no_file")


def _file(name: str, filename: str, job: str, size: int, now_ms: int) -> File:
    """A part, known to the store so that it is removed however its job ends."""
    return File(
        id=name.removeprefix(object_name("")),
        tenant="",
        purpose=PURPOSE,
        filename=filename,
        size=size,
        created_ms=now_ms,
        expires_ms=now_ms + LOOK_AFTER_MS,
        job=job,
    )


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece
