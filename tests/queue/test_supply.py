"""Lanes and credentials come and go while work waits: it moves, waits, or ends with a reason."""

import asyncio

import pytest
from conserved import assert_at_rest, assert_conserved
from queue_world import DONE, LANE, OTHER, World, engine, lane_of, until, window

from shared.core.model import Kind, Status
from shared.queue.engine import Hand
from shared.queue.tasks import CHECK_CREDENTIAL, task
from shared.queue.types import Cooldown, Report, Verdict
from shared.store.connect import messages
from shared.store.tables import Tables

NOW = 1_800_000_000_000
BOTH = {LANE: lane_of(), OTHER: lane_of(cred="c2")}
GONE = Report(Verdict.REQUEUE, cooldowns=(Cooldown("lane", 0, "model_gone", dead=True),))
DEAD = Report(Verdict.REQUEUE, cooldowns=(Cooldown("credential", 0, "unauthorized", dead=True),))


async def evacuate(world, most=500):
    moved, failed, wait, more = await world.run("evacuate", most=most)
    return moved, failed, int(wait), more


async def test_work_of_a_lane_that_was_taken_away_moves_to_its_next_candidate(
    each_world: World,
) -> None:
    world = each_world
    await world.configure(BOTH, unserved_ms=0)
    ids = [f"job-{n}" for n in range(5)]
    await world.accept(*(world.job(each, candidates=(LANE, OTHER)) for each in ids))
    await world.configure({}, drop=[LANE])
    assert await evacuate(world, most=3) == (3, 0, -1, 1)
    assert (await evacuate(world))[:2] == (2, 0)
    assert await evacuate(world) == (0, 0, -1, 0)
    assert await world.kinds(ids[0]) == ["job.queued", "job.moved"]
    await assert_conserved(world.client)
    assert [claim.job_id for claim in await world.claim(want=9)] == ids


async def test_without_another_candidate_it_fails_after_a_grace_and_can_be_replayed(
    world: World,
) -> None:
    await world.set_clock(NOW)
    await world.configure(unserved_ms=10_000)
    await world.accept(world.job("a"))
    await world.configure({}, drop=[LANE])
    assert await evacuate(world) == (0, 0, 10_000, 0)
    world.now_ms = NOW + 10_000
    assert (await evacuate(world))[:2] == (0, 1)
    record = await world.jobs.get("a", None)
    assert record is not None
    assert record.status is Status.FAILED
    assert (record.error or {})["code"] == "no_credential"
    await assert_at_rest(world.client)
    await world.configure()
    await world.run("replay", id="a")
    assert [claim.job_id for claim in await world.claim()] == ["a"]


async def test_a_lane_that_is_served_again_within_the_grace_goes_on(world: World) -> None:
    await world.set_clock(NOW)
    await world.configure(unserved_ms=10_000)
    await world.accept(world.job("a"))
    await world.configure({}, drop=[LANE])
    assert await world.claim() == []
    await world.configure()
    assert await evacuate(world) == (0, 0, -1, 0)
    assert [claim.job_id for claim in await world.claim()] == ["a"]


async def test_what_comes_back_to_a_lane_that_has_gone_is_told_to_the_scheduler(
    world: World,
) -> None:
    await world.configure(BOTH, unserved_ms=0)
    await world.accept(world.job("a", candidates=(LANE, OTHER)))
    (claim,) = await world.claim(providers=("alpha",))
    await world.configure({}, drop=[LANE])
    assert (await evacuate(world))[:2] == (0, 0)
    await world.finish(claim, Report(Verdict.REQUEUE, reason="rate_limited"))
    # its provider may have gone with it: then no worker looks there any more
    assert (await evacuate(world))[:2] == (1, 0)
    assert [claim.lane for claim in await world.claim()] == [OTHER]


async def test_what_becomes_due_on_a_lane_that_has_gone_is_told_too(world: World) -> None:
    await world.set_clock(NOW)
    await world.configure(BOTH, unserved_ms=0)
    await world.accept(world.job("a", candidates=(LANE, OTHER)))
    (claim,) = await world.claim(providers=("alpha",))
    await world.finish(claim, Report(Verdict.REQUEUE, reason="rate_limited", delay_ms=500))
    await world.configure({}, drop=[LANE])
    assert (await evacuate(world))[:2] == (0, 0)
    world.now_ms = NOW + 500
    assert await world.claim(providers=("beta",)) == []
    assert (await evacuate(world))[:2] == (1, 0)


async def test_a_job_for_a_lane_not_yet_published_waits_there(world: World) -> None:
    await world.accept(world.job("a", lane="new/m@shared"))
    assert await world.client.zrange("{hr}:unserved", 0, -1) == [b"new/m@shared"]
    await world.configure({"new/m@shared": lane_of()})
    assert await evacuate(world) == (0, 0, -1, 0)
    assert [claim.lane for claim in await world.claim(providers=("new",))] == ["new/m@shared"]


async def test_a_dead_credential_parks_its_lanes_until_it_is_taken_back(each_world: World) -> None:
    world = each_world
    tables = Tables(world.client)
    await world.accept(world.job("a"), world.job("b"))
    (claim,) = await world.claim()
    await world.finish(claim, DEAD)
    assert await world.claim(want=9) == []
    assert (await tables.rests())["c:c1"].dead
    assert await tables.set_health("c1") == 1
    assert {claim.job_id for claim in await world.claim(want=9)} == {"a", "b"}
    await assert_conserved(world.client)


async def test_a_test_that_fails_sets_the_credential_aside_before_any_job_meets_it(
    world: World,
) -> None:
    await world.configure({LANE: {"creds": [*lane_of()["creds"], *lane_of(cred="c2")["creds"]]}})
    tables = Tables(world.client)
    assert await tables.set_health("c1", dead="unauthorized") == 0
    await world.accept(*(world.job() for _ in range(4)))
    assert {claim.credential for claim in await world.claim(want=4)} == {"c2"}
    assert await tables.set_health("c2", dead="unauthorized") == 1
    await world.accept(world.job())
    assert await world.claim() == []


@pytest.mark.parametrize("kept", [[], ["c2"]], ids=["with its lane", "and its lane stays"])
async def test_a_key_taken_away_while_it_is_called_is_not_set_aside_for_ever(
    world: World, kept: list[str]
) -> None:
    both = {LANE: {"creds": [*lane_of()["creds"], *lane_of(cred="c2")["creds"]]}}
    await world.configure(both)
    await world.accept(*(world.job() for _ in range(4)))
    claims = [c for c in await world.claim(want=4) if c.credential == "c1"]
    left = {LANE: {"creds": [each for name in kept for each in lane_of(cred=name)["creds"]]}}
    await world.configure(left if kept else {}, drop=[] if kept else [LANE])
    for claim, report in zip(claims, (DEAD, GONE), strict=True):
        await world.finish(claim, report)
    assert await Tables(world.client).rests() == {}


async def test_of_a_lane_that_was_taken_away_no_rest_is_kept(world: World) -> None:
    await world.configure(BOTH)
    for lane in (LANE, OTHER):
        await world.accept(world.job(lane=lane))
        (claim,) = await world.claim(providers=(lane.partition("/")[0],))
        await world.finish(claim, GONE)
    await world.configure({}, drop=[LANE])
    assert sorted(await Tables(world.client).rests()) == [f"l:{OTHER}|c2"]


async def test_a_model_that_is_back_opens_its_lane_and_no_other(world: World) -> None:
    await world.configure({LANE: lane_of(), OTHER: lane_of()})  # one key for both
    tables = Tables(world.client)
    for lane in (LANE, OTHER):
        await world.accept(world.job(lane=lane))
        (claim,) = await world.claim(providers=(lane.partition("/")[0],))
        await world.finish(claim, GONE)
    assert await world.claim(want=9) == []
    assert await tables.reopen("c1", (LANE,)) == 1
    assert [claim.lane for claim in await world.claim(want=9)] == [LANE]
    assert sorted(await tables.rests()) == [f"l:{OTHER}|c1"]
    await assert_conserved(world.client)


async def test_a_new_credential_opens_a_lane_whose_others_all_rest(world: World) -> None:
    await world.accept(world.job("a"))
    (claim,) = await world.claim()
    await world.finish(claim, DEAD)
    assert await world.claim() == []
    await world.configure({LANE: {"creds": [*lane_of()["creds"], *lane_of(cred="c2")["creds"]]}})
    assert [claim.credential for claim in await world.claim()] == ["c2"]


async def test_keys_of_a_higher_priority_are_used_up_first_and_equals_take_turns(
    world: World,
) -> None:
    await world.set_clock(NOW)
    creds = [
        {"id": name, "win": [window("rpm", limit=2, k=f"{name}-rpm")]} for name in ("a", "b", "c")
    ]
    await world.configure({LANE: {"creds": creds, "tiers": [2, 1]}})
    await world.accept(*(world.job() for _ in range(6)))
    used = [claim.credential for _ in range(6) for claim in await world.claim()]
    assert sorted(used[:4]) == ["a", "a", "b", "b"]
    assert used[0] != used[1]
    assert used[4:] == ["c", "c"]


async def test_an_engine_hears_of_work_for_a_provider_it_was_told_to_serve_later(
    world: World,
) -> None:
    done: asyncio.Queue[str] = asyncio.Queue()

    async def run(hand: Hand) -> Report:
        done.put_nowait(hand.claim.lane)
        return DONE

    await world.configure(BOTH)
    async with engine(world.url, run, ("alpha",), beat_ms=3_600_000, lease_ms=7_200_000) as made:
        await world.accept(world.job(lane=LANE))
        assert await done.get() == LANE
        made.serve_providers(["alpha", "beta"])
        for _ in range(3):
            await world.accept(world.job(lane=OTHER))
            async with asyncio.timeout(60):
                assert await done.get() == OTHER


async def test_a_task_is_done_by_any_worker_and_its_result_is_kept(world: World) -> None:
    job = task(CHECK_CREDENTIAL, {"credential": "c1"})
    await world.accept(job)
    (claim,) = await world.claim(providers=("own",))
    assert (claim.kind, claim.credential) == (Kind.TASK, "")
    await world.finish(claim, Report(Verdict.COMPLETE, result=b'{"valid":true}'))
    record = await world.jobs.get(job.id, "system")
    assert record is not None
    assert record.result == b'{"valid":true}'


@pytest.mark.parametrize("death", [DEAD, GONE], ids=["of a key", "of a model of it"])
async def test_a_death_and_an_unserved_lane_are_announced(world: World, death: Report) -> None:
    heard: list[str] = []
    pubsub = world.client.pubsub()
    await pubsub.subscribe("{hr}:lane-events")

    async def hear() -> None:
        async for message in messages(pubsub):
            heard.append(message["data"].decode())  # noqa: PERF401 - it never ends

    hearing = asyncio.create_task(hear())
    await world.accept(world.job("a"), world.job("b"))
    (claim,) = await world.claim()
    await world.finish(claim, death)
    await world.configure({}, drop=[LANE])
    await until(lambda: {"died c1", f"unserved {LANE}"} <= set(heard), "both announcements")
    hearing.cancel()
    await asyncio.gather(hearing, return_exceptions=True)
    await pubsub.aclose()  # type: ignore[no-untyped-call]
