"""Which addresses are public."""

import pytest

from shared.addresses import is_public, private_host, web_problem


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("::127.0.0.1", False),
        ("::8.8.8.8", False),
        ("::ffff:0:127.0.0.1", False),
        ("fec0::1", False),
        ("64:ff9b:1::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("192.88.99.1", False),
        ("192.88.98.1", True),
        ("not an address", False),
    ],
)
def test_an_address_is_public_only_where_every_disguise_of_it_is(address, public):
    assert is_public(address) is public


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("http://127.1:80/v1", "127.1"),
        ("http://0x7f000001/v1", "0x7f000001"),
        ("http://[::1]:8000/v1", "::1"),
        ("http://localhost/v1", "localhost"),
        ("https://8.8.8.8/v1", None),
        ("https://no\0name.example/v1", None),
        ("https://does-not-resolve.invalid/v1", None),
    ],
)
async def test_a_host_is_private_by_what_it_means(url, private):
    assert await private_host(url) == private


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("https://example.com/a?b#c", None),
        ("https://example.com:65535/", None),
        ("https://example.com:99999/", "a port"),
        ("https://example.com:x/", "a port"),
        ("https://example.com:0/", "a port"),
        ("https://exam\0ple.com/", "in ASCII"),
        ("https://example.com/\x7f", "in ASCII"),
        ("ftp://example.com/", "http or https"),
    ],
)
def test_what_is_no_address_of_the_web_is_told_apart(url, word):
    problem = web_problem(url)
    assert problem is None if word is None else word in (problem or "")
