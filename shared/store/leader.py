"""Who schedules: one holder at a time, and a number that makes a former holder's acts harmless.

The lease may be lost while its holder believes in it (a pause, a slow network). So each taking
raises the fence, and every script that acts for a leader refuses an older one.
"""

from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from shared.errors import GatewayError
from shared.store.connect import store_errors

DEFAULT_TTL_MS = 4_000
LUA = Path(__file__).parent / "lua"


class StaleFence(GatewayError):  # noqa: N818 - the word of our vocabulary
    """A newer leader has acted: what was asked was refused and changed nothing."""


class Leader:
    """One contender for the lease. `owner` is unique to the process and holds no `|`.

    The keys are `{prefix}leader` (holder) and `{prefix}leader:fence` (newest fence). Every method
    raises StoreError when the store does not answer: the lease must then be thought lost once
    `ttl_ms` have passed since the last success.
    """

    def __init__(
        self, client: Redis, prefix: str, owner: str, *, ttl_ms: int = DEFAULT_TTL_MS
    ) -> None:
        if "|" in owner:
            raise ValueError("owner must not hold '|'")
        self._owner = owner
        self._ttl_ms = ttl_ms
        self._holder_key = f"{prefix}leader"
        self._fence_key = f"{prefix}leader:fence"
        self._acquire: Any = client.register_script((LUA / "leader_acquire.lua").read_text())
        self._renew: Any = client.register_script((LUA / "leader_renew.lua").read_text())

    @property
    def ttl_ms(self) -> int:
        """How long the lease holds without a renewal."""
        return self._ttl_ms

    async def acquire(self) -> tuple[int | None, int]:
        """(fence, 0) where the lease is ours now; else (None, ms until the holder's ends)."""
        keys = [self._holder_key, self._fence_key]
        with store_errors("taking the scheduler's lease"):
            fence, wait_ms = await self._acquire(keys=keys, args=[self._owner, self._ttl_ms])
        return (int(fence) or None, int(wait_ms))

    async def renew(self, fence: int) -> bool:
        """Holds the lease for another `ttl_ms`; False where it is no longer ours."""
        return await self._hold(fence, self._ttl_ms)

    async def release(self, fence: int) -> None:
        """Gives the lease up, if it is still ours."""
        await self._hold(fence, 0)

    async def _hold(self, fence: int, ttl_ms: int) -> bool:
        with store_errors("renewing the scheduler's lease"):
            args = [f"{self._owner}|{fence}", ttl_ms]
            return bool(await self._renew(keys=[self._holder_key], args=args))
