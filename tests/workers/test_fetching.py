import pytest
from raw_server import always, chunked, http, serving

from shared.errors import Refused
from workers import fetching
from workers.fetching import Fetcher
from workers.transport import AioTransport, Transport

MOST = 50_000


@pytest.fixture
async def transport():
    transport = Transport(AioTransport(proxies={}))
    yield transport
    await transport.aclose()


@pytest.fixture
def fetch(transport, tmp_path):
    async def fetch(url, *, allow_private=True):
        fetcher = Fetcher(transport, allow_private=allow_private, most_bytes=MOST, timeout_ms=2_000)
        found = await fetcher.fetch(url, tmp_path / "it")
        return found, (tmp_path / "it").read_bytes()

    return fetch


async def refusal(fetch, url, **options):
    with pytest.raises(Refused) as caught:
        await fetch(url, **options)
    return caught.value


async def test_what_an_address_gives_is_written_with_what_is_said_of_it(fetch):
    reply = http("größe".encode("latin-1"), kind="text/plain; charset=ISO-8859-1")
    async with serving(always(reply)) as server:
        found, data = await fetch(f"{server.url}/a%20b/my%20report.txt?x=1")
    assert data == "größe".encode("latin-1")
    assert (found.name, found.content_type, found.charset, found.size) == (
        "my report.txt",
        "text/plain",
        "iso-8859-1",
        5,
    )


def redirect(to, status="302 Found"):
    return http(b"", status, f"location: {to}")


async def test_redirects_are_followed_so_many_times_and_no_more(fetch):
    async with serving(always(http(b"there"))) as there:
        async with serving(always(redirect(f"{there.url}/x.md"))) as server:
            found, data = await fetch(server.url)
            assert (found.url, found.name, data) == (f"{there.url}/x.md", "x.md", b"there")
        async with serving(always(redirect("/again"))) as server:
            problem = await refusal(fetch, server.url)
            assert "more than 5 times" in problem.message


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("größe.md".encode(), b"/gr%C3%B6%C3%9Fe.md"),
        ("größe.md".encode("latin-1"), b"/gr%F6%DFe.md"),
        (b"a b.md", b"/a%20b.md"),
        (b"a%20b.md?c=[d]", b"/a%20b.md?c=[d]"),
    ],
)
async def test_a_redirect_is_read_as_browsers_read_it(fetch, name, asked):
    heads = []

    async def moved(peer):
        heads.append(await peer.request())
        if len(heads) > 1:
            return await peer.send(http(b"there"))
        head = b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: /" + name
        return await peer.send(head + b"\r\nconnection: close\r\n\r\n")

    async with serving(moved) as server:
        _, data = await fetch(server.url)
    assert data == b"there"
    assert heads[1][0].split()[1] == asked


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1:9/x", "private_address"),
        ("http://localhost:9/x", "private_address"),
        ("http://0x7f.1:9/x", "private_address"),
        ("http://[::1]:9/x", "private_address"),
        ("http://169.254.169.254/latest/meta-data", "private_address"),
        ("http://[::ffff:10.0.0.1]/x", "private_address"),
        ("file:///etc/passwd", "invalid_url"),
        ("ftp://example.com/x", "invalid_url"),
        ("http:///x", "invalid_url"),
        ("http://example.com:99999/", "invalid_url"),
        ("http://example.com:x/", "invalid_url"),
        ("http://exam\0ple.com/", "invalid_url"),
        ("http://[::1/", "invalid_url"),
    ],
)
async def test_a_private_address_is_refused_before_it_is_called(fetch, url, code):
    problem = await refusal(fetch, url, allow_private=False)
    assert problem.code == code


async def test_a_redirect_to_a_private_address_is_refused(fetch, monkeypatch):
    asked = []

    async def looks_public_at_first(url):
        asked.append(url)
        return None if len(asked) == 1 else "inner.example"

    monkeypatch.setattr(fetching, "private_host", looks_public_at_first)
    monkeypatch.setattr(fetching, "refuse_literal", lambda _url: None)
    async with serving(always(redirect("http://inner.example/secret"))) as server:
        monkeypatch.setattr("workers.transport.refuse_literal", lambda _url: None)
        problem = await refusal(fetch, server.url, allow_private=False)
    assert problem.code == "private_address"
    assert "inner.example" in problem.message
    assert asked[1] == "http://inner.example/secret"


async def test_the_connection_itself_is_guarded(fetch, monkeypatch):
    async def looks_public(_url):
        return None

    monkeypatch.setattr(fetching, "private_host", looks_public)
    async with serving(always(http(b"secret"))) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        problem = await refusal(fetch, url, allow_private=False)
    assert "private address" in problem.message
    assert not server.connections


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (http(b"gone", "404 Not Found"), "fetch_failed", "status 404"),
        (http(b"x" * (MOST + 1)), "too_large", "50000 bytes"),
        (chunked(*[b"x" * 10_000] * 6), "too_large", "50000 bytes"),
        (redirect(""), "fetch_failed", "nowhere"),
        (b"", "fetch_failed", "cannot be read"),
        (b"nonsense\r\n\r\n", "fetch_failed", "cannot be read"),
    ],
)
async def test_what_is_no_document_is_refused_with_why(fetch, reply, code, words):
    async with serving(always(reply)) as server:
        problem = await refusal(fetch, server.url)
    assert problem.code == code
    assert words in problem.message


@pytest.mark.parametrize("to", ["http://exam\0ple.com/", "http://example.com:x/"])
async def test_a_redirect_to_what_is_no_address_is_refused(fetch, to):
    async with serving(always(redirect(to))) as server:
        problem = await refusal(fetch, server.url)
    assert problem.code in ("invalid_url", "fetch_failed")


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 40000\r\n\r\nx"])
async def test_an_address_that_sends_next_to_nothing_is_given_up(fetch, monkeypatch, first):
    async def trickle(peer):
        await peer.request()
        if first:
            await peer.send(first)
        await peer.gone()

    monkeypatch.setattr(fetching, "FIRST_S", 0.05 if not first else 1.5)
    monkeypatch.setattr(fetching, "LEAST_OVER_S", 0.05)
    async with serving(trickle) as server:
        problem = await refusal(fetch, server.url)
        await server.gone.wait()
    assert problem.code == "fetch_failed"
    assert "sends less than 30 KiB" in problem.message
