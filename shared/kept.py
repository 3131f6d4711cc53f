"""What a job of several steps keeps between them: texts too large for the store, as objects.

Each is known as a file of our own, so that what a job leaves behind, however it ends, is removed
when its time is over (`scheduler/files.py`). No caller's key finds them.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Final, Protocol

from shared.objects import Objects
from shared.queue.tasks import TENANT
from shared.store.files import File, object_name

PURPOSE: Final = "user_data"
KEPT_MS: Final = 30 * 86_400_000  # longer than any job of several steps should take
AFTERWARDS_MS: Final = 3_600_000


class Known(Protocol):
    """What the store knows of files; `shared.store.files.Files` is one."""

    async def now_ms(self) -> int: ...  # noqa: D102 - described by the class
    async def put(self, file: File) -> None: ...  # noqa: D102
    async def postpone(self, file_id: str, until_ms: int) -> None: ...  # noqa: D102


class Kept:
    """The texts of jobs, by job and name. All methods raise StoreError."""

    def __init__(self, files: Known, objects: Objects) -> None:
        self._files = files
        self._objects = objects

    async def put(self, job_id: str, name: str, data: bytes) -> str:
        """Keeps it, in place of what had that name, and returns its file id.

        It is known before it is there: nothing is left that nobody knows.
        """
        now_ms = await self._files.now_ms()
        file = File(
            id=f"{job_id}-{name}",
            tenant=TENANT,
            purpose=PURPOSE,
            filename=name,
            size=len(data),
            created_ms=now_ms,
            expires_ms=now_ms + KEPT_MS,
        )
        await self._files.put(file)
        await self._objects.put(object_name(file.id), _parts(data))
        return file.id

    async def get(self, job_id: str, name: str, start: int = 0, end: int | None = None) -> bytes:
        """Its bytes. NoSuchObject where it is not kept any more."""
        parts = self._objects.get(object_name(f"{job_id}-{name}"), start, end)
        return b"".join([part async for part in parts])

    async def done_with(self, job_id: str, names: Iterable[str]) -> None:
        """These are removed soon: the job needs them no more, once it has ended."""
        until = await self._files.now_ms() + AFTERWARDS_MS
        for name in names:
            await self._files.postpone(f"{job_id}-{name}", until)


async def _parts(data: bytes) -> AsyncIterator[bytes]:
    yield data
