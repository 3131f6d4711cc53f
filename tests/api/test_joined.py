"""The transport that sends an answer's head with its body."""

import asyncio
import socket

import pytest
from api_fakes import ALICE, FakeStore
from api_servers import running

from api.joined import JoiningTransport

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


class Recorder:
    def __init__(self):
        self.did = []
        self.closing = False

    def write(self, data):
        self.did.append(data)

    def writelines(self, parts):
        self.did.append(b"".join(parts))

    def is_closing(self):
        return self.closing

    def close(self):
        self.closing = True
        self.did.append("closed")

    def get_extra_info(self, name):
        return f"the {name}"


@pytest.fixture
async def under():
    return Recorder()


async def test_a_head_and_the_body_right_after_it_are_one_write(under):
    joining = JoiningTransport(under)
    joining.write(HEAD)
    joining.write(b"{}")
    joining.write(b"more")
    assert under.did == [HEAD + b"{}", b"more"]
    await asyncio.sleep(0)
    assert under.did == [HEAD + b"{}", b"more"]


async def test_a_head_without_a_body_goes_out_at_the_loops_next_turn(under):
    joining = JoiningTransport(under)
    joining.write(HEAD)
    assert under.did == []
    await asyncio.sleep(0)
    assert under.did == [HEAD]


async def test_nothing_is_lost_where_the_connection_is_closed_with_its_answer(under):
    joining = JoiningTransport(under)
    joining.write(HEAD)
    joining.close()
    await asyncio.sleep(0)
    assert under.did == [HEAD, "closed"]


async def test_nothing_is_written_to_a_connection_that_is_gone(under):
    joining = JoiningTransport(under)
    joining.write(HEAD)
    under.closing = True
    await asyncio.sleep(0)
    assert under.did == []


async def test_two_heads_in_a_row_stay_in_order(under):
    joining = JoiningTransport(under)
    joining.write(HEAD)
    joining.write(HEAD)
    joining.write(b"{}")
    assert b"".join(under.did) == HEAD + HEAD + b"{}"


async def test_all_else_is_the_transports_own(under):
    assert JoiningTransport(under).get_extra_info("peername") == "the peername"


def test_an_answer_to_head_and_the_next_one_come_whole_over_one_connection():
    token = f"Authorization: Bearer {ALICE}".encode()
    with running(FakeStore()) as server, socket.create_connection(("127.0.0.1", server.port)) as to:
        to.settimeout(20)
        to.sendall(b"HEAD /v1/models HTTP/1.1\r\nHost: h\r\n" + token + b"\r\n\r\n")
        got = b""
        while b"\r\n\r\n" not in got:
            got += to.recv(65536)
        assert got.startswith(b"HTTP/1.1 200 ")
        assert got.endswith(b"\r\n\r\n")
        to.sendall(
            b"GET /v1/models HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + token + b"\r\n\r\n"
        )
        got = b""
        while part := to.recv(65536):
            got += part
        assert got.startswith(b"HTTP/1.1 200 ")
        assert got.endswith(b"}")
