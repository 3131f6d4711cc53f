"""A world on each kind of store."""

from collections.abc import AsyncIterator

import pytest
from queue_world import World

from shared.store.server import Server


@pytest.fixture
async def world(valkey: Server) -> AsyncIterator[World]:
    """The embedded store with one open lane without windows."""
    made = World(valkey.url)
    await made.configure()
    yield made
    await made.close()


@pytest.fixture
async def each_world(store_url: str) -> AsyncIterator[World]:
    """The same on every kind of store in turn."""
    made = World(store_url)
    await made.configure()
    yield made
    await made.close()
