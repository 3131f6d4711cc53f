"""Parents: a job of several steps rests until its children have ended, and takes them with it."""

import orjson
import pytest
from queue_world import World

from shared.core.model import Kind, Need, Status, Usage
from shared.errors import Refused
from shared.queue.types import MOST_CHILDREN, Claim, NewJob, Report, Verdict

STEPS = "own/transcriptions@shared"


@pytest.fixture
async def parent(world: World) -> Claim:
    """A parent whose first step is about to be taken."""
    await world.configure()
    await world.accept(world.job("parent", kind=Kind.TRANSCRIPTION, lane=STEPS, need=Need()))
    (claim,) = await world.claim()
    return claim


def child(world: World, name: str, **more: object) -> NewJob:
    return world.job(name, parent="parent", **more)


def step(*children: NewJob, awaits: int, state: object = None, **more: object) -> Report:
    return Report(Verdict.WAIT, outbox=children, state=orjson.dumps(state), awaits=awaits, **more)


async def test_a_parent_rests_until_so_many_of_its_children_have_ended(
    world: World, parent: Claim
) -> None:
    children = [child(world, name) for name in ("one", "two")]
    assert await world.finish(parent, step(*children, awaits=2, state={"at": 1}))
    assert await world.status("parent") is Status.IN_PROGRESS
    one, two = await world.claim(want=5)
    assert {one.job_id, two.job_id} == {"one", "two"}
    claimed, _ = await world.tick("w1", 5, [(one, Report(Verdict.COMPLETE, result=b"1"))])
    assert claimed == []
    error = {"message": "no", "code": "no"}
    claimed, _ = await world.tick("w1", 5, [(two, Report(Verdict.FAIL, error=error))])
    assert [claim.job_id for claim in claimed] == ["parent"]
    family = await world.jobs.family("parent")
    assert (family.state, family.children, family.ended) == ({"at": 1}, ("one", "two"), 2)
    assert await world.finish(claimed[0], Report(Verdict.COMPLETE, result=b'"all"'))
    record = await world.jobs.get("parent", None)
    assert record is not None
    assert (record.status, record.result) == (Status.COMPLETED, b'"all"')
    assert record.progress is not None
    assert (record.progress.ended, record.progress.completed) == (2, 1)
    kinds = await world.kinds("parent")
    assert kinds == [
        "job.queued", "job.started", "job.progress", "job.progress", "job.completed",
    ]  # fmt: skip


async def test_children_that_ended_before_the_report_came_are_counted(
    world: World, parent: Claim
) -> None:
    await world.finish(parent, step(child(world, "one"), child(world, "two"), awaits=1))
    one, two = await world.claim(want=5)
    ((again,), _) = await world.tick("w1", 5, [(one, Report(Verdict.COMPLETE, result=b"1"))])
    await world.finish(two, Report(Verdict.COMPLETE, result=b"1"))  # while the step is taken
    ((last,), _) = await world.tick("w1", 5, [(again, step(awaits=2))])
    assert last.job_id == "parent"


async def test_a_stale_step_brings_no_children_and_no_state(world: World, parent: Claim) -> None:
    await world.lose_worker("w1")
    assert not await world.finish(parent, step(child(world, "one"), awaits=1, state=1))
    assert await world.status("one") is None
    assert (await world.jobs.family("parent")).state is None
    (again,) = await world.claim("w2")
    assert again.job_id == "parent"


async def test_a_step_that_ends_after_the_deadline_brings_no_children(
    world: World, parent: Claim
) -> None:
    await world.client.hset("{hr}:job:parent", "deadline", 1)
    assert await world.finish(parent, step(child(world, "one"), awaits=1, state=1))
    assert await world.status("parent") is Status.EXPIRED
    assert await world.status("one") is None
    assert await world.claim() == []
    assert await world.client.keys("{hr}:kids:*") == []


@pytest.mark.parametrize("how", ["cancel", "fail", "expire"])
async def test_a_parents_end_cancels_the_children_that_live(
    world: World, parent: Claim, how: str
) -> None:
    names = ("a-done", "b-running", "c-queued")
    await world.finish(parent, step(*(child(world, name) for name in names), awaits=1))
    done, running = await world.claim(want=2)
    assert [done.job_id, running.job_id] == ["a-done", "b-running"]
    ((again,), _) = await world.tick(
        "w1", 5, [(done, Report(Verdict.COMPLETE, result=b"1"))], providers=("own",)
    )
    match how:
        case "cancel":
            await world.jobs.cancel("parent", None)
        case "fail":
            await world.finish(again, Report(Verdict.FAIL, error={"message": "no"}))
        case "expire":
            await world.client.hset("{hr}:job:parent", "deadline", 1)
            await world.client.zadd("{hr}:limits", {"parent": 1})
            await world.run("expire", most=10)
    statuses = [await world.status(name) for name in names]
    assert statuses == [Status.COMPLETED, Status.CANCELLED, Status.CANCELLED]
    assert not await world.finish(running)
    assert await world.client.keys("{hr}:brood:*") == []
    assert await world.kinds("c-queued") == ["job.queued", "job.cancelled"]


async def test_a_part_is_not_replayed_without_its_parent(world: World, parent: Claim) -> None:
    await world.finish(parent, step(child(world, "one"), awaits=1))
    for _ in range(2):  # while it lives, and when it has ended
        with pytest.raises(Refused, match="job one is a part of job parent: replay that") as why:
            await world.jobs.replay("one", "t1")
        assert (why.value.status, why.value.code) == (409, "not_replayable")
        await world.jobs.cancel("parent", None)
    assert await world.jobs.replay("one", "t2") is None
    assert await world.status("one") is Status.CANCELLED
    assert await world.claim() == []


async def test_a_child_of_a_parent_that_ended_changes_nothing_of_it(
    world: World, parent: Claim
) -> None:
    await world.finish(parent, step(child(world, "one"), awaits=1))
    await world.jobs.cancel("parent", None)
    before = await world.kinds("parent")
    await world.accept(child(world, "late"))
    (late,) = await world.claim()
    assert await world.finish(late)
    assert await world.kinds("parent") == before
    assert await world.status("parent") is Status.CANCELLED


async def test_a_parent_is_billed_what_its_children_used(world: World, parent: Claim) -> None:
    await world.finish(parent, step(child(world, "one"), child(world, "two"), awaits=2))
    ends = [
        (
            claim,
            Report(
                Verdict.COMPLETE, result=b"1", usage=Usage(10, 5, audio_seconds=3), cost_microusd=7
            ),
        )
        for claim in await world.claim(want=5)
    ]
    await world.tick("w1", 0, ends)
    record = await world.jobs.get("parent", None)
    assert record is not None
    assert record.usage == Usage(20, 10, audio_seconds=6)
    assert record.cost_microusd == 14


async def test_children_are_listed_by_their_parent_only(world: World, parent: Claim) -> None:
    await world.finish(parent, step(child(world, "one"), child(world, "two"), awaits=2))
    page = await world.jobs.list("t1")
    assert [job.id for job in page.jobs] == ["parent"]
    page = await world.jobs.list("t1", parent="parent", limit=1)
    assert ([job.id for job in page.jobs], page.next_after) == (["two"], "two")
    page = await world.jobs.list("t1", parent="parent", limit=5, after="two")
    assert ([job.id for job in page.jobs], page.next_after) == (["one"], None)
    assert (await world.jobs.list("t2", parent="parent")).jobs == ()


async def test_a_replayed_parent_goes_on_from_its_state(world: World, parent: Claim) -> None:
    await world.finish(parent, step(child(world, "one"), awaits=1, state={"parts": ["one"]}))
    (one,) = await world.claim()
    error = {"message": "no"}
    ((again,), _) = await world.tick("w1", 5, [(one, Report(Verdict.FAIL, error=error))])
    await world.finish(again, Report(Verdict.FAIL, error=error))
    await world.jobs.replay("parent", None)
    assert await world.status("parent") is Status.QUEUED
    (claim,) = await world.claim()
    family = await world.jobs.family("parent")
    assert (claim.job_id, family.state, family.ended) == ("parent", {"parts": ["one"]}, 1)


async def test_a_parent_that_lost_two_workers_between_its_steps_is_no_suspect(
    world: World, parent: Claim
) -> None:
    await world.lose_worker("w1")
    (again,) = await world.claim("w2")
    await world.finish(again, step(child(world, "one"), awaits=1), "w2")
    (one,) = await world.claim("w2")
    ((again,), _) = await world.tick("w2", 1, [(one, Report(Verdict.COMPLETE, result=b"1"))])
    await world.lose_worker("w2")
    (last,) = await world.claim("w3")
    assert (last.job_id, last.lost_leases) == ("parent", 1)


async def test_what_a_parent_waits_for_is_what_its_first_queued_child_waits_for(
    world: World, parent: Claim
) -> None:
    await world.finish(parent, step(child(world, "one"), awaits=1))
    record = await world.jobs.get("parent", None)
    assert record is not None
    waiting = await world.jobs.waiting(record)
    assert waiting is not None
    assert (waiting.reason, waiting.position) == ("behind", 0)


def test_a_step_that_makes_too_many_children_is_no_report(world: World) -> None:
    children = [child(world, str(n)) for n in range(MOST_CHILDREN + 1)]
    assert step(*children[1:], awaits=1).outbox
    with pytest.raises(ValueError, match="at most 1000"):
        step(*children, awaits=1)
