import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

sys.path.append(str(Path(__file__).parent))  # for what this folder's tests share

from api_fakes import COMPLETION, FakeStore, application, client_for

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


@pytest.fixture
async def client(store: FakeStore) -> AsyncIterator[httpx2.AsyncClient]:
    app, _ = application(store)
    async with client_for(app) as made:
        yield made
