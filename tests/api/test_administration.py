"""Credentials, providers and API keys are administered over HTTP, by admins, without leaking."""

import asyncio

import orjson
import pytest
from api_fakes import ADMIN, ALICE, CHAT, administration, application, client_for

from shared.errors import StoreError
from shared.store.tables import DEAD_MS, Rest

SECRET = "sk-brand-new-0123456789"
PUBLIC = "https://203.0.114.7/v1"
PROVIDER = {"id": "gamma", "base_url": PUBLIC, "models": [{"id": "gamma-1"}]}


@pytest.fixture
async def admin(store):
    app, _ = application(store)
    async with client_for(app, ADMIN) as made:
        yield made


async def new_credential(admin, **more):
    answer = await admin.post("/v1/credentials", json={"provider": "beta", "key": SECRET, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_new_credential_opens_its_providers_models_at_once(admin):
    request = {"kind": "chat", "request": {**CHAT, "model": "only-beta"}}
    assert (await admin.post("/v1/jobs", json=request)).status_code == 404
    made = await new_credential(admin, plan="free", name="my own")
    assert (made["status"], made["source"], made["plan_source"]) == ("ok", "api", "declared")
    job = (await admin.post("/v1/jobs", json=request)).json()
    assert job["route"]["chosen"] == "beta/only-beta"
    gone = await admin.delete(f"/v1/credentials/{made['id']}")
    assert gone.json() == {"id": made["id"], "object": "credential", "deleted": True}
    assert (await admin.post("/v1/jobs", json=request)).status_code == 404


async def test_no_answer_and_no_row_holds_a_secret(admin, store):
    made = await new_credential(admin)
    path = f"/v1/credentials/{made['id']}"
    answers = [
        await admin.get("/v1/credentials"),
        await admin.get(path),
        await admin.patch(path, json={"enabled": False}),
        await admin.post("/v1/credentials", json={"provider": "beta", "key": SECRET}),
        await admin.post("/v1/credentials", json={"provider": "nobody", "key": SECRET}),
        await admin.post("/v1/credentials", json={"provider": "beta", "key": f"{SECRET} x"}),
        await admin.get("/v1/providers"),
    ]
    assert not [answer.url for answer in answers if SECRET in answer.text]
    assert SECRET.encode() not in orjson.dumps(store.tables.nouns)
    assert made["tail"] == "…6789"
    assert [answer.status_code for answer in answers[3:6]] == [409, 404, 400]
    assert answers[5].json()["error"]["param"] == "key"


async def test_a_sealed_secret_moved_to_another_row_is_not_used(admin, store):
    made = await new_credential(admin)
    rows = store.tables.nouns["credentials"]
    rows["cred_other"] = rows.pop(made["id"])
    store.tables.version += 1
    await admin.post("/v1/keys", json={"name": "any"})
    found = (await admin.get("/v1/credentials/cred_other")).json()
    assert found["status"] == "unusable"


async def test_disabling_takes_a_credential_out_and_enabling_brings_it_back(admin):
    made = await new_credential(admin)
    path = f"/v1/credentials/{made['id']}"
    names = set()
    for enabled in (False, True):
        found = (await admin.patch(path, json={"enabled": enabled})).json()
        names.add((found["status"], await models(admin)))
    assert names == {("disabled", False), ("ok", True)}


async def models(admin):
    data = (await admin.get("/v1/models")).json()["data"]
    return "beta/only-beta" in {model["id"] for model in data}


async def test_a_credential_serves_only_the_models_it_is_allowed(admin):
    await new_credential(admin, allowed_models=["beta/only-beta"])
    data = {model["id"]: model for model in (await admin.get("/v1/models")).json()["data"]}
    request = {"kind": "chat", "request": {**CHAT, "model": "beta/sim"}}
    assert "beta/only-beta" in data
    assert (await admin.post("/v1/jobs", json=request)).status_code == 404


async def test_an_edit_takes_a_dead_credential_back(admin, store):
    made = await new_credential(admin)
    path = f"/v1/credentials/{made['id']}"
    store.tables.resting[f"c:{made['id']}"] = Rest(DEAD_MS, "unauthorized")
    dead = (await admin.get(path)).json()
    assert (dead["status"], dead["reason"], dead["until"]) == ("dead", "unauthorized", None)
    rotated = (await admin.patch(path, json={"key": "sk-rotated-00000000abcd"})).json()
    assert (rotated["status"], rotated["tail"]) == ("ok", "…abcd")


async def test_what_the_configuration_holds_is_shown_and_only_its_use_is_changed_here(admin):
    path = "/v1/credentials/a1"
    shown = (await admin.get(path)).json()
    assert (shown["source"], shown["plan"], shown["tail"]) == ("configuration", "free", "…6789")
    assert (await admin.delete(path)).status_code == 409
    refused = await admin.patch(path, json={"key": "sk-another-0123456789"})
    assert (refused.status_code, refused.json()["error"]["param"]) == (409, "key")
    off = (await admin.patch(path, json={"enabled": False})).json()
    assert off["status"] == "disabled"
    assert (await admin.get("/readyz")).json()["checks"] != {}


async def test_without_a_master_key_no_secret_is_taken(store):
    app, service = application(store)
    service.admin = administration(store.tables, vault=None)
    async with client_for(app, ADMIN) as admin:
        answer = await admin.post("/v1/credentials", json={"provider": "beta", "key": SECRET})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_secret_key")
    assert "HEADRACE_SECRET_KEY" in answer.json()["error"]["message"]


async def test_a_test_is_run_by_a_worker_and_its_answer_is_told(admin, store):
    store.on_accept = lambda job_id: store.test(job_id, models=["a", "b", "c"])
    found = (await admin.post("/v1/credentials/a1/test")).json()
    assert (found["valid"], found["model_count"], found["plan"]) == (True, 3, "free")
    assert found["object"] == "credential.test"
    job = orjson.loads(store.rows[store.only].job.doc)
    assert (job["actor_name"], job["kwargs"]) == ("check_credential", {"credential": "a1"})
    assert (await admin.post("/v1/credentials/none/test")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/credentials"),
        ("POST", "/v1/credentials"),
        ("GET", "/v1/credentials/a1"),
        ("PATCH", "/v1/credentials/a1"),
        ("DELETE", "/v1/credentials/a1"),
        ("POST", "/v1/credentials/a1/test"),
        ("POST", "/v1/providers"),
        ("PATCH", "/v1/providers/alpha"),
        ("DELETE", "/v1/providers/alpha"),
        ("GET", "/v1/keys"),
        ("POST", "/v1/keys"),
        ("PATCH", "/v1/keys/k"),
        ("DELETE", "/v1/keys/k"),
        ("POST", "/v1/keys/k/rotate"),
    ],
)
async def test_only_admins_administer(store, method, path):
    app, _ = application(store)
    async with client_for(app, ALICE) as alice:
        answer = await alice.request(method, path, json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "admin_only")


async def test_a_provider_is_added_with_its_key_changed_and_taken_away(admin):
    made = await admin.post("/v1/providers", json={**PROVIDER, "key": SECRET})
    assert made.status_code == 201, made.text
    shown = made.json()
    assert (shown["source"], shown["credentials"], shown["deployments"]) == ("api", 1, 1)
    models = [{"id": "gamma-1"}, {"id": "gamma-2", "limits": {"free": {"rpm": 7}}}]
    changed = await admin.patch("/v1/providers/gamma", json={"models": models})
    assert changed.json()["deployments"] == 2
    again = await admin.post("/v1/providers", json=PROVIDER)
    assert (again.status_code, again.json()["error"]["param"]) == (409, "id")
    assert (await admin.delete("/v1/providers/gamma")).json()["deleted"]
    assert (await admin.get("/v1/providers/gamma")).status_code == 404
    left = (await admin.get("/v1/credentials")).json()["data"]
    assert {one["provider"] for one in left} == {"alpha"}


async def test_no_key_outlives_its_provider_where_the_store_fails_in_the_middle(
    admin, store, monkeypatch
):
    assert (await admin.post("/v1/providers", json={**PROVIDER, "key": SECRET})).status_code == 201
    put, works = store.tables.put, iter((True, False))

    async def breaks(noun, id_, was, now):
        if now is None and not next(works):
            raise StoreError("writing: it is gone")
        return await put(noun, id_, was, now)

    monkeypatch.setattr(store.tables, "put", breaks)
    assert (await admin.delete("/v1/providers/gamma")).status_code == 503
    monkeypatch.undo()
    assert store.tables.nouns["credentials"] == {}, "or it would be sent to the next gamma"
    assert (await admin.delete("/v1/providers/gamma")).json()["deleted"]


async def test_a_provider_of_the_configuration_is_changed_there(admin):
    for method in ("PATCH", "DELETE"):
        answer = await admin.request(method, "/v1/providers/alpha", json={})
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_of_the_api")


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8000/v1",
        "http://localhost:8000/v1",
        "http://10.1.2.3/v1",
        "http://169.254.169.254/latest",
        "http://[::1]/v1",
        "http://[::ffff:127.0.0.1]/v1",
        "http://127.1/v1",
        "http://2130706433/v1",
        "http://100.64.0.1/v1",
    ],
)
async def test_a_private_address_is_refused_unless_it_is_allowed(store, address):
    app, service = application(store)
    async with client_for(app, ADMIN) as admin:
        answer = await admin.post("/v1/providers", json={**PROVIDER, "base_url": address})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "private_address")
        service.admin = administration(store.tables, allow_private=True)
        answer = await admin.post("/v1/providers", json={**PROVIDER, "base_url": address})
        assert answer.status_code == 201


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({**PROVIDER, "id": "no good"}, "id"),
        ({**PROVIDER, "base_url": "ftp://somewhere"}, "base_url"),
        ({**PROVIDER, "base_url": "http://user:secret@host/v1"}, "base_url"),
        ({**PROVIDER, "base_url": "http://[::::]/v1"}, "base_url"),
        ({**PROVIDER, "base_url": "http://host:99999/v1"}, "base_url"),
        ({**PROVIDER, "base_url": "http://host/v1?key=x"}, "base_url"),
        ({**PROVIDER, "models": []}, "models"),
        ({**PROVIDER, "models": [{"id": "m", "limits": {"free": {"rpn": 1}}}]}, "models[0]"),
        ({**PROVIDER, "quirks": {"chat_path": "chat"}}, "quirks.chat_path"),
        ({"id": "gamma", "models": [{"id": "m"}]}, "base_url"),
        ({**PROVIDER, "modles": []}, "modles"),
    ],
)
async def test_a_bad_provider_is_refused_by_the_name_of_the_field(admin, body, param):
    answer = await admin.post("/v1/providers", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith(param)


async def test_an_api_key_works_at_once_is_rotated_and_is_revoked(store):
    app, _ = application(store)
    async with client_for(app, ADMIN) as admin:
        body = {"name": "reports", "weight": 3, "allowed_models": ["alpha/tiny"]}
        made = (await admin.post("/v1/keys", json=body)).json()
        assert (made["role"], made["tenant"], made["weight"]) == ("user", "reports", 3)
        path = f"/v1/keys/{made['id']}"
        assert await sees(app, made["key"]) == {"alpha/tiny"}
        rotated = (await admin.post(f"{path}/rotate")).json()
        assert await sees(app, made["key"]) == 401
        await admin.patch(path, json={"allowed_models": None})
        assert len(await sees(app, rotated["key"])) > 1
        listed = (await admin.get("/v1/keys")).text
        assert made["key"] not in listed
        assert rotated["key"] not in listed
        again = await admin.post("/v1/keys", json=body)
        assert (again.status_code, again.json()["error"]["param"]) == (409, "name")
        assert (await admin.delete(path)).json()["deleted"]
        assert await sees(app, rotated["key"]) == 401
    assert not any("key" in row for row in store.tables.nouns["apikeys"].values())


async def sees(app, key):
    async with client_for(app, key) as client:
        answer = await client.get("/v1/models")
    if answer.status_code != 200:
        return answer.status_code
    return {model["id"] for model in answer.json()["data"] if "/" in model["id"]}


async def test_keys_of_the_configuration_are_listed_and_changed_there(admin):
    found = (await admin.get("/v1/keys")).json()["data"]
    alice = next(one for one in found if one["name"] == "alice")
    assert (alice["source"], alice["weight"], alice["created_at"]) == ("configuration", 3, None)
    assert (await admin.delete(f"/v1/keys/{alice['id']}")).status_code == 409


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/providers/gamma", "models"),
        ("/v1/providers/gamma", "base_url"),
        ("/v1/credentials/a1", "enabled"),
        ("/v1/credentials/a1", "priority"),
        ("/v1/credentials/a1", "key"),
        ("/v1/keys/any", "role"),
        ("/v1/keys/any", "weight"),
    ],
)
async def test_what_has_no_empty_value_cannot_be_null(admin, path, field):
    await admin.post("/v1/providers", json=PROVIDER)
    answer = await admin.patch(path, json={field: None})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)


@pytest.mark.parametrize("name", ["shared", "system"])
async def test_names_of_our_own_are_no_tenants(admin, name):
    assert (await admin.post("/v1/keys", json={"name": name})).status_code == 400
    body = {"provider": "beta", "key": SECRET, "tenant": name}
    assert (await admin.post("/v1/credentials", json=body)).status_code == 400


async def test_two_changes_at_once_both_count(admin, store):
    made = await new_credential(admin)
    path = f"/v1/credentials/{made['id']}"
    changes = ({"priority": 5}, {"name": "both"}, {"organisation": "org"})
    await asyncio.gather(*(admin.patch(path, json=change) for change in changes))
    found = (await admin.get(path)).json()
    assert (found["priority"], found["name"], found["organisation"]) == (5, "both", "org")


async def test_a_user_sees_the_providers_and_nothing_of_other_tenants_credentials(store):
    app, _ = application(store)
    async with client_for(app, ADMIN) as admin, client_for(app, ALICE) as alice:
        await new_credential(admin, tenant="bob")
        mine = {one["id"]: one for one in (await alice.get("/v1/providers")).json()["data"]}
        all_ = {one["id"]: one for one in (await admin.get("/v1/providers")).json()["data"]}
    assert mine["beta"]["credentials"] == 0
    assert all_["beta"]["credentials"] == 1


@pytest.mark.parametrize(
    "name",
    [
        "context_window",
        "max_output_tokens",
        "max_audio_bytes",
        "max_audio_seconds",
        "min_billed_seconds",
        "audio_tokens_per_second",
        "priority",
        "token_factor",
        "limits.free.rpm",
        "limits.free.asd",
        "limits.free.concurrency",
        "price_usd_per_1m.input",
    ],
)
async def test_a_number_that_no_store_can_hold_is_refused_by_name(admin, name):
    given = "HUGE"
    for part in reversed(name.split(".")):
        given = {part: given}
    asked = orjson.dumps({**PROVIDER, "models": [{"id": "gamma-1", **given}]})
    huge = asked.replace(b'"HUGE"', b"2577087285079622287360")  # of more than 64 bits
    told = (await admin.post("/v1/providers", content=huge)).json()["error"]
    assert told["code"] == "invalid_value"
    assert f"{name}: should be less than or equal to" in told["message"]
