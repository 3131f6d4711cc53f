"""What is too large for the store: files, in a folder or a bucket. The only user of obstore.

Objects are written whole or not at all, and replaced at once: a reader never sees half of one.
obstore is imported for buckets only: its runtime takes 13 MB of every process that has touched one
file with it, and a folder needs none of it.
"""
# ruff: noqa: PLC0415 - for that reason

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

from shared.errors import ConfigError, ObjectStoreError
from shared.settings import Settings

CHUNK_BYTES: Final = 256 * 1024
PART_BYTES: Final = 5 << 20  # the least that S3 takes
PARTS_AT_ONCE: Final = 1  # of one upload in memory


class NoSuchObject(ObjectStoreError):  # noqa: N818 - the word of our vocabulary
    """There is no object of that name."""


class Objects(Protocol):
    """Named bytes. Every method raises ObjectStoreError where they cannot be reached."""

    async def put(self, name: str, parts: AsyncIterator[bytes]) -> None:
        """Writes them under the name; whatever `parts` raises is raised, and nothing is written."""
        ...

    def get(self, name: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, in parts. NoSuchObject."""
        ...

    async def delete(self, name: str) -> None:
        """Removes it, if it is there."""
        ...


class Bucket:
    """Objects in one folder or bucket; `open_store` gives obstore's store, once, at first use."""

    def __init__(self, open_store: Callable[[], Any]) -> None:
        self._open = open_store

    @cached_property
    def _store(self) -> Any:
        return self._open()

    async def put(self, name: str, parts: AsyncIterator[bytes]) -> None:
        """Writes them under the name; whatever `parts` raises is raised, and nothing is written."""
        import obstore

        with object_errors("writing a file"):
            await obstore.put_async(
                self._store,
                name,
                parts,
                use_multipart=True,
                chunk_size=PART_BYTES,
                max_concurrency=PARTS_AT_ONCE,
            )

    async def get(self, name: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, in parts. NoSuchObject."""
        import obstore

        if end is not None and end <= start:
            return
        wanted: Any = {}
        if end is not None:
            wanted = {"range": (start, end)}
        elif start:
            wanted = {"range": {"offset": start}}
        with object_errors("reading a file"):
            found = await obstore.get_async(self._store, name, options=wanted)
            async for part in found.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(part)

    async def delete(self, name: str) -> None:
        """Removes it, if it is there."""
        import obstore

        try:
            with object_errors("removing a file"):
                await obstore.delete_async(self._store, name)
        except NoSuchObject:
            pass


class Folder:
    """Objects as files below a folder; bytes are read and written by threads, 256 KiB at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def put(self, name: str, parts: AsyncIterator[bytes]) -> None:
        """Writes them under the name; whatever `parts` raises is raised, and nothing is written."""
        with file_errors("writing a file"):
            place = self._place(name)
            half = place.with_name(f".{place.name}.{secrets.token_hex(8)}")
            file = _made(half)
            try:
                await _written(file, parts)
                half.replace(place)
            except BaseException:
                file.close()  # it waits for a thread that is still writing
                half.unlink(missing_ok=True)
                raise

    async def get(self, name: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to `end`, in parts. NoSuchObject."""
        if end is not None and end <= start:
            return
        # the file's end waits for a thread that is still reading
        with file_errors("reading a file"), self._place(name).open("rb") as file:
            file.seek(start)
            left = None if end is None else end - start
            while left is None or left > 0:
                most = CHUNK_BYTES if left is None else min(CHUNK_BYTES, left)
                part = await asyncio.to_thread(file.read, most)
                if not part:
                    return
                left = None if left is None else left - len(part)
                yield part

    async def delete(self, name: str) -> None:
        """Removes it, if it is there."""
        with file_errors("removing a file"):
            await asyncio.to_thread(self._place(name).unlink, missing_ok=True)

    def _place(self, name: str) -> Path:
        if not {"", ".", ".."}.isdisjoint(name.split("/")):
            raise ObjectStoreError(f"no object can have the name {name[:100]!r}")
        return self._path / name


def _made(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path.open("xb")


async def _written(file: BinaryIO, parts: AsyncIterator[bytes]) -> None:
    """Writes all parts and closes the file."""
    gathered: list[bytes] = []
    size = 0
    async for part in parts:
        gathered.append(part)
        size += len(part)
        if size >= CHUNK_BYTES:
            await asyncio.to_thread(file.writelines, gathered)
            gathered, size = [], 0
    await asyncio.to_thread(_ended, file, gathered)


def _ended(file: BinaryIO, rest: list[bytes]) -> None:
    with file:
        file.writelines(rest)


def folder(path: Path) -> Folder:
    """Objects in a folder, made where it is not there. ConfigError where it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise ConfigError(f"{path}: files cannot be kept there: {exc}") from exc
    return Folder(path)


def memory() -> Bucket:
    """Objects of this process, for tests."""
    from obstore.store import MemoryStore

    return Bucket(MemoryStore)


def of_settings(settings: Settings, patience: timedelta | None = None) -> Objects:
    """Where files are kept: HEADRACE_OBJECTS_URL, else the data directory's `objects`.

    A bucket that does not answer is asked again within `patience`, of itself for about a minute.
    """
    url = settings.objects_url
    if url is None:
        return folder(settings.data_dir / "objects")
    if url.startswith("file://"):
        return folder(Path(url.removeprefix("file://")))
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    asking: Any = {}
    if patience is not None:
        asking["retry_config"] = {"max_retries": 1, "retry_timeout": patience}
    try:
        store = from_url(url, **asking)
    except (BaseError, ValueError, OSError) as exc:
        raise ConfigError(f"HEADRACE_OBJECTS_URL: {exc}") from exc
    return Bucket(lambda: store)


@contextmanager
def file_errors(doing: str) -> Iterator[None]:
    """Raises ObjectStoreError, naming what was being done, for whatever a file system raises."""
    try:
        yield
    except FileNotFoundError as exc:
        raise NoSuchObject(f"{doing}: there is none of that name") from exc
    except OSError as exc:
        raise ObjectStoreError(f"{doing}: {str(exc)[:300]}") from exc


@contextmanager
def object_errors(doing: str) -> Iterator[None]:
    """The same for whatever obstore raises."""
    from obstore.exceptions import BaseError

    with file_errors(doing):
        try:
            yield
        except FileNotFoundError:
            raise
        except BaseError as exc:
            said = str(exc).partition("\n")[0]  # what follows is how obstore is built
            raise ObjectStoreError(f"{doing}: {said[:300]}") from exc
