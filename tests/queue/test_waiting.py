"""Why a queued job waits, and whether anybody lives who would run it."""

import pytest
from conserved import assert_at_rest, assert_conserved
from queue_world import DONE, LANE, PREFIX, World, engine, lane_of, until, window

from shared.core.model import Priority
from shared.core.sharing import Sharing, Terms
from shared.core.waits import NO_WORKER, Before
from shared.store.lanes import Lanes
from shared.store.types import Waiting

NOW_MS = 1_800_000_000_000


async def waiting(world: World, job_id: str) -> Waiting:
    record = await world.jobs.get(job_id, None)
    assert record is not None
    found = await world.jobs.waiting(record)
    assert found is not None
    return found


async def workers(world: World, lane: str = LANE) -> tuple[int | None, int]:
    """How many live ones serve the lane, as selection and as `/v1/queues` reads it."""
    lanes = Lanes(world.client)
    state = (await lanes.lane_states())[lane]
    (view,) = [one for one in await lanes.lanes() if one.lane == lane]
    return state.workers, view.workers


async def test_where_no_worker_lives_a_job_says_so_whatever_else_holds_it_up(
    each_world: World,
) -> None:
    world = each_world
    await world.set_clock(NOW_MS)
    await world.configure({LANE: lane_of(window(limit=1))})
    await world.accept(world.job("a"), world.job("b"), world.job("late", delay_ms=1000))
    assert (await waiting(world, "a")).reason == NO_WORKER
    assert (await waiting(world, "late")).reason == NO_WORKER
    await world.claim(want=2)
    assert (await waiting(world, "b")).reason == "quota"
    await world.client.zadd(f"{PREFIX}workers", {"w1": 1})  # its lease is over: nobody noticed yet
    found = await waiting(world, "b")
    assert (found.reason, found.window, found.until_ms, found.position) == (
        NO_WORKER,
        None,
        None,
        0,
    )
    assert await workers(world) == (0, 0)


async def test_a_worker_of_another_provider_is_none_for_the_lane(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOW_MS)
    await world.accept(world.job("a"))
    await world.run("beat", worker="w1", lease_ms=5000, providers=["beta", "own"])
    assert (await waiting(world, "a")).reason == NO_WORKER
    assert await workers(world) == (0, 0)
    for worker in ("w2", "w3"):
        await world.run("beat", worker=worker, lease_ms=5000, providers=["alpha", "own"])
    assert (await waiting(world, "a")).reason == "behind"
    assert await workers(world) == (2, 2)
    await world.run("beat", worker="w2", lease_ms=5000, providers=["own"])  # it was told to
    assert await workers(world) == (1, 1)


async def test_a_worker_that_has_not_said_whom_it_serves_may_serve_anybody(world: World) -> None:
    await world.accept(world.job("a"))
    await world.tick("w1", 0)
    assert (await waiting(world, "a")).reason == "behind"
    assert await workers(world) == (1, 1)


async def test_what_a_dead_worker_served_is_forgotten_with_it(world: World) -> None:
    await world.set_clock(NOW_MS)
    await world.beat("w1")
    assert await world.client.hkeys(f"{PREFIX}serves") == [b"w1"]
    await world.lose_worker("w1")
    assert not await world.client.exists(f"{PREFIX}serves")
    await assert_conserved(world.client)


async def test_a_real_worker_serves_its_lanes_from_its_first_moment_on(world: World) -> None:
    await world.configure({LANE: lane_of()})

    async def run(_hand: object) -> object:
        return DONE

    async with engine(world.url, run, providers=("alpha",)):  # type: ignore[arg-type]
        await until(lambda: _served(world), "it has said whom it serves")
    (worker,) = await world.client.zrange(f"{PREFIX}workers", 0, -1)
    await world.client.zadd(f"{PREFIX}workers", {worker: 1})
    assert await workers(world) == (0, 0)


async def _served(world: World) -> bool:
    return bool(await world.client.hlen(f"{PREFIX}serves")) and await workers(world) == (1, 1)


async def test_what_stands_before_a_job_is_told_by_class_and_whose_it_is(
    each_world: World,
) -> None:
    world = each_world
    await world.beat("w1")
    await world.accept(world.job("chat", priority=Priority.INTERACTIVE))
    for number in range(3):
        await world.accept(world.job(f"mine-{number}", priority=Priority.BULK))
    await world.accept(world.job("other", tenant="t2", priority=Priority.BULK))
    found = await waiting(world, "mine-2")
    # of the other tenant as many as of ours are taken to be before it, but it has one only
    assert (found.reason, found.position) == ("behind", 5)
    assert found.before == Before((1, 0, 4), 0, 2)
    assert (await waiting(world, "chat")).before == Before((0, 0, 0), 0, 0)
    (claimed,) = await world.claim()
    assert claimed.job_id == "chat"
    assert (await waiting(world, "mine-0")).before == Before((0, 0, 0), 1, 0)


async def test_a_follower_of_a_job_that_nobody_would_run_says_so(world: World) -> None:
    sharing = Sharing("like", Terms(follow=True, cache_ms=0))
    await world.accept(world.job("a", sharing=sharing), world.job("b", sharing=sharing))
    assert (await waiting(world, "b")).reason == NO_WORKER
    await world.beat("w1")
    assert (await waiting(world, "b")).reason == "shared"
    (claimed,) = await world.claim()
    await world.finish(claimed)
    await assert_at_rest(world.client)


@pytest.mark.parametrize("task", ["own/summaries@shared", "own/webhooks@shared"])
async def test_work_of_our_own_waits_for_a_worker_too(world: World, task: str) -> None:
    await world.accept(world.job("a", lane=task))
    assert (await waiting(world, "a")).reason == NO_WORKER
    await world.beat("w1")
    assert (await waiting(world, "a")).reason == "behind"
