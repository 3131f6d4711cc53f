"""Every way a call can go wrong on the wire, done to the transport by a raw server."""

import asyncio
import contextlib
import gc
import gzip
import socket
import ssl
import warnings
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from raw_server import COMPLETION, Peer, always, chunked, http, json_reply, serving
from servers import free_port, make_certificates

from shared.core.outcome import FailureKind
from workers.failures import MaybeSent, NotSent, TransportFailure
from workers.providers.base import HttpRequest
from workers.transport import AioTransport, Timeouts, Transport

QUICK = Timeouts(total_ms=60_000, connect_ms=60_000, first_byte_ms=600, idle_ms=600)
HURRIED = Timeouts(connect_ms=300)
PATIENT = Timeouts(total_ms=60_000, connect_ms=60_000, first_byte_ms=60_000, idle_ms=60_000)
BODY = b'{"hello": 1}'


class Calls:
    """A transport and what it said about sending."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.sent = 0
        self.wrote = asyncio.Event()

    def note(self) -> None:
        self.sent += 1
        self.wrote.set()

    async def read(
        self, url: str, timeouts: Timeouts = PATIENT, body: bytes = BODY
    ) -> tuple[int, bytes]:
        request = HttpRequest("POST", url, {"content-type": "application/json"}, body)
        async with self.transport.open(request, timeouts, self.note) as exchange:
            return exchange.status, await exchange.read()


@pytest.fixture
async def calls() -> AsyncIterator[Calls]:
    transport = Transport(AioTransport(proxies={}), max_reply_bytes=100_000)
    yield Calls(transport)
    await transport.aclose()


async def fails(calls: Calls, url: str, timeouts: Timeouts = QUICK) -> TransportFailure:
    with pytest.raises(TransportFailure) as caught:
        await calls.read(url, timeouts)
    failure = caught.value
    assert failure.sent == bool(calls.sent)
    assert isinstance(failure, MaybeSent if failure.sent else NotSent)
    assert isinstance(failure, httpx2.TransportError)
    return failure


# -- nothing left


async def test_a_refused_connection_is_not_sent(calls):
    failure = await fails(calls, f"http://127.0.0.1:{free_port()}/")
    assert (failure.sent, failure.kind) == (False, FailureKind.UNREACHABLE)


async def test_a_name_that_does_not_resolve_is_not_sent(calls):
    failure = await fails(calls, "http://no-such-host.invalid/")
    assert (failure.sent, failure.kind) == (False, FailureKind.UNREACHABLE)


async def test_a_connection_that_is_never_accepted_is_not_sent(calls):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        url = f"http://127.0.0.1:{full.getsockname()[1]}/"
        with contextlib.ExitStack() as fillers:
            for _ in range(4):  # the backlog is full: further SYNs stay unanswered
                filler = fillers.enter_context(socket.socket())
                filler.setblocking(False)
                filler.connect_ex(full.getsockname())
            failure = await fails(calls, url, HURRIED)
    assert (failure.sent, failure.kind) == (False, FailureKind.UNREACHABLE)


async def test_plain_http_where_tls_is_wanted_is_not_sent(calls):
    async with serving(always(b"HTTP/1.1 200 OK\r\n\r\n")) as server:
        failure = await fails(calls, f"https://127.0.0.1:{server.port}/", HURRIED)
    assert (failure.sent, failure.kind) == (False, FailureKind.UNREACHABLE)
    assert server.requests == []


async def test_a_certificate_nobody_vouches_for_is_not_sent(calls, tmp_path):
    async with serving(always(json_reply({})), tls=server_tls(tmp_path)) as server:
        failure = await fails(calls, server.url)
    assert (failure.sent, failure.kind) == (False, FailureKind.UNREACHABLE)
    assert server.requests == []


async def test_a_peer_that_closes_during_the_tls_handshake_is_not_sent(calls):
    async def handle(peer: Peer) -> None:
        await peer.reader.read(1)
        peer.reset()

    async with serving(handle) as server:
        failure = await fails(calls, f"https://127.0.0.1:{server.port}/")
    assert not failure.sent


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http:///x", "nonsense"])
async def test_an_address_that_is_none_is_not_sent(calls, url):
    assert not (await fails(calls, url)).sent


async def test_a_full_pool_is_not_sent():
    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    transport = Transport(AioTransport(proxies={}, max_connections=1))
    calls = Calls(transport)
    async with serving(handle) as server:
        slow = PATIENT
        first = asyncio.create_task(Calls(transport).read(server.url, slow))
        await server.asked.wait()
        failure = await fails(calls, server.url, HURRIED)
        assert not failure.sent
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    await transport.aclose()


async def test_a_pooled_connection_that_closes_before_our_write_is_not_used(calls):
    """The peer's FIN has been seen: the next call opens a new connection and works."""

    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(json_reply(COMPLETION))

    async with serving(handle) as server:
        for _ in range(3):
            assert (await calls.read(server.url))[0] == 200
            await asyncio.sleep(0.02)
    assert server.connections == 3


# -- it may have arrived


async def test_a_reset_after_the_write_but_before_the_peer_reads_may_have_been_sent(calls):
    async def handle(peer: Peer) -> None:
        await asyncio.sleep(0.05)  # the request lies in the peer's kernel, unread
        peer.reset()

    async with serving(handle) as server:
        failure = await fails(calls, server.url)
    assert (failure.sent, failure.kind) == (True, FailureKind.UNREACHABLE)


@pytest.mark.parametrize("reset", [True, False])
async def test_a_drop_after_the_request_was_read_may_have_been_sent(calls, reset):
    async def handle(peer: Peer) -> None:
        await peer.request()
        if reset:
            peer.reset()

    async with serving(handle) as server:
        failure = await fails(calls, server.url)
    assert (failure.sent, failure.kind) == (True, FailureKind.UNREACHABLE)
    assert server.connections == 1


async def test_a_drop_of_a_reused_connection_after_the_request_is_not_tried_again(calls):
    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(json_reply(COMPLETION))
        await peer.request()
        peer.reset()

    async with serving(handle) as server:
        await calls.read(server.url)
        calls.sent = 0
        failure = await fails(calls, server.url)
    assert failure.sent
    assert (server.connections, len(server.requests)) == (1, 2)


async def test_silence_after_the_request_is_a_timeout_that_may_have_been_sent(calls):
    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with serving(handle) as server:
        failure = await fails(calls, server.url)
        assert (failure.sent, failure.kind) == (True, FailureKind.TIMEOUT)
        await asyncio.wait_for(server.gone.wait(), 60)


async def test_a_body_that_stalls_is_a_timeout(calls):
    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(json_reply(COMPLETION)[:-10])
        await peer.gone()

    async with serving(handle) as server:
        failure = await fails(calls, server.url)
        assert (failure.sent, failure.kind) == (True, FailureKind.TIMEOUT)
        await asyncio.wait_for(server.gone.wait(), 60)


async def test_the_idle_timeout_may_be_shorter_than_the_wait_for_the_first_byte(calls):
    async def handle(peer: Peer) -> None:
        await peer.request()
        await asyncio.sleep(0.4)
        await peer.send(json_reply(COMPLETION)[:-10])
        await peer.gone()

    patient = Timeouts(total_ms=60_000, first_byte_ms=30_000, idle_ms=200)
    async with serving(handle) as server:
        start = asyncio.get_running_loop().time()
        failure = await fails(calls, server.url, patient)
        assert failure.kind is FailureKind.TIMEOUT
        assert asyncio.get_running_loop().time() - start < 10


@pytest.mark.parametrize("part", ["head", "body"])
async def test_a_slow_drip_ends_with_the_total_timeout(calls, part):
    async def handle(peer: Peer) -> None:
        await peer.request()
        reply = json_reply({"x": "y" * 1_000})
        start = 0 if part == "head" else reply.index(b"\r\n\r\n") + 4
        await peer.send(reply[:start])
        for at in range(start, len(reply)):
            await peer.send(reply[at : at + 1])
            await asyncio.sleep(0.05)

    drip = Timeouts(total_ms=500, connect_ms=60_000, first_byte_ms=300, idle_ms=300)
    async with serving(handle) as server:
        failure = await fails(calls, server.url, drip)
    assert (failure.sent, failure.kind) == (True, FailureKind.TIMEOUT)


@pytest.mark.parametrize(
    "reply",
    [
        json_reply(COMPLETION)[:-10],
        chunked(b"data: {}\n\n", end=False),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 7\r\n\r\nhello",
        b"\x00\x01\x02garbage that is no status line\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 twohundred OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"h" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"h%d: v\r\n" % n for n in range(5_000)) + b"\r\n",
        http(b"this is not gzip", "200 OK", "content-encoding: gzip"),
        http(b"abc", "200 OK", "content-encoding: br"),
        http(b"abc", "200 OK", "content-encoding: nonsense"),
    ],
    ids=lambda reply: repr(reply[:60]),
)
async def test_a_broken_reply_is_malformed_or_lost_and_may_have_been_sent(calls, reply):
    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(reply)

    async with serving(handle) as server:
        failure = await fails(calls, server.url)
    assert failure.sent
    assert failure.kind in (FailureKind.MALFORMED_REPLY, FailureKind.UNREACHABLE)


@pytest.mark.parametrize(
    "reply",  # made where it is asked for: each process would else press 350 MB while it collects
    [
        lambda: http(b"x" * 100_001),
        lambda: chunked(*([b"x" * 10_000] * 11)),
        lambda: http(gzip.compress(b"\0" * 300_000_000), "200 OK", "content-encoding: gzip"),
        lambda: http(zlib.compress(b"\0" * 50_000_000), "200 OK", "content-encoding: deflate"),
    ],
    ids=["length", "chunks", "gzip bomb", "deflate bomb"],
)
async def test_a_reply_beyond_the_bound_is_given_up(calls, reply):
    async with serving(always(reply())) as server:
        failure = await fails(calls, server.url)
    assert (failure.sent, failure.kind) == (True, FailureKind.MALFORMED_REPLY)
    assert "larger" in failure.message


@pytest.mark.parametrize(
    "said",
    [
        ("content-encoding: gzip, gzip",),
        ("content-encoding: gzip", "content-encoding: gzip"),
        ("content-encoding: br", "content-encoding: gzip"),
    ],
)
async def test_what_is_packed_twice_is_not_unpacked(calls, said):
    """In between it may be gigabytes that come to nothing: no bound on the answer sees them."""
    twice = gzip.compress(gzip.compress(b"plain"))
    async with serving(always(http(twice, "200 OK", *said))) as server:
        failure = await fails(calls, server.url)
    assert failure.message == "the reply's encoding was not asked for"


# -- what must work


@pytest.mark.parametrize("coding", ["gzip", "deflate", "identity"])
async def test_a_coded_reply_is_decoded(calls, coding):
    coded = {"gzip": gzip.compress, "deflate": zlib.compress, "identity": bytes}[coding](b"plain")
    async with serving(always(http(coded, "200 OK", f"content-encoding: {coding}"))) as server:
        assert await calls.read(server.url) == (200, b"plain")


async def test_no_cookie_is_kept(calls):
    async with serving(always(json_reply({}, "200 OK", "set-cookie: a=b"))) as server:
        await calls.read(server.url)
        await calls.read(server.url)
    assert b"cookie" not in server.requests[1][0].lower()


async def test_connections_are_kept_and_the_moment_of_sending_is_told_once(calls):
    async with serving(always(json_reply(COMPLETION))) as server:
        for _ in range(5):
            await calls.read(server.url)
    assert (server.connections, calls.sent) == (1, 5)


async def test_redirects_are_answers_and_not_followed(calls):
    reply = http(b"", "307 Temporary Redirect", "location: http://127.0.0.1:1/")
    async with serving(always(reply)) as server:
        assert (await calls.read(server.url))[0] == 307
    assert len(server.requests) == 1


async def test_a_reply_without_a_length_ends_with_its_connection(calls):
    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    async with serving(handle) as server:
        assert await calls.read(server.url) == (200, b"all of it")


async def test_informational_replies_are_passed_over(calls):
    reply = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + json_reply({"a": 1})
    async with serving(always(reply)) as server:
        assert await calls.read(server.url) == (200, b'{"a":1}')


async def test_leaving_the_block_early_closes_the_socket(calls):
    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(chunked(b"data: {}\n\n", end=False))
        await peer.gone()

    request = HttpRequest("POST", "", {}, BODY)
    async with serving(handle) as server:
        request = HttpRequest("POST", server.url, {}, BODY)
        async with calls.transport.open(request, QUICK) as exchange:
            async for _ in exchange.chunks():
                break
        await asyncio.wait_for(server.gone.wait(), 60)


@pytest.mark.parametrize("when", ["head", "body", "writing"])
async def test_cancelling_closes_the_socket_and_leaves_nothing_behind(calls, when):
    async def handle(peer: Peer) -> None:
        if when == "writing":
            await asyncio.sleep(0.3)
            await peer.gone()
            return
        await peer.request()
        if when == "body":
            await peer.send(chunked(b"data: {}\n\n", end=False))
        await peer.gone()

    body = b"x" * 20_000_000 if when == "writing" else BODY
    slow = Timeouts(total_ms=60_000, first_byte_ms=60_000, idle_ms=60_000)
    gc.collect()  # clients of other tests may close themselves in tasks of their own
    async with serving(handle) as server:
        before = asyncio.all_tasks()
        call = asyncio.create_task(calls.read(server.url, slow, body))
        await (calls.wrote if when == "writing" else server.asked).wait()
        await asyncio.sleep(0.02)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(server.gone.wait(), 60)
        gc.collect()
        await asyncio.sleep(0)
        assert {
            task for task in asyncio.all_tasks() - before if "connected" not in repr(task)
        } == set()


async def test_an_error_in_the_block_is_not_taken_for_the_wires(calls):
    async with serving(always(json_reply({}))) as server:
        request = HttpRequest("POST", server.url, {}, BODY)
        with pytest.raises(TimeoutError, match="mine"):
            async with calls.transport.open(request, QUICK):
                raise TimeoutError("mine")


async def test_a_hundred_calls_at_once_share_the_transport(calls):
    async with serving(always(json_reply(COMPLETION))) as server:
        replies = await asyncio.gather(*(calls.read(server.url) for _ in range(100)))
    assert {status for status, _ in replies} == {200}


async def test_any_httpx2_client_can_use_the_wire():
    wire = AioTransport(proxies={})
    async with (
        serving(always(json_reply({"a": 1}))) as server,
        httpx2.AsyncClient(transport=wire) as client,
    ):
        assert (await client.post(server.url, json={})).json() == {"a": 1}
        assert (await client.get(server.url)).json() == {"a": 1}


# -- proxies and TLS


async def test_a_trusted_certificate_is_accepted(tmp_path):
    tls = server_tls(tmp_path)
    trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    transport = Transport(AioTransport(proxies={}, ssl_context=trust))
    async with serving(always(json_reply({"a": 1})), tls=tls) as server:
        assert await Calls(transport).read(server.url) == (200, b'{"a":1}')
        await transport.aclose()


async def test_the_environments_proxy_is_used_but_not_for_those_it_excepts(monkeypatch):
    async with serving(always(json_reply({"via": "proxy"}))) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:pass@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("http_proxy", f"http://user:pass@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "localhost,.internal")
        transport = Transport()
        calls = Calls(transport)
        assert await calls.read("http://api.example.test/v1") == (200, b'{"via":"proxy"}')
        async with serving(always(json_reply({"via": "direct"}))) as direct:
            reply = await calls.read(f"http://localhost:{direct.port}/")
        await transport.aclose()
    assert reply == (200, b'{"via":"direct"}')
    head = proxy.requests[0][0]
    assert head.startswith(b"POST http://api.example.test/v1 HTTP/1.1\r\n")
    assert b"proxy-authorization: basic dxnlcjpwyxnz" in head.lower()


@pytest.mark.parametrize("answer", ["407 Proxy Authentication Required", "502 Bad Gateway"])
async def test_a_proxy_that_will_not_connect_is_not_sent(answer):
    async def handle(peer: Peer) -> None:
        await peer.request()
        await peer.send(http(b"no", answer))

    async with serving(handle) as proxy:
        transport = Transport(AioTransport(proxies={"https": proxy.url}))
        failure = await fails(Calls(transport), "https://api.example.test/v1")
        await transport.aclose()
    assert (failure.sent, failure.kind) == (False, FailureKind.UNREACHABLE)
    assert proxy.requests[0][0].startswith(b"CONNECT api.example.test:443")


async def test_a_proxy_that_is_down_is_not_sent():
    proxies = {"http": f"http://127.0.0.1:{free_port()}"}
    transport = Transport(AioTransport(proxies=proxies))
    assert not (await fails(Calls(transport), "http://api.example.test/v1")).sent
    await transport.aclose()


async def test_closing_the_transport_leaves_no_open_session():
    transport = Transport(AioTransport(proxies={}))
    async with serving(always(json_reply({}))) as server:
        await Calls(transport).read(server.url)
        await transport.aclose()
        await transport.aclose()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del transport
        gc.collect()
    assert [str(each.message) for each in caught if "session" in str(each.message)] == []


def server_tls(directory: Path) -> ssl.SSLContext:
    _, certificate, key = make_certificates(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
