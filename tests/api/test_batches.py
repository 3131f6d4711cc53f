"""`/v1/batches`: what is refused at once, what is shown, and whose it is."""

import re
from dataclasses import replace

import pytest
from api_fakes import BOB, application, client_for
from test_files import post, upload

from shared.core.batch import BatchStatus
from shared.core.model import Usage

CHAT = "/v1/chat/completions"


async def wanted(client, **changes):
    file_id = (await post(client, upload())).json()["id"]
    return {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"} | changes


async def test_a_batch_is_accepted_before_its_file_is_looked_at(client):
    body = await wanted(client, metadata={"k": "v"})
    made = await client.post("/v1/batches", json=body)
    assert made.status_code == 200, made.text
    batch = made.json()
    assert re.fullmatch(r"batch_[0-9a-f]{24}", batch["id"])
    assert (batch["status"], batch["metadata"]) == ("validating", {"k": "v"})
    assert batch["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert batch["expires_at"] - batch["created_at"] == 86_400
    assert (batch["output_file_id"], batch["errors"], batch["completed_at"]) == (None, None, None)
    assert batch["headrace"] == {"outstanding": 0, "answered_by": {}, "waiting": None}
    assert (await client.get(f"/v1/batches/{batch['id']}")).json() == batch


@pytest.mark.parametrize(("window", "seconds"), [("1h", 3600), ("7d", 604_800)])
async def test_there_are_more_windows(client, window, seconds):
    body = await wanted(client, completion_window=window)
    batch = (await client.post("/v1/batches", json=body)).json()
    assert batch["expires_at"] - batch["created_at"] == seconds


BAD = [
    ({"completion_window": "2h"}, "completion_window", 400),
    ({"endpoint": "/v1/nothing"}, "endpoint", 400),
    ({"endpoint": None}, "endpoint", 400),
    ({"input_file_id": "file-" + "0" * 24}, "input_file_id", 404),
    ({"input_file_id": "x"}, "input_file_id", 404),
    ({"input_file_id": 7}, "input_file_id", 400),
    ({"metadata": {"k": 1}}, "metadata.k", 400),
    ({"metadata": {str(n): "" for n in range(17)}}, "metadata", 400),
    ({"output_expires_after": {"anchor": "created_at", "seconds": 1}},
     "output_expires_after.seconds", 400),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "param", "status"), BAD)
async def test_what_is_wrong_is_named_and_nothing_is_accepted(
    client, store, changes, param, status
):
    answer = await client.post("/v1/batches", json=await wanted(client, **changes))
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param), answer.text
    assert not store.bulk.batches.rows


@pytest.mark.parametrize(
    ("header", "value"),
    [("priority", "normal"), ("deadline-s", "60"), ("max-cost-usd", "0.1"), ("mode", "fastest"),
     ("type", "code"), ("hedge", "auto")],
)  # fmt: skip
async def test_a_wish_that_no_line_would_be_granted_is_refused(client, store, header, value):
    name = f"x-headrace-{header}"
    answer = await client.post("/v1/batches", json=await wanted(client), headers={name: value})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, name), answer.text
    assert not store.bulk.batches.rows


async def test_bulk_may_be_said_of_a_batch(client):
    bulk = {"x-headrace-priority": "bulk", "x-headrace-hedge": "never"}
    answer = await client.post("/v1/batches", json=await wanted(client), headers=bulk)
    assert answer.status_code == 200


async def test_a_file_of_another_purpose_or_tenant_is_refused(client, store):
    app, _ = application(store)
    other = (await post(client, upload("user_data"))).json()["id"]
    answer = await client.post("/v1/batches", json=await wanted(client, input_file_id=other))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_purpose")
    async with client_for(app, BOB) as bob:
        answer = await bob.post("/v1/batches", json=await wanted(client))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "file_not_found")


async def test_an_idempotency_key_names_one_batch(client):
    body, key = await wanted(client), {"Idempotency-Key": "once"}
    first = await client.post("/v1/batches", json=body, headers=key)
    again = await client.post("/v1/batches", json=body, headers=key)
    other = await client.post("/v1/batches", json=body | {"metadata": {}}, headers=key)
    assert first.json()["id"] == again.json()["id"]
    assert other.status_code == 409


async def test_a_batch_is_its_tenants_alone(client, store):
    app, _ = application(store)
    made = (await client.post("/v1/batches", json=await wanted(client))).json()["id"]
    async with client_for(app, BOB) as bob:
        assert (await bob.get(f"/v1/batches/{made}")).status_code == 404
        assert (await bob.post(f"/v1/batches/{made}/cancel")).status_code == 404
        assert (await bob.get("/v1/batches")).json()["data"] == []
    assert store.bulk.batches.rows[made].status is BatchStatus.VALIDATING


async def test_cancelling_is_idempotent_and_a_completed_batch_refuses_it(client, store):
    made = (await client.post("/v1/batches", json=await wanted(client))).json()["id"]
    for _ in range(2):
        answer = await client.post(f"/v1/batches/{made}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelling")
        assert answer.json()["cancelling_at"]
    rows = store.bulk.batches.rows
    rows[made] = replace(rows[made], status=BatchStatus.COMPLETED)
    assert (await client.post(f"/v1/batches/{made}/cancel")).status_code == 409


async def test_errors_counts_and_usage_are_openais(client, store):
    made = (await client.post("/v1/batches", json=await wanted(client))).json()["id"]
    rows = store.bulk.batches.rows
    error = {"code": "invalid_json_line", "message": "no", "param": None, "line": 3}
    rows[made] = replace(
        rows[made], status=BatchStatus.FAILED, total=9, completed=5, failed=2, errors=(error,),
        usage=Usage(7, 3, 2, 1), moments={"failed": 1_790_000_000_900},
    )  # fmt: skip
    batch = (await client.get(f"/v1/batches/{made}")).json()
    assert batch["errors"] == {"object": "list", "data": [error]}
    assert batch["request_counts"] == {"total": 9, "completed": 5, "failed": 2}
    assert batch["failed_at"] == 1_790_000_000
    assert batch["usage"] == {
        "input_tokens": 7, "input_tokens_details": {"cached_tokens": 2}, "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1}, "total_tokens": 10,
    }  # fmt: skip


async def test_a_batch_that_told_nobody_has_nothing_to_tell_again(client, store):
    made = (await client.post("/v1/batches", json=await wanted(client))).json()["id"]
    answer = await client.post(f"/v1/batches/{made}/redeliver")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "nothing_to_redeliver")
    rows = store.bulk.batches.rows
    rows[made] = replace(rows[made], status=BatchStatus.COMPLETED)
    shown = (await client.get(f"/v1/batches/{made}")).json()
    assert shown["headrace"]["deliveries"] == []
    assert (await client.post("/v1/batches/batch_0/redeliver")).status_code == 404


async def test_batches_are_listed_newest_first_by_page(client):
    bodies = [await wanted(client) for _ in range(3)]
    ids = [(await client.post("/v1/batches", json=body)).json()["id"] for body in bodies]
    page = (await client.get("/v1/batches?limit=2")).json()
    assert ([b["id"] for b in page["data"]], page["has_more"]) == (ids[:0:-1], True)
    rest = (await client.get(f"/v1/batches?after={page['last_id']}")).json()
    assert ([b["id"] for b in rest["data"]], rest["has_more"]) == ([ids[0]], False)
    assert (await client.get("/v1/batches?limit=101")).status_code == 400
    assert (await client.get("/v1/batches?after=batch_0")).status_code == 404


async def test_the_input_of_a_batch_that_is_not_done_cannot_be_deleted(client, store):
    body = await wanted(client)
    made = (await client.post("/v1/batches", json=body)).json()["id"]
    path = f"/v1/files/{body['input_file_id']}"
    answer = await client.delete(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "file_in_use")
    assert made in answer.json()["error"]["message"]
    rows = store.bulk.batches.rows
    rows[made] = replace(rows[made], status=BatchStatus.COMPLETED)
    assert (await client.delete(path)).status_code == 200
