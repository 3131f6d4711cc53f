"""Acceptance: idempotent in three ways, grouped, bounded."""

import asyncio

import pytest
from conserved import assert_at_rest, assert_conserved
from queue_world import DONE, World
from redis.exceptions import DataError

from shared.core.model import Status
from shared.queue.types import Acceptance, Report, Verdict


async def test_the_same_id_twice_is_one_job(each_world: World) -> None:
    world = each_world
    await world.accept(world.job("a"))
    (again,) = await world.accept(world.job("a"))
    assert again.how is Acceptance.REPEATED
    await assert_conserved(world.client)


async def test_an_idempotency_key_names_one_job_and_one_body(each_world: World) -> None:
    world = each_world
    await world.accept(world.job("a", idempotency=("key", "body1")))
    (same,) = await world.accept(world.job("b", idempotency=("key", "body1")))
    (other,) = await world.accept(world.job("c", idempotency=("key", "body2")))
    (stranger,) = await world.accept(world.job("d", tenant="t2", idempotency=("key", "body2")))
    assert (same.how, same.job_id) == (Acceptance.REPEATED, "a")
    assert (other.how, other.job_id) == (Acceptance.CONFLICT, "a")
    assert stranger.how is Acceptance.NEW
    await assert_conserved(world.client)


async def test_a_repeated_key_tells_that_its_job_has_ended(world: World) -> None:
    await world.accept(world.job("a", idempotency=("key", "body")))
    (claim,) = await world.claim()
    await world.finish(claim)
    (again,) = await world.accept(world.job("b", idempotency=("key", "body")))
    assert (again.job_id, again.status) == ("a", Status.COMPLETED)


async def test_keys_repeated_within_one_group_are_one_job(world: World) -> None:
    jobs = [world.job(idempotency=("key", "body")) for _ in range(20)]
    accepted = await world.accept(*jobs)
    assert len({each.job_id for each in accepted}) == 1
    assert [each.how for each in accepted].count(Acceptance.NEW) == 1
    await assert_conserved(world.client)


async def test_an_sdk_retry_joins_the_live_job_and_no_ended_one(world: World) -> None:
    await world.accept(world.job("a", live="digest"))
    (joined,) = await world.accept(world.job("b", live="digest", join_live=True))
    assert (joined.how, joined.job_id) == (Acceptance.JOINED, "a")
    (claim,) = await world.claim()
    await world.finish(claim)
    (fresh,) = await world.accept(world.job("c", live="digest", join_live=True))
    assert (fresh.how, fresh.job_id) == (Acceptance.NEW, "c")
    await assert_conserved(world.client)


async def test_the_end_of_an_older_twin_does_not_hide_the_live_one(world: World) -> None:
    await world.accept(world.job("a", live="digest"))
    (claim,) = await world.claim()
    await world.accept(world.job("b", live="digest"))
    await world.finish(claim)
    (joined,) = await world.accept(world.job("c", live="digest", join_live=True))
    assert (joined.how, joined.job_id) == (Acceptance.JOINED, "b")
    await assert_conserved(world.client)


async def test_one_bad_job_of_a_group_fails_alone(world: World) -> None:
    good = [world.job() for _ in range(10)]
    bad = world.job(doc=None)
    results = await asyncio.gather(
        *(world.jobs.accept(job) for job in [*good[:5], bad, *good[5:]]), return_exceptions=True
    )
    assert isinstance(results.pop(5), DataError)
    assert [r.how for r in results if not isinstance(r, BaseException)] == [Acceptance.NEW] * 10
    await assert_conserved(world.client)


async def test_a_caller_that_gives_up_does_not_fail_the_others(world: World) -> None:
    first = asyncio.create_task(world.jobs.accept(world.job("a")))
    second = asyncio.create_task(world.jobs.accept(world.job("b")))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).how is Acceptance.NEW
    with pytest.raises(asyncio.CancelledError):
        await first
    await assert_conserved(world.client)


async def test_a_full_queue_writes_nothing_and_takes_jobs_again_when_it_is_not(
    each_world: World,
) -> None:
    world = each_world
    await world.configure(max_alive=3)
    accepted = await world.accept(*(world.job(f"j{n}") for n in range(5)))
    assert [a.how.value for a in accepted] == ["new"] * 3 + ["full"] * 2
    assert await world.jobs.get("j4", None) is None
    await assert_conserved(world.client)
    (claim,) = await world.claim()
    await world.finish(claim)
    (again,) = await world.accept(world.job("j4"))
    assert again.how is Acceptance.NEW
    await assert_conserved(world.client)


async def test_what_a_finish_brings_along_is_taken_by_a_full_queue(world: World) -> None:
    await world.configure(max_alive=1)
    await world.accept(world.job("a"))
    (claim,) = await world.claim()
    children = tuple(world.job(f"child{n}") for n in range(3))
    await world.finish(claim, Report(Verdict.COMPLETE, result=b"1", outbox=children))
    assert [await world.status(f"child{n}") for n in range(3)] == [Status.QUEUED] * 3
    await assert_conserved(world.client)


async def test_the_outbox_of_a_stale_finish_is_not_written(world: World) -> None:
    await world.accept(world.job("a"))
    (claim,) = await world.claim("dead")
    await world.lose_worker("dead")
    report = Report(Verdict.COMPLETE, result=b"1", outbox=(world.job("child"),))
    assert not await world.finish(claim, report, worker="dead")
    assert await world.jobs.get("child", None) is None
    await assert_conserved(world.client)
    (claim,) = await world.claim()
    assert await world.finish(claim, report)
    assert not await world.finish(claim, report), "its reply was lost and it was sent again"
    assert await world.status("child") is Status.QUEUED
    (claim,) = await world.claim()
    await world.finish(claim, DONE)
    await assert_at_rest(world.client)
