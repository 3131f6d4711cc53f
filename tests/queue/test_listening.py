"""Listening ends whole: whatever a client makes of being cancelled, nothing of it goes on."""

import asyncio

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.queue import listening
from shared.queue.listening import Listening

WAIT_S = 60


class Client:
    """One that waits, and answers a cancellation with an error of its own, then closes slowly."""

    def __init__(self):
        self.waits = asyncio.Event()
        self.closed = False

    async def blpop(self, *_, **__):
        self.waits.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise RedisConnectionError("closed while it was read") from None

    async def aclose(self):
        await asyncio.sleep(0.01)
        self.closed = True


@pytest.fixture
def clients(monkeypatch):
    made = []

    def client(*_, **__):
        made.append(Client())
        return made[-1]

    monkeypatch.setattr(listening, "blocking", client)
    monkeypatch.setattr(listening, "commands", client)
    return made


async def test_a_cancelled_listening_has_closed_all_its_clients(clients):
    heard = Listening(
        *("redis://nowhere", "{hr}:", "w1", ["alpha"]),
        block_ms=1_000,
        woken=lambda: True,
        told=lambda _: None,
    )
    heard.room.set()
    serving = asyncio.create_task(heard.serve())
    async with asyncio.timeout(WAIT_S):
        while len(clients) < 3:  # noqa: ASYNC110 - the clients are made by what is tested
            await asyncio.sleep(0)
        await asyncio.gather(*(each.waits.wait() for each in clients[:2]))
        heard.room.clear()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
    assert [each.closed for each in clients] == [True, True, True]
