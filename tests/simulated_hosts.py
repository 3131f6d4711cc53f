"""One simulator that plays every provider, for the official SDKs to be pointed at."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2

from simulator import Address, load_config, running

NAMES = ("openai", "groq", "gemini", "cohere", "mistral", "anthropic", "openrouter")
CHAT, TINY, SMALL = "sim-small", "sim-tiny", "sim-short"
"""A model without limits, one with two requests a minute, one with a context of 50 tokens."""


@dataclass(frozen=True, slots=True)
class Played:
    """A simulator at work, and a client that trusts no environment."""

    address: Address
    http: httpx2.Client

    def root(self, name: str) -> str:
        return self.address.roots[name]

    def base(self, name: str) -> str:
        return self.address.base_urls[name]

    def arm(self, name: str, **fault: Any) -> None:
        """The next request to this provider meets the fault, unless told otherwise."""
        once = {} if "for" in fault or "count" in fault else {"count": 1}
        answer = self.http.post(
            f"{self.address.admin_url}/faults", json={"provider": name, **once, **fault}
        )
        assert answer.status_code == 200, answer.text

    def clear(self) -> None:
        self.http.post(f"{self.address.admin_url}/reset").raise_for_status()

    def rows(self, name: str) -> list[str]:
        found = self.http.get(f"{self.address.admin_url}/rows").json()
        return list(found[name])


@contextmanager
def played() -> Iterator[Played]:
    models = [
        CHAT,
        {"id": TINY, "limits": [{"requests": 2, "per": "1m"}]},
        {"id": SMALL, "context_window": 50},
        {"id": "sim-embed", "kinds": ["embedding"], "dimensions": 8},
    ]
    providers = {
        name: {"personality": name, "models": models, "keys": [{"key": f"sk-{name}"}]}
        for name in NAMES
    }
    config = load_config({"providers": providers})
    with running(config) as address, httpx2.Client(trust_env=False, timeout=60) as http:
        yield Played(address, http)


def weather(parameters_name: str = "parameters") -> dict[str, Any]:
    """A function whose name stands in the question that asks for it."""
    return {
        "name": "weather_in",
        "description": "The weather in a town.",
        parameters_name: {
            "type": "object",
            "properties": {"town": {"type": "string"}},
            "required": ["town"],
        },
    }


ASKS_TOOL = "Call weather_in for the town of the mill."
ASKS = "Who turns the wheel?"
