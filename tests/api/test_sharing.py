"""What equal requests share, as callers see it: headers, views, and answers of one call."""

import asyncio
from typing import Any

import pytest
from api_fakes import ALICE, BOB, FakeStore, client_for, wiring
from queue_world import World, lane_of, until
from test_real_store import served

from api.app import create_app
from shared.core.model import Usage
from shared.queue.types import Measured, Report, Verdict

EMBED = {"model": "embed", "input": ["a wheel"]}
JOB = {"kind": "embedding", "request": EMBED}
PATH = "/v1/embeddings"
ANSWER = Report(
    Verdict.COMPLETE,
    result=b'{"data":[]}',
    usage=Usage(3, 0),
    cost_microusd=5,
    measured=Measured(5, list_microusd=5),
)
ONE_CALL = {"x-headrace-cost-usd": "0.000005", "x-headrace-attempts": "1"}
NO_CALL = {"x-headrace-cost-usd": "0.000000", "x-headrace-attempts": "0"}


@pytest.fixture
async def world(valkey):
    made = World(valkey.url)
    await made.configure({"alpha/embed@shared": lane_of(), "alpha/sim@shared": lane_of()})
    yield made
    await made.close()


@pytest.fixture
async def app(valkey, world):
    async with served(valkey.url) as made:
        yield made


async def finish_one(world: World) -> None:
    """A worker's part: the one call that there is."""

    async def claimed() -> Any:
        return await world.claim(want=9)

    (claim,) = await until(claimed, "a call is to be made")
    assert await world.finish(claim, ANSWER)


async def followed(world: World, count: int) -> None:
    async def there() -> bool:
        keys = await world.client.keys("{hr}:fol:*")
        return bool(keys) and await world.client.zcard(keys[0]) == count

    await until(there, f"{count} follow")


async def test_held_requests_at_once_are_answered_by_one_call(app, world):
    async with client_for(app) as client:
        first = asyncio.create_task(client.post(PATH, json=EMBED))
        await until(lambda: world.client.keys("{hr}:lead:*"), "the first leads")
        others = [
            asyncio.create_task(client.post(PATH, json=EMBED | {"user": name})) for name in "ab"
        ]
        await followed(world, 2)
        await finish_one(world)
        answers = await asyncio.gather(first, *others)
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, '{"data":[]}')] * 3
    leader, *rest = answers
    assert leader.headers.items() >= ONE_CALL.items()
    assert "x-headrace-shared-with" not in leader.headers
    for answer in rest:
        assert answer.headers.items() >= NO_CALL.items()
        assert answer.headers["x-headrace-shared-with"] == leader.headers["x-headrace-job-id"]
        assert answer.headers["x-headrace-deployment"] == "alpha/embed"


async def test_who_drops_the_leading_request_leaves_the_call_to_the_other(app, world):
    await world.beat("w1")
    async with client_for(app) as client:
        first = (await client.post("/v1/jobs", json=JOB)).json()
        other = (await client.post("/v1/jobs", json=JOB)).json()
        assert (other["shared_with"], other["status"]) == (first["id"], "queued")
        assert other["waiting"]["reason"] == "shared"
        await client.post(f"/v1/jobs/{first['id']}/cancel")
        held = asyncio.create_task(client.get(f"/v1/jobs/{other['id']}?wait=20"))
        await finish_one(world)
        ended = (await held).json()
    assert (ended["status"], ended["shared_with"], ended["cost"]) == ("completed", None, 5e-06)


async def test_a_job_that_follows_says_so_from_the_beginning_to_the_end(app, world):
    async with client_for(app) as client:
        first = (await client.post("/v1/jobs", json=JOB)).json()
        answer = await client.post("/v1/jobs", json=JOB)
        assert answer.status_code == 202
        assert answer.headers["x-headrace-shared-with"] == first["id"]
        path = answer.headers["location"]
        events = asyncio.create_task(client.get(f"{path}/events"))
        await finish_one(world)
        told = (await events).text
        ended = (await client.get(path)).json()
    assert [line for line in told.splitlines() if line.startswith("event")] == [
        "event: job.queued",
        "event: job.completed",
    ]
    assert (ended["status"], ended["result"]) == ("completed", {"data": []})
    assert (ended["shared_with"], ended["cached_from"]) == (first["id"], None)
    assert (ended["cost"], ended["attempts"], ended["usage"]["total_tokens"]) == (0, [], 0)


async def test_a_kept_answer_comes_at_once_whether_one_waits_for_it_or_not(app, world):
    keep = {"x-headrace-cache-s": "60"}
    async with client_for(app) as client:
        first = asyncio.create_task(client.post(PATH, json=EMBED, headers=keep))
        await finish_one(world)
        first = await first
        held = await client.post(PATH, json=EMBED, headers=keep)
        job = await client.post("/v1/jobs", json={**JOB, "cache_s": 60})
    assert "x-headrace-cache" not in first.headers
    assert (held.status_code, held.text) == (200, first.text)
    assert held.headers.items() >= {**NO_CALL, "x-headrace-cache": "hit"}.items()
    assert (job.status_code, job.headers["x-headrace-cache"]) == (200, "hit")
    assert job.json()["cached_from"] == first.headers["x-headrace-job-id"]
    assert job.json()["result"] == {"data": []}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"headers": {"x-headrace-share": "never"}}, {}),
        ({}, {"headers": {"x-headrace-share": "never"}}),
        ({}, {"key": BOB}),
        ({}, {"json": {**JOB, "share": "never"}}),
        ({}, {"json": {**JOB, "request": EMBED | {"dimensions": 5}}}),
        ({}, {"json": {**JOB, "mode": "cheap"}}),
    ],
)
async def test_who_will_not_share_or_is_not_alike_has_a_call_of_its_own(app, first, second):
    found = []
    for options in (first, second):
        given = {"json": JOB} | options
        async with client_for(app, given.pop("key", ALICE)) as client:
            found.append((await client.post("/v1/jobs", **given)).json())
    assert [job["shared_with"] for job in found] == [None, None]


@pytest.mark.parametrize(
    ("request_", "wishes", "shares"),
    [
        ({"temperature": 1}, {}, False),
        ({}, {}, False),
        ({"temperature": 1}, {"share": "always"}, True),
        ({"temperature": 0}, {}, True),
        ({"seed": 7}, {}, True),
        ({"temperature": 0}, {"share": "never"}, False),
        ({"temperature": 0}, {"stream": True}, False),
        ({"temperature": 0}, {"stream": True, "share": "always"}, False),
    ],
)
async def test_chats_share_where_equal_answers_are_to_be_expected(app, request_, wishes, shares):
    asked = {"model": "sim", "messages": [{"role": "user", "content": "Who?"}], **request_}
    async with client_for(app) as client:
        made = [
            (
                await client.post("/v1/jobs", json={"kind": "chat", "request": asked, **wishes})
            ).json()
            for _ in range(2)
        ]
    assert [job["shared_with"] is not None for job in made] == [False, shares]


async def test_what_no_call_was_made_for_is_counted(app, world):
    async with client_for(app) as client:
        for _ in range(3):
            await client.post("/v1/jobs", json={**JOB, "cache_s": 60})
        await finish_one(world)
        await client.post("/v1/jobs", json={**JOB, "cache_s": 60})
        metrics = (await client.get("/metrics")).text
    assert 'headrace_jobs_spared_total{how="shared"} 2.0' in metrics
    assert 'headrace_jobs_spared_total{how="cached"} 1.0' in metrics
    assert 'headrace_jobs_accepted_total{kind="embedding"} 4.0' in metrics


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"headers": {"x-headrace-share": "sometimes"}}, "x-headrace-share"),
        ({"headers": {"x-headrace-cache-s": "-1"}}, "x-headrace-cache-s"),
        ({"headers": {"x-headrace-cache-s": "1e300"}}, "x-headrace-cache-s"),
        ({"json": {**JOB, "share": "sometimes"}}, "share"),
        ({"json": {**JOB, "cache_s": -1}}, "cache_s"),
        ({"json": {**JOB, "cache_s": "60"}}, "cache_s"),
    ],
)
async def test_a_wish_that_is_none_is_refused_by_name(given, param):
    async with client_for(create_app(wiring(FakeStore()))) as client:
        answer = await client.post("/v1/jobs", **({"json": JOB} | given))
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
