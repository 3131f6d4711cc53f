"""What the simulator saw, asked of its admin API."""

from dataclasses import dataclass
from typing import Any

import orjson

from bench.client import Client
from simulator import Address


@dataclass(frozen=True, slots=True)
class Seen:
    """One provider's counts; times are epoch seconds."""

    received: int
    admitted: int
    good: int
    limited: int
    running: int
    last_answer_at: float


class Admin:
    """The simulator's admin API."""

    def __init__(self, address: Address) -> None:
        self._client = Client(address.admin_url)

    async def seen(self) -> dict[str, Seen]:
        """The counts of every provider now."""
        state = await self.state()
        return {name: _seen(one) for name, one in state["providers"].items()}

    async def state(self) -> dict[str, Any]:
        """Everything it has counted."""
        found: dict[str, Any] = orjson.loads((await self._client.get("/state")).body)
        return found

    async def count(self, **least: int) -> int:
        """How many ids have at least so many `received`, `admitted`, `answered`."""
        query = "&".join(f"min_{name}={number}" for name, number in least.items())
        answer = await self._client.get(f"/requests?{query}&limit=0")
        return int(orjson.loads(answer.body)["count"])

    async def scale(self, provider: str, factor: float) -> None:
        """Multiplies a provider's limits; its headers go on telling the old ones."""
        wanted = {"provider": provider, "factor": factor, "announced": False}
        await self._client.post("/limits", orjson.dumps(wanted))

    async def fault(self, **fault: Any) -> None:
        """Breaks something."""
        answer = await self._client.post("/faults", orjson.dumps(fault))
        if answer.status != 200:  # noqa: PLR2004 - anything else is our mistake
            raise ValueError(answer.body.decode())

    def close(self) -> None:
        """Closes its connections."""
        self._client.close()


def _seen(one: dict[str, Any]) -> Seen:
    total = one["total"]
    accounts = [account for model in one["models"].values() for account in model.values()]
    return Seen(
        received=total["received"],
        admitted=total["admitted"],
        good=total["answered_200"],
        limited=total["answered_429"],
        running=sum(account["concurrency"]["now"] for account in accounts),
        last_answer_at=max((account["last_answer_at"] for account in accounts), default=0.0),
    )


def sums(seen: dict[str, Seen]) -> tuple[int, int, int]:
    """Received, answered with a 200, answered with a 429: of all providers together."""
    every = seen.values()
    return (
        sum(one.received for one in every),
        sum(one.good for one in every),
        sum(one.limited for one in every),
    )
