"""A document of a summary as text, wherever it is: in the request, in a file, at an address."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from shared.errors import Refused
from shared.kept import Kept
from shared.objects import NoSuchObject, Objects
from shared.store.files import Files, object_name
from workers.fetching import Fetcher
from workers.sandbox import MIB, Bounds, Sandbox, temporary_folder
from workers.sandboxed.kinds import HEAD_BYTES, may_be_text

BOUNDS: Final = Bounds(most_bytes=64 * MIB, seconds=60, memory_bytes=1024 * MIB)
TEXT_BOUNDS: Final = replace(BOUNDS, seconds=25)  # no page needs more that means well
PARSER: Final = "documents:read"
STATUS: Final = 422


@dataclass(frozen=True, slots=True)
class Read:
    """What a document holds. `title` is its own, or what its place is called."""

    text: str
    type: str
    title: str | None = None
    pages: int | None = None
    warning: str | None = None


class Reader:
    """Reads documents. What is no text in the request goes through the sandbox."""

    def __init__(
        self,
        files: Files,
        objects: Objects,
        kept: Kept,
        fetcher: Fetcher,
        sandbox: Sandbox,
        most_bytes: int,
    ) -> None:
        self._files = files
        self._objects = objects
        self._kept = kept
        self._fetcher = fetcher
        self._sandbox = sandbox
        self._most_bytes = most_bytes

    async def read(
        self, document: Mapping[str, Any], tenant: str, kept: tuple[str, str] | None
    ) -> Read:
        """The text of a document as the request names it; `kept` is where its long text is.

        Refused: it cannot be had, or is nothing we read. StoreError.
        """
        if kept is not None:
            try:
                return _written((await self._kept.get(*kept)).decode())
            except NoSuchObject as gone:
                message = "its text is not kept any more"
                raise Refused(message, status=STATUS, code="no_file") from gone
        if "text" in document:
            return _written(document["text"])
        async with temporary_folder() as folder:
            path = folder / "document"
            if "file_id" in document:
                return await self._file(document["file_id"], tenant, path)
            return await self._page(document["url"], path)

    async def called(self, document: Mapping[str, Any], tenant: str) -> str | None:
        """What the place of a document is called, where the document itself could not say."""
        if "file_id" in document:
            file = await self._files.get(document["file_id"], tenant)
            return str(document["file_id"]) if file is None else file.filename
        return document.get("url")

    async def _file(self, file_id: str, tenant: str, path: Path) -> Read:
        file = await self._files.get(file_id, tenant)
        if file is None:
            raise Refused(f"there is no file {file_id} any more", status=STATUS, code="no_file")
        if file.size > self._most_bytes:
            raise Refused(
                f"the file has {file.size} bytes; {self._most_bytes} are read of one document",
                status=STATUS,
                code="too_large",
            )
        try:
            with path.open("wb") as out:
                async for part in self._objects.get(object_name(file_id)):
                    await asyncio.to_thread(out.write, part)
        except NoSuchObject as gone:
            message = f"there is no file {file_id} any more"
            raise Refused(message, status=STATUS, code="no_file") from gone
        return await self._parsed(path, {"name": file.filename}, file.filename)

    async def _page(self, url: str, path: Path) -> Read:
        found = await self._fetcher.fetch(url, path)
        told = {"name": found.name, "content_type": found.content_type, "charset": found.charset}
        return await self._parsed(path, told, url)

    async def _parsed(self, path: Path, told: Mapping[str, Any], called: str) -> Read:
        bounds = TEXT_BOUNDS if await asyncio.to_thread(_may_be_text, path) else BOUNDS
        found = await self._sandbox.run(PARSER, told, files={"document": path}, bounds=bounds)
        title = found["title"] or called[:300]
        return Read(found["text"], found["type"], title, found["pages"], found["warning"])


def _written(text: str) -> Read:
    """What came in the request itself. Refused: there is nothing to be seen in it."""
    if not any(char.isprintable() and not char.isspace() for char in text):
        raise Refused("it holds no text", status=STATUS, code="no_text")
    return Read(text, "text")


def _may_be_text(path: Path) -> bool:
    with path.open("rb") as file:
        return may_be_text(file.read(HEAD_BYTES))
