"""A worker that lost its lease changes nothing; what its lost replies leased goes back."""

from conserved import assert_at_rest, assert_conserved
from queue_world import DONE, LANE, World, lane_of, window

from shared.core.model import Status
from shared.queue.types import Report, Verdict


async def test_a_stale_finish_changes_nothing(each_world: World) -> None:
    world = each_world
    await world.accept(world.job("a"))
    (old,) = await world.claim("w1")
    await world.lose_worker("w1")
    await assert_conserved(world.client)
    (new,) = await world.claim("w2")
    before = await assert_conserved(world.client)
    for verdict in Verdict:
        assert not await world.finish(old, Report(verdict, result=b"x"), "w1")
    after = await assert_conserved(world.client)
    for noun in ("job", "res", "ev", "q", "held"):
        assert after.under(noun) == before.under(noun)
    assert await world.finish(new, DONE, "w2")
    await assert_at_rest(world.client)


async def test_a_finish_with_an_older_fence_of_the_same_worker_changes_nothing(
    world: World,
) -> None:
    await world.accept(world.job("a"))
    (old,) = await world.claim("w1")
    await world.lose_worker("w1")
    (new,) = await world.claim("w1")
    assert new.fence > old.fence
    assert not await world.finish(old)
    await assert_conserved(world.client)
    assert await world.finish(new)
    await assert_at_rest(world.client)


async def test_a_finish_sent_twice_counts_once(world: World) -> None:
    await world.accept(world.job("a"))
    (claim,) = await world.claim()
    assert await world.finish(claim)
    assert not await world.finish(claim)
    assert (await world.kinds("a")).count("job.completed") == 1
    await assert_at_rest(world.client)


async def test_a_finish_twice_in_one_turn_counts_once(world: World) -> None:
    await world.accept(world.job("a"))
    (claim,) = await world.claim()
    _, stale = await world.tick("w1", 0, [(claim, DONE), (claim, DONE)])
    assert stale == ["a"]
    await assert_at_rest(world.client)


async def test_a_reconcile_takes_back_only_what_the_worker_does_not_know(world: World) -> None:
    await world.accept(*(world.job(f"j{n}") for n in range(4)))
    claimed = await world.claim(want=4)
    assert await world.beat("w1", known=[c.job_id for c in claimed[:2]]) == 2
    await assert_conserved(world.client)
    back = await world.claim("w2", want=9)
    assert {c.job_id for c in back} == {"j2", "j3"}
    assert [c.lost_leases for c in back] == [0, 0]
    assert not any(c.uncertain for c in back), "they never reached the worker: nothing was sent"
    await assert_conserved(world.client)


async def test_what_a_lost_reply_reserved_is_given_back(world: World) -> None:
    await world.set_clock(1_000_000_000)
    await world.configure({LANE: lane_of(window(limit=1))})
    await world.accept(world.job("a"))
    await world.claim()
    await world.beat("w1", known=[])
    assert [c.job_id for c in await world.claim()] == ["a"]
    await assert_conserved(world.client)


async def test_a_turn_sent_before_a_reconcile_claims_nothing_after_it(world: World) -> None:
    await world.accept(world.job("a"), world.job("b"))
    (claim,) = await world.claim(turn=1)
    await world.beat("w1", known=[claim.job_id], turn=3)
    late, stale = await world.tick("w1", 1, [(claim, DONE)], turn=2)
    assert late == []
    assert stale == [], "its finish is fenced and counts"
    assert len(await world.claim(turn=4)) == 1
    await assert_conserved(world.client)


async def test_a_reconcile_that_comes_late_takes_nothing_back(world: World) -> None:
    await world.accept(world.job("a"))
    await world.beat("w1", known=[], turn=2)
    (claim,) = await world.claim(turn=3)
    assert await world.beat("w1", known=[], turn=1) == 0
    assert await world.finish(claim)
    await assert_at_rest(world.client)


async def test_lost_jobs_come_first_again(world: World) -> None:
    await world.accept(world.job("first"))
    await world.claim("w1")
    await world.accept(*(world.job(f"later{n}") for n in range(5)))
    await world.lose_worker("w1")
    assert [c.job_id for c in await world.claim("w2")] == ["first"]


async def test_after_a_silence_nobody_is_dead_for_one_lease(world: World) -> None:
    await world.set_clock(1_000_000)
    await world.accept(world.job("a"))
    await world.beat("w1")
    (claim,) = await world.claim("w1")
    world.now_ms = 1_000_000 + 60_000
    assert await world.beat("w2") == 0
    for _ in range(4):
        world.now_ms += 1000
        assert await world.beat("w2") == 0, "the store was away: w1 had no chance to renew"
    assert await world.finish(claim)
    await assert_at_rest(world.client)


async def test_a_silence_shorter_than_a_lease_blames_nobody_either(world: World) -> None:
    """w1 renewed at 0 and w2 at 900; the store was away until 5,300."""
    await world.set_clock(1_000_000)
    await world.beat("w1")
    await world.accept(world.job("a"))
    (claim,) = await world.claim("w1")
    world.now_ms = 1_000_900
    await world.beat("w2")
    world.now_ms = 1_005_300
    assert await world.beat("w2") == 0
    assert await world.finish(claim)


async def test_the_dead_are_taken_back_once_the_grace_is_over(world: World) -> None:
    await world.set_clock(1_000_000)
    await world.accept(world.job("a"))
    await world.claim("w1")
    taken = 0
    for _ in range(12):
        world.now_ms += 1000
        taken += await world.beat("w2")
    assert taken == 1
    assert await world.status("a") is Status.QUEUED
    await assert_conserved(world.client)


async def test_thousands_of_jobs_of_many_dead_workers_all_come_back(world: World) -> None:
    await world.accept(*(world.job() for n in range(2000)))
    for n in range(20):
        assert len(await world.claim(f"w{n}", want=100)) == 100
        await world.client.zadd("{hr}:workers", {f"w{n}": 1})
    taken = 0
    while got := await world.beat():
        taken += got
    assert taken == 2000
    space = await assert_conserved(world.client)
    assert not space.under("held")
    assert not space.get("workers")
