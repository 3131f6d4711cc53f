"""Bad input gets a 4xx that names the field, and nothing is accepted."""

import orjson
import pytest
from api_fakes import ALICE, BOB, CHAT, NARROW, FakeStore, application, client_for

JOB = {"kind": "chat", "request": CHAT}
LONG = {**CHAT, "messages": [{"role": "user", "content": "word " * 2000}]}


def chat(**more):
    return orjson.dumps({**CHAT, **more})


def job(**more):
    return orjson.dumps({**JOB, **more})


HUGE = b":2577087285079622287360"
DEEP = b'{"model":"sim","messages":[],"x":' + b"[" * 300 + b"]" * 300 + b"}"
CHATS, JOBS, EMBED = "/v1/chat/completions", "/v1/jobs", "/v1/embeddings"


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("simm", "'sim' or 'alpha/sim'? GET"),
        ("qqqqqqq", "'qqqqqqq'; GET"),
        ("embed", "chat requests"),
    ],
)
async def test_a_model_that_will_not_do_is_answered_in_a_sentence(store, model, told):
    app, _ = application(store)
    async with client_for(app, ALICE) as client:
        answer = await client.post(CHATS, content=chat(model=model))
    assert told in answer.json()["error"]["message"]


REFUSED = [
    ("no body", CHATS, b"", 400, None, "invalid_json"),
    ("cut off", CHATS, b'{"model":', 400, None, "invalid_json"),
    ("not a number", CHATS, b'{"model":"sim","top_p":NaN}', 400, None, "invalid_json"),
    ("half a surrogate", CHATS, rb'{"model":"\ud800"}', 400, None, "invalid_json"),
    ("no object", CHATS, b"[]", 400, None, "invalid_json"),
    ("too deep", CHATS, DEEP, 400, None, "invalid_json"),
    ("too large", CHATS, b" " * 100_001, 413, None, "body_too_large"),
    ("no messages", CHATS, b'{"model":"sim"}', 400, "messages", "missing_required_parameter"),
    ("a wrong type", CHATS, chat(temperature="hot"), 400, "temperature", "invalid_value"),
    ("a wrong item", CHATS, chat(messages=["hi"]), 400, "messages[0]", "invalid_value"),
    ("an unknown model", CHATS, chat(model="simm"), 404, "model", "model_not_found"),
    ("a model without a key", CHATS, chat(model="only-beta"), 404, "model", "model_not_found"),
    ("a model that cannot chat", CHATS, chat(model="embed"), 400, "model", "model_not_suitable"),
    ("too long", CHATS, orjson.dumps(LONG), 400, "messages", "context_length_exceeded"),
    ("too much output", CHATS, chat(max_tokens=401), 400, "max_tokens", "max_tokens_exceeded"),
    (
        "no such capability", CHATS,
        chat(messages=[{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]}]),
        400, "model", "capability_missing",
    ),
    ("a seed of 72 bits", CHATS, chat(seed=0).replace(b":0", HUGE), 400, "seed", "invalid_value"),
    ("72 bits inside", JOBS, job(request={**CHAT, "max_tokens": 0}).replace(b":0", HUGE), 400,
     "request.max_tokens", "invalid_value"),
    ("72 bits of attempts", JOBS, job(max_attempts=0).replace(b":0", HUGE), 400, "max_attempts",
     "invalid_value"),
    ("nothing to embed", EMBED, b'{"model":"embed","input":""}', 400, "input", "invalid_value"),
    ("too long to embed", EMBED, orjson.dumps({"model": "embed-8k", "input": "a"}), 404, "model",
     "model_not_found"),
    ("an unknown field", JOBS, job(prioritty="bulk"), 400, "prioritty", "unknown_parameter"),
    ("an unknown kind", JOBS, job(kind="chats"), 400, "kind", "invalid_value"),
    ("a webhook by http", JOBS, job(webhook="http://example.com"), 400, "webhook",
     "insecure_address"),
    ("a webhook here", JOBS, job(webhook="https://127.1/x"), 400, "webhook", "private_address"),
    ("a webhook there", JOBS, job(webhook={"url": "https://[fd00::1]/x"}), 400, "webhook",
     "private_address"),
    ("a webhook at localhost", JOBS, job(webhook="https://localhost/x"), 400, "webhook",
     "private_address"),
    ("a bad priority", JOBS, job(priority="high"), 400, "priority", "invalid_value"),
    ("no time", JOBS, job(deadline_s=0), 400, "deadline_s", "invalid_value"),
    ("a bad request inside", JOBS, job(request={"model": "sim"}), 400, "request.messages",
     "missing_required_parameter"),
    ("an unknown model inside", JOBS, job(request={**CHAT, "model": "nope"}), 404, "request.model",
     "model_not_found"),
    ("too long inside", JOBS, job(request=LONG), 400, "request.messages",
     "context_length_exceeded"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "body", "status", "param", "code"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
async def test_a_bad_body_is_refused(client, store, path, body, status, param, code):
    answer = await client.post(path, content=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["code"]) == (status, param, code)
    assert error["message"]
    assert store.rows == {}


async def test_an_unknown_field_is_answered_with_the_nearest_name(client):
    answer = await client.post(JOBS, content=job(prioritty="bulk"))
    assert "did you mean 'priority'" in answer.json()["error"]["message"]


async def test_openai_routes_pass_on_fields_they_do_not_know(client, store):
    answer = await client.post(
        CHATS, json={**CHAT, "brand_new": {"a": 1}}, headers={"Prefer": "respond-async"}
    )
    assert answer.status_code == 202
    assert store.rows[store.only].record.doc["request"]["brand_new"] == {"a": 1}


HEADERS = [
    ("x-headrace-priority", "urgent"),
    ("x-headrace-deadline-s", "soon"),
    ("x-headrace-deadline-s", "0"),
    ("x-headrace-deadline-s", "1e30"),
    ("x-headrace-paid", "maybe"),
    ("x-headrace-wait-s", "-1"),
    ("x-headrace-wait-s", "3601"),
    ("x-headrace-on-disconnect", "explode"),
    ("x-headrace-on-break", "restart"),
    ("Idempotency-Key", "k" * 256),
    ("Idempotency-Key", ""),
]


@pytest.mark.parametrize(("name", "value"), HEADERS)
async def test_a_bad_header_is_refused_by_name(client, store, name, value):
    answer = await client.post(CHATS, json=CHAT, headers={name: value})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == name
    assert store.rows == {}


QUERIES = [
    ("limit=0", "limit"), ("limit=101", "limit"), ("limit=ten", "limit"), ("limit=1.5", "limit"),
    ("status=done", "status"), ("kind=task", "kind"), ("limit=1&limit=2", "limit"),
    ("limits=1", "limits"),
]  # fmt: skip


@pytest.mark.parametrize(("query", "param"), QUERIES)
async def test_a_bad_query_is_refused_by_name(client, query, param):
    answer = await client.get(f"{JOBS}?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize("wait", ["-1", "21", "long", "nan"])
async def test_a_bad_wait_is_refused(client, store, wait):
    await client.post(JOBS, json=JOB)
    answer = await client.get(f"{JOBS}/{store.only}?wait={wait}")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "wait")


@pytest.mark.parametrize("given", ["1", "job_", "job_0/x", "job_%00", "job_" + "a" * 61, "..%2Fx"])
async def test_a_bad_id_is_not_found(client, given):
    answer = await client.get(f"{JOBS}/{given}")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"]


ONE_JOB = [("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/replay")]


@pytest.mark.parametrize(("method", "tail"), ONE_JOB)
async def test_another_tenants_job_is_as_if_it_were_not_there(store, method, tail):
    app, _ = application(store)
    async with client_for(app, ALICE) as alice, client_for(app, BOB) as bob:
        await alice.post(JOBS, json=JOB)
        real = await bob.request(method, f"{JOBS}/{store.only}{tail}")
        made_up = await bob.request(method, f"{JOBS}/job_{'0' * 24}{tail}")
    assert real.status_code == made_up.status_code == 404
    told = real.json()["error"]["message"].replace(store.only, "job_" + "0" * 24)
    assert told == made_up.json()["error"]["message"]
    assert store.cancelled == []


async def test_a_tenant_lists_its_own_jobs_and_pages_by_no_other(store):
    app, _ = application(store)
    async with client_for(app, ALICE) as alice, client_for(app, BOB) as bob:
        await alice.post(JOBS, json=JOB)
        assert (await bob.get(JOBS)).json()["data"] == []
        assert (await bob.get(f"{JOBS}?after={store.only}")).status_code == 404


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Basic x"}, {"Authorization": "Bearer hr_wrong"},
                {"Authorization": "Bearer "}, {"Authorization": b"Bearer \xff"}],
)  # fmt: skip
async def test_a_missing_or_wrong_key_is_401(store, headers):
    app, _ = application(store)
    async with client_for(app, None) as nobody:
        answer = await nobody.post(JOBS, json=JOB, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert store.rows == {}


async def test_a_key_may_only_use_its_models(store):
    app, _ = application(store)
    async with client_for(app, NARROW) as narrow:
        answer = await narrow.post(JOBS, json=JOB)
        names = [model["id"] for model in (await narrow.get("/v1/models")).json()["data"]]
    assert answer.status_code == 403
    assert answer.json()["error"]["param"] == "request.model"
    assert "alpha/tiny" in names
    assert "alpha/sim" not in names


async def test_unknown_routes_and_methods_answer_in_openais_shape(client):
    nowhere = await client.get("/v1/nothing")
    wrong = await client.delete(JOBS)
    assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (404, "unknown_route")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert "POST" in wrong.headers["allow"]


async def test_a_compressed_body_is_refused(client):
    answer = await client.post(JOBS, content=b"x", headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (415, "Content-Encoding")


async def test_a_fault_of_ours_says_nothing_of_itself(client, store, monkeypatch):
    async def broken(*_args):
        raise KeyError("sk-secret-of-a-provider")

    monkeypatch.setattr(FakeStore, "accept", broken)
    answer = await client.post(JOBS, json=JOB)
    assert answer.status_code == 500
    assert "sk-secret" not in answer.text
