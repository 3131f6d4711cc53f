"""Held and streamed requests: their answers, their errors, and what a dropped client means."""

import asyncio
import gc
import socket

import orjson
import pytest
from api_fakes import (
    ALICE,
    BOB,
    CHAT,
    COMPLETION,
    USAGE_CHUNK,
    FakeStore,
    application,
    chunk,
    client_for,
    until,
)
from api_servers import running

from api.departure import Departure
from shared.core.model import Priority, Status

PATH = "/v1/chat/completions"
STREAM = {**CHAT, "stream": True}
RETRY = {"x-stainless-retry-count": "1"}


async def accepted(store, count=1):
    await until(lambda: len(store.rows) >= count)
    return list(store.rows)[-1]


async def test_a_held_chat_is_the_providers_answer_with_what_it_took(client, served):
    answer = await client.post(PATH, json=CHAT)
    assert (answer.status_code, answer.json()) == (200, COMPLETION)
    job = served.rows[served.only].job
    assert answer.headers["x-headrace-job-id"] == job.id
    assert answer.headers["x-headrace-deployment"] == "alpha/sim"
    assert answer.headers["x-headrace-attempts"] == "1"
    assert answer.headers["x-headrace-queue-ms"] == "40"
    assert answer.headers["x-headrace-cost-usd"] == "0.001250"
    assert float(answer.headers["x-headrace-overhead-ms"]) >= 0
    assert (job.priority, job.deadline_ms) == (Priority.INTERACTIVE, 600_000)
    assert job.watcher == served.id
    assert served.watches[job.id] == set()


async def test_a_held_chat_leaves_nothing_behind_for_a_collection(client, served):
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            assert (await client.post(PATH, json=CHAT)).status_code == 200
        await until(lambda: not any(isinstance(one, Departure) for one in gc.get_objects()))
    finally:
        gc.enable()


async def test_a_result_that_did_not_come_along_is_read_from_the_store(client, served):
    served.inline_results = False
    assert (await client.post(PATH, json=CHAT)).json() == COMPLETION


async def test_an_embedding_is_held_like_a_chat(client, served):
    answer = await client.post("/v1/embeddings", json={"model": "embed", "input": ["a", "b"]})
    assert answer.status_code == 200
    assert served.rows[served.only].record.lane == "alpha/embed@shared"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"message": "bad", "code": "invalid_request", "status": 400, "param": "tools"}, 400),
        ({"message": "filtered", "code": "content_filter", "status": 400}, 400),
        ({"message": "busy", "code": "no_capacity", "status": 503}, 503),
        ({"message": "limited", "code": "rate_limit_exceeded", "status": 429}, 502),
        ({"message": "slow", "code": "all_attempts_failed", "status": 504}, 504),
        ({"message": "died", "code": "dead_letter"}, 500),
        ({}, 502),
    ],
)
async def test_a_failed_job_answers_with_its_error_and_never_with_429(client, store, error, status):
    store.on_accept = lambda job_id: store.fail(job_id, error)
    answer = await client.post(PATH, json=CHAT)
    assert answer.status_code == status
    assert answer.headers["x-should-retry"] == "false"
    told = answer.json()["error"]
    assert set(told) == {"message", "type", "param", "code"}
    assert told["param"] == error.get("param")


@pytest.mark.parametrize(("end", "status"), [(Status.CANCELLED, 409), (Status.EXPIRED, 504)])
async def test_a_job_that_ended_otherwise_says_so(client, store, end, status):
    store.on_accept = lambda job_id: store.end(job_id, end)
    answer = await client.post(PATH, json=CHAT)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (status, "false")


async def test_a_wait_that_is_over_is_a_504_and_the_job_goes_on(client, store):
    answer = await client.post(PATH, json=CHAT, headers={"x-headrace-wait-s": "0.01"})
    assert answer.status_code == 504
    assert answer.headers["location"] == f"/v1/jobs/{store.only}"
    assert answer.headers["x-should-retry"] == "false"
    assert answer.json()["error"]["job_id"] == store.only
    assert store.rows[store.only].record.status is Status.QUEUED
    assert store.cancelled == []


async def test_respond_async_answers_with_the_job(client, store):
    answer = await client.post(PATH, json=CHAT, headers={"Prefer": "wait=5, respond-async"})
    assert (answer.status_code, answer.json()["object"]) == (202, "job")
    assert answer.headers["preference-applied"] == "respond-async"
    job = store.rows[store.only].job
    assert (job.priority, job.live, job.watcher) == (Priority.NORMAL, None, None)


async def test_wishes_are_set_by_header(client, store):
    headers = {
        "Prefer": "respond-async", "x-headrace-priority": "BULK",
        "x-headrace-deadline-s": "1.5", "x-headrace-paid": "never",
    }  # fmt: skip
    await client.post(PATH, json=CHAT, headers=headers)
    job = store.rows[store.only].job
    assert (job.priority, job.deadline_ms) == (Priority.BULK, 1_500)
    assert orjson.loads(job.doc)["paid"] == "never"


async def test_an_sdks_retry_joins_its_live_job(client, store):
    first = asyncio.create_task(client.post(PATH, json=CHAT))
    job_id = await accepted(store)
    again = asyncio.create_task(client.post(PATH, json=CHAT, headers=RETRY))
    await until(lambda: len(store.watches[job_id]) == 2)
    store.start(job_id)
    store.complete(job_id, COMPLETION)
    assert [(await task).json() for task in (first, again)] == [COMPLETION] * 2
    assert store.only == job_id


@pytest.mark.parametrize(("key", "body"), [(BOB, CHAT), (ALICE, {**CHAT, "seed": 1})])
async def test_a_retry_of_somebody_or_something_else_joins_nothing(store, key, body):
    app, _ = application(store)
    async with client_for(app) as alice, client_for(app, key) as other:
        first = asyncio.create_task(alice.post(PATH, json=CHAT))
        await accepted(store)
        second = asyncio.create_task(other.post(PATH, json=body, headers=RETRY))
        await accepted(store, 2)
        for job_id in store.rows:
            store.complete(job_id, COMPLETION)
        await asyncio.gather(first, second)


async def test_too_many_held_requests_are_refused_before_anything_is_accepted(store):
    app, _ = application(store, max_held=1)
    async with client_for(app) as client:
        first = asyncio.create_task(client.post(PATH, json=CHAT))
        job_id = await accepted(store)
        second = await client.post(PATH, json=CHAT)
        store.complete(job_id, COMPLETION)
        await first
    assert (second.status_code, second.headers["x-should-retry"]) == (503, "true")
    assert store.only == job_id


# -- streams


def lines(text):
    return [line.removeprefix("data: ") for line in text.split("\n\n") if line.startswith("data: ")]


def streaming(store, *, usage=False, end=COMPLETION):
    def work(job_id):
        store.start(job_id)
        store.delta(job_id, chunk("Hel"))
        store.delta(job_id, chunk("lo.", "stop"))
        if usage:
            store.delta(job_id, USAGE_CHUNK)
        if end is COMPLETION:
            store.complete(job_id, COMPLETION)
        else:
            store.fail(job_id, end)

    store.on_accept = work


async def test_a_stream_is_the_jobs_deltas_and_done(client, store):
    streaming(store, usage=True)
    answer = await client.post(PATH, json=STREAM)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-headrace-deployment"] == "alpha/sim"
    *chunks, done = lines(answer.text)
    assert [orjson.loads(one) for one in chunks] == [chunk("Hel"), chunk("lo.", "stop")]
    assert done == "[DONE]"


@pytest.mark.parametrize("told", [True, False])
async def test_a_stream_tells_its_usage_if_asked(client, store, told):
    streaming(store, usage=told)
    wish = {"stream_options": {"include_usage": True}}
    answer = await client.post(PATH, json={**STREAM, **wish})
    last = orjson.loads(lines(answer.text)[-2])
    assert (last["choices"], last["usage"]) == ([], COMPLETION["usage"])


async def test_an_answer_that_came_whole_is_streamed_all_the_same(client, served):
    answer = await client.post(PATH, json=STREAM)
    first, last, done = lines(answer.text)
    assert orjson.loads(first)["choices"][0]["delta"]["content"] == "Hello."
    assert orjson.loads(last)["choices"][0]["finish_reason"] == "stop"
    assert done == "[DONE]"


async def test_trouble_before_the_first_token_has_its_status(client, store):
    store.on_accept = lambda job_id: store.fail(job_id, {"message": "no", "status": 400})
    assert (await client.post(PATH, json=STREAM)).status_code == 400


async def test_trouble_after_it_is_an_error_line_without_done(client, store):
    streaming(store, end={"message": "it broke", "code": "all_attempts_failed", "status": 502})
    answer = await client.post(PATH, json=STREAM)
    last = orjson.loads(lines(answer.text)[-1])
    assert (answer.status_code, last["error"]["message"]) == (200, "it broke")


async def test_a_stream_that_waits_opens_and_says_that_it_lives(store):
    app, _ = application(store, first_byte_s=0.0, keepalive_s=0.001)
    async with client_for(app) as client:
        answer = asyncio.create_task(client.post(PATH, json=STREAM))
        job_id = await accepted(store)
        await asyncio.sleep(0.02)
        store.fail(job_id, {"message": "late", "status": 400})
        text = (await answer).text
    assert ": keep-alive" in text
    assert orjson.loads(lines(text)[-1])["error"]["message"] == "late"


async def test_an_open_stream_whose_wait_is_over_ends_with_an_error(store):
    app, _ = application(store, first_byte_s=0.0)
    async with client_for(app) as client:
        answer = await client.post(PATH, json=STREAM, headers={"x-headrace-wait-s": "0.02"})
    assert answer.status_code == 200
    assert orjson.loads(lines(answer.text)[-1])["error"]["code"] == "still_running"
    assert store.cancelled == []


# -- dropped clients, over real sockets


def send(server, body, headers=""):
    raw = orjson.dumps(body)
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ALICE}\r\n{headers}"
        f"Content-Length: {len(raw)}\r\n\r\n"
    )
    peer = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    peer.sendall(head.encode() + raw)
    return peer


def test_a_dropped_client_cancels_its_job():
    with running(FakeStore()) as server:
        peer = send(server, CHAT)
        server.wait(accepted(server.store))
        peer.close()
        server.wait(until(lambda: server.store.cancelled))
        assert server.store.cancelled == [server.store.only]


def test_a_client_that_drops_its_stream_midway_cancels_its_job():
    with running(FakeStore()) as server:
        peer = send(server, STREAM)
        job_id = server.wait(accepted(server.store))
        server.call(server.store.delta, job_id, chunk("Hel"))
        assert peer.recv(1)
        peer.close()
        server.wait(until(lambda: server.store.cancelled))


@pytest.mark.parametrize(
    "headers", ["x-headrace-on-disconnect: keep\r\n", "Idempotency-Key: once\r\n"]
)
def test_a_dropped_client_that_wants_its_job_kept_cancels_nothing(headers):
    with running(FakeStore()) as server:
        peer = send(server, CHAT, headers)
        server.wait(accepted(server.store))
        peer.close()
        server.wait(until(lambda: not server.service._interrupts))
        server.wait(until(lambda: not server.service._tasks))
        assert server.store.cancelled == []


def test_a_dropped_client_whose_retry_came_back_cancels_nothing():
    with running(FakeStore()) as server:
        store = server.store
        first = send(server, CHAT)
        job_id = server.wait(accepted(store))
        second = send(server, CHAT, "x-stainless-retry-count: 1\r\n")
        server.wait(until(lambda: len(store.watches[job_id]) == 2))
        first.close()
        server.wait(until(lambda: len(store.watches[job_id]) == 1))
        server.wait(until(lambda: not server.service._tasks))
        server.call(store.complete, job_id, COMPLETION)
        with second:
            assert second.recv(12) == b"HTTP/1.1 200"
        assert store.cancelled == []


def test_a_server_that_goes_down_sends_its_callers_back_for_their_job():
    server_store = FakeStore()
    with running(server_store) as server:
        peer = send(server, CHAT)
        server.wait(accepted(server_store))
    with peer, peer.makefile("rb") as file:
        answer = file.read()
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"x-should-retry: true" in answer
    assert b"shutting_down" in answer
    assert server_store.cancelled == []


async def test_a_server_that_goes_down_accepts_nothing(store):
    app, service = application(store)
    service.drain()
    async with client_for(app) as client:
        answer = await client.post("/v1/jobs", json={"kind": "chat", "request": CHAT})
        ready = await client.get("/readyz")
    assert (answer.status_code, answer.headers["connection"]) == (503, "close")
    assert ready.status_code == 503
    assert store.rows == {}
