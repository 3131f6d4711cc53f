"""Runs parsers of strangers' bytes in child processes with bounds: a bomb costs one child.

A child has no environment and so no secrets, and dies with its asker: when the asker is cancelled,
and when this process ends, however it does (Linux).
"""

import asyncio
import contextlib
import math
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from shared.errors import Refused

CHILD: Final = Path(__file__).parent / "sandboxed" / "child.py"
PARSED: Final = 422  # the status of what was understood as a request and cannot be worked on
MIB: Final = 1024 * 1024
WAIT_FACTOR: Final = 6  # wall time to CPU time: a busy machine is no fault of a file's
_READ_BYTES: Final = 256 * 1024
_FAULTS: Final = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE})


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one call may use. `seconds` is CPU time; wall time is bounded at six times that.

    `most_bytes` bounds the answer, and each file that is written.
    """

    most_bytes: int = 64 * MIB
    seconds: float = 60.0
    memory_bytes: int = 1024 * MIB


class Sandbox:
    """At most `at_once` children at a time; whoever asks beyond that waits. For one event loop."""

    def __init__(self, at_once: int = 2, package: str = "workers.sandboxed") -> None:
        self._room = asyncio.Semaphore(at_once)
        self._package = package

    async def run(
        self,
        entry: str,
        request: Mapping[str, Any],
        *,
        files: Mapping[str, bytes | Path],
        out: Path | None = None,
        bounds: Bounds = Bounds(),
    ) -> dict[str, Any]:
        """What the parser `entry` (`module:function` in our package of parsers) returns.

        `files` are named bytes, or files where they are. What the parser writes goes to the folder
        `out`, which is the caller's; without one it is dropped. Raises Refused with the parser's
        own words, or saying which bound it came to.
        """
        async with self._room, temporary_folder() as folder:
            given = await asyncio.to_thread(_laid_out, folder, files)
            call = {
                "entry": f"{self._package}.{entry}",
                "request": dict(request),
                "files": given,
                "out": str(out or folder),
                "path": [each for each in sys.path if each],
                "parent": os.getpid(),
                "limits": {
                    "cpu_s": math.ceil(bounds.seconds),
                    "memory_bytes": bounds.memory_bytes,
                    "file_bytes": bounds.most_bytes,
                },
            }
            told, status = await _child(orjson.dumps(call), folder, bounds)
        return _result(told, status, bounds)


async def _child(call: bytes, folder: Path, bounds: Bounds) -> tuple[bytes | None, int]:
    """What one child said and how it ended; None where it said more than it may."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-I", "-S", str(CHILD)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=folder,
        env={"LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "2", "TMPDIR": str(folder)},
    )
    assert process.stdin is not None  # noqa: S101 - asked for above
    assert process.stdout is not None  # noqa: S101
    try:
        async with asyncio.timeout(bounds.seconds * WAIT_FACTOR):
            with contextlib.suppress(ConnectionError):  # it ended already: its status tells
                process.stdin.write(call)
                await process.stdin.drain()
            process.stdin.close()
            told = await _read(process.stdout, bounds.most_bytes)
            if told is not None:
                await process.wait()
            return told, process.returncode or 0
    except TimeoutError:
        raise _over("time", f"{bounds.seconds:g} s of CPU time") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())


async def _read(stream: asyncio.StreamReader, most: int) -> bytes | None:
    parts, size = [], 0
    while part := await stream.read(_READ_BYTES):
        size += len(part)
        if size > most:
            return None
        parts.append(part)
    return b"".join(parts)


def _result(told: bytes | None, status: int, bounds: Bounds) -> dict[str, Any]:
    """What a child's answer and end mean. Refused: it has no result."""
    if told is None:
        raise _over("output", f"{bounds.most_bytes} bytes")
    if status < 0:
        raise _killed(signal.Signals(-status), bounds)
    try:
        answer: Any = orjson.loads(told)
    except orjson.JSONDecodeError:
        answer = {"crashed": f"the parser ended with status {status}"}
    match answer:
        case {"result": dict(result)}:
            return result
        case {"refused": dict(why)}:
            raise Refused(why["message"], status=PARSED, param=why["param"], code=why["code"])
        case {"output": True}:
            raise _over("output", f"{bounds.most_bytes} bytes")
        case {"memory": True}:
            raise _over("memory", f"{bounds.memory_bytes // MIB} MiB")
        case _:
            raise _refused(f"it cannot be read: {answer.get('crashed', 'no reason')}", "unreadable")


def _killed(by: signal.Signals, bounds: Bounds) -> Refused:
    if by is signal.SIGXCPU:
        return _over("time", f"{bounds.seconds:g} s of CPU time")
    if by is signal.SIGXFSZ:
        return _over("output", f"{bounds.most_bytes} bytes")
    if by in _FAULTS:
        return _refused(f"it crashed the parser ({by.name}): it is damaged", "parser_crashed")
    memory = f"{bounds.memory_bytes // MIB} MiB"
    return _refused(
        f"it crashed the parser ({by.name}): it is damaged, or needs more memory than the {memory}"
        " that a parser may use",
        "parser_crashed",
    )


def _over(what: str, most: str) -> Refused:
    return _refused(f"it needs more {what} than the {most} that a parser may use", f"{what}_bound")


def _refused(message: str, code: str) -> Refused:
    return Refused(message, status=PARSED, code=code)


@contextlib.asynccontextmanager
async def temporary_folder() -> AsyncIterator[Path]:
    """A new folder, which goes with all that is in it, however it is left."""
    folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="headrace-"))
    try:
        yield folder
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))


def _laid_out(folder: Path, files: Mapping[str, bytes | Path]) -> dict[str, str]:
    """The paths of `files`; bytes are written to the folder, under numbers."""
    paths = {}
    for number, (name, what) in enumerate(files.items()):
        path = what if isinstance(what, Path) else folder / f"file-{number}"
        if isinstance(what, bytes):
            path.write_bytes(what)
        paths[name] = str(path.absolute())
    return paths
