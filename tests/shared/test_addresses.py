"""Which addresses are public."""

import pytest

from shared.addresses import is_public, private_host


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
        ("https://does-not-resolve.invalid/v1", None),
    ],
)
async def test_a_host_is_private_by_what_it_means(url, private):
    assert await private_host(url) == private
