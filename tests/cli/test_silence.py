"""A server that stops answering while a verb follows work on it, and what the verb makes of it."""

import time

import pytest
from fake_api import event, make_job

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
    assert "jobs that are kept: 1. To go on with them once it answers:" in ran.err
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


def test_a_stream_that_was_open_for_long_begins_a_new_minute_and_a_short_one_does_not():
    long_ago = time.monotonic() - client.LIVED_S - 1
    assert client.Api._until(5.0, None) == 5.0
    assert client.Api._until(0.0, None) > long_ago
    assert client.Api._until(-1.0, long_ago) > long_ago


def test_a_watched_job_is_followed_over_a_server_that_is_gone_for_a_while(
    fake, headrace, silent, monkeypatch
):
    fake.jobs["job_1"] = {**make_job("job_1", "x"), "status": "in_progress", "_outcome": "hang"}
    fake.scripts["job_1"] = [[event(1, "job.started", {})], [event(2, "job.completed", {})]]
    silent(0)
    stream, left = client.Api.stream, [4]

    def opened(api, method, path, **more):
        if fake.last_event_ids and left[0]:
            left[0] -= 1
            raise Unreachable("no Headrace answers")
        return stream(api, method, path, **more)

    monkeypatch.setattr(client.Api, "stream", opened)
    ran = headrace("jobs", "watch", "job_1")
    assert ran.code == 0, ran.err
    assert [line.split()[1] for line in ran.out.splitlines()] == ["1", "2"]
    assert AGAIN in ran.err
    assert fake.last_event_ids == [None, "1"]
