"""Lanes: parked, full, stolen from, moved between; what waits elsewhere is never lost."""

import asyncio
import random

import pytest
from conserved import assert_at_rest, assert_conserved
from queue_world import DONE, LANE, OTHER, World, engine, lane_of, until, window

from shared.core.model import Need, Priority, Status
from shared.queue.engine import Hand
from shared.queue.types import Cooldown, Report, Verdict

NOW = 1_800_000_000_000


async def test_a_lane_at_its_concurrency_is_full_until_a_finish(each_world: World) -> None:
    world = each_world
    await world.configure({LANE: lane_of(conc=2)})
    await world.accept(*(world.job() for _ in range(5)))
    first = await world.claim(want=9)
    assert len(first) == 2
    space = await assert_conserved(world.client)
    assert space.get("full")
    assert await world.claim("w2", want=9) == []
    claimed, _ = await world.tick("w1", 9, [(first[0], DONE)])
    assert len(claimed) == 1
    await assert_conserved(world.client)


async def test_a_finish_opens_a_lane_that_rests_for_another_credential(world: World) -> None:
    await world.set_clock(NOW)
    busy = {"id": "c1", "win": [], "conc": 1}
    spent = {"id": "c2", "win": [window(limit=1)]}
    await world.configure({LANE: {"creds": [busy, spent]}})
    await world.accept(*(world.job() for _ in range(4)))
    claimed = await world.claim(want=9)
    assert {c.credential for c in claimed} == {"c1", "c2"}
    (on_busy,) = (c for c in claimed if c.credential == "c1")
    again, _ = await world.tick("w1", 9, [(on_busy, DONE)])
    assert [c.credential for c in again] == ["c1"]
    await assert_conserved(world.client)


async def test_a_spent_window_parks_the_lane_until_it_reopens(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOW)
    await world.configure({LANE: lane_of(window(limit=3, span_ms=60_000))})
    await world.accept(*(world.job() for _ in range(5)))
    assert len(await world.claim(want=9)) == 3
    assert await world.claim(want=9) == []
    space = await assert_conserved(world.client)
    reopens = int(float(space.get("park")[LANE]))
    assert NOW + 60_000 <= reopens <= NOW + 60_100
    world.now_ms = reopens
    assert len(await world.claim(want=9)) == 2
    await assert_conserved(world.client)


@pytest.mark.parametrize("queued", [10, 10_000])
async def test_a_parked_lane_opens_at_the_same_cost_whatever_its_backlog(
    world: World, queued: int
) -> None:
    await world.set_clock(NOW)
    await world.configure({LANE: lane_of(window(limit=1, span_ms=1000))})
    for at in range(0, queued, 1000):
        await world.accept(*(world.job(f"p{n}") for n in range(at, min(queued, at + 1000))))
    await world.claim(want=2)
    world.now_ms = int(await world.client.zscore("{hr}:park", LANE) or 0)
    before = await _commands(world)
    assert len(await world.claim(want=1)) == 1
    assert await _commands(world) - before < 60


async def _commands(world: World) -> int:
    stats = await world.client.info("commandstats")
    return sum(int(stat["calls"]) for stat in stats.values())


async def test_the_jobs_of_a_parked_lane_run_on_a_sibling_without_any_scheduler(
    each_world: World,
) -> None:
    world = each_world
    await world.configure({LANE: lane_of(), OTHER: lane_of(cred="c2")})
    await world.accept(*(world.job(candidates=(LANE, OTHER)) for _ in range(20)))
    (one,) = await world.claim(want=1, providers=["alpha"])
    rest = Cooldown(scope="lane", for_ms=3_600_000, reason="rate_limited")
    await world.finish(one, Report(Verdict.REQUEUE, cooldowns=[rest]))
    assert await world.claim(want=20, providers=["alpha"]) == []
    stolen = await world.claim("w2", want=20, providers=["beta"])
    assert len(stolen) == 20
    assert {c.lane for c in stolen} == {OTHER}
    await assert_conserved(world.client)
    await world.tick("w2", 0, [(c, DONE) for c in stolen])
    await assert_at_rest(world.client)


async def test_an_engine_steals_at_once_what_a_cooldown_leaves(world: World) -> None:
    await world.configure({LANE: lane_of(), OTHER: lane_of(cred="c2")})
    rest = Cooldown(scope="lane", for_ms=3_600_000, reason="rate_limited")

    async def limited(hand: Hand) -> Report:
        return Report(Verdict.REQUEUE, cooldowns=[rest], exclude_lane=True)

    async def works(hand: Hand) -> Report:
        return DONE

    async with engine(world.url, limited, ["alpha"]), engine(world.url, works, ["beta"]):
        await world.accept(*(world.job(candidates=(LANE, OTHER)) for _ in range(50)))
        await until(lambda: _completed(world, 50), "all are done on the sibling")
    await assert_at_rest(world.client)


async def _completed(world: World, count: int) -> bool:
    return int(await world.client.hget("{hr}:done", "completed") or 0) == count


async def test_paid_lanes_are_never_stolen_for(world: World) -> None:
    await world.set_clock(NOW)
    await world.configure({LANE: lane_of(window(limit=1)), OTHER: lane_of(cred="c2")})
    await world.accept(*(world.job(candidates=(LANE,), paid_lanes=(OTHER,)) for _ in range(3)))
    assert len(await world.claim(want=9)) == 1
    assert await world.claim("w2", want=9) == []


async def test_a_lane_nobody_serves_waits_and_starts_when_it_is_configured(world: World) -> None:
    await world.accept(world.job("a", lane="gone/m@shared"))
    assert await world.claim(providers=["gone"]) == []
    space = await assert_conserved(world.client)
    assert space.get("lane:gone/m@shared")["reason"] == "unserved"
    await world.configure({"gone/m@shared": lane_of()})
    assert len(await world.claim(providers=["gone"])) == 1
    await assert_conserved(world.client)


async def test_a_move_takes_the_last_of_every_tenant_and_keeps_their_scores(
    each_world: World,
) -> None:
    world = each_world
    await world.configure({LANE: lane_of(), OTHER: lane_of(cred="c2")})
    for n in range(40):
        tenant = f"t{n % 2}"
        await world.accept(world.job(f"m{n:02d}", tenant=tenant, candidates=(LANE, OTHER)))
    before = await assert_conserved(world.client)
    moved = await world.run("move", **{"from": LANE}, to=OTHER, most=20, **{"class": 1})
    assert moved == 20
    after = await assert_conserved(world.client)
    there = {i for name, ids in after.under("q").items() if name.startswith(OTHER) for i in ids}
    assert there, "some moved"
    for job_id in there:
        assert after.under("job")[job_id]["score"] == before.under("job")[job_id]["score"]
    assert "m00" not in there
    assert "m01" not in there, "what is about to start stays"


async def test_a_move_takes_only_jobs_that_may_run_there(world: World) -> None:
    await world.configure({LANE: lane_of(), OTHER: lane_of(cred="c2")})
    await world.accept(*(world.job() for _ in range(5)), world.job("x", candidates=(LANE, OTHER)))
    assert await world.run("move", **{"from": LANE}, to=OTHER, most=20) == 1
    assert (await world.jobs.get("x", None)).lane == OTHER  # type: ignore[union-attr]
    await assert_conserved(world.client)


async def test_a_move_keeps_a_delay_and_never_takes_a_running_job(world: World) -> None:
    await world.set_clock(NOW)
    await world.configure({LANE: lane_of(), OTHER: lane_of(cred="c2")})
    await world.accept(world.job("r"), world.job("d", delay_ms=1000))
    await world.claim()
    assert await world.run("move", to=OTHER, ids=["r", "d"]) == 1
    await assert_conserved(world.client)
    assert await world.claim() == []
    world.now_ms = NOW + 1000
    assert [c.lane for c in await world.claim()] == [OTHER]


async def test_an_older_leader_moves_nothing(world: World) -> None:
    await world.client.set("{hr}:leader:fence", "7")
    await world.accept(world.job("a"))
    with pytest.raises(Exception, match="STALE"):
        await world.run("move", to=OTHER, ids=["a"], fence=6)


@pytest.mark.timeout(300)
async def test_six_thousand_jobs_drain_once_under_random_moves(world: World) -> None:
    lanes = {LANE: lane_of(conc=40), OTHER: lane_of(conc=40, cred="c2")}
    await world.configure(lanes)
    ran: list[str] = []

    async def run(hand: Hand) -> Report:
        ran.append(hand.claim.job_id)
        await asyncio.sleep(0.001)
        return DONE

    ids = [f"d{n:04d}" for n in range(6000)]
    for at in range(0, 6000, 500):
        await world.accept(
            *(
                world.job(i, tenant=f"t{hash(i) % 5}", candidates=(LANE, OTHER))
                for i in ids[at : at + 500]
            )
        )
    moves = 0
    draw = random.Random(7)
    async with engine(world.url, run), engine(world.url, run):
        while not await _completed(world, 6000):
            picked = draw.sample(ids, 200)
            moves += await world.run("move", to=draw.choice((LANE, OTHER)), ids=picked)
    assert sorted(ran) == ids, "each ran once"
    assert moves > 1000
    await assert_at_rest(world.client)


def tokens(limit: int, span_ms: int = 60_000) -> dict[str, object]:
    return window("tpm", limit, span_ms, d="tokens", c="input")


def big(world: World, name: str, size: int, **more: object) -> object:
    return world.job(name, need=Need(size, 0, 0), **more)


async def test_a_huge_head_blocks_nobody_and_is_delayed_by_nobody(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOW)
    await world.configure({LANE: lane_of(tokens(1000))})
    await world.accept(big(world, "used", 300))  # type: ignore[arg-type]
    await world.claim()
    world.now_ms = NOW + 10_000
    await world.accept(big(world, "huge", 800))  # type: ignore[arg-type]
    await world.accept(*(big(world, f"small{n}", 60) for n in range(10)))  # type: ignore[misc]
    claimed = [c.job_id for c in await world.claim(want=20)]
    # beside 800 of 1,000 there is room for 200: three of 60
    assert claimed == ["small0", "small1", "small2"]
    space = await assert_conserved(world.client)
    world.now_ms = int(float(space.get("park")[LANE]))
    assert world.now_ms <= NOW + 60_100, "the small ones did not delay it"
    assert (await world.claim(want=1))[0].job_id == "huge"
    await assert_conserved(world.client)


async def test_a_job_larger_than_every_window_goes_to_the_worker_to_decide(world: World) -> None:
    await world.configure({LANE: lane_of(tokens(1000))})
    await world.accept(big(world, "never", 1001))  # type: ignore[arg-type]
    (claim,) = await world.claim()
    assert claim.credential == ""
    await world.finish(claim)
    await assert_at_rest(world.client)


async def test_bulk_leaves_a_tenth_of_a_window_while_interactive_work_is_about(
    world: World,
) -> None:
    await world.set_clock(NOW)
    await world.configure({LANE: lane_of(window(limit=20))})
    await world.accept(world.job("i", priority=Priority.INTERACTIVE))
    assert [c.job_id for c in await world.claim()] == ["i"]
    await world.accept(*(world.job(priority=Priority.BULK) for _ in range(30)))
    assert len(await world.claim(want=30)) == 17, "20 - 1 - a tenth"
    await world.accept(*(world.job(f"i{n}", priority=Priority.INTERACTIVE) for n in range(3)))
    assert [c.job_id for c in await world.claim(want=30)] == ["i0", "i1"]
    await assert_conserved(world.client)


async def test_bulk_may_use_all_when_no_interactive_work_came_lately(world: World) -> None:
    await world.set_clock(NOW)
    await world.configure({LANE: lane_of(window(limit=20))})
    await world.accept(world.job("i", priority=Priority.INTERACTIVE))
    await world.claim()
    world.now_ms = NOW + 600_001
    await world.accept(*(world.job(priority=Priority.BULK) for _ in range(30)))
    assert len(await world.claim(want=30)) == 20


async def test_a_bulk_turn_that_cannot_be_used_does_not_hold_up_interactive_work(
    world: World,
) -> None:
    await world.set_clock(NOW)
    await world.configure({LANE: lane_of(window(limit=40))})
    await world.accept(*(world.job(priority=Priority.BULK) for _ in range(50)))
    await world.accept(*(world.job(priority=Priority.INTERACTIVE) for _ in range(50)))
    claimed = await world.claim(want=50)
    assert len(claimed) == 40, "the tenth kept from bulk is there for the others"
    await assert_conserved(world.client)


async def test_a_dropped_entry_does_not_stop_its_lane(world: World) -> None:
    await world.accept(*(world.job(f"j{n}") for n in range(3)))
    await world.client.delete("{hr}:job:j0")
    assert [c.job_id for c in await world.claim(want=5)] == ["j1", "j2"]


async def test_cancelled_jobs_of_every_place_leave_their_lane_consistent(world: World) -> None:
    jobs = [world.job(f"j{n}", tenant=f"t{n % 4}", delay_ms=(n % 3) * 60_000) for n in range(60)]
    await world.accept(*jobs)
    await world.claim(want=5)
    draw = random.Random(3)
    for job in draw.sample(jobs, 60):
        await world.jobs.cancel(job.id, None)
        if draw.random() < 0.2:
            await assert_conserved(world.client)
    await assert_at_rest(world.client)
    assert await world.status("j0") is Status.CANCELLED
