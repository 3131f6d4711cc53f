"""A job that loses two workers runs alone; only a lease lost there is its fault."""

from conserved import assert_at_rest, assert_conserved
from queue_world import DONE, LANE, OTHER, World, lane_of

from shared.core.model import Status
from shared.queue.types import Report, Verdict


async def suspect(world: World, *ids: str, **more: object) -> None:
    await world.accept(*(world.job(job_id, **more) for job_id in ids))
    for worker in ("dead1", "dead2"):
        assert len(await world.claim(worker, want=len(ids))) == len(ids)
        assert await world.lose_worker(worker) == len(ids)
    space = await assert_conserved(world.client)
    assert set(space.get("quarantine")) == set(ids)


async def test_a_suspect_runs_alone(each_world: World) -> None:
    world = each_world
    await suspect(world, "bad")
    await world.accept(*(world.job(f"good{n}") for n in range(5)))
    (claim,) = await world.claim("w1", want=9)
    assert claim.job_id == "bad"
    await assert_conserved(world.client)
    assert await world.claim("w1", want=9, idle=False) == [], "nothing runs beside it"
    assert len(await world.claim("w2", want=9)) == 5, "other workers go on"
    assert await world.finish(claim)
    assert await world.status("bad") is Status.COMPLETED
    await assert_conserved(world.client)


async def test_a_busy_worker_ends_what_it_runs_before_it_takes_a_suspect(world: World) -> None:
    await world.accept(world.job("mine"))
    (mine,) = await world.claim("w1")
    await suspect(world, "bad")
    await world.accept(world.job("good"))
    assert await world.claim("w1", want=9, idle=False) == []
    assert [c.job_id for c in await world.claim("w2", want=9)] == ["good"]
    claimed, _ = await world.tick("w1", 9, [(mine, DONE)])
    assert [c.job_id for c in claimed] == ["bad"]
    await assert_conserved(world.client)


async def test_a_lease_lost_in_quarantine_is_a_dead_letter_and_replayable(world: World) -> None:
    await suspect(world, "bad")
    await world.claim("w1")
    await world.lose_worker("w1")
    record = await world.jobs.get("bad", None)
    assert record
    assert record.status is Status.FAILED
    assert record.error
    assert record.error["code"] == "dead_letter"
    await assert_at_rest(world.client)
    assert await world.jobs.replay("bad", None)
    (claim,) = await world.claim("w2")
    assert claim.lost_leases == 0
    await world.finish(claim, worker="w2")
    await assert_at_rest(world.client)


async def test_innocents_that_were_there_complete(world: World) -> None:
    ids = [f"j{n}" for n in range(6)]
    await suspect(world, *ids)
    done = 0
    while claimed := await world.claim("w1", want=9):
        assert len(claimed) == 1
        if claimed[0].job_id == "j3":
            await world.lose_worker("w1")
        else:
            await world.finish(claimed[0])
        done += 1
    assert done == 6
    statuses = [await world.status(job_id) for job_id in ids]
    assert statuses.count(Status.COMPLETED) == 5
    assert statuses[3] is Status.FAILED
    await assert_at_rest(world.client)


async def test_a_suspect_given_back_at_a_shutdown_is_not_blamed(world: World) -> None:
    await suspect(world, "bad")
    (claim,) = await world.claim("w1")
    await world.finish(claim, Report(Verdict.REQUEUE, reason="shutdown"))
    await assert_conserved(world.client)
    await world.claim("w2")
    await world.lose_worker("w2")
    assert await world.status("bad") is Status.QUEUED, "it was not alone there"
    space = await assert_conserved(world.client)
    assert "bad" in space.get("quarantine")


async def test_a_suspect_whose_claim_was_lost_stays_in_quarantine(world: World) -> None:
    await suspect(world, "bad")
    await world.claim("w1")
    await world.beat("w1", known=[])
    space = await assert_conserved(world.client)
    assert "bad" in space.get("quarantine")
    assert not space.get("quarantined")


async def test_a_cancelled_suspect_frees_the_quarantine(world: World) -> None:
    await suspect(world, "bad", "worse")
    await world.claim("w1")
    await world.jobs.cancel("bad", None)
    await assert_conserved(world.client)
    assert len(await world.claim("w2")) == 1
    await world.jobs.cancel("worse", None)
    await assert_at_rest(world.client)


async def test_a_suspect_that_cannot_run_here_holds_up_nobody(world: World) -> None:
    await world.configure({LANE: lane_of(), OTHER: lane_of(cred="c2")})
    await suspect(world, "bad", lane=OTHER)
    await world.accept(world.job("good"), world.job("good2"))
    claimed = await world.claim("w1", want=1, providers=["alpha"])
    assert [c.job_id for c in claimed] == ["good"]
    await world.client.hset("{hr}:cool", f"d:{OTHER.partition('@')[0]}", "9000000000000|x")
    claimed = await world.claim("w2", want=1)
    assert [c.job_id for c in claimed] == ["good2"]
    await assert_conserved(world.client)


async def test_a_move_does_not_let_a_suspect_out(world: World) -> None:
    await world.configure({LANE: lane_of(), OTHER: lane_of(cred="c2")})
    await suspect(world, "bad", candidates=(LANE, OTHER))
    await world.run("move", to=OTHER, ids=["bad"])
    space = await assert_conserved(world.client)
    assert "bad" in space.get("quarantine")
    (claim,) = await world.claim("w1")
    assert claim.lane == OTHER


async def test_the_holder_of_a_suspect_keeps_the_quarantine_while_it_lives(world: World) -> None:
    await world.set_clock(1_000_000)
    await suspect(world, "bad", "worse")
    (claim,) = await world.claim("w1")
    for _ in range(60):
        world.now_ms = (world.now_ms or 0) + 1000
        await world.beat("w1")
        assert await world.claim("w2") == [], "one suspect at a time"
    assert await world.finish(claim)
    assert len(await world.claim("w2")) == 1


async def test_a_suspect_whose_lane_is_taken_away_goes_elsewhere_or_ends(world: World) -> None:
    await world.set_clock(1_000_000)
    await world.configure({LANE: lane_of(), OTHER: lane_of(cred="c2")}, unserved_ms=10_000)
    await world.accept(world.job("moves", candidates=(LANE, OTHER)), world.job("ends"))
    for worker in ("dead1", "dead2"):
        assert len(await world.claim(worker, want=2, providers=("alpha",))) == 2
        assert await world.lose_worker(worker) == 2
    await world.configure({}, drop=[LANE])
    assert (await world.run("evacuate", most=500))[:2] == [1, 0]
    (claim,) = await world.claim("w1", want=9)
    assert (claim.job_id, claim.lane) == ("moves", OTHER)
    await world.finish(claim)
    world.now_ms = 1_000_000 + 10_000
    assert (await world.run("evacuate", most=500))[:2] == [0, 1]
    record = await world.jobs.get("ends", None)
    assert record is not None
    assert (record.error or {})["code"] == "no_credential"
    await assert_at_rest(world.client)
    assert await world.client.exists("{hr}:unserved") == 0


async def test_a_suspect_that_comes_back_to_a_lane_that_has_gone_is_told_of(world: World) -> None:
    await world.configure(unserved_ms=0)
    await world.accept(world.job("bad"))
    for worker in ("dead1", "dead2"):
        await world.claim(worker)
        if worker == "dead2":
            await world.configure({}, drop=[LANE])
        await world.lose_worker(worker)
    assert await world.client.zrange("{hr}:unserved", 0, -1) == [LANE.encode()]
    assert (await world.run("evacuate", most=500))[:2] == [0, 1]
    await assert_at_rest(world.client)


async def test_a_suspect_goes_to_another_candidate_where_its_lane_rests(world: World) -> None:
    await world.configure({LANE: lane_of(), OTHER: lane_of(cred="c2")})
    await suspect(world, "bad", candidates=(LANE, OTHER))
    await world.client.hset("{hr}:cool", "c:c1", "9000000000000000|unauthorized")
    (claim,) = await world.claim("w1", want=9)
    assert (claim.job_id, claim.lane, claim.credential) == ("bad", OTHER, "c2")
    await assert_conserved(world.client)


async def test_many_suspects_of_a_lane_that_rests_hold_up_none_of_another(world: World) -> None:
    await world.configure({LANE: lane_of(), OTHER: lane_of(cred="c2")})
    await suspect(world, *(f"a{n}" for n in range(40)))
    await world.accept(world.job("z", lane=OTHER))
    for worker in ("dead3", "dead4"):  # it is no suspect yet: quarantine stands open meanwhile
        await world.client.hset("{hr}:cool", "c:c1", "9000000000000000|unauthorized")
        (claim,) = await world.claim(worker)
        assert claim.job_id == "z"
        await world.lose_worker(worker)
    (claim,) = await world.claim("w1", want=9)
    assert claim.job_id == "z"


async def test_a_suspect_that_no_window_ever_holds_is_the_workers_to_judge(world: World) -> None:
    await suspect(world, "bad")
    tokens = {"k": "tpm-key", "n": "tpm", "d": "tokens", "l": 5, "s": 60_000, "t": "sliding"}
    await world.configure({LANE: lane_of(tokens | {"g": 0, "c": "input"})})
    (claim,) = await world.claim("w1")
    assert (claim.job_id, claim.credential) == ("bad", "")
    await world.finish(claim)
    await assert_at_rest(world.client)
