"""Ending tasks for certain.

One `cancel()` may be lost: redis-py writes through `asyncio.wait_for`, and that of Python 3.11
swallows a cancellation that arrives together with its result. So it is repeated until heard.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_S = 0.5


async def end(tasks: Iterable[asyncio.Task[Any]], *, again_s: float = AGAIN_S) -> None:
    """Cancels the tasks, every `again_s` anew, until all have ended. What they raise is dropped."""
    every = tuple(tasks)
    pending = {task for task in every if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=again_s)
    for task in every:
        if not task.cancelled():
            task.exception()  # looked at, so that nobody reports it as forgotten
