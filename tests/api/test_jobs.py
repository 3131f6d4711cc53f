"""/v1/jobs: accepted durably, seen truly, followed without a gap, cancelled, replayed."""

import asyncio
from dataclasses import replace

import orjson
import pytest
from api_fakes import (
    ADMIN,
    ALICE,
    CHAT,
    COMPLETION,
    START_MS,
    application,
    chunk,
    client_for,
    until,
)

from shared.core.model import Status
from shared.core.waits import Before
from shared.store.types import LaneState, Progress, Waiting

JOB = {"kind": "chat", "request": CHAT}


async def submit(client, **more):
    return await client.post("/v1/jobs", json={**JOB, **more.pop("body", {})}, **more)


async def test_a_job_is_answered_with_202_its_place_and_its_route(client, store):
    answer = await submit(client, body={"metadata": {"a": "b"}, "priority": "bulk"})
    job = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["object"], job["status"], job["priority"]) == ("job", "queued", "bulk")
    assert job["route"]["chosen"] == "alpha/sim"
    assert job["route"]["candidates"][0]["kept"] is True
    assert job["metadata"] == {"a": "b"}
    assert job["created_at"] == START_MS // 1000
    made = store.rows[job["id"]].job
    assert (made.tenant, made.weight, made.deadline_ms, made.watcher) == ("alice", 3, None, None)
    assert made.need.input_tokens > 0


async def test_the_202_and_a_later_get_show_the_same_job(client):
    first = (await submit(client)).json()
    later = (await client.get(f"/v1/jobs/{first['id']}")).json()
    first.pop("waiting")
    assert later.pop("waiting")["window"] == "rpm"
    assert later == first


@pytest.mark.parametrize(
    ("priority", "deadline_ms"),
    [("interactive", 600_000), ("normal", 86_400_000), ("bulk", None)],
)
async def test_a_deadline_follows_from_the_priority(client, store, priority, deadline_ms):
    await submit(client, body={"priority": priority})
    assert store.rows[store.only].job.deadline_ms == deadline_ms


async def test_wishes_reach_the_worker(client, store):
    wishes = {"deadline_s": 2.5, "max_wait_s": 1, "max_attempts": 7, "on_uncertain": "fail"}
    await submit(client, body={**wishes, "paid": "never", "stream": True})
    job = store.rows[store.only].job
    doc = orjson.loads(job.doc)
    assert (job.deadline_ms, job.max_wait_ms) == (2_500, 1_000)
    assert doc["policy"] == {"max_attempts": 7, "on_uncertain": "fail"}
    assert (doc["paid"], doc["stream"], doc["request"]) == ("never", True, CHAT)


async def test_what_waits_is_told_why_and_until_when(client, store):
    lane = "alpha/sim@shared"
    store.states = {
        lane: LaneState(lane, (1, 2, 4), 1, START_MS + 5_500, 1.0, 0, False, "quota", 0)
    }
    waiting = (await submit(client)).json()["waiting"]
    assert (waiting["reason"], waiting["position"]) == ("quota", 3)
    assert waiting["until"] == (START_MS + 5_500 + 999) // 1000
    assert waiting["until"] < waiting["eta"]["p50"] < waiting["eta"]["p95"]


LANE = "alpha/sim@shared"
IDLE = LaneState(LANE, (1, 2, 4), 1, 0, 1.0, 0, False, "", 0)
ALONE = "no live worker serves its lane, so it is not known when it starts"


async def test_where_no_live_worker_serves_its_lane_a_job_has_no_eta_and_says_why(client, store):
    store.states = {LANE: replace(IDLE, workers=0)}
    answer = (await submit(client)).json()
    waiting = answer["waiting"]
    assert (waiting["reason"], waiting["eta"], waiting["until"]) == ("no_worker", None, None)
    assert waiting["message"] == (
        f"{ALONE}; 3 jobs are before it: 1 interactive, 2 normal; its lane runs 1"
    )
    explained = (await client.post("/v1/route/explain", json=JOB)).json()
    assert explained["waiting"] == waiting
    store.states, store.waits = {}, Waiting("no_worker", None, None, None)  # not read yet
    later = (await client.get(f"/v1/jobs/{answer['id']}")).json()["waiting"]
    assert (later["reason"], later["message"], later["eta"]) == ("no_worker", ALONE, None)
    store.states, store.waits = {LANE: replace(IDLE, workers=1)}, Waiting("behind", None, None, 0)
    served = (await client.get(f"/v1/jobs/{answer['id']}")).json()["waiting"]
    assert served["eta"]["p50"] <= served["eta"]["p95"]


async def test_a_job_of_several_parts_that_wait_for_a_worker_has_no_eta_either(client, store):
    job_id = (await submit(client)).json()["id"]
    row, now_ms = store.rows[job_id], store.clock.now_ms()
    running = {"status": Status.IN_PROGRESS, "started_ms": now_ms - 3_000}
    row.record = replace(row.record, **running, progress=Progress(7, 4, 4, 0, None))
    store.waits, store.waits_at = Waiting("no_worker", None, None, 3), Status.IN_PROGRESS
    waiting = (await client.get(f"/v1/jobs/{job_id}")).json()["waiting"]
    assert (waiting["reason"], waiting["eta"]) == ("no_worker", None)


async def test_a_job_behind_others_names_them_and_a_line_of_a_batch_its_own(client, store):
    job_id = (await submit(client)).json()["id"]
    store.waits = Waiting("behind", None, None, 32, Before((2, 30, 0), 4, 10))
    waiting = (await client.get(f"/v1/jobs/{job_id}")).json()["waiting"]
    assert waiting["before"] == {
        "interactive": 2, "normal": 30, "bulk": 0, "own": 10, "running": 4,
    }  # fmt: skip
    told = "32 jobs are before it: 2 interactive, 30 normal (10 its tenant's{}); its lane runs 4"
    assert waiting["message"] == told.format("")
    row = store.rows[job_id]
    row.record = replace(row.record, doc={**row.record.doc, "batch": "batch_1"})
    line = (await client.get(f"/v1/jobs/{job_id}")).json()["waiting"]
    assert line["message"] == told.format(", earlier lines of its batch among them")


@pytest.mark.parametrize(("ended", "left_s"), [(0, None), (1, 18), (4, 3), (6, 1), (7, None)])
async def test_a_job_of_several_parts_says_when_it_should_be_done_at_its_pace(
    client, store, ended, left_s
):
    job_id = (await submit(client)).json()["id"]
    row = store.rows[job_id]
    row.record = replace(
        row.record,
        status=Status.IN_PROGRESS,
        started_ms=store.clock.now_ms() - 3_000,
        progress=Progress(7, ended, ended, 0, None),
    )
    waiting = (await client.get(f"/v1/jobs/{job_id}")).json()["waiting"]
    if left_s is None:
        assert waiting is None
    else:
        now_s = store.clock.now_ms() / 1000
        assert waiting["eta"]["p50"] - now_s == pytest.approx(left_s, abs=2)
        assert waiting["eta"]["p95"] - now_s == pytest.approx(2 * left_s, abs=3)


async def test_the_same_key_and_body_name_the_same_job(client, store):
    key = {"Idempotency-Key": "once"}
    first = await submit(client, headers=key)
    again = await submit(client, headers=key)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    store.start(store.only)
    store.complete(store.only, COMPLETION)
    ended = await submit(client, headers=key)
    assert (ended.status_code, ended.json()["result"]) == (200, COMPLETION)


async def test_the_same_key_with_another_body_is_a_conflict(client, store):
    key = {"Idempotency-Key": "once"}
    await submit(client, headers=key)
    other = await submit(client, headers=key, body={"priority": "bulk"})
    assert other.status_code == 409
    assert other.json()["error"]["param"] == "Idempotency-Key"
    assert other.headers["x-should-retry"] == "false"
    assert len(store.rows) == 1


async def test_a_full_queue_is_503_before_anything_is_accepted(client, store):
    store.full = True
    answer = await submit(client)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["x-should-retry"] == "true"
    assert store.rows == {}


async def test_a_store_that_is_down_is_503_and_readyz_says_so(client, store):
    store.down = True
    answer = await submit(client)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"]["code"] == "store_unavailable"
    ready = await client.get("/readyz")
    assert ready.status_code == 503
    assert ready.json()["checks"]["store"] != "ok"
    assert (await client.get("/healthz")).status_code == 200


async def test_a_completed_job_shows_result_usage_and_cost(client, store):
    await submit(client)
    store.start(store.only)
    store.complete(store.only, COMPLETION)
    job = (await client.get(f"/v1/jobs/{store.only}")).json()
    assert (job["status"], job["result"], job["error"]) == ("completed", COMPLETION, None)
    assert (job["usage"]["total_tokens"], job["cost"]) == (10, 0.00125)
    assert job["attempts"][0]["ended_after_s"] == 1.502
    assert job["started_at"] is not None
    assert job["waiting"] is None
    assert not any(name.endswith("_ms") for name in [*job, *job["attempts"][0]])


async def test_a_get_that_waits_returns_at_the_end(client, store):
    await submit(client)
    waiting = asyncio.create_task(client.get(f"/v1/jobs/{store.only}?wait=20"))
    await until(lambda: store.watches.get(store.only))
    store.start(store.only)
    assert not waiting.done()
    store.complete(store.only, COMPLETION)
    assert (await waiting).json()["status"] == "completed"
    assert store.watches[store.only] == set()


async def test_a_get_that_waits_in_vain_returns_the_job_as_it_is(client, store):
    await submit(client)
    answer = await client.get(f"/v1/jobs/{store.only}?wait=0.01")
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")


async def test_cancelling_is_idempotent_and_leaves_ended_jobs_alone(client, store):
    await submit(client)
    path = f"/v1/jobs/{store.only}/cancel"
    answers = [await client.post(path), await client.post(path)]
    assert [a.json()["status"] for a in answers] == ["cancelled", "cancelled"]
    assert answers[0].json()["error"]["code"] == "job_cancelled"
    assert store.cancelled == [store.only]


async def test_a_failed_job_can_be_replayed_and_a_live_one_cannot(client, store):
    await submit(client, body={"deadline_s": 60})
    path = f"/v1/jobs/{store.only}/replay"
    assert (await client.post(path)).status_code == 409
    store.fail(store.only, {"message": "no", "code": "x", "status": 502})
    answer = await client.post(path)
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    record = store.rows[store.only].record
    assert record.deadline_ms == store.clock.now_ms() + 60_000


async def test_pages_follow_one_another(client, store):
    ids = [(await submit(client)).json()["id"] for _ in range(5)]
    seen, after = [], ""
    while True:
        page = (await client.get(f"/v1/jobs?limit=2{after}")).json()
        seen += [job["id"] for job in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['next_after']}"
    assert seen == ids[::-1]


async def test_a_list_can_be_filtered(client, store):
    ids = [(await submit(client)).json()["id"] for _ in range(2)]
    store.fail(ids[0], {})
    failed = (await client.get("/v1/jobs?status=failed&kind=chat")).json()["data"]
    assert [job["id"] for job in failed] == ids[:1]


async def test_an_admin_sees_every_tenants_jobs(store):
    app, _ = application(store)
    async with client_for(app, ALICE) as alice, client_for(app, ADMIN) as admin:
        await submit(alice)
        assert (await admin.get(f"/v1/jobs/{store.only}")).status_code == 200
        assert len((await admin.get("/v1/jobs")).json()["data"]) == 1


def parse(text):
    events = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if lines:
            events.append((int(lines["id"]), lines["event"], orjson.loads(lines["data"])))
    return events


async def finished(client, store):
    await submit(client, body={"stream": True})
    store.start(store.only)
    store.delta(store.only, chunk("Hel"))
    store.delta(store.only, chunk("lo."))
    store.complete(store.only, COMPLETION)
    return f"/v1/jobs/{store.only}/events"


async def test_events_are_replayed_with_ids_from_1_and_end_with_the_job(client, store):
    answer = await client.get(await finished(client, store))
    events = parse(answer.text)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [number for number, _, _ in events] == [1, 2, 3, 4, 5]
    assert [name for _, name, _ in events] == [
        "job.queued", "job.started", "job.delta", "job.delta", "job.completed",
    ]  # fmt: skip
    assert events[2][2] == chunk("Hel")
    assert (events[-1][2]["object"], events[-1][2]["result"]) == ("job", COMPLETION)


async def test_events_resume_after_the_last_one_seen(client, store):
    path = await finished(client, store)
    rest = await client.get(path, headers={"Last-Event-ID": "3"})
    assert [number for number, _, _ in parse(rest.text)] == [4, 5]
    over = await client.get(path, headers={"Last-Event-ID": "5"})
    assert (over.status_code, over.text) == (204, "")


async def test_a_bad_last_event_id_is_refused(client, store):
    answer = await client.get(await finished(client, store), headers={"Last-Event-ID": "x"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Last-Event-ID")


async def test_events_follow_a_live_job_with_keep_alives(store):
    app, _ = application(store, keepalive_s=0.001)
    async with client_for(app) as client:
        await submit(client)
        stream = asyncio.create_task(client.get(f"/v1/jobs/{store.only}/events"))
        await until(lambda: store.watches.get(store.only))
        await until(lambda: store.silences)
        store.start(store.only)
        store.end(store.only, Status.EXPIRED)
        text = (await stream).text
    assert ": keep-alive" in text
    assert [name for _, name, _ in parse(text)] == ["job.queued", "job.started", "job.expired"]


async def test_an_end_before_a_replay_is_not_the_end_of_the_events(client, store):
    await submit(client)
    store.fail(store.only, {})
    await client.post(f"/v1/jobs/{store.only}/replay")
    stream = asyncio.create_task(client.get(f"/v1/jobs/{store.only}/events"))
    await until(lambda: any(one.last >= 3 for one in store.watches.get(store.only, ())))
    store.start(store.only)
    store.complete(store.only, COMPLETION)
    names = [name for _, name, _ in parse((await stream).text)]
    assert names[1:] == ["job.failed", "job.queued", "job.started", "job.completed"]


async def test_state_routes_tell_depth_windows_and_what_is_missing(client):
    (lane,) = (await client.get("/v1/queues")).json()["data"]
    assert lane["parked_until"] == START_MS // 1000 + 1
    assert lane["windows"][0]["free"] == 0
    (provider,) = (await client.get("/v1/providers")).json()["data"]
    assert (provider["id"], provider["status"]) == ("alpha", "parked")
    assert (await client.get("/readyz")).json()["status"] == "ready"


async def test_a_queue_says_why_nothing_starts_there_and_how_many_workers_it_has(client, store):
    (parked,) = (await client.get("/v1/queues")).json()["data"]
    assert (parked["workers"], parked["reason"]) == (2, "quota")
    assert parked["message"] == "the provider's limit (rpm) is used up"
    store.live_workers = 0
    (alone,) = (await client.get("/v1/queues")).json()["data"]
    assert (alone["workers"], alone["reason"], alone["message"]) == (0, "no_worker", ALONE)


async def test_models_are_found_by_names_with_slashes(client):
    listed = {model["id"] for model in (await client.get("/v1/models")).json()["data"]}
    assert {"sim", "alpha/sim", "org/deep/name", "alpha/org/deep/name", "auto"} <= listed
    assert (await client.get("/v1/models/alpha/org/deep/name")).json()["owned_by"] == "alpha"
    assert (await client.get("/v1/models/alpha/nope")).status_code == 404


async def test_metrics_count_what_was_accepted(client):
    await submit(client)
    text = (await client.get("/metrics")).text
    assert 'headrace_jobs_accepted_total{kind="chat"} 1.0' in text
    assert "alice" not in text
