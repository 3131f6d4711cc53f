"""Summaries at the door: checked, their long texts put away, their parts shown while they run."""

import orjson
import pytest
from api_fakes import ADMIN, BOB, NARROW, application, client_for

from shared.core.model import Kind
from shared.core.summary_results import error
from shared.core.summary_work import Stage, State, Work, to_json
from shared.kept import Kept
from shared.store.files import File, object_name

STORY = "The miller opens the race at dawn."


async def submit(client, *, job=None, **request):
    body = {"kind": "summary", "request": {"model": "sim"} | request} | (job or {})
    return await client.post("/v1/jobs", json=body)


async def upload(store, file_id="file-1", tenant="alice", size=10):
    await store.bulk.files.put(
        File(file_id, tenant, "user_data", "a.pdf", size, store.clock.now_ms())
    )


async def test_a_summary_is_queued_for_its_steps_with_what_its_calls_need(client, store):
    answer = await submit(
        client, input=STORY, title="The Mill", job={"priority": "bulk", "max_cost_usd": 0.5}
    )
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["kind"], job["status"], job["model"]) == ("summary", "queued", "sim")
    assert [one["deployment"] for one in job["route"]["candidates"] if one["kept"]] == ["alpha/sim"]
    made = store.rows[job["id"]].job
    assert (made.kind, made.lane) == (Kind.SUMMARY, "own/summaries@shared")
    assert (made.candidates, made.need.input_tokens) == (("own/summaries@shared",), 0)
    doc = orjson.loads(made.doc)
    assert doc["request"] == {"model": "sim", "documents": [{"text": STORY, "title": "The Mill"}]}
    assert doc["family"] == {"weight": 3, "allowed_models": None, "mode": None}
    assert doc["policy"] == {"max_cost_usd": 0.5}
    assert doc["type"] == "summarization"


async def test_what_a_key_may_use_goes_with_its_summary(store):
    app, _ = application(store)
    async with client_for(app, NARROW) as client:
        answer = await submit(client, model="tiny", input=STORY)
        doc = orjson.loads(store.rows[answer.json()["id"]].job.doc)
        assert doc["family"]["allowed_models"] == ["alpha/tiny"]
        refused = await submit(client, input=STORY)
        assert refused.status_code == 403


@pytest.mark.parametrize(
    ("request_", "status", "param"),
    [
        ({}, 400, "request.documents"),
        ({"input": "x", "stile": "bullets"}, 400, "request.stile"),
        ({"input": "x", "model": "nobody"}, 404, "request.model"),
        ({"input": "x", "model": "embed"}, 400, "request.model"),
        ({"documents": [{"text": "x"}, {"url": "http://127.0.0.1/x"}]}, 400,
         "request.documents[1].url"),
        ({"url": "http://localhost:8080/v1/keys"}, 400, "request.documents[0].url"),
        ({"url": "gopher://example.com"}, 400, "request.url"),
        ({"documents": [{"file_id": "file-none"}]}, 404, "request.documents[0].file_id"),
        ({"documents": [{"file_id": "file-bobs"}]}, 404, "request.documents[0].file_id"),
        ({"documents": [{"file_id": "file-huge"}]}, 400, "request.documents[0].file_id"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_refused_by_name_and_makes_no_job(
    client, store, request_, status, param
):
    await upload(store, "file-bobs", tenant="bob")
    await upload(store, "file-huge", size=1 << 40)
    answer = await submit(client, **request_)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["param"] == param
    assert not store.rows


async def test_private_addresses_are_taken_where_a_setting_allows_them(store):
    app, _ = application(store, private_documents=True)
    async with client_for(app) as client:
        assert (await submit(client, url="http://127.0.0.1/x")).status_code == 202


async def test_long_texts_are_objects_and_not_in_the_store(client, store):
    long = "größer " * 10_000
    answer = await submit(client, documents=[{"text": STORY}, {"text": long, "title": "Long"}])
    made = store.rows[answer.json()["id"]].job
    assert len(made.doc) < 5_000
    doc = orjson.loads(made.doc)
    assert doc["request"]["documents"][0] == {"text": STORY}
    assert doc["request"]["documents"][1]["title"] == "Long"
    kept = Kept(store.bulk.files, store.bulk.objects)
    assert (await kept.get(doc["kept_as"], doc["kept"]["1"])).decode() == long
    file = await store.bulk.files.get(f"{doc['kept_as']}-1", None)
    assert file.tenant == "system"
    assert file.expires_ms is not None
    assert (await client.get(f"/v1/files/{file.id}")).status_code == 404


@pytest.mark.parametrize("wrong", ["model", "full"])
async def test_the_long_texts_of_what_is_refused_are_not_kept_for_a_month(client, store, wrong):
    store.full = wrong == "full"
    model = "nobody" if wrong == "model" else "sim"
    answer = await submit(client, input="word " * 14_000, model=model)
    assert answer.status_code == {"model": 404, "full": 503}[wrong]
    (file,) = store.bulk.files.rows.values()
    assert store.bulk.files.due == {file.id: store.clock.now_ms() + 3_600_000}


async def begun(client, store):
    """A summary of which one document is done, one failed, and one is on its way."""
    answer = await submit(
        client, documents=[{"text": STORY, "title": "One"}, {"text": "b"}, {"text": "c"}]
    )
    job_id = answer.json()["id"]
    kept = Kept(store.bulk.files, store.bulk.objects)
    await kept.put(job_id, "1-1", orjson.dumps({"summary": "Water."}))
    state = State(
        (
            Work(0, Stage.DONE, answer="1-1", tokens=9, chunks=1, type="text"),
            Work(1, Stage.NOTES, ends=(5, 9), given=2),
            Work(2, Stage.FAILED, error=error("it holds no text", "no_text", 2)),
        )
    )
    store.start(job_id)
    store.kept_states[job_id] = orjson.loads(orjson.dumps(to_json(state)))
    return job_id


async def test_what_is_done_is_shown_while_the_rest_is_not(client, store):
    job_id = await begun(client, store)
    job = (await client.get(f"/v1/jobs/{job_id}?partial=true")).json()
    done, failed = job["partial"]["documents"]
    assert (done["index"], done["title"], done["summary"]) == (0, "One", "Water.")
    assert (done["source"], done["status"]) == ({"text": True}, "completed")
    assert (failed["index"], failed["error"]["code"]) == (2, "no_text")
    assert "partial" not in (await client.get(f"/v1/jobs/{job_id}")).json()
    assert "partial" not in (await client.get(f"/v1/jobs/{job_id}?partial=false")).json()


async def test_only_who_may_see_a_summary_sees_its_parts(client, store):
    job_id = await begun(client, store)
    app, _ = application(store)
    async with client_for(app, BOB) as bob:
        assert (await bob.get(f"/v1/jobs/{job_id}?partial=true")).status_code == 404
    async with client_for(app, ADMIN) as admin:
        assert (await admin.get(f"/v1/jobs/{job_id}?partial=true")).json()["partial"]["documents"]


async def test_other_jobs_have_no_parts_and_the_question_is_checked(client, store):
    chat = {"model": "sim", "messages": [{"role": "user", "content": "hi"}]}
    job = (await client.post("/v1/jobs", json={"kind": "chat", "request": chat})).json()
    assert (await client.get(f"/v1/jobs/{job['id']}?partial=true")).json()["partial"] is None
    answer = await client.get(f"/v1/jobs/{job['id']}?partial=maybe")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "partial")
    summary = (await submit(client, input=STORY)).json()
    fresh = (await client.get(f"/v1/jobs/{summary['id']}?partial=true")).json()
    assert fresh["partial"] == {"documents": []}


async def test_where_it_would_go_is_explained_like_any_other(client):
    body = {"kind": "summary", "request": {"model": "sim", "input": STORY}}
    answer = await client.post("/v1/route/explain", json=body)
    assert answer.status_code == 200, answer.text
    assert any(one["kept"] for one in answer.json()["candidates"])


def test_texts_of_our_own_are_under_no_callers_name():
    assert object_name("text_x-1") == "files/text_x-1"


async def test_summaries_are_alike_by_their_long_texts_too(client, store):
    long = "the wheel turns " * 5_000
    texts = (long, long + ".", long)
    jobs = [(await submit(client, documents=[{"text": text}])).json()["id"] for text in texts]
    first, other, again = (store.rows[job_id].job.sharing.likeness for job_id in jobs)
    assert first == again
    assert first != other
