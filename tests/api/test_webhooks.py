"""Webhook endpoints as the openai SDK manages them, and what a job shows of its deliveries."""

import orjson
import pytest
from api_fakes import ALICE, BOB, CHAT, MASTER, START_MS, FakeStore, application, client_for
from openai import AsyncOpenAI, BadRequestError, ConflictError, NotFoundError

from api.main import bounds
from shared.core.model import Status
from shared.settings import load
from shared.store.hooks import ACTOR, endpoint_id, telling_job
from shared.wire.webhooks import new_secret

URL = "https://hooks.example/told"
JOB = {"kind": "chat", "request": CHAT}


def sdk(store: FakeStore, key: str = ALICE, **bounds) -> AsyncOpenAI:
    app, _ = application(store, **({"private_webhooks": True} | bounds))
    http = client_for(app, None)
    return AsyncOpenAI(base_url="http://headrace.test/v1", api_key=key, http_client=http)


async def made(client: AsyncOpenAI, url: str = URL, **more):
    types = ["response.completed", "batch.completed"]
    return await client.webhooks.create(name="n", url=url, event_types=types, **more)


def sealed(store: FakeStore, url: str = URL) -> list[str]:
    endpoint = store.hooks.rows["alice", endpoint_id("alice", url)]
    texts = endpoint.signing(store.clock.now_ms())
    return [MASTER.unseal(text, endpoint.id).reveal() for text in texts]


async def test_an_endpoint_is_made_listed_changed_and_removed_by_the_sdk(store):
    client = sdk(store)
    endpoint = await made(client)
    assert endpoint.signing_secret.startswith("whsec_")
    assert endpoint.signing_secret_hint == f"…{endpoint.signing_secret[-4:]}"
    assert endpoint.created_at == START_MS // 1000
    assert sealed(store) == [endpoint.signing_secret]
    assert [one.id async for one in client.webhooks.list(limit=1)] == [endpoint.id]
    seen = await client.webhooks.retrieve(endpoint.id)
    assert "signing_secret" not in seen.model_dump()
    store.clock.advance(5_000)
    changed = await client.webhooks.update(endpoint.id, event_types=["batch.failed"])
    assert (changed.event_types, changed.name) == (["batch.failed"], "n")
    assert changed.updated_at == endpoint.updated_at + 5
    gone = await client.webhooks.delete(endpoint.id)
    assert (gone.deleted, gone.object) == (True, "webhook_endpoint.deleted")
    with pytest.raises(NotFoundError):
        await client.webhooks.retrieve(endpoint.id)


async def test_pages_of_endpoints_follow_each_other(store):
    client = sdk(store)
    ids = [(await made(client, f"{URL}/{n}")).id for n in range(5)]
    assert [one.id async for one in client.webhooks.list(limit=2)] == ids[::-1]


async def test_an_address_that_an_endpoint_left_is_free_again(store):
    client = sdk(store)
    first = await made(client)
    await client.webhooks.update(first.id, url=f"{URL}/other")
    second = await made(client)
    assert second.id != first.id
    with pytest.raises(ConflictError):
        await made(client)
    app, _ = application(store, private_webhooks=True)
    async with client_for(app) as http:
        job = (await http.post("/v1/jobs", json=JOB | {"webhook": URL})).json()
    assert job["webhook"]["endpoint"] == second.id
    assert {one.id async for one in client.webhooks.list()} == {first.id, second.id}


async def test_no_secret_is_kept_in_the_clear(store):
    client = sdk(store)
    endpoint = await made(client)
    secret = endpoint.signing_secret.removeprefix("whsec_")
    assert secret not in repr(store.hooks.rows)
    app, _ = application(store, private_webhooks=True)
    own = new_secret()
    async with client_for(app) as http:
        answer = await http.post("/v1/jobs", json=JOB | {"webhook": {"url": URL, "secret": own}})
    assert answer.status_code == 202
    assert own.removeprefix("whsec_") not in answer.text
    assert own.removeprefix("whsec_") not in repr(store.rows[store.only].job)


async def test_an_address_belongs_to_one_endpoint(store):
    client = sdk(store)
    await made(client)
    with pytest.raises(ConflictError) as caught:
        await made(client, f"{URL}?job=7")
    assert caught.value.code == "webhook_exists"


async def test_another_tenants_endpoint_is_not_there(store):
    endpoint = await made(sdk(store))
    other = sdk(store, BOB)
    assert [one async for one in other.webhooks.list()] == []
    for call in (
        other.webhooks.retrieve(endpoint.id),
        other.webhooks.update(endpoint.id, name="mine"),
        other.webhooks.delete(endpoint.id),
        other.webhooks.rotate_secret(endpoint.id),
        other.webhooks.test(endpoint.id, event_type="batch.completed"),
    ):
        with pytest.raises(NotFoundError):
            await call


async def test_a_rotated_secret_is_joined_by_the_old_one_for_a_day_if_asked(store):
    client = sdk(store)
    first = (await made(client)).signing_secret
    id_ = endpoint_id("alice", URL)
    second = (
        await client.webhooks.rotate_secret(id_, keep_old_secret_active_for_24_hours=True)
    ).signing_secret
    assert sealed(store) == [second, first]
    store.clock.advance(86_400_000)
    assert sealed(store) == [second]
    third = (await client.webhooks.rotate_secret(id_)).signing_secret
    assert sealed(store) == [third]


async def test_a_disabled_endpoint_is_taken_back_by_its_owner(store):
    client = sdk(store)
    id_ = (await made(client)).id
    off = await client.webhooks.update(id_, extra_body={"disabled": True})
    assert off.model_extra["disabled"] == "by its owner"
    back = await client.webhooks.update(id_, extra_body={"disabled": False})
    assert back.model_extra["disabled"] is None


@pytest.mark.parametrize("url", ["http://example.com/", "https://10.0.0.1/", "https://localhost/"])
async def test_an_address_that_is_not_public_is_refused_unless_settings_allow_it(store, url):
    with pytest.raises(BadRequestError) as caught:
        await made(sdk(store, private_webhooks=False), url)
    assert caught.value.param == "url"
    await made(sdk(store), url)


async def test_an_address_is_looked_up_once_a_minute_and_not_for_every_job(store, monkeypatch):
    looked = []

    async def look(url):
        looked.append(url)
        return None if "good" in url else "bad.example"

    monkeypatch.setattr("shared.addresses.private_host", look)
    app, _ = application(store)
    async with client_for(app) as http:
        for host, status in (("good", 202), ("good", 202), ("bad", 400), ("bad", 400)):
            wish = {"webhook": f"https://{host}.example/{len(looked)}"}
            assert (await http.post("/v1/jobs", json=JOB | wish)).status_code == status
    assert [url.partition(".")[0] for url in looked] == [
        "https://good",
        "https://bad",
        "https://bad",
    ]


def test_private_addresses_are_refused_unless_the_setting_says_otherwise(monkeypatch):
    assert not bounds(load()).private_webhooks
    monkeypatch.setenv("HEADRACE_ALLOW_PRIVATE_WEBHOOKS", "true")
    assert bounds(load()).private_webhooks


async def test_a_job_without_a_secret_is_signed_by_its_endpoints(store):
    app, _ = application(store, private_webhooks=True)
    async with client_for(app) as http:
        answer = (await http.post("/v1/jobs", json=JOB | {"webhook": URL})).json()
    id_ = endpoint_id("alice", URL)
    events = ["job.completed", "job.failed", "job.cancelled", "job.expired"]
    assert answer["webhook"] == {"endpoint": id_, "url": URL, "events": events}
    (secret,) = sealed(store)
    assert secret.startswith("whsec_")
    hook = orjson.loads(store.rows[answer["id"]].job.hook)
    assert (hook["id"], hook["url"], hook["secrets"]) == (id_, URL, [])
    # who then creates the endpoint learns of a secret
    named = await made(sdk(store))
    assert (named.id, sealed(store)) == (id_, [named.signing_secret])


async def test_a_jobs_own_secrets_and_events_go_with_it(store):
    app, _ = application(store, private_webhooks=True)
    own = [new_secret(), new_secret()]
    wish = {"url": URL, "secret": own, "events": ["job.failed"]}
    async with client_for(app) as http:
        answer = (await http.post("/v1/jobs", json=JOB | {"webhook": wish})).json()
    hook = orjson.loads(store.rows[answer["id"]].job.hook)
    assert hook["types"] == " job.failed "
    assert [MASTER.unseal(text, hook["id"]).reveal() for text in hook["secrets"]] == own
    assert store.hooks.rows == {}


async def test_too_many_addresses_need_a_secret_of_their_own(store):
    store.hooks.most = 1
    app, _ = application(store, private_webhooks=True)
    async with client_for(app) as http:
        assert (await http.post("/v1/jobs", json=JOB | {"webhook": URL})).status_code == 202
        full = await http.post("/v1/jobs", json=JOB | {"webhook": f"{URL}/2"})
        assert (full.status_code, full.json()["error"]["param"]) == (400, "webhook.secret")
        wish = {"url": f"{URL}/2", "secret": new_secret()}
        assert (await http.post("/v1/jobs", json=JOB | {"webhook": wish})).status_code == 202


async def ended(store: FakeStore, http) -> tuple[str, str]:
    """A job that has ended, and the job that tells of it."""
    answer = await http.post("/v1/jobs", json=JOB | {"webhook": URL})
    job_id = answer.json()["id"]
    store.start(job_id)
    store.complete(job_id, {})
    event = {"id": "evt_1", "type": "job.completed", "created_at": 1, "data": {"id": job_id}}
    told = {"tenant": "alice", "endpoint": endpoint_id("alice", URL), "event": event, "own": None}
    telling = telling_job("alice", told)
    await store.accept(telling)
    await store.hooks.note_told(job_id, telling.id)
    return job_id, telling.id


async def test_a_job_shows_its_deliveries_and_tells_them_again(store):
    app, _ = application(store, private_webhooks=True)
    async with client_for(app) as http:
        job_id, telling = await ended(store, http)
        (shown,) = (await http.get(f"/v1/jobs/{job_id}")).json()["deliveries"]
        assert (shown["id"], shown["event_id"], shown["status"]) == (telling, "evt_1", "pending")
        # what is still being told is not told twice
        again = await http.post(f"/v1/jobs/{job_id}/redeliver")
        assert (again.status_code, len(again.json()["deliveries"])) == (202, 1)
        store.fail(telling, {"message": "the receiver answered 500"})
        (shown,) = (await http.get(f"/v1/jobs/{job_id}")).json()["deliveries"]
        assert (shown["status"], shown["error"]) == ("failed", "the receiver answered 500")
        again = await http.post(f"/v1/jobs/{job_id}/redeliver")
        old, new = again.json()["deliveries"]
        assert (new["status"], new["event_id"]) == ("pending", old["event_id"])
        assert new["id"] != old["id"]
        assert (await http.get(f"/v1/jobs/{telling}")).status_code == 404
    async with client_for(app, BOB) as http:
        assert (await http.post(f"/v1/jobs/{job_id}/redeliver")).status_code == 404


async def test_a_job_that_told_nobody_has_nothing_to_tell_again(store):
    app, _ = application(store)
    async with client_for(app) as http:
        job_id = (await http.post("/v1/jobs", json=JOB)).json()["id"]
        answer = await http.post(f"/v1/jobs/{job_id}/redeliver")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "nothing_to_redeliver")


async def test_a_test_answers_with_the_receivers_status(store):
    def work(job_id: str) -> None:
        assert store.rows[job_id].record.doc["actor_name"] == ACTOR
        assert store.rows[job_id].record.doc["kwargs"]["trial"] is True
        store.start(job_id)
        store.complete(job_id, {"status_code": 418})

    client = sdk(store)
    id_ = (await made(client)).id
    store.on_accept = work
    result = await client.webhooks.test(id_, event_type="batch.completed")
    assert (result.status_code, result.webhook_endpoint_id) == (418, id_)


async def test_a_test_that_reaches_nobody_says_why(store):
    def work(job_id: str) -> None:
        store.fail(job_id, {"message": "connection refused"})

    app, _ = application(store, private_webhooks=True)
    id_ = (await made(sdk(store))).id
    store.on_accept = work
    async with client_for(app) as http:
        answer = await http.post(
            f"/v1/webhook_endpoints/{id_}/test", json={"event_type": "job.completed"}
        )
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "webhook_unreachable")
    assert "connection refused" in answer.json()["error"]["message"]
    assert store.rows[store.only].record.status is Status.FAILED


async def test_the_sdk_lists_what_an_endpoint_may_ask_for(store):
    client = sdk(store)
    types = (await client.webhooks.event_types.list()).data
    assert {"job.completed", "batch.expired", "response.incomplete"} < set(types)
    url = "https://example.com/all"
    every = await client.webhooks.create(name="all", url=url, event_types=types)
    assert every.event_types == types
