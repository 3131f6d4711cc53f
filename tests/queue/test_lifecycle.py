"""One job from its acceptance to its one end, whatever happens between."""

import pytest
from conserved import assert_at_rest, assert_conserved
from queue_world import DONE, LANE, OTHER, World, lane_of

from shared.core.model import Priority, Status
from shared.errors import Refused
from shared.queue.types import Acceptance, Cooldown, Report, Verdict

FAILED = Report(Verdict.FAIL, error={"message": "no", "type": "x", "code": "y"})


async def test_a_job_is_accepted_claimed_and_completed_once(each_world: World) -> None:
    world = each_world
    (accepted,) = await world.accept(world.job("a", deadline_ms=60_000))
    assert accepted.how is Acceptance.NEW
    await assert_conserved(world.client)
    (claim,) = await world.claim()
    assert claim.job_id == "a"
    await assert_conserved(world.client)
    assert await world.finish(claim)
    record = await world.jobs.get("a", "t1")
    assert record
    assert record.status is Status.COMPLETED
    assert record.result == b'{"ok":1}'
    assert await world.kinds("a") == ["job.queued", "job.started", "job.completed"]
    await assert_at_rest(world.client)


async def test_events_are_numbered_from_one_without_gaps(world: World) -> None:
    await world.accept(world.job("a"))
    (claim,) = await world.claim()
    await world.finish(claim, Report(Verdict.REQUEUE, reason="r"))
    (claim,) = await world.claim()
    await world.finish(claim)
    events = await world.jobs.events("a", None)
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert [event.id for event in await world.jobs.events("a", None, after=2)] == [3, 4, 5]


async def test_a_failed_job_keeps_its_error_and_is_replayable(each_world: World) -> None:
    world = each_world
    await world.accept(world.job("a"))
    (claim,) = await world.claim()
    await world.finish(claim, FAILED)
    record = await world.jobs.get("a", None)
    assert record
    assert record.status is Status.FAILED
    assert record.error == {"message": "no", "type": "x", "code": "y"}
    await assert_at_rest(world.client)
    again = await world.jobs.replay("a", "t1", deadline_ms=60_000)
    assert again
    assert again.status is Status.QUEUED
    assert again.attempts == ()
    await assert_conserved(world.client)
    (claim,) = await world.claim()
    assert claim.attempts == 0
    await world.finish(claim)
    assert await world.status("a") is Status.COMPLETED
    await assert_at_rest(world.client)


async def test_a_retry_spends_an_attempt_and_a_requeue_does_not(world: World) -> None:
    await world.accept(world.job("a"))
    (claim,) = await world.claim()
    await world.finish(claim, Report(Verdict.RETRY, attempt={"n": 1}))
    await assert_conserved(world.client)
    (claim,) = await world.claim()
    assert (claim.attempts, claim.requeues) == (1, 0)
    await world.finish(claim, Report(Verdict.REQUEUE, attempt={"n": 2}))
    (claim,) = await world.claim()
    assert (claim.attempts, claim.requeues) == (1, 1)
    await world.finish(claim, Report(Verdict.COMPLETE, attempt={"n": 3}))
    record = await world.jobs.get("a", None)
    assert record
    assert record.attempts == ({"n": 1}, {"n": 2}, {"n": 3})
    await assert_at_rest(world.client)


async def test_a_retry_waits_for_its_delay_in_the_store(world: World) -> None:
    await world.set_clock(1_000_000)
    await world.accept(world.job("a"))
    (claim,) = await world.claim()
    await world.finish(claim, Report(Verdict.RETRY, delay_ms=500))
    assert world.now_ms is not None
    world.now_ms += 499
    assert await world.claim() == []
    assert int(world.due_ms) == 1_000_500
    await assert_conserved(world.client)
    world.now_ms += 1
    assert [c.job_id for c in await world.claim()] == ["a"]


@pytest.mark.parametrize("verdict", [Verdict.RETRY, Verdict.REQUEUE])
async def test_what_comes_back_after_its_deadline_expires(world: World, verdict: Verdict) -> None:
    await world.set_clock(1_000_000)
    await world.accept(world.job("a", deadline_ms=100))
    (claim,) = await world.claim()
    world.now_ms = 1_000_100
    await world.finish(claim, Report(verdict))
    assert await world.status("a") is Status.EXPIRED
    await assert_at_rest(world.client)


async def test_a_requeue_that_excludes_its_lane_goes_to_another_candidate(world: World) -> None:
    await world.configure({LANE: lane_of(), OTHER: lane_of(cred="c2")})
    await world.accept(world.job("a", candidates=(LANE, OTHER)))
    (claim,) = await world.claim()
    pause = Cooldown(scope="lane", for_ms=60_000, reason="rate_limited")
    report = Report(Verdict.REQUEUE, exclude_lane=True, delay_ms=9999, cooldowns=[pause])
    await world.finish(claim, report)
    await assert_conserved(world.client)
    (claim,) = await world.claim()
    assert claim.lane == OTHER
    await world.finish(claim)
    assert "job.moved" in await world.kinds("a")
    await assert_at_rest(world.client)


@pytest.mark.parametrize("state", ["queued", "delayed", "running", "quarantined"])
async def test_a_cancel_is_final_whatever_the_job_does(world: World, state: str) -> None:
    await world.accept(world.job("a", delay_ms=60_000 if state == "delayed" else 0))
    claimed = await world.claim() if state == "running" else []
    if state == "quarantined":
        for worker in ("d1", "d2"):
            await world.claim(worker)
            await world.lose_worker(worker)
    record = await world.jobs.cancel("a", "t1")
    assert record
    assert record.status is Status.CANCELLED
    await assert_at_rest(world.client)
    if claimed:
        assert await world.client.lrange("{hr}:ctl:w1", 0, -1) == [b"drop a 1"]
        assert not await world.finish(claimed[0])
    assert (await world.kinds("a"))[-1] == "job.cancelled"
    await assert_at_rest(world.client)


async def test_a_cancel_after_the_end_changes_nothing(world: World) -> None:
    await world.accept(world.job("a"))
    (claim,) = await world.claim()
    await world.finish(claim)
    record = await world.jobs.cancel("a", "t1")
    assert record
    assert record.status is Status.COMPLETED
    await assert_at_rest(world.client)


async def test_another_tenant_cannot_cancel_replay_or_read(world: World) -> None:
    await world.accept(world.job("a"))
    assert await world.jobs.cancel("a", "t2") is None
    assert await world.jobs.get("a", "t2") is None
    assert await world.jobs.events("a", "t2") == ()
    await world.jobs.cancel("a", "t1")
    assert await world.jobs.replay("a", "t2") is None


async def test_live_and_completed_jobs_are_not_replayed(world: World) -> None:
    await world.accept(world.job("a"))
    with pytest.raises(Refused):
        await world.jobs.replay("a", None)
    (claim,) = await world.claim()
    await world.finish(claim)
    with pytest.raises(Refused):
        await world.jobs.replay("a", None)


async def test_a_wait_limit_ends_only_what_never_started(world: World) -> None:
    await world.set_clock(1_000_000)
    await world.accept(world.job("a", max_wait_ms=50), world.job("b", max_wait_ms=50))
    (claim,) = await world.claim()
    await world.finish(claim, Report(Verdict.REQUEUE))
    world.now_ms = 1_000_050
    _, ended, _ = await world.run("expire", most=100)
    assert ended == 1
    assert {await world.status("a"), await world.status("b")} == {Status.QUEUED, Status.EXPIRED}
    await assert_conserved(world.client)


async def test_a_deadline_ends_a_running_job_and_tells_its_worker(world: World) -> None:
    await world.set_clock(1_000_000)
    await world.accept(world.job("a", deadline_ms=50))
    (claim,) = await world.claim()
    world.now_ms = 1_000_050
    assert (await world.run("expire", most=100))[1] == 1
    record = await world.jobs.get("a", None)
    assert record
    assert record.status is Status.EXPIRED
    assert record.error
    assert record.error["code"] == "deadline_exceeded"
    assert await world.client.lrange("{hr}:ctl:w1", 0, -1) == [b"drop a 1"]
    assert not await world.finish(claim)
    await assert_at_rest(world.client)


async def test_expire_says_when_to_look_next(world: World) -> None:
    await world.set_clock(1_000_000)
    await world.accept(world.job("a", deadline_ms=50), world.job("b", deadline_ms=70))
    world.now_ms = 1_000_055
    _, ended, due = await world.run("expire", most=100)
    assert (ended, int(due)) == (1, 1_000_070)


async def test_only_a_limit_before_the_next_look_is_announced(world: World) -> None:
    await world.set_clock(1_000_000)
    async with world.client.pubsub() as heard:
        await heard.subscribe("{hr}:lane-events")
        await heard.get_message(timeout=60)
        (_, _, again) = await world.run("expire", most=100)
        assert int(again) == 1_000_000 + 3_600_000
        await world.accept(world.job("near", deadline_ms=500))
        await world.accept(world.job("far", deadline_ms=900))
        world.now_ms = 1_000_500
        assert int((await world.run("expire", most=100))[2]) == 1_000_900
        await world.accept(world.job("between", max_wait_ms=100))
        await world.client.publish("{hr}:lane-events", "end")
        told = []
        while "end" not in told:
            message = await heard.get_message(timeout=60)
            if message:
                told.append(message["data"].decode())
    assert [word.split()[0] for word in told] == ["limits", "limits", "end"]


async def test_every_class_and_tenant_is_counted_out_again(world: World) -> None:
    jobs = [
        world.job(tenant=f"t{n % 3}", priority=Priority(n % 3), delay_ms=(n % 2) * 5)
        for n in range(60)
    ]
    await world.accept(*jobs)
    await assert_conserved(world.client)
    done = 0
    while done < 60:
        got = await world.claim(want=7)
        await assert_conserved(world.client)
        await world.tick("w1", 0, [(claim, DONE) for claim in got])
        done += len(got)
    await assert_at_rest(world.client)


async def test_a_cooldown_of_the_whole_deployment_parks_its_lane(world: World) -> None:
    await world.accept(world.job("a"), world.job("b"))
    (claim,) = await world.claim()
    pause = Cooldown(scope="deployment", for_ms=60_000, reason="overloaded")
    await world.finish(claim, Report(Verdict.REQUEUE, cooldowns=[pause]))
    assert await world.claim() == []
    space = await assert_conserved(world.client)
    assert space.get(f"lane:{LANE}")["reason"] == "cooldown"
    await world.accept(world.job("c"))
    assert await world.claim() == []
    await assert_conserved(world.client)


async def test_a_deployment_cooldown_is_seen_from_a_lane_that_was_never_parked(
    world: World,
) -> None:
    mine = "alpha/m@t1"
    await world.configure({LANE: lane_of(), mine: lane_of(cred="own")})
    await world.accept(world.job("a"), world.job("b", lane=mine))
    claimed = await world.claim(want=1)
    pause = Cooldown(scope="deployment", for_ms=60_000, reason="overloaded")
    await world.finish(claimed[0], Report(Verdict.REQUEUE, cooldowns=[pause]))
    assert await world.claim(want=5) == []
    await assert_conserved(world.client)


async def test_an_ended_job_is_forgotten_wholly_and_only_by_its_tenant(each_world: World) -> None:
    world = each_world
    await world.accept(world.job("a"), world.job("b"))
    (claim, other) = await world.claim(want=2)
    assert not await world.jobs.forget("a", "t1")  # it is live
    await world.finish(claim, FAILED)
    await world.finish(other)
    assert not await world.jobs.forget(claim.job_id, "t2")
    assert await world.jobs.forget(claim.job_id, "t1")
    assert not await world.jobs.forget(claim.job_id, "t1")
    assert await world.jobs.get(claim.job_id, None) is None
    assert await world.status(other.job_id) is Status.COMPLETED
    space = await assert_at_rest(world.client)
    assert not [name for name in space.values if name.endswith(f":{claim.job_id}")]


async def test_what_is_kept_of_a_job_that_goes_back_for_ever_has_a_bound(world: World) -> None:
    tries = 450
    await world.accept(world.job("a"))
    (claim,) = await world.claim()
    for n in range(1, tries):
        refused = Report(Verdict.REQUEUE, attempt={"n": n}, reason="rate_limited")
        (claim,), _ = await world.tick(want=1, finishes=[(claim, refused)])
    fields = await world.client.hkeys("{hr}:job:a")
    assert len(fields) < 100
    record = await world.jobs.get("a", None)
    assert record is not None
    kept = [each["n"] for each in record.attempts]
    assert (kept[:16], kept[16:]) == (list(range(1, 17)), list(range(tries - 48, tries)))
    assert record.requeues == tries - 1
    kinds = await world.kinds("a")
    assert kinds.count("job.requeued") == 199 + 3
    assert kinds.count("job.started") == 200 + 3
    await world.finish(claim, Report(Verdict.FAIL, attempt={"n": tries}, error={"code": "x"}))
    await assert_at_rest(world.client)
    await world.run("replay", id="a")
    record = await world.jobs.get("a", None)
    assert record is not None
    assert record.attempts == ()


async def test_deltas_that_are_void_are_told_of_however_often_a_job_went_back(world: World) -> None:
    await world.accept(world.job("a"))
    (claim,) = await world.claim()
    for _ in range(250):
        (claim,), _ = await world.tick(want=1, finishes=[(claim, Report(Verdict.REQUEUE))])
    await world.run("emit", b"job.delta", b"{}", worker="w1",
                    jobs=[{"id": "a", "fence": claim.fence, "n": 1, "first": 0}])  # fmt: skip
    await world.finish(claim, Report(Verdict.REQUEUE, resume={"on_break": "restart"}))
    assert (await world.kinds("a"))[-2:] == ["job.delta", "job.requeued"]
