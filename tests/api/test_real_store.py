"""The application on a real Valkey: what other tests show on a store in memory holds there."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from api_fakes import ALICE, BOB, CHAT, FakeStore, client_for, wiring

from api.app import create_app
from shared.clock import SystemClock
from shared.store import connect
from shared.store.inbox import Inbox
from shared.store.jobs import Jobs
from shared.store.lanes import Lanes

JOB = {"kind": "chat", "request": CHAT}
PATH = "/v1/chat/completions"


@asynccontextmanager
async def served(url):
    writes, reads, subscriber = connect.producer(url), connect.commands(url), connect.pubsub(url)
    inbox = Inbox(subscriber, reads)
    wired = replace(
        wiring(FakeStore()),
        jobs=Jobs(writes, reads),
        lanes=Lanes(reads),
        inbox=inbox,
        clock=SystemClock(),
    )
    await inbox.start()
    try:
        yield create_app(wired)
    finally:
        await inbox.close()
        for client in (writes, reads, subscriber):
            await client.aclose()


@pytest.fixture
async def app(valkey):
    async with served(valkey.url) as made:
        yield made


async def test_a_job_is_the_same_on_acceptance_and_later(app):
    async with client_for(app) as client:
        assert (await client.get("/readyz")).status_code == 200
        answer = await client.post("/v1/jobs", json={**JOB, "deadline_s": 60})
        first = answer.json()
        later = (await client.get(answer.headers["location"])).json()
        listed = (await client.get("/v1/jobs?status=queued")).json()["data"]
    assert answer.status_code == 202
    waiting = later.pop("waiting")
    assert (waiting["reason"], waiting["position"], waiting["eta"]) == ("no_worker", 0, None)
    first.pop("waiting")
    assert later == first
    assert [job["id"] for job in listed] == [first["id"]]


async def test_keys_conflicts_and_tenants_are_told_apart(app):
    key = {"Idempotency-Key": "once"}
    async with client_for(app) as alice, client_for(app, BOB) as bob:
        first = await alice.post("/v1/jobs", json=JOB, headers=key)
        again = await alice.post("/v1/jobs", json=JOB, headers=key)
        other = await alice.post("/v1/jobs", json={**JOB, "priority": "bulk"}, headers=key)
        path = f"/v1/jobs/{first.json()['id']}"
        unseen = [await bob.get(path), await bob.post(f"{path}/cancel")]
        twin = await bob.post("/v1/jobs", json=JOB, headers=key)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert other.status_code == 409
    assert [answer.status_code for answer in unseen] == [404, 404]
    assert twin.json()["id"] != first.json()["id"]


async def test_events_follow_a_cancelled_job_to_its_end_and_a_replay_beyond(app):
    async with client_for(app) as client:
        path = (await client.post("/v1/jobs", json=JOB)).headers["location"]
        following = asyncio.create_task(client.get(f"{path}/events"))
        waiting = asyncio.create_task(client.get(f"{path}?wait=20"))
        assert (await client.post(f"{path}/cancel")).json()["status"] == "cancelled"
        text = (await following).text
        assert (await waiting).json()["status"] == "cancelled"
        assert (await client.post(f"{path}/replay")).status_code == 202
        assert (await client.get(path)).json()["status"] == "queued"
    assert "id: 1\nevent: job.queued" in text
    assert "id: 2\nevent: job.cancelled" in text


async def test_a_held_request_hears_of_its_jobs_end_and_a_retry_joins_it(app):
    async with client_for(app, ALICE) as client:
        first = asyncio.create_task(client.post(PATH, json=CHAT))
        jobs = []

        async def look():
            jobs[:] = (await client.get("/v1/jobs")).json()["data"]

        while not jobs:
            await look()
        retry = {"x-stainless-retry-count": "1"}
        again = asyncio.create_task(client.post(PATH, json=CHAT, headers=retry))
        await asyncio.sleep(0.05)
        await client.post(f"/v1/jobs/{jobs[0]['id']}/cancel")
        answers = [await first, await again]
        await look()
    assert len(jobs) == 1
    assert [answer.status_code for answer in answers] == [409, 409]
    assert {answer.headers["x-headrace-job-id"] for answer in answers} == {jobs[0]["id"]}


async def test_a_store_that_has_gone_is_503_at_once_for_reads(valkey):
    async with served(valkey.url) as app, client_for(app) as client:
        valkey.stop()
        answer = await client.get("/v1/jobs")
        ready = await client.get("/readyz")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
    assert ready.json()["checks"]["store"] != "ok"
