"""The books: what was used day by day, today's money, and how deployments answer.

`finishing.lua` writes them with the job's end (usage.lua has the layout); here they are read.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from redis.asyncio import Redis

from shared.core.books import Counts, Row
from shared.core.pace import Pace
from shared.store.connect import store_errors

FRESH_S: Final = 2.0
MOST_DAYS: Final = 92
DAY_MS: Final = 86_400_000
PACE_VALUES: Final = 13


class Usage:
    """The books of one store. All methods raise StoreError where the store does not answer."""

    def __init__(self, client: Redis, prefix: str = "{hr}:") -> None:
        self._client = client
        self._prefix = prefix
        self._paces: Mapping[str, Pace] = {}
        self._fresh_until = 0.0

    async def today(self) -> int:
        """The day it is by the store's clock: days since 1970, UTC."""
        with store_errors("today"):
            seconds, _ = await self._client.time()
        return int(seconds) * 1_000 // DAY_MS

    async def rows(self, first: int, last: int) -> Sequence[Row]:
        """Every row of these days, at most 92 of them, oldest first."""
        days = range(max(first, last - MOST_DAYS + 1), last + 1)
        pipe = self._client.pipeline(transaction=False)
        for day in days:
            pipe.hgetall(f"{self._prefix}usage:{day}")
        with store_errors("usage"):
            found = await pipe.execute()
        return tuple(
            _row(day, name, text)
            for day, rows in zip(days, found, strict=True)
            for name, text in sorted(rows.items())
        )

    async def spent_microusd(self, day: int) -> int:
        """What was paid that day, over all tenants."""
        with store_errors("spent"):
            return int(await self._client.get(f"{self._prefix}spent:{day}") or 0)

    async def paces(self) -> Mapping[str, Pace]:
        """How each deployment answers; at most 2 s old."""
        if time.monotonic() >= self._fresh_until:
            self._fresh_until = time.monotonic() + FRESH_S
            with store_errors("paces"):
                rows: dict[Any, Any] = await self._client.hgetall(f"{self._prefix}pace")
            self._paces = {name.decode(): _pace(text) for name, text in rows.items()}
        return self._paces


def _row(day: int, name: bytes, text: bytes) -> Row:
    tenant, _, deployment = name.decode().partition("|")
    return Row(day, tenant, deployment, Counts(*(int(n) for n in text.split(b","))))


def _pace(text: bytes) -> Pace:
    values = [float(n) for n in text.split(b",")]
    known = [None if value < 0 else value for value in values]
    known += [None] * (PACE_VALUES - len(known))  # it was kept before there were so many
    n, first, each, total, share, share_dev, out, out_dev, cost, into, audio, held, inputs = known
    return Pace(
        calls=int(n or 0),
        first_ms=first,
        each_us=each,
        total_ms=total,
        share=None if share is None else share / 1_000,
        share_dev=(share_dev or 0.0) / 1_000,
        output_tokens=out,
        output_dev=out_dev or 0.0,
        cost_microusd=cost,
        input_tokens=into,
        audio_seconds=audio,
        held_ms=held,
        inputs=inputs,
    )
