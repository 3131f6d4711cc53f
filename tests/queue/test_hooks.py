"""Whatever ends a job also writes the jobs that tell of it: in the same call, once."""

import re

import orjson
import pytest
from conserved import assert_at_rest, assert_conserved
from queue_world import DONE, World

from shared.core.model import Kind, Status
from shared.queue.scripts import LIBRARIES, LUA
from shared.queue.types import Report, Verdict
from shared.store.hooks import (
    LANE,
    Endpoint,
    Hooks,
    SigningSecret,
    own_hook,
    telling_job,
)

OWN = own_hook("wh_own", "https://example.com/own", ("job.completed", "job.failed"), ("s" * 16,))
FAILED = Report(Verdict.FAIL, error={"message": "no", "type": "x", "code": "y"})


def answer(reason: str, content: str = "hi") -> Report:
    choice = {"message": {"content": content}, "finish_reason": reason}
    return Report(Verdict.COMPLETE, result=orjson.dumps({"choices": [choice]}))


def endpoint(name: str, *types: str, tenant: str = "t1", **more: object) -> Endpoint:
    given = {
        "id": f"wh_{name}", "tenant": tenant, "url": f"https://example.com/{name}", "name": name,
        "event_types": types, "secrets": (SigningSecret("x" * 24),), "created_ms": 1,
        "updated_ms": 1,
    }  # fmt: skip
    return Endpoint(**(given | more))  # type: ignore[arg-type]


async def told(world: World, job_id: str = "a") -> list[dict[str, object]]:
    """What the jobs that tell of a job's end are to say, in order of their endpoints."""
    docs = []
    for telling in await Hooks(world.client).told(job_id):
        record = await world.jobs.get(telling, None)
        assert record
        assert (record.lane, record.doc["message_id"]) == (LANE, telling)
        docs.append(record.doc["kwargs"])
    return sorted(docs, key=lambda each: str(each["endpoint"]))


async def test_a_finish_writes_the_delivery_of_the_jobs_own_webhook(each_world: World) -> None:
    world = each_world
    await world.accept(world.job("a", hook=OWN))
    (claim,) = await world.claim()
    assert await told(world) == []
    assert await world.finish(claim)
    (one,) = await told(world)
    assert (one["tenant"], one["endpoint"], one["own"]) == ("t1", "wh_own", orjson.loads(OWN))
    event = one["event"]
    assert isinstance(event, dict)
    assert event["type"] == "job.completed"
    assert event["id"].startswith("evt_")
    assert event["data"] == {"id": "a", "object": "job", "kind": "chat", "status": "completed"}
    await assert_conserved(world.client)


async def test_a_delivery_is_claimed_by_any_worker_and_tells_nobody_of_its_own_end(
    world: World,
) -> None:
    await Hooks(world.client).put(None, endpoint("all", "job.completed"))
    await world.accept(world.job("a", hook=OWN))
    (claim,) = await world.claim()
    await world.finish(claim)
    claims = await world.claim(want=5)
    assert {each.lane for each in claims} == {LANE}
    assert {each.tenant for each in claims} == {"webhooks~t1"}
    for each in claims:
        await world.finish(each)
    assert await world.claim(want=5) == []
    await assert_at_rest(world.client)


async def test_a_stale_finish_tells_nobody(world: World) -> None:
    await world.accept(world.job("a", hook=OWN))
    (claim,) = await world.claim("w1")
    await world.lose_worker("w1")
    assert not await world.finish(claim)
    assert await told(world) == []


async def test_an_event_that_was_not_asked_for_is_not_told(world: World) -> None:
    await world.accept(world.job("a", hook=OWN))
    await world.jobs.cancel("a", "t1")
    assert await told(world) == []


async def test_every_way_to_end_is_told(world: World) -> None:
    hooks = Hooks(world.client)
    types = ("job.completed", "job.failed", "job.cancelled", "job.expired")
    await hooks.put(None, endpoint("all", *types))
    await world.set_clock(1_790_000_000_000)
    await world.accept(world.job("late", deadline_ms=1000))
    await world.accept(world.job("done"), world.job("fails"))
    claims = {claim.job_id: claim for claim in await world.claim(want=3)}
    await world.finish(claims["done"])
    await world.finish(claims["fails"], FAILED)
    await world.accept(world.job("gone"))
    await world.jobs.cancel("gone", "t1")
    await world.set_clock(1_790_000_002_000)
    await world.run("expire", most=10)
    for job_id, word in {
        "done": "completed", "fails": "failed", "gone": "cancelled", "late": "expired",
    }.items():  # fmt: skip
        (one,) = await told(world, job_id)
        assert one["event"]["type"] == f"job.{word}", job_id  # type: ignore[index]
    await assert_conserved(world.client)


async def test_work_of_our_own_is_nobodys_end(world: World) -> None:
    await Hooks(world.client).put(None, endpoint("all", "job.completed", tenant="system"))
    await world.accept(world.job("a", tenant="system", kind=Kind.TASK))
    (claim,) = await world.claim()
    await world.finish(claim)
    assert await told(world) == []


async def test_only_endpoints_of_the_tenant_that_asked_and_are_enabled_are_told(
    world: World,
) -> None:
    hooks = Hooks(world.client)
    await hooks.put(None, endpoint("yes", "batch.completed", "job.completed"))
    await hooks.put(None, endpoint("other", "job.failed"))
    await hooks.put(None, endpoint("off", "job.completed", disabled="410"))
    await hooks.put(None, endpoint("theirs", "job.completed", tenant="t2"))
    await world.accept(world.job("a"))
    (claim,) = await world.claim()
    await world.finish(claim)
    assert [one["endpoint"] for one in await told(world)] == ["wh_yes"]


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (answer("stop"), "completed"),
        (answer("length"), "incomplete"),
        (answer("content_filter"), "incomplete"),
        (answer("stop", content='{"finish_reason": "length"}'), "completed"),
        (FAILED, "failed"),
        (Report(Verdict.CANCEL), "cancelled"),
    ],
)
async def test_a_response_is_told_of_as_one(world: World, end: Report, kind: str) -> None:
    types = [f"response.{word}" for word in ("completed", "failed", "cancelled", "incomplete")]
    await Hooks(world.client).put(None, endpoint("all", *types))
    await world.accept(world.job("job_7", told_as="response"), world.job("job_8"))
    for claim in await world.claim(want=2):
        await world.finish(claim, end)
    (one,) = await told(world, "job_7")
    assert one["event"]["type"] == f"response.{kind}"  # type: ignore[index]
    assert one["event"]["data"] == {"id": "resp_7"}  # type: ignore[index]
    assert await told(world, "job_8") == []


async def test_the_lines_of_a_batch_are_not_told_one_by_one(world: World) -> None:
    await Hooks(world.client).put(None, endpoint("all", "job.completed"))
    await world.accept(world.job("a", batch=("batch_1", "line-1")))
    (claim,) = await world.claim()
    await world.finish(claim)
    assert await told(world) == []


async def test_an_endpoint_that_is_the_jobs_own_too_is_told_once(world: World) -> None:
    await Hooks(world.client).put(None, endpoint("own", "job.completed"))
    await world.accept(world.job("a", hook=OWN))
    (claim,) = await world.claim()
    await world.finish(claim)
    (one,) = await told(world)
    assert one["own"] == orjson.loads(OWN)


async def test_a_replayed_job_tells_of_its_new_end_under_a_new_id(world: World) -> None:
    await world.accept(world.job("a", hook=OWN))
    (claim,) = await world.claim()
    await world.finish(claim, FAILED)
    await world.jobs.replay("a", "t1")
    while claims := await world.claim(want=1):
        await world.finish(claims[0])
    events = [one["event"] for one in await told(world)]
    assert sorted(event["type"] for event in events) == ["job.completed", "job.failed"]  # type: ignore[index]
    assert len({event["id"] for event in events}) == 2  # type: ignore[index]


async def test_no_more_than_64_deliveries_run_at_once(world: World) -> None:
    await world.accept(*(telling_job("t1", {"n": n}) for n in range(70)))
    claims = await world.claim(want=100)
    assert len(claims) == 64
    await world.finish(claims[0])
    assert len(await world.claim(want=100)) == 1


async def test_a_change_of_an_endpoint_is_compare_and_set(world: World) -> None:
    hooks = Hooks(world.client)
    first = endpoint("a", "job.completed")
    assert await hooks.put(None, first) == "done"
    assert await hooks.put(None, first) == "changed"
    stands = await hooks.get("t1", "wh_a")
    assert stands == first
    changed = stands.rotated(SigningSecret("y" * 24), 5, keep_old=True)
    assert await hooks.put(stands, changed) == "done"
    assert await hooks.put(stands, changed) == "changed"
    now = await hooks.get("t1", "wh_a")
    assert now
    assert now.signing(6) == ("y" * 24, "x" * 24)
    assert now.signing(86_400_005) == ("y" * 24,)
    assert await hooks.all("t1") == (now,)
    assert await hooks.remove(now) == "done"
    assert await hooks.all("t1") == ()


async def test_only_ten_endpoints_of_a_tenant_hear_of_every_job(world: World) -> None:
    hooks = Hooks(world.client)
    for number in range(10):
        assert await hooks.put(None, endpoint(f"n{number}", "job.completed")) == "done"
    assert await hooks.put(None, endpoint("more", "job.completed")) == "full"
    assert await hooks.put(None, endpoint("quiet")) == "done"
    assert await hooks.put(None, endpoint("theirs", "job.completed", tenant="t2")) == "done"
    first = await hooks.get("t1", "wh_n0")
    assert first
    assert await hooks.put(first, first.rotated(SigningSecret("y"), 5, keep_old=False)) == "done"
    await world.accept(world.job("a", hook=OWN))
    (claim,) = await world.claim()
    await world.finish(claim)
    assert len(await told(world)) == 11


async def test_a_delivery_that_is_retried_keeps_what_it_tells(world: World) -> None:
    await world.accept(world.job("a", hook=OWN))
    (claim,) = await world.claim()
    await world.finish(claim, DONE)
    (delivery,) = await world.claim()
    again = Report(Verdict.RETRY, {"outcome": "failed"}, delay_ms=0)
    await world.finish(delivery, again)
    (repeated,) = await world.claim()
    assert (repeated.doc, repeated.attempts) == (delivery.doc, 1)
    record = await world.jobs.get(repeated.job_id, None)
    assert record
    assert record.status is Status.IN_PROGRESS
    assert record.attempts == ({"outcome": "failed"},)


def test_every_script_that_ends_jobs_also_tells_of_it_where_the_store_has_no_functions() -> None:
    ends = re.compile(r"\b(conclude|finish|end_now|take_back)\(")
    ending = []
    for path in sorted(LUA.glob("*.lua")):
        if path.stem in LIBRARIES:
            continue
        uses, _, text = path.read_text().partition("\n")
        if ends.search(text):
            ending.append(path.stem)
            assert " hooks " in uses, path.name
    assert {"tick", "cancel", "expire", "beat", "evacuate"} <= set(ending)
