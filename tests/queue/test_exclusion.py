"""Where a job goes from a lane that does not serve it, and what is told of it."""

import orjson
from queue_world import LANE, OTHER, lane_of, window

from shared.queue.types import Cooldown, Report, Verdict
from shared.store.lanes import Lanes


async def test_a_lane_that_cannot_serve_a_job_never_sees_it_again(world):
    await world.configure({LANE: lane_of(window()), OTHER: lane_of(window())})
    await world.accept(world.job(lane=LANE, candidates=(LANE, OTHER)))
    (claim,) = await world.claim(want=1)
    moved = Report(Verdict.REQUEUE, lane=OTHER, exclude_lane=True, reason="too_long")
    await world.finish(claim, moved)
    (again,) = await world.claim(want=1)
    assert (again.lane, again.candidates) == (OTHER, (OTHER,))


async def test_a_lane_that_only_rests_stays_a_candidate(world):
    await world.configure({LANE: lane_of(window()), OTHER: lane_of(window())})
    await world.accept(world.job(lane=LANE, candidates=(LANE, OTHER)))
    (claim,) = await world.claim(want=1)
    await world.finish(claim, Report(Verdict.REQUEUE, exclude_lane=True, reason="rate_limited"))
    (again,) = await world.claim(want=1)
    assert (again.lane, again.candidates) == (OTHER, (LANE, OTHER))


NEAR, FAR = "alpha/n@shared", "gamma/m@shared"


async def escaped(world, report, *resting):
    """Where a job of LANE goes after this report, with its lanes chosen in another order."""
    lanes = (LANE, OTHER, NEAR, FAR)
    await world.configure({lane: lane_of(window(), cred=lane) for lane in lanes})
    for lane in resting:
        at = f"l:{lane}|{lane}"
        await world.client.hset("{hr}:cool", at, f"{9 * 10**15}|unauthorized")
    await world.accept(world.job(lane=LANE, candidates=lanes))
    (claim,) = await world.claim(want=1)
    await world.finish(claim, report)
    return (await world.jobs.get(claim.job_id, None)).lane


async def test_another_model_of_the_provider_comes_before_another_provider(world):
    gone = Report(Verdict.RETRY, exclude_lane=True, reason="overloaded")
    assert await escaped(world, gone) == NEAR


async def test_where_the_provider_is_to_blame_others_come_first(world):
    lost = Report(Verdict.RETRY, exclude_lane=True, blame_provider=True, reason="unreachable")
    assert await escaped(world, lost) == OTHER


async def test_a_lane_whose_credentials_all_rest_is_no_escape(world):
    gone = Report(Verdict.RETRY, exclude_lane=True, reason="overloaded")
    assert await escaped(world, gone, NEAR, OTHER) == FAR


async def test_a_lane_is_left_with_its_last_credential(world):
    dead = (Cooldown("credential", 0, "unauthorized", dead=True),)
    assert await escaped(world, Report(Verdict.REQUEUE, cooldowns=dead)) == NEAR


async def test_a_lane_with_another_credential_keeps_its_job(world):
    two = {"creds": [{"id": name, "win": []} for name in ("c1", "c2")]}
    await world.configure({LANE: two, OTHER: lane_of(window())})
    await world.accept(world.job(lane=LANE, candidates=(LANE, OTHER)))
    (claim,) = await world.claim(want=1)
    dead = (Cooldown("credential", 0, "unauthorized", dead=True),)
    await world.finish(claim, Report(Verdict.REQUEUE, cooldowns=dead))
    (again,) = await world.claim(want=1)
    assert again.lane == LANE
    assert again.credential != claim.credential
    lanes = Lanes(world.client)
    assert await lanes.living(LANE, [claim.credential, again.credential]) == 1
    assert await lanes.living(LANE, []) == 0


async def test_a_requeue_tells_what_becomes_of_the_deltas(world):
    await world.configure({LANE: lane_of(window())})
    await world.accept(world.job())
    (claim,) = await world.claim(want=1)
    parts = {"id": claim.job_id, "fence": claim.fence, "n": 2, "first": 0}
    deltas = (b"job.delta", b'{"a":1}', b"job.delta", b'{"a":2}')
    await world.run("emit", *deltas, worker="w1", jobs=[parts])
    resume = {"on_break": "continue", "continued_from": 7}
    await world.finish(claim, Report(Verdict.RETRY, reason="timeout", resume=resume))
    told = (await world.jobs.events(claim.job_id, None))[-1]
    assert told.type == "job.requeued"
    assert orjson.loads(told.data).items() >= {"streamed": True, **resume}.items()
    assert await world.jobs.deltas(claim.job_id) == [b'{"a":1}', b'{"a":2}']


async def test_deltas_before_a_replay_are_not_the_answers(world):
    await world.configure({LANE: lane_of(window())})
    await world.accept(world.job())
    (claim,) = await world.claim(want=1)
    parts = {"id": claim.job_id, "fence": claim.fence, "n": 1, "first": 0}
    await world.run("emit", b"job.delta", b"{}", worker="w1", jobs=[parts])
    await world.finish(claim, Report(Verdict.FAIL))
    await world.jobs.replay(claim.job_id, None)
    assert await world.jobs.deltas(claim.job_id) == []
