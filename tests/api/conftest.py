import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fakes import ALICE, COMPLETION, FakeStore, application

from shared import tokens


@pytest.fixture(scope="session", autouse=True)
def _token_ranks() -> None:
    tokens.load()


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def served(store: FakeStore) -> FakeStore:
    """A store whose jobs complete at once."""

    def work(job_id: str) -> None:
        store.start(job_id)
        store.complete(job_id, COMPLETION)

    store.on_accept = work
    return store


def client_for(app: object, key: str | None = ALICE) -> httpx2.AsyncClient:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://headrace.test", headers=headers
    )


@pytest.fixture
async def client(store: FakeStore) -> AsyncIterator[httpx2.AsyncClient]:
    app, _ = application(store)
    async with client_for(app) as made:
        yield made
