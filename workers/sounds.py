"""Audio on its way to a provider: read from the object store just before it is sent.

All attempts of a process together hold at most so many bytes of it; who would hold more waits until
others are done, which their timeouts bound.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from shared.core.outcome import Failed, FailureKind
from shared.objects import NoSuchObject, Objects
from workers.providers.base import Call, Sound

MOST_BYTES: Final = 100 * 1024 * 1024
"""Of one part, where its deployment tells no limit."""
BYTES_PER_S: Final = 32_000  # of 16 kHz mono, 16 bits, before it is compressed: what parts are
COPIES: Final = 2  # as it was read, and in the request around it
DEFAULT_TYPE: Final = "application/octet-stream"


class Sounds:
    """What is read from one object store, at most `most_bytes` at once."""

    def __init__(self, objects: Objects | None, most_bytes: int) -> None:
        self._objects = objects
        self._most = most_bytes
        self._held = 0
        self._freed: asyncio.Condition | None = None

    @property
    def held_bytes(self) -> int:
        """How much is held now."""
        return self._held

    @asynccontextmanager
    async def fetched(self, call: Call) -> AsyncIterator[Call | Failed]:
        """The call with its audio for the length of the block, or why there is none to send.

        StoreError where the object store does not answer.
        """
        request = call.request
        most = call.deployment.audio.max_bytes or MOST_BYTES
        seconds = request.get("seconds")
        told = math.ceil(seconds * BYTES_PER_S) if isinstance(seconds, int | float) else most
        wanted = min(told, most) * COPIES
        await self._take(wanted)
        try:
            yield await self._read(call, request, most)
        finally:
            await self._give(wanted)

    async def _read(self, call: Call, request: Mapping[str, Any], most: int) -> Call | Failed:
        name = request.get("object")
        if self._objects is None or not isinstance(name, str):
            return _refused("there is no audio to send", "object_missing")
        pieces: list[bytes] = []
        size = 0
        try:
            async for piece in self._objects.get(name):
                pieces.append(piece)
                size += len(piece)
                if size > most:
                    return _too_large(call, most)
        except NoSuchObject:
            return _refused("the audio is no longer there", "object_missing")
        if not size:
            return _refused("the audio is empty", "object_empty")
        sound = Sound(
            data=b"".join(pieces),
            filename=str(request.get("filename") or "audio"),
            content_type=str(request.get("content_type") or DEFAULT_TYPE),
            seconds=float(request.get("seconds") or 0.0),
        )
        return replace(call, sound=sound)

    async def _take(self, wanted: int) -> None:
        if self._freed is None:
            self._freed = asyncio.Condition()
        async with self._freed:
            # one that is larger than all there is goes alone
            await self._freed.wait_for(lambda: not self._held or self._held + wanted <= self._most)
            self._held += wanted

    async def _give(self, wanted: int) -> None:
        self._held -= wanted
        assert self._freed is not None  # noqa: S101 - it was taken
        async with self._freed:
            self._freed.notify_all()


NO_SOUNDS: Final = Sounds(None, 1)
"""Of a process that sends no audio."""


def _refused(message: str, code: str) -> Failed:
    return Failed(FailureKind.INVALID_REQUEST, message, code=code, param="file", sent=False)


def _too_large(call: Call, most: int) -> Failed:
    """More than this deployment takes, or than any: another may take it."""
    message = f"{call.deployment.id} takes at most {most} bytes of audio"
    code = "audio_too_large"
    return Failed(FailureKind.UNSUITED, message, code=code, param="file", sent=False)
