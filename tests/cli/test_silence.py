"""A server that stops answering while a verb follows work on it, and what the verb makes of it."""

import pytest

from cli import client
from cli.codes import Unreachable

AGAIN = "the server does not answer; trying again for about a minute"
BACK = "the server answers again"


@pytest.fixture
def silent(monkeypatch):
    """`silent(times)`: so often nobody answers a GET."""
    monkeypatch.setattr(client, "pause_s", lambda _tries, _draw: 0.0)
    send = client.Api._send

    def arrange(times: int) -> None:
        left = [times]

        async def sent(api, method, path, **more):
            if method == "GET" and left[0]:
                left[0] -= 1
                raise Unreachable("no Headrace answers: start it with `headrace up`")
            return await send(api, method, path, **more)

        monkeypatch.setattr(client.Api, "_send", sent)

    return arrange


def test_a_verb_goes_on_where_the_server_comes_back_and_says_so_once(fake, headrace, silent):
    silent(6)
    ran = headrace("submit", "hello")
    assert (ran.code, ran.out.strip()) == (0, "answer to hello"), ran.err
    assert (ran.err.count(AGAIN), ran.err.count(BACK)) == (1, 1)


def test_a_connection_that_was_cut_is_not_worth_a_word(fake, headrace, silent):
    silent(2)
    ran = headrace("submit", "hello")
    assert ran.code == 0
    assert AGAIN not in ran.err


def test_a_server_that_stays_away_is_told_with_what_is_kept(fake, headrace, silent, monkeypatch):
    monkeypatch.setattr(client, "RETRY_FOR_S", 0.0)
    silent(1_000_000)
    ran = headrace("submit", "hello")
    assert ran.code == 3
    assert "1 jobs are kept. To go on with them once it answers:" in ran.err
    assert "headrace jobs watch job_1" in ran.err
    assert "start it with `headrace up`" in ran.err


def test_who_never_answered_is_not_waited_for(headrace, monkeypatch, tmp_path):
    monkeypatch.setenv("HEADRACE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path))
    for words in (["submit", "hello"], ["jobs", "watch", "job_1"]):
        ran = headrace(*words)
        assert ran.code == 3
        assert AGAIN not in ran.err
        assert "kept" not in ran.err
