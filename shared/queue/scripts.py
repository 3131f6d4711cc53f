"""Lua scripts by name: composed from their libraries, called by digest, loaded when missing."""

import hashlib
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

LUA = Path(__file__).parent / "lua"


@cache
def source(name: str) -> str:
    """The text of a script: the libraries its `-- uses:` line names, in order, then itself."""
    body = (LUA / f"{name}.lua").read_text()
    uses = body.partition("\n")[0].removeprefix("-- uses:").split()
    return "\n".join([*((LUA / f"{used}.lua").read_text() for used in uses), body])


@cache
def digest(name: str) -> str:
    """What Redis calls the script."""
    return hashlib.sha1(source(name).encode(), usedforsecurity=False).hexdigest()


class Scripts:
    """Calls scripts under one key prefix. `prefix` carries the hash tag: `{hr}:`."""

    def __init__(self, client: "Redis", prefix: str) -> None:
        self.client = client
        self.prefix = prefix

    async def __call__(self, name: str, header: dict[str, Any], *args: bytes | str) -> Any:
        """Runs `name` with `header` as JSON; None values are left out (Lua's nil).

        Raises redis' own errors; a lost reply says nothing of what happened.
        """
        argv = (
            self.prefix,
            orjson.dumps({k: v for k, v in header.items() if v is not None}),
            *args,
        )
        run: Callable[..., Awaitable[Any]] = self.client.execute_command
        try:
            return await run("EVALSHA", digest(name), 1, *argv)
        except NoScriptError:
            return await run("EVAL", source(name), 1, *argv)
