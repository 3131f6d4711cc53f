"""What each kind of connection promises, on real stores and through a proxy that misbehaves."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import structlog.testing
from redis.asyncio import Redis
from servers import TlsStore, valkey_server

from shared.errors import ConfigError, StoreError
from shared.store import connect
from shared.store.connect import Finding, check_server, ensure_usable, messages, store_errors
from shared.store.server import Server

HOUR_S = 3600.0
Swallow = Callable[[bytes], bool]


@asynccontextmanager
async def proxy_before(url: str, directory: Path, swallow: Swallow) -> AsyncIterator[str]:
    """Forwards to the server at `url`, but cuts a connection in place of the reply to any request
    for which `swallow` is true: the server has run it, the client cannot know.
    """
    upstream = unquote(urlsplit(url).path)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_unix_connection(upstream)
        try:
            while request := await reader.read(65536):
                up_writer.write(request)
                reply = await up_reader.read(65536)
                if swallow(request) or not reply:
                    return
                writer.write(reply)
        finally:
            writer.close()
            up_writer.close()

    path = directory / "proxy.sock"
    server = await asyncio.start_unix_server(serve, path)
    async with server:
        yield f"unix://{path}?db=0"


def swallow_first(word: bytes, times: int = 1) -> tuple[Swallow, list[bytes]]:
    swallowed: list[bytes] = []

    def swallow(request: bytes) -> bool:
        if word not in request or len(swallowed) >= times:
            return False
        swallowed.append(request)
        return True

    return swallow, swallowed


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Returns once the server, which sends no event for it, says that it holds."""
    while not await holds():  # noqa: ASYNC110 - the fact lives in another process
        await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
async def closed():
    """Holds the loop open until TLS has said goodbye: closing a client does not wait for it."""
    yield
    async with asyncio.timeout(60):
        while _transports():  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.005)


def _transports():
    """The open ones of this loop: it keeps them by file number, until nobody holds them."""
    known = list(asyncio.get_running_loop()._transports.values())
    return [each for each in known if each._sock is not None]


async def held(client: Redis, command: str) -> None:
    """Returns once a client is blocked in `command`."""

    async def blocked() -> bool:
        clients = await client.client_list()
        return any(c["cmd"] == command and "b" in c["flags"] for c in clients)

    await until(blocked)


async def test_every_kind_of_client_works_on_every_store(store_url):
    makers: list[Callable[[str], Redis]] = [
        connect.commands,
        connect.producer,
        lambda url: connect.blocking(url, block_s=1),
        connect.pubsub,
    ]
    for number, make in enumerate(makers):
        async with make(store_url) as client:
            script = client.register_script("return redis.call('INCR', KEYS[1])")
            assert await script(keys=["{t}:n"]) == number + 1
            assert await client.get("{t}:n") == str(number + 1).encode()


async def test_a_thread_without_a_loop_has_a_client_of_its_own(store_url):
    def count() -> list[int]:
        with connect.threaded(store_url) as client:
            return [client.incr("{t}:n") for _ in range(3)]

    assert await asyncio.to_thread(count) == [1, 2, 3]


async def test_an_unmodified_store_of_ours_has_no_findings(store_url):
    async with connect.commands(store_url) as client:
        assert await check_server(client) == []
        await ensure_usable(client)


async def test_a_blocked_pop_that_times_out_in_the_server_returns_none(store_url):
    async with connect.blocking(store_url, block_s=0.2) as client:
        assert await client.blpop(["{t}:empty"], timeout=0.2) is None


async def test_a_blocked_pop_outlives_the_five_seconds_redis_py_gives_a_reply(valkey):
    async with connect.blocking(valkey.url, block_s=5.4) as client:
        assert await client.blpop(["{t}:empty"], timeout=5.4) is None


async def test_a_blocked_pop_is_woken_by_a_push(valkey):
    async with (
        connect.blocking(valkey.url, block_s=HOUR_S) as waiter,
        connect.commands(valkey.url) as client,
    ):
        pop = asyncio.create_task(waiter.blpop(["{t}:list"], timeout=HOUR_S))
        await held(client, "blpop")
        await client.rpush("{t}:list", "job")
        assert await pop == (b"{t}:list", b"job")


async def test_a_cancelled_pop_leaves_no_reply_behind_for_the_next_command(valkey):
    async with (
        connect.blocking(valkey.url, block_s=HOUR_S) as waiter,
        connect.commands(valkey.url) as client,
    ):
        pop = asyncio.create_task(waiter.blpop(["{t}:list"], timeout=HOUR_S))
        await held(client, "blpop")
        pop.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pop
        await client.rpush("{t}:list", "job")
        assert await waiter.echo("mine") == b"mine"


async def test_a_blocking_connection_takes_one_command_at_a_time(valkey):
    async with (
        connect.blocking(valkey.url, block_s=HOUR_S) as waiter,
        connect.commands(valkey.url) as client,
    ):
        pop = asyncio.create_task(waiter.blpop(["{t}:list"], timeout=HOUR_S))
        await held(client, "blpop")
        with pytest.raises(StoreError, match="one command at a time"), store_errors("second"):
            await waiter.ping()
        await client.rpush("{t}:list", "job")
        await pop


async def test_a_stale_reply_on_a_pooled_connection_is_not_taken_for_the_next_one(store_url):
    async with connect.commands(store_url, max_connections=1) as client:
        pool = client.connection_pool
        connection = await pool.get_connection()
        await connection.send_command("ECHO", "stale")
        await until(connection.can_read)
        await pool.release(connection)
        assert await client.echo("mine") == b"mine"


@pytest.mark.parametrize("block_s", [0, -1, float("inf"), float("nan")])
def test_a_blocking_connection_must_have_an_end(block_s):
    with pytest.raises(ValueError, match="block_s"):
        connect.blocking("redis://127.0.0.1", block_s)


async def test_a_command_whose_reply_is_lost_is_not_repeated(valkey, tmp_path):
    swallow, swallowed = swallow_first(b"INCR", times=99)
    async with (
        proxy_before(valkey.url, tmp_path, swallow) as url,
        connect.commands(url) as client,
        connect.commands(valkey.url) as direct,
    ):
        with (
            pytest.raises(StoreError, match="claiming: the store cannot"),
            store_errors("claiming"),
        ):
            await client.incr("{t}:n")
        assert await direct.get("{t}:n") == b"1"
        assert len(swallowed) == 1
        assert await client.get("{t}:n") == b"1"  # the next one dials anew


async def test_a_producer_repeats_a_write_whose_reply_is_lost(valkey, tmp_path):
    swallow, swallowed = swallow_first(b"SADD", times=3)
    async with proxy_before(valkey.url, tmp_path, swallow) as url, connect.producer(url) as client:
        assert await client.sadd("{t}:ids", "job-1") == 0  # the first, unheard one had added it
        assert len(swallowed) == 3


async def test_a_producer_gives_up_in_the_end(valkey, tmp_path):
    swallow, swallowed = swallow_first(b"SADD", times=10_000)
    async with (
        proxy_before(valkey.url, tmp_path, swallow) as url,
        connect.producer(url, retry_for_s=0.5) as client,
    ):
        with pytest.raises(StoreError, match="enqueueing"), store_errors("enqueueing"):
            await client.sadd("{t}:ids", "job-1")
    assert 1 < len(swallowed) < 1000


async def test_a_producer_waits_for_a_store_that_is_being_restarted(valkey):
    async with connect.producer(valkey.url, retry_for_s=HOUR_S) as client:
        await client.set("{t}:a", 1)
        valkey.stop()
        write = asyncio.create_task(client.set("{t}:a", 2))
        await asyncio.to_thread(valkey.start)
        assert await write
        assert await client.get("{t}:a") == b"2"


async def test_pooled_connections_of_a_restarted_store_are_replaced_unseen(valkey):
    async with connect.commands(valkey.url) as client:
        await asyncio.gather(*(client.set(f"{{t}}:{n}", n) for n in range(20)))
        valkey.stop()
        await asyncio.to_thread(valkey.start)
        values = await asyncio.gather(*(client.get(f"{{t}}:{n}") for n in range(20)))
        assert values == [str(n).encode() for n in range(20)]


async def test_more_callers_than_connections_wait_their_turn(valkey):
    async with connect.commands(valkey.url, max_connections=2) as client:
        assert await asyncio.gather(*(client.incr("{t}:n") for _ in range(50)))
        assert len(await client.client_list()) == 2


async def test_a_demoted_server_loses_its_connection(valkey):
    async with connect.commands(valkey.url) as client:
        before = await client.client_id()
        await client.replicaof("127.0.0.1", "1")
        with pytest.raises(StoreError, match=r"READONLY|read only"), store_errors("writing"):
            await client.set("{t}:a", 1)
        assert await client.client_id() != before


async def test_an_unreachable_store_is_a_store_error(tmp_path):
    async with connect.commands(f"unix://{tmp_path}/nothing.sock") as client:
        reached = pytest.raises(StoreError, match="reading: the store cannot be reached")
        with reached, store_errors("reading"):
            await client.get("a")


async def test_a_fault_of_ours_is_not_blamed_on_the_store(valkey):
    async with connect.commands(valkey.url) as client:
        with pytest.raises(connect.DataError), store_errors("writing"):
            await client.set("{t}:a", None)  # type: ignore[arg-type]


async def test_a_threads_client_keeps_to_tls_and_password_too(redis_tls: TlsStore):
    def ping(url: str) -> bool:
        with connect.threaded(url) as client, store_errors("reading"):
            return bool(client.ping())

    assert await asyncio.to_thread(ping, redis_tls.url)
    with pytest.raises(StoreError, match=r"(?i)certificate"):
        await asyncio.to_thread(ping, redis_tls.bare_url)
    with pytest.raises(StoreError, match="refuses our user or password") as raised:
        await asyncio.to_thread(ping, redis_tls.url.replace("rediss://:", "rediss://:hunter2"))
    assert "hunter2" not in str(raised.value)


async def test_a_threads_command_whose_reply_is_lost_is_not_repeated(valkey, tmp_path):
    swallow, swallowed = swallow_first(b"INCR")

    def count(url: str) -> None:
        with connect.threaded(url) as client, store_errors("counting"):
            client.incr("{t}:n")

    async with proxy_before(valkey.url, tmp_path, swallow) as url:
        with pytest.raises(StoreError):
            await asyncio.to_thread(count, url)
    assert len(swallowed) == 1
    async with connect.commands(valkey.url) as client:
        assert await client.get("{t}:n") == b"1"


async def test_tls_without_the_right_ca_is_refused(redis_tls: TlsStore):
    async with connect.commands(redis_tls.bare_url) as client:
        with pytest.raises(StoreError, match=r"(?i)certificate"), store_errors("reading"):
            await client.ping()


@pytest.mark.parametrize("make", [connect.commands, connect.producer])
async def test_a_wrong_password_is_said_at_once_and_never_shown(redis_tls: TlsStore, make):
    url = redis_tls.url.replace("rediss://:", "rediss://:hunter2")
    options = {"retry_for_s": HOUR_S} if make is connect.producer else {}
    async with make(url, **options) as client:
        refused = pytest.raises(StoreError, match="refuses our user or password")
        with refused as raised, store_errors("reading"):
            await client.ping()
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://:hunter2@host", "no address of a store"),
        ("redis://:hunter2/x@host:1", "no address of a store"),
        ("redis://host?db=x", "no address of a store"),
        ("unix://", "needs a path"),
        ("redis://:hunter2@host?socket_timeout=9", "socket_timeout cannot be set there"),
        ("redis://host?ssl_ca_certs=/ca.pem", "ssl_ca_certs needs a rediss://"),
        ("rediss://:hunter2@host?ssl_ca_cert=/ca.pem", "did you mean ssl_ca_certs?"),
    ],
)
def test_a_wrong_address_is_answered_with_what_is_wrong(url, says):
    with pytest.raises(ConfigError) as raised:
        connect.commands(url)
    assert says in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_a_redacted_address_keeps_no_secret():
    shown = connect.redacted("rediss://me:hunter2@host:6380/2?ssl_password=hunter2")
    assert shown == "rediss://host:6380/2"


async def test_a_published_message_arrives_after_any_number_of_quiet_spells(store_url):
    async with (
        connect.pubsub(store_url) as listener,
        connect.commands(store_url) as client,
        listener.pubsub() as subscription,
    ):
        await subscription.subscribe("{t}:events")
        async with aclosing(messages(subscription, quiet_s=0.01)) as stream:
            first = asyncio.create_task(anext(stream))

            async def asked_thrice() -> bool:
                stats = await client.info("commandstats")
                return stats.get("cmdstat_ping", {}).get("calls", 0) >= 3

            await until(asked_thrice)
            await client.publish("{t}:events", "hello")
            assert (await first)["data"] == b"hello"


async def test_a_frozen_store_is_noticed_by_who_listens(valkey):
    async with connect.pubsub(valkey.url) as listener, listener.pubsub() as subscription:
        await subscription.subscribe("{t}:events")
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            async with aclosing(messages(subscription, quiet_s=0.05, answer_s=0.2)) as stream:
                with pytest.raises(StoreError, match="silent"):
                    await anext(stream)
        finally:
            os.kill(valkey.pid, signal.SIGCONT)


async def test_a_killed_store_is_noticed_by_who_listens(valkey):
    async with connect.pubsub(valkey.url) as listener, listener.pubsub() as subscription:
        await subscription.subscribe("{t}:events")
        async with aclosing(messages(subscription)) as stream:
            first = asyncio.create_task(anext(stream))
            os.kill(valkey.pid, signal.SIGKILL)
            with pytest.raises(StoreError):
                await first


@pytest.mark.parametrize(
    ("prepare", "level", "code"),
    [
        (lambda c: c.config_set("appendonly", "no"), "warning", "appendonly"),
        (lambda c: c.config_set("maxmemory-policy", "allkeys-lru"), "warning", "eviction"),
        (lambda c: c.replicaof("127.0.0.1", "1"), "error", "replica"),
    ],
)
async def test_a_store_that_is_unsafe_for_jobs_is_found_out(store_url, prepare, level, code):
    async with connect.commands(store_url) as client:
        await prepare(client)
        assert [(f.level, f.code) for f in await check_server(client)] == [(level, code)]


async def test_cluster_mode_is_found_out(tmp_path):
    server = Server(tmp_path / "cluster", extra=("--cluster-enabled", "yes"))
    with server:
        async with connect.commands(server.url) as client:
            assert [f.code for f in await check_server(client)] == ["cluster"]


async def test_warnings_are_logged_and_errors_stop_the_start(valkey):
    async with connect.commands(valkey.url) as client:
        await client.config_set("appendonly", "no")
        with structlog.testing.capture_logs() as logged:
            await ensure_usable(client)
        assert [(e["event"], e["code"]) for e in logged] == [("store_at_risk", "appendonly")]
        await client.replicaof("127.0.0.1", "1")
        with pytest.raises(ConfigError, match="must name the primary"):
            await ensure_usable(client)


async def test_a_store_that_cannot_be_asked_is_a_store_error(tmp_path):
    async with connect.commands(f"unix://{tmp_path}/nothing.sock") as client:
        with pytest.raises(StoreError, match="checking the store"):
            await check_server(client)


@pytest.mark.parametrize(
    ("info", "usable"),
    [
        ({"redis_version": "6.2.14"}, False),
        ({"redis_version": "7.0-rc1"}, True),
        ({"redis_version": "7.0.15"}, True),
        ({"redis_version": "10.1"}, True),
        ({"redis_version": "7.2.4", "valkey_version": "9.1.2"}, True),
        ({"redis_version": "unknown"}, False),
        ({}, False),
    ],
)
def test_servers_before_version_7_are_refused(info, usable):
    found = connect._check_version(info)
    assert (found is None) == usable
    assert found is None or (found.level == "error" and "7.0 or newer" in found.message)


def test_a_failing_append_only_file_stops_the_start():
    found = connect._check_append_only({"aof_enabled": 1, "aof_last_write_status": "err"})
    assert isinstance(found, Finding)
    assert found.level == "error"


async def test_a_store_with_every_write_synced_serves_as_well(tmp_path):
    with valkey_server(tmp_path / "always", fsync="always") as server:
        async with connect.commands(server.url) as client:
            assert await client.config_get("appendfsync") == {"appendfsync": "always"}
