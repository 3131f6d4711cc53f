from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx2
import pytest
from simulated_hosts import CHAT, Played, played

from simulator import Simulator, load_config

START_US = 1_800_000_000_000_000  # a whole minute and a whole hour


class Stage:
    """A simulator inside the test, under a clock the test moves."""

    def __init__(self, mapping: dict[str, Any]) -> None:
        self.now_us = START_US
        self.app = Simulator(load_config(mapping), now_us=lambda: self.now_us)
        self.client = httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app), base_url="http://simulator"
        )

    def pass_s(self, seconds: float) -> None:
        self.now_us += round(seconds * 1_000_000)

    async def chat(self, text: str = "hello", provider: str = "alpha", **more: Any) -> Any:
        key = more.pop("key", f"sk-sim-{provider}-1")
        body = {"model": "m", "messages": [{"role": "user", "content": text}]} | more
        return await self.client.post(
            f"/{provider}/v1/chat/completions",
            json=body,
            headers={"authorization": f"Bearer {key}"},
        )

    async def admin(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.client.request(method, f"/admin/{path}", json=body)
        return answer.json()


@pytest.fixture
async def stage() -> AsyncIterator[Callable[..., Stage]]:
    made: list[Stage] = []

    def make(*, speed: float = 1.0, **provider: Any) -> Stage:
        alpha = {"models": ["m"], **provider}
        made.append(Stage({"speed": speed, "providers": {"alpha": alpha}}))
        return made[-1]

    yield make
    for each in made:
        await each.client.aclose()


@pytest.fixture
async def staged() -> AsyncIterator[Callable[..., Stage]]:
    """One provider of a personality, under a clock the test moves."""
    made: list[Stage] = []

    def make(name: str, *, speed: float = 1.0, **more: Any) -> Stage:
        provider = {"models": [CHAT], "keys": [{"key": f"sk-{name}"}], **more}
        providers = {name: {"personality": name, **provider}}
        made.append(Stage({"speed": speed, "providers": providers}))
        return made[-1]

    yield make
    for each in made:
        await each.client.aclose()


@pytest.fixture(scope="session")
def everyone() -> Iterator[Played]:
    with played() as found:
        yield found


@pytest.fixture
def plays(everyone: Played) -> Played:
    """All personalities, with full windows and no faults."""
    everyone.clear()
    return everyone
