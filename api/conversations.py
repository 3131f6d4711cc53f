"""Which lane a conversation went to last, so that its next turn finds the provider's prompt cache.

Kept in this process, not in the store: what is lost with it, or not known to another API process,
is a discount, never an answer, and a store would cost every request a round trip. Bounded in number
and age: providers' caches live for minutes.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

MOST: Final = 20_000
KEEP_S: Final = 1_800.0


class Conversations:
    """The lanes of the conversations seen last, the longest unseen forgotten first."""

    def __init__(
        self,
        most: int = MOST,
        keep_s: float = KEEP_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._keep_s = keep_s
        self._clock = clock
        self._seen: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def lane(self, key: bytes) -> str | None:
        """Where it was; None where that is not known, or long ago."""
        found = self._seen.get(key)
        if found is None or self._clock() - found[1] > self._keep_s:
            return None
        return found[0]

    def keep(self, key: bytes, lane: str) -> None:
        """It is there now."""
        self._seen[key] = (lane, self._clock())
        self._seen.move_to_end(key)
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)


def digest(tenant: str, model: str, conversation: str) -> bytes:
    """The name of a tenant's conversation with a model; tenants never share one."""
    text = f"{tenant}\n{model}\n{conversation}"
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
