"""The store's Lua scripts by name: functions of one library, built once and not at every call.

Where a store has no functions (before Redis 7, or not allowed to us) each is evaluated by digest,
with the libraries its `-- uses:` line names in front: the same texts, at some 0.1 ms more a call.
"""

import hashlib
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, NoScriptError, ResponseError

LUA = Path(__file__).parent / "lua"
LIBRARIES = (
    "prelude", "lanes", "quota", "accepting", "hooks", "claiming", "usage", "sharing", "finishing",
)  # fmt: skip
COMMANDS = ("fcall", "evalsha", "eval")  # what runs them, as `INFO commandstats` counts
_KEPT = 4  # libraries of other versions that may serve at the same time
_FAULTS = ("user_script", "user_function")  # as Redis and Valkey name a script that raised


def _text(name: str) -> str:
    return (LUA / f"{name}.lua").read_text()


@cache
def source(name: str) -> str:
    """A script by itself: the libraries it uses, in order, then its own text."""
    body = _text(name)
    uses = body.partition("\n")[0].removeprefix("-- uses:").split()
    return "\n".join([*map(_text, uses), "begin(KEYS, ARGV)", body])


@cache
def digest(name: str) -> str:
    """What Redis calls the script."""
    return hashlib.sha1(source(name).encode(), usedforsecurity=False).hexdigest()


@cache
def library() -> tuple[str, str]:
    """Its name, which changes with its text, and its text: a function `<name>_<script>` each."""
    names = sorted(path.stem for path in LUA.glob("*.lua") if path.stem not in LIBRARIES)
    version = hashlib.sha1(usedforsecurity=False)
    for name in (*LIBRARIES, *names):
        version.update(_text(name).encode())
    called = f"hr_{version.hexdigest()[:12]}"
    parts = [f"#!lua name={called}", *map(_text, LIBRARIES)]
    for name in names:
        head = f"redis.register_function('{called}_{name}', function(keys, args)"
        parts += [head, "begin(keys, args)", _text(name), "end)"]
    return called, "\n".join(parts)


def is_fault(error: BaseException) -> bool:
    """Whether a script of ours raised, rather than the store refusing to run it."""
    return isinstance(error, ResponseError) and any(fault in str(error) for fault in _FAULTS)


class Scripts:
    """Calls scripts under one key prefix. `prefix` carries the hash tag: `{hr}:`."""

    def __init__(self, client: "Redis", prefix: str) -> None:
        self.client = client
        self.prefix = prefix
        self._run: Callable[..., Awaitable[Any]] = client.execute_command
        self._functions = True

    async def __call__(self, name: str, header: dict[str, Any], *args: bytes | str) -> Any:
        """Runs `name` with `header` as JSON; None values are left out (Lua's nil).

        Raises redis' own errors; a lost reply says nothing of what happened.
        """
        argv = (
            self.prefix,
            orjson.dumps({k: v for k, v in header.items() if v is not None}),
            *args,
        )
        if self._functions:
            try:
                return await self._call(name, argv)
            except ResponseError as error:
                if not _without_functions(error):
                    raise
                self._functions = False
        try:
            return await self._run("EVALSHA", digest(name), 1, *argv)
        except NoScriptError:
            return await self._run("EVAL", source(name), 1, *argv)

    async def _call(self, name: str, argv: tuple[bytes | str, ...]) -> Any:
        called, text = library()
        try:
            return await self._run("FCALL", f"{called}_{name}", 1, *argv)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
        await self._run("FUNCTION", "LOAD", "REPLACE", text)
        await self._forget_old(called)
        return await self._run("FCALL", f"{called}_{name}", 1, *argv)

    async def _forget_old(self, called: str) -> None:
        """A store that outlives many versions does not keep them all."""
        found = await self._run("FUNCTION", "LIST", "LIBRARYNAME", "hr_*")
        others = [one for row in found for one in _library_names(row) if one != called]
        for old in others[_KEPT:]:
            await self._run("FUNCTION", "DELETE", old)


def _library_names(row: Any) -> list[str]:
    """The name in one answer of FUNCTION LIST: a map, or its pairs in a flat list."""
    pairs = row if isinstance(row, dict) else dict(zip(row[::2], row[1::2], strict=False))
    return [value.decode() for key, value in pairs.items() if key == b"library_name"]


def _without_functions(error: ResponseError) -> bool:
    return isinstance(error, NoPermissionError) or "unknown command" in str(error).lower()
