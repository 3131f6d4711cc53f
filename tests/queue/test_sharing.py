"""Equal jobs of one tenant share a call; each still ends once, with one result and one event."""

import random
from dataclasses import replace
from typing import Any

import orjson
import pytest
from conserved import assert_at_rest, assert_conserved
from queue_world import DONE, LANE, OTHER, World, lane_of

from shared.core.model import Kind, Priority, Status, Usage
from shared.core.sharing import Sharing, Terms
from shared.queue.types import (
    Acceptance,
    Accepted,
    Claim,
    Cooldown,
    Measured,
    NewJob,
    Report,
    Verdict,
)
from shared.store.connect import pubsub
from shared.store.inbox import Inbox
from shared.store.usage import Usage as Books

ERROR = {"message": "no", "type": "invalid_request_error", "code": "invalid_request"}
OWN_FAULT = Report(Verdict.FAIL, error=ERROR, own_fault=True)
NOT_ITS_FAULT = Report(Verdict.FAIL, error=ERROR)
COSTLY = Report(
    Verdict.COMPLETE,
    result=b'{"ok":1}',
    usage=Usage(1, 2),
    cost_microusd=7,
    measured=Measured(5, list_microusd=7),
)


def alike(world: World, job_id: str | None, like: str = "like", **more: Any) -> NewJob:
    """A job that shares; `cache_ms`: its answer is kept for so long."""
    terms = Terms(more.pop("follow", True), more.pop("cache_ms", 0))
    return world.job(job_id, sharing=Sharing(like, terms), **more)


async def accepted(world: World, *jobs: NewJob) -> list[Accepted]:
    """One after the other."""
    return [(await world.accept(job))[0] for job in jobs]


async def group(world: World, *names: str, **more: Any) -> None:
    """The first leads, the others follow."""
    found = await accepted(world, *(alike(world, name, **more) for name in names))
    assert [(one.how, one.of) for one in found] == [
        (Acceptance.NEW, None),
        *((Acceptance.SHARED, names[0]) for _ in names[1:]),
    ]


async def claimed(world: World, want: int = 10, **more: Any) -> dict[str, Claim]:
    return {claim.job_id: claim for claim in await world.claim(want=want, **more)}


async def statuses(world: World, *ids: str) -> list[str]:
    return [str(await world.status(job_id)) for job_id in ids]


async def test_equal_jobs_are_one_call_and_each_has_its_result(each_world: World) -> None:
    world = each_world
    await group(world, "a", "b", "c")
    await assert_conserved(world.client)
    claims = await claimed(world)
    assert list(claims) == ["a"], "one call"
    assert await world.finish(claims["a"], COSTLY)
    await assert_at_rest(world.client)
    first, *others = [await world.jobs.get(name, "t1") for name in ("a", "b", "c")]
    assert first
    assert (first.cost_microusd, first.shared_with) == (7, None)
    for other in others:
        assert other
        assert other.status is Status.COMPLETED
        assert (other.result, other.lane) == (first.result, first.lane)
        assert (other.shared_with, other.cost_microusd, other.attempts) == ("a", 0, ())
        assert other.usage == Usage()
        assert other.started_ms is not None
    events = await world.jobs.events("b", "t1")
    assert [event.type for event in events] == ["job.queued", "job.completed"]
    assert [orjson.loads(event.data)["shared_with"] for event in events] == ["a", "a"]


async def test_a_follower_of_a_running_job_waits_for_that_one(world: World) -> None:
    await group(world, "a")
    (claim,) = await world.claim()
    await accepted(world, alike(world, "b", priority=Priority.INTERACTIVE))
    assert await world.claim() == []
    assert await world.finish(claim)
    assert await statuses(world, "b") == ["completed"]
    (next_one,) = await accepted(world, alike(world, "c"))
    assert next_one.how is Acceptance.NEW, "what has ended leads nobody"


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "t2"},
        {"like": "another"},
        {"follow": False, "cache_ms": 1000},
        {"delay_ms": 60_000},
    ],
    ids=",".join,
)
async def test_who_is_not_alike_or_will_not_share_has_a_call_of_its_own(
    world: World, other: dict[str, Any]
) -> None:
    await group(world, "a")
    (found,) = await accepted(world, alike(world, "b", **other))
    assert found.how is Acceptance.NEW
    (again,) = await accepted(world, alike(world, "c"))
    assert again.of == "a", "nor does it lead those who do"
    await assert_conserved(world.client)


@pytest.mark.parametrize("running", [False, True])
async def test_where_the_leader_is_cancelled_the_next_one_leads(
    world: World, running: bool
) -> None:
    await group(world, "a", "b", "c")
    stale = await claimed(world) if running else {}
    await world.jobs.cancel("a", "t1")
    await assert_conserved(world.client)
    (found,) = await accepted(world, alike(world, "d"))
    assert found.of == "b"
    claims = await claimed(world)
    assert list(claims) == ["b"]
    if running:
        assert not await world.finish(stale["a"]), "the former call is stale"
    assert await world.finish(claims["b"])
    assert await statuses(world, *"abcd") == ["cancelled", *["completed"] * 3]
    await assert_at_rest(world.client)


@pytest.mark.parametrize(("report", "follower"), [(OWN_FAULT, "failed"), (NOT_ITS_FAULT, "queued")])
async def test_followers_fail_with_a_leader_that_was_at_fault_and_else_go_on(
    world: World, report: Report, follower: str
) -> None:
    await group(world, "a", "b", "c")
    assert await world.finish((await claimed(world))["a"], report)
    assert await statuses(world, *"abc") == ["failed", follower, follower]
    await assert_conserved(world.client)
    if follower == "failed":
        record = await world.jobs.get("b", "t1")
        assert record
        assert record.error == ERROR
        assert await world.jobs.replay("b", "t1")
        await assert_conserved(world.client)
    assert await world.finish((await claimed(world))["b"])
    assert (await statuses(world, "b"))[0] == "completed"
    await assert_conserved(world.client)


async def test_a_leader_that_expires_leaves_its_place_to_the_next(world: World) -> None:
    await world.set_clock(1_000_000)
    await accepted(world, alike(world, "a", deadline_ms=1_000), alike(world, "b"))
    await world.set_clock(1_002_000)
    await world.run("expire", most=10)
    assert await statuses(world, "a", "b") == ["expired", "queued"]
    assert await world.finish((await claimed(world))["b"])
    await assert_at_rest(world.client)


async def test_a_follower_has_its_own_deadline_wait_limit_and_cancel(world: World) -> None:
    await world.set_clock(1_000_000)
    bulk = {"priority": Priority.NORMAL, "deadline_ms": 500}
    await accepted(world, alike(world, "a", deadline_ms=100))
    claims = await claimed(world)
    late = [alike(world, "b", **bulk), alike(world, "c", max_wait_ms=50), alike(world, "d")]
    await accepted(world, *late)
    await world.jobs.cancel("d", "t1")
    await world.set_clock(1_000_060)
    await world.run("expire", most=10)
    assert await statuses(world, *"bcd") == ["in_progress", "in_progress", "cancelled"], (
        "work on what it waits for has begun"
    )
    await world.set_clock(1_000_600)
    await world.run("expire", most=10)
    # the leader was late: its first follower took its place, and was late itself
    assert await statuses(world, *"abc") == ["expired", "expired", "queued"]
    assert not await world.finish(claims["a"])
    await assert_conserved(world.client)
    assert await world.finish((await claimed(world))["c"])
    await assert_at_rest(world.client)


async def test_who_takes_over_from_a_job_that_had_begun_has_waited_enough(world: World) -> None:
    await world.set_clock(1_000_000)
    await accepted(world, alike(world, "a"), alike(world, "b", max_wait_ms=50))
    await world.claim()
    await world.jobs.cancel("a", "t1")
    await world.set_clock(1_000_060)
    await world.run("expire", most=10)
    assert await statuses(world, "a", "b") == ["cancelled", "queued"]


async def test_a_follower_whose_wait_is_over_before_its_leader_began_expires(
    world: World,
) -> None:
    await world.set_clock(1_000_000)
    await accepted(world, alike(world, "a"), alike(world, "b", max_wait_ms=50))
    await world.set_clock(1_000_060)
    await world.run("expire", most=10)
    assert await statuses(world, "a", "b") == ["queued", "expired"]
    await assert_conserved(world.client)


async def test_the_more_urgent_leads_and_nobody_waits_behind_less_urgent_work(
    each_world: World,
) -> None:
    world = each_world
    await accepted(
        world,
        alike(world, "bulk", priority=Priority.BULK),
        alike(world, "bulk-too", priority=Priority.BULK),
        world.job("before"),
    )
    (urgent,) = await accepted(world, alike(world, "urgent", priority=Priority.INTERACTIVE))
    assert urgent.how is Acceptance.NEW
    await assert_conserved(world.client)
    found = await world.jobs.get("bulk", "t1")
    assert found
    assert found.shared_with == "urgent"
    assert (await world.kinds("bulk"))[-1] == "job.moved"
    (soon,) = await accepted(world, alike(world, "soon", priority=Priority.NORMAL))
    assert soon.of == "urgent"
    claims = await claimed(world)
    assert list(claims) == ["urgent", "before"]
    await world.finish(claims["before"])
    assert await world.finish(claims["urgent"])
    ids = ("bulk", "bulk-too", "soon", "urgent")
    assert await statuses(world, *ids) == ["completed"] * 4
    await assert_at_rest(world.client)


async def test_of_equal_priority_the_earlier_deadline_leads(world: World) -> None:
    await accepted(world, alike(world, "a", deadline_ms=60_000))
    (found,) = await accepted(world, alike(world, "b", deadline_ms=30_000))
    assert found.how is Acceptance.NEW
    record = await world.jobs.get("a", "t1")
    assert record
    assert record.shared_with == "b"
    await assert_conserved(world.client)


@pytest.mark.parametrize("lost", [False, True])
async def test_a_running_leader_that_goes_back_gives_way_to_a_more_urgent_follower(
    world: World, lost: bool
) -> None:
    await world.configure({LANE: lane_of(), OTHER: lane_of()})
    both = {"candidates": (LANE, OTHER)}
    await accepted(world, alike(world, "a", priority=Priority.BULK, **both))
    (claim,) = await world.claim()
    await accepted(world, alike(world, "b", priority=Priority.INTERACTIVE, **both))
    if lost:
        await world.lose_worker("w1")
    else:
        tired = [Cooldown("lane", 60_000, "rate_limited")]
        report = Report(Verdict.REQUEUE, reason="rate_limited", exclude_lane=True, cooldowns=tired)
        assert await world.finish(claim, report)
    await assert_conserved(world.client)
    claims = await claimed(world, worker="w2")
    assert list(claims) == ["b"]
    if not lost:
        assert claims["b"].lane == OTHER, "it goes where its leader would have gone"
    assert await world.finish(claims["b"], worker="w2")
    assert await statuses(world, "a", "b") == ["completed"] * 2
    await assert_at_rest(world.client)


async def test_a_leader_that_goes_back_to_its_queue_is_followed_still(world: World) -> None:
    await group(world, "a", "b")
    (claim,) = await world.claim()
    assert await world.finish(claim, Report(Verdict.RETRY, reason="overloaded", delay_ms=60_000))
    assert await world.claim() == []
    await assert_conserved(world.client)
    (found,) = await accepted(world, alike(world, "c"))
    assert found.of == "a"


async def test_a_dead_letters_follower_runs_alone(world: World) -> None:
    await group(world, "a", "b")
    for worker in ("w1", "w2", "w3"):
        assert list(await claimed(world, worker=worker)) == ["a"]
        await world.lose_worker(worker)
        await assert_conserved(world.client)
    assert await statuses(world, "a", "b") == ["failed", "queued"]
    await world.accept(world.job("other"))
    claims = await claimed(world, worker="w4")
    assert list(claims) == ["b"], "alone: what brought down three workers may do so again"
    assert await world.finish(claims["b"], worker="w4")
    await world.finish((await claimed(world, worker="w4"))["other"], worker="w4")
    await assert_at_rest(world.client)


async def test_a_leader_has_so_many_followers_and_the_next_leads_anew(world: World) -> None:
    await world.configure(followers=2)
    await group(world, "a", "b", "c")
    found = await accepted(world, alike(world, "d"), alike(world, "e"))
    assert [(one.how, one.of) for one in found] == [
        (Acceptance.NEW, None),
        (Acceptance.SHARED, "d"),
    ]
    await assert_conserved(world.client)
    claims = await claimed(world)
    assert list(claims) == ["a", "d"]
    assert await world.finish(claims["a"])
    (late,) = await accepted(world, alike(world, "f"))
    assert late.of == "d"
    assert await world.finish(claims["d"])
    assert set(await statuses(world, *"abcdef")) == {"completed"}
    await assert_at_rest(world.client)


async def test_large_results_are_copied_to_some_and_the_others_have_a_call(world: World) -> None:
    await world.configure(copied_bytes=2 * len(DONE.result or b"") + 4)
    await group(world, *"abcde")
    assert await world.finish((await claimed(world))["a"])
    assert await statuses(world, *"abc") == ["completed"] * 3
    claims = await claimed(world)
    assert list(claims) == ["d"]
    await assert_conserved(world.client)
    assert await world.finish(claims["d"])
    assert await statuses(world, "e") == ["completed"]
    await assert_at_rest(world.client)


async def test_a_moved_lane_takes_no_followers_along_and_their_place_is_not_moved(
    world: World,
) -> None:
    await world.configure({LANE: lane_of(), OTHER: lane_of()})
    both = {"candidates": (LANE, OTHER)}
    await accepted(world, alike(world, "a", **both), alike(world, "b", **both))
    assert await world.run("move", to=OTHER, ids=["a", "b"]) == 1
    await assert_conserved(world.client)
    record = await world.jobs.get("b", "t1")
    assert record
    assert record.lane == OTHER, "it is shown where it waits"
    await world.jobs.cancel("a", "t1")
    assert (await claimed(world))["b"].lane == OTHER
    await assert_conserved(world.client)


async def test_a_follower_is_shown_as_its_leader_stands(world: World) -> None:
    await group(world, "a", "b")
    before = await world.jobs.get("b", "t1")
    assert before
    assert (before.status, before.started_ms) == (Status.QUEUED, None)
    await world.beat("w1")
    waiting = await world.jobs.waiting(before)
    assert waiting
    assert waiting.reason == "shared"
    await world.claim()
    during = await world.jobs.get("b", "t1")
    assert during
    assert during.status is Status.IN_PROGRESS
    assert during.started_ms is not None
    page = await world.jobs.list("t1", status=Status.IN_PROGRESS)
    assert {job.id for job in page.jobs} == {"a", "b"}


async def test_who_watches_a_follower_hears_of_its_end_with_the_result(world: World) -> None:
    inbox = Inbox(pubsub(world.url), world.client)
    await inbox.start()
    await group(world, "a")
    watch = inbox.expect("b", end_only=True)
    quiet = alike(world, "b", watcher=inbox.id)
    await accepted(world, replace(quiet, follow=False))
    await world.finish((await claimed(world))["a"])
    event = await watch.next(30)
    assert event
    assert event.type == "job.completed"
    assert watch.result == DONE.result
    await inbox.close()


async def test_lines_of_a_batch_that_follow_are_counted_and_marked(world: World) -> None:
    await world.client.hset("{hr}:batch:x", mapping={"status": "in_progress", "fed": 2})
    lines = [alike(world, name, batch=("x", name)) for name in ("a", "b")]
    await accepted(world, *lines)
    await world.finish((await claimed(world))["a"])
    marks = await world.client.lrange("{hr}:bended:x", 0, -1)
    assert sorted(marks) == [b"Ca", b"Cb"]
    counts = await world.client.hmget("{hr}:batch:x", "completed", "ended")
    assert counts == [b"2", b"2"]


async def test_children_that_follow_count_for_their_parent(world: World) -> None:
    await world.accept(world.job("parent", lane="own/summaries@shared", kind=Kind.SUMMARY))
    await group(world, "first")
    children = [alike(world, name, parent="parent") for name in ("one", "two")]
    step = Report(Verdict.WAIT, outbox=children, awaits=2, state=b"{}")
    claims = await claimed(world)
    assert set(claims) == {"parent", "first"}
    assert await world.finish(claims["parent"], step)
    assert await world.claim() == [], "both children wait for the first job's call"
    await world.finish(claims["first"])
    assert list(await claimed(world)) == ["parent"], "its next step"
    family = await world.jobs.family("parent")
    assert (family.ended, family.children) == (2, ("one", "two"))


async def test_what_is_done_in_steps_is_shared_but_not_waited_for_by_the_more_urgent(
    world: World,
) -> None:
    lane = {"lane": "own/summaries@shared", "kind": Kind.SUMMARY}
    await accepted(world, alike(world, "a", priority=Priority.BULK, **lane))
    claims = await claimed(world)
    found = await accepted(world, alike(world, "b", priority=Priority.BULK, **lane))
    assert found[0].of == "a"
    step = Report(Verdict.WAIT, outbox=[world.job("kid", parent="a")], awaits=1, state=b"{}")
    await world.finish(claims["a"], step)
    found = await accepted(
        world,
        alike(world, "c", priority=Priority.INTERACTIVE, **lane),
        alike(world, "d", priority=Priority.BULK, **lane),
    )
    assert [(one.how, one.of) for one in found] == [
        (Acceptance.NEW, None),
        (Acceptance.SHARED, "c"),
    ]
    shown = await world.jobs.get("b", "t1")
    assert shown
    assert shown.status is Status.IN_PROGRESS, "its leader rests between two steps"


# -- answers that are kept


async def answered(world: World, job_id: str = "a", report: Report = COSTLY, **more: Any) -> None:
    await accepted(world, alike(world, job_id, **({"cache_ms": 60_000} | more)))
    assert await world.finish((await claimed(world))[job_id], report)


async def test_a_kept_answer_ends_a_job_in_the_step_that_accepts_it(each_world: World) -> None:
    world = each_world
    await answered(world)
    (found,) = await accepted(world, alike(world, "b", cache_ms=60_000, watcher="nobody"))
    assert (found.how, found.of, found.status) == (Acceptance.CACHED, "a", Status.COMPLETED)
    record = await world.jobs.get("b", "t1")
    assert record
    assert (record.result, record.cached_from) == (COSTLY.result, "a")
    assert (record.usage, record.cost_microusd, record.lane) == (Usage(), 0, LANE)
    assert await world.kinds("b") == ["job.queued", "job.completed"]
    assert await world.claim() == []
    again = await accepted(world, alike(world, "b", cache_ms=60_000))
    assert again[0].how is Acceptance.REPEATED
    await assert_at_rest(world.client)


@pytest.mark.parametrize(
    "other",
    [{"tenant": "t2"}, {"like": "another"}, {"cache_ms": 0}],
    ids=",".join,
)
async def test_a_kept_answer_is_for_equals_who_take_one(
    world: World, other: dict[str, Any]
) -> None:
    await answered(world)
    (found,) = await accepted(world, alike(world, "b", **({"cache_ms": 60_000} | other)))
    assert found.how is Acceptance.NEW


async def test_an_answer_is_given_as_long_as_both_its_job_and_the_asker_allow(
    world: World,
) -> None:
    await world.set_clock(1_000_000)
    await answered(world)
    await world.set_clock(1_010_000)
    found = await accepted(
        world, alike(world, "b", cache_ms=9_000), alike(world, "c", cache_ms=11_000)
    )
    assert [one.how for one in found] == [Acceptance.NEW, Acceptance.CACHED]
    await world.jobs.cancel("b", "t1")
    await world.set_clock(1_060_001)
    (late,) = await accepted(world, alike(world, "d", cache_ms=600_000))
    assert late.how is Acceptance.NEW
    assert not await world.client.exists("{hr}:kept")
    await assert_conserved(world.client)


async def test_only_a_good_answer_is_kept_and_none_that_is_too_large(world: World) -> None:
    await answered(world, "a", OWN_FAULT)
    await world.configure(kept_bytes=20)
    await answered(world, "b", Report(Verdict.COMPLETE, result=b'"a good deal too large"'))
    assert not await world.client.exists("{hr}:kept")


async def test_a_job_that_is_forgotten_answers_nobody(world: World) -> None:
    await answered(world)
    assert await world.jobs.forget("a", "t1")
    (found,) = await accepted(world, alike(world, "b", cache_ms=60_000))
    assert found.how is Acceptance.NEW
    await assert_conserved(world.client)


async def test_so_many_answers_are_kept_and_the_first_to_end_gives_way(world: World) -> None:
    await world.configure(kept=2)
    for name, cache_ms in (("a", 50_000), ("b", 40_000), ("c", 60_000)):
        await answered(world, name, like=name, cache_ms=cache_ms)
    assert set(await world.client.hkeys("{hr}:kept")) == {b"t1:a", b"t1:c"}
    await assert_conserved(world.client)


async def test_a_hit_is_told_to_webhooks_like_any_end(world: World) -> None:
    await answered(world)
    hook = orjson.dumps({"id": "we_1", "types": " job.completed "}).decode()
    await accepted(world, alike(world, "b", cache_ms=60_000, hook=hook))
    (telling,) = await world.client.lrange("{hr}:told:b", 0, -1)
    assert list(await claimed(world)) == [telling.decode()]


async def test_what_sharing_spared_is_in_the_books(world: World) -> None:
    await group(world, "a", "b", "c")
    await world.finish((await claimed(world))["a"], COSTLY)
    await answered(world, "d", like="kept")
    await accepted(world, alike(world, "e", like="kept", cache_ms=60_000))
    (row,) = await _rows(world)
    assert (row.calls, row.done, row.cost_microusd) == (2, 2, 14)
    assert (row.shared, row.kept, row.spared_microusd) == (2, 1, 21)


async def _rows(world: World) -> list[Any]:
    books = Books(world.client)
    today = await books.today()
    return [row.counts for row in await books.rows(today - 1, today)]


async def test_rows_written_before_there_was_sharing_are_added_to_rightly(world: World) -> None:
    books = Books(world.client)
    day = await books.today()
    await world.client.hset(f"{{hr}}:usage:{day}", "t1|alpha/m", "5,5,0,0,10,10,0,0,0,0")
    await group(world, "a", "b")
    await world.finish((await claimed(world))["a"], COSTLY)
    counts = (await _rows(world))[-1]
    assert (counts.calls, counts.shared, counts.spared_microusd) == (6, 1, 7)


# -- whatever happens


REPORTS = (
    DONE,
    OWN_FAULT,
    NOT_ITS_FAULT,
    Report(Verdict.CANCEL),
    Report(Verdict.RETRY, reason="overloaded", delay_ms=20),
    Report(Verdict.REQUEUE, reason="rate_limited", exclude_lane=True),
)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_every_job_is_in_one_place_and_ends_once(
    world: World, seed: int
) -> None:
    await world.configure(
        {LANE: lane_of(conc=3), OTHER: lane_of(conc=2)}, followers=4, suspect_after=1, kept=2
    )
    chance = Chance(world, random.Random(seed))
    for _ in range(60):
        await chance.step()
        await assert_conserved(world.client)
    for _ in range(60):
        await chance.drain()
    space = await assert_at_rest(world.client)
    assert sum(int(n) for n in space.get("done").values()) == chance.made


class Chance:
    """What callers, workers and the scheduler may do, in any order."""

    def __init__(self, world: World, draw: random.Random) -> None:
        self.world, self.draw = world, draw
        self.held: list[tuple[Claim, str]] = []
        self.made, self.now_ms = 0, 1_000_000

    async def step(self) -> None:
        await self.pass_time(self.draw.randint(0, 30))
        does = (self.accept, self.accept, self.claim, self.claim, self.finish, self.finish)
        await self.draw.choice((*does, self.disturb, self.expire))()

    async def pass_time(self, ms: int) -> None:
        self.now_ms += ms
        await self.world.set_clock(self.now_ms)

    async def accept(self) -> None:
        jobs = [self.job() for _ in range(self.draw.randint(1, 4))]
        self.made += len(jobs)
        await self.world.accept(*jobs)

    async def claim(self) -> None:
        worker = self.draw.choice(("w1", "w2"))
        claims = await self.world.claim(worker, self.draw.randint(1, 3))
        self.held += [(claim, worker) for claim in claims]

    async def finish(self) -> None:
        if self.held:
            claim, worker = self.held.pop(self.draw.randrange(len(self.held)))
            await self.world.finish(claim, self.draw.choice(REPORTS), worker)

    async def disturb(self) -> None:
        ids = [f"job-{self.draw.randint(1, max(1, self.made)):06d}" for _ in range(2)]
        await self.world.run("cancel", ids=ids[:1])
        await self.world.run("move", to=self.draw.choice((LANE, OTHER)), ids=ids)

    async def expire(self) -> None:
        await self.world.run("expire", most=10)
        if self.draw.random() < 0.3:
            await self.world.lose_worker(self.draw.choice(("w1", "w2")))

    async def drain(self) -> None:
        await self.pass_time(50)
        for claim in await self.world.claim("w3", 10):
            await self.world.finish(claim, DONE, "w3")
        for worker in ("w1", "w2"):
            await self.world.lose_worker(worker)

    def job(self) -> NewJob:
        pick = self.draw.choice
        job = alike(
            self.world,
            None,
            pick("xy"),
            cache_ms=pick((0, 0, 100)),
            tenant=pick(("t1", "t1", "t2")),
            priority=pick(list(Priority)),
            candidates=(LANE, OTHER),
            deadline_ms=pick((None, None, 40, 400)),
            max_wait_ms=pick((None, None, 60)),
        )
        return job if self.draw.random() < 0.9 else replace(job, sharing=None)
