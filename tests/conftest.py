"""Fixtures every test may ask for: real stores, fresh for each test."""

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from servers import TlsStore, redis7_server, redis_tls_server, valkey_server

from shared.store.server import Server

# Nothing here speaks TLS to the world, so no authority of it is trusted, by what tests start
# neither: to read them all took each HTTP client and each worker 30 ms of CPU time and more.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).with_name("nobody.pem"))
os.environ["SSL_CERT_DIR"] = os.devnull

# No property is false because a machine is slow.
settings.register_profile("any pace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any pace")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart() -> None:
    """Of what is collected nothing is garbage: looking for it took a quarter of the time.

    A shell's background job ignores Ctrl-C, and so would each command that a test interrupts.
    """
    gc.disable()
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """What was collected stays to the end: no collection of a test's garbage looks at it again."""
    gc.freeze()
    gc.enable()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Server]:
    """A fresh embedded Valkey (fsync everysec); `valkey.url` is its address."""
    with valkey_server(tmp_path / "valkey") as server:
        yield server


@pytest.fixture
def redis7(tmp_path: Path) -> Iterator[str]:
    """The address of a fresh Debian Redis 7."""
    with redis7_server(tmp_path / "redis7") as url:
        yield url


@pytest.fixture
def redis_tls(tmp_path: Path) -> Iterator[TlsStore]:
    """A fresh Debian Redis 7 behind TLS and a password."""
    with redis_tls_server(tmp_path / "redis-tls") as store:
        yield store


@pytest.fixture(params=["valkey", "redis7", "redis_tls"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The address of each kind of store in turn: for contracts that must hold on all of them."""
    store = request.getfixturevalue(request.param)
    return store if isinstance(store, str) else str(store.url)
