"""A lane that was found unable to serve a job is no candidate of it any more."""

from queue_world import LANE, OTHER, lane_of, window

from shared.queue.types import Report, Verdict


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
