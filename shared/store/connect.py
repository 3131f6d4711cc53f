"""The one place that opens connections to Redis or Valkey, and what each kind may do.

    commands   bounded replies, never repeated: the caller reconciles what it does not know
    producer   idempotent writes only: repeated with jittered backoff for a bounded time
    blocking   one connection of its own, patient enough for a blocking command of `block_s`
    pubsub     one connection of its own, never timed out; `messages` notices a dead one
    threaded   one connection of its own for a thread that has no loop; sent once at most

redis-py's own retries are off everywhere (it would repeat a claim ten times, silently), and so are
its maintenance notifications (with them it no longer notices a stale reply on a pooled connection).
Replies are bytes. The policy wins over the URL: what it decides may not be set there.
"""

import asyncio
import difflib
import random
import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

import redis
import structlog
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.client import PubSub
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.connection import parse_url as parse_threaded_url
from redis.driver_info import DriverInfo
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    DataError,
    MaxConnectionsError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry as ThreadedRetry

from shared.errors import ConfigError, StoreError
from shared.store.direct import Direct

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S = 3.0
REPLY_TIMEOUT_S = 5.0
BLOCK_MARGIN_S = 5.0
POOL_WAIT_S = 5.0
POOL_CONNECTIONS = 32
PRODUCER_RETRY_FOR_S = 8.0
MOST_KEPT = 4
BACKOFF_BASE_S = 0.02
BACKOFF_CAP_S = 0.5
QUIET_S = 15.0

DRIVER = DriverInfo()  # looked up once: redis-py asks the installed packages at every connection
MINIMUM_VERSION = (7, 0)
NO_ADDRESS = (
    "REDIS_URL is no address of a store: redis://[user:password@]host[:port][/db], the same with"
    " rediss:// for TLS, or unix:///path?db=0; special characters of a password are %-encoded"
)
PLACE_PARTS = frozenset({"host", "port", "path", "db", "username", "password", "connection_class"})
TLS_PARTS = frozenset(
    {
        "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password",
        "ssl_cert_reqs", "ssl_check_hostname", "ssl_min_version", "ssl_ciphers",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a server: an "error" makes it unusable, a "warning" puts jobs at risk."""

    level: Literal["error", "warning"]
    code: str
    message: str


def commands(url: str, *, max_connections: int = POOL_CONNECTIONS) -> Redis:
    """A client for fenced or idempotent commands; each is sent once at most.

    A reply takes at most 5 s, a connection 3 s. Callers beyond `max_connections` wait up to 5 s
    for one of them.
    """
    return _Commands.from_pool(_shared_pool(url, "commands", max_connections))


def producer(
    url: str,
    *,
    max_connections: int = POOL_CONNECTIONS,
    retry_for_s: float = PRODUCER_RETRY_FOR_S,
) -> Redis:
    """A client for idempotent writes only: a command without a reply is sent again.

    No new try starts later than `retry_for_s` after the first. Pipelines are not repeated.
    """
    client = _Producer.from_pool(_shared_pool(url, "producer", max_connections))
    assert isinstance(client, _Producer)  # noqa: S101 - from_pool is a classmethod
    client.retry_for_s = retry_for_s
    return client


def blocking(url: str, block_s: float) -> Redis:
    """A client for one caller that blocks up to `block_s` in the server: one connection.

    A blocking command that times out in the server returns None. A server that is silent 5 s longer
    is given up. A second command at the same time raises: it would wait behind the first.
    """
    if not 0 < block_s < float("inf"):
        raise ValueError("block_s must be above 0 and finite: a dead server is never noticed else")
    options = _connection_options(url, "blocking")
    options["socket_timeout"] = block_s + BLOCK_MARGIN_S
    return _Blocking.from_pool(ConnectionPool(max_connections=1, **options))


def pubsub(url: str) -> Redis:
    """A client whose `pubsub()` has the only connection; read it through `messages`."""
    options = _connection_options(url, "pubsub")
    return Redis.from_pool(ConnectionPool(max_connections=1, **options))


def threaded(url: str) -> redis.Redis:
    """A client for one thread without a loop: one connection, each command sent once at most.

    It blocks its thread: 3 s for a connection and 5 s for a reply, at most.
    """
    options = _connection_options(url, "threaded")
    options["retry"] = ThreadedRetry(NoBackoff(), 0)
    parts: dict[str, Any] = parse_threaded_url(url)  # type: ignore[no-untyped-call]
    if kind := parts.get("connection_class"):  # TLS and Unix sockets
        options["connection_class"] = kind
    return redis.Redis.from_pool(redis.ConnectionPool(max_connections=1, **options))


async def messages(
    subscription: PubSub, *, quiet_s: float = QUIET_S, answer_s: float = REPLY_TIMEOUT_S
) -> AsyncIterator[Mapping[str, Any]]:
    """Every message published on the subscription's channels, as redis-py shapes it.

    After `quiet_s` without one the server is asked for a sign of life. StoreError if it gives none
    within `answer_s`, or breaks the connection: what was published meanwhile is lost, so subscribe
    anew and read the state itself.
    """
    with store_errors("listening"):
        while True:
            message = await subscription.get_message(timeout=quiet_s)
            if message is None:
                await subscription.ping()
                message = await subscription.get_message(timeout=answer_s)
            if message is None:
                raise StoreError(f"listening: the store was silent for {answer_s:g} s")
            if message["type"] in ("message", "pmessage"):
                yield message


@contextmanager
def store_errors(doing: str) -> Iterator[None]:
    """Raises StoreError, naming what was being done, for whatever redis-py or the socket raises.

    DataError passes: an argument of the wrong type is a fault of ours, not of the store's.
    """
    try:
        yield
    except DataError:
        raise
    except (RedisError, RedisClusterException, OSError) as exc:
        raise StoreError(f"{doing}: {_reason(exc)}") from exc


def _reason(exc: BaseException) -> str:
    match exc:
        case AuthenticationError() | AuthorizationError():
            return f"the store refuses our user or password ({exc})"
        case BusyLoadingError():
            return "the store is still loading its data"
        case MaxConnectionsError():
            return "this connection is for one command at a time"
        case RedisTimeoutError():
            return f"the store did not answer in time ({exc})"
        case RedisConnectionError() | OSError():
            return f"the store cannot be reached ({exc})"
        case _:
            return f"the store answered: {exc}"


class _Commands(Redis):
    """Calls functions the short way; each is sent once at most."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        most = self.connection_pool.max_connections - 1  # one is left for other commands
        self._direct = Direct(self.connection_pool, most_kept=min(MOST_KEPT, most))

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] == "FCALL":
            return await self._direct(*args)
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


class _Blocking(Redis):
    """Blocks the short way."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._direct = Direct(self.connection_pool, most_kept=1)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        reply = await self._direct(*args)
        shaped = self.response_callbacks.get(args[0])
        return shaped(reply, **options) if shaped else reply


class _Producer(_Commands):
    """Repeats a command whose reply did not come, for a bounded time."""

    retry_for_s = PRODUCER_RETRY_FOR_S

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        give_up_at = time.monotonic() + self.retry_for_s
        tries = 0
        while True:
            try:
                return await super().execute_command(*args, **options)
            except (RedisConnectionError, RedisTimeoutError, ReadOnlyError) as exc:
                tries += 1
                pause_s = random.uniform(0, min(BACKOFF_CAP_S, BACKOFF_BASE_S * 2**tries))
                refused = isinstance(exc, AuthenticationError | AuthorizationError)
                if refused or time.monotonic() + pause_s >= give_up_at:
                    raise
            await asyncio.sleep(pause_s)


def _shared_pool(url: str, purpose: str, max_connections: int) -> BlockingConnectionPool:
    return BlockingConnectionPool(
        max_connections=max_connections,
        timeout=POOL_WAIT_S,
        **_connection_options(url, purpose),
    )


def _connection_options(url: str, purpose: str) -> dict[str, Any]:
    options = _parse(url)
    tls = urlsplit(url).scheme == "rediss"
    if not tls and (stray := sorted(TLS_PARTS & options.keys())):
        raise ConfigError(f"REDIS_URL: {stray[0]} needs a rediss:// address")
    options |= {
        "socket_timeout": REPLY_TIMEOUT_S,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [ReadOnlyError],  # with no retry left: drop a demoted server's connection
        "health_check_interval": 0,
        "client_name": f"headrace-{purpose}",
        "driver_info": DRIVER,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    return options


def _parse(url: str) -> dict[str, Any]:
    """The URL's parts as redis-py names them. ConfigError names what is wrong, never the URL."""
    try:
        options: dict[str, Any] = dict(parse_url(url))
    except ValueError:
        raise ConfigError(NO_ADDRESS) from None  # the cause may quote a part of the password
    if urlsplit(url).scheme == "unix" and "path" not in options:
        raise ConfigError("REDIS_URL: unix:// needs a path, as in unix:///run/valkey.sock")
    known = PLACE_PARTS | TLS_PARTS
    for name in options.keys() - known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else "Headrace decides it; leave it out"
        raise ConfigError(f"REDIS_URL: {name} cannot be set there: {hint}")
    return options


def redacted(url: str) -> str:
    """The URL as it may be shown: no user, password or query."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


async def check_server(client: Redis) -> list[Finding]:
    """What makes this server unusable or unsafe for jobs; empty if nothing does.

    Raises StoreError if it cannot be asked.
    """
    with store_errors("checking the store"):
        info = await client.info()
    return [finding for check in CHECKS if (finding := check(info)) is not None]


async def ensure_usable(client: Redis) -> None:
    """Logs every warning of `check_server`; raises ConfigError for its first error."""
    for finding in await check_server(client):
        if finding.level == "error":
            raise ConfigError(finding.message)
        log.warning("store_at_risk", code=finding.code, message=finding.message)


def _check_version(info: Mapping[str, Any]) -> Finding | None:
    version = str(info.get("redis_version", "0"))
    if "valkey_version" in info:  # every Valkey is a Redis 7.2 or newer
        return None
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers and (int(numbers[1]), int(numbers[2])) >= MINIMUM_VERSION:
        return None
    return Finding(
        "error",
        "version",
        f"the store is Redis {version}; Headrace needs Redis or Valkey 7.0 or newer",
    )


def _check_role(info: Mapping[str, Any]) -> Finding | None:
    if info.get("role", "master") == "master":
        return None
    return Finding("error", "replica", "REDIS_URL names a replica; it must name the primary")


def _check_cluster(info: Mapping[str, Any]) -> Finding | None:
    if not info.get("cluster_enabled"):
        return None
    return Finding(
        "warning",
        "cluster",
        "the store runs in cluster mode: REDIS_URL must name the node that owns our hash slot, and"
        " is not followed when the slot moves",
    )


def _check_append_only(info: Mapping[str, Any]) -> Finding | None:
    if info.get("aof_enabled"):
        if info.get("aof_last_write_status", "ok") == "ok":
            return None
        return Finding("error", "aof_failed", "the store cannot write its append-only file")
    return Finding(
        "warning",
        "appendonly",
        "the store keeps no append-only file (appendonly no): accepted jobs are lost when it stops;"
        " set appendonly yes",
    )


def _check_eviction(info: Mapping[str, Any]) -> Finding | None:
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return None
    return Finding(
        "warning",
        "eviction",
        f"the store may evict jobs when memory is short: maxmemory-policy is {policy}; set"
        " noeviction",
    )


CHECKS = (_check_version, _check_role, _check_cluster, _check_append_only, _check_eviction)
