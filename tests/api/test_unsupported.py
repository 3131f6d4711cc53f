"""A caller may want no parameter of its request left out, wherever it goes."""

import orjson
import pytest
from api_fakes import FakeStore, application, client_for

CHAT = {"model": "sim", "messages": [{"role": "user", "content": "hello"}], "temperature": 0}
JOB = {"kind": "chat", "request": CHAT}
SUMMARY = {"kind": "summary", "request": {"model": "sim", "input": "Long ago."}}
HEADER = "x-headrace-unsupported"


async def post(store, path, body, **headers):
    app, _ = application(store)
    async with client_for(app) as client:
        return await client.post(path, json=body, headers=headers)


def policy_of(store: FakeStore, answer) -> dict:
    return orjson.loads(store.rows[answer.json()["id"]].job.doc).get("policy", {})


@pytest.mark.parametrize("wish", ["drop", "refuse"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", CHAT),
        ("/v1/embeddings", {"model": "embed", "input": "hello"}),
        ("/v1/responses", {"model": "sim", "input": "hello"}),
        ("/v1/jobs", JOB),
    ],
)
async def test_the_wish_of_a_header_is_kept_with_the_job(store: FakeStore, wish, path, body):
    answer = await post(store, path, body, prefer="respond-async", **{HEADER: wish})
    assert answer.status_code == 202, answer.text
    assert policy_of(store, answer) == {"unsupported": wish}


async def test_the_wish_of_a_job_wins_over_its_header(store: FakeStore):
    wishes = {"unsupported": "refuse", "on_uncertain": "fail"}
    answer = await post(store, "/v1/jobs", {**JOB, **wishes}, **{HEADER: "drop"})
    assert policy_of(store, answer) == wishes


async def test_who_wants_all_of_it_shares_no_answer_with_who_takes_less(store: FakeStore):
    made = [
        await post(store, "/v1/jobs", {**JOB, "unsupported": wish}) for wish in ("drop", "refuse")
    ]
    shared = [store.rows[each.json()["id"]].job.sharing for each in made]
    assert shared[0].likeness != shared[1].likeness


@pytest.mark.parametrize(
    ("path", "body", "headers", "param"),
    [
        ("/v1/jobs", {**SUMMARY, "unsupported": "refuse"}, {}, "unsupported"),
        ("/v1/jobs", {**JOB, "unsupported": "keep"}, {}, "unsupported"),
        ("/v1/chat/completions", CHAT, {HEADER: "keep"}, HEADER),
        (
            "/v1/batches",
            {
                "input_file_id": "file-1",
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
            },
            {HEADER: "refuse"},
            HEADER,
        ),
    ],
)
async def test_what_cannot_be_heeded_is_refused_by_name(
    store: FakeStore, path, body, headers, param
):
    answer = await post(store, path, body, **headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert not store.rows
