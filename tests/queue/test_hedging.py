"""Two calls for one job: both are reserved, one is the job's, and nothing is left over."""

import pytest
from conserved import assert_at_rest, assert_conserved
from queue_world import LANE, OTHER, lane_of, window

from shared.core.model import Usage
from shared.queue.types import Cooldown, Hedged, Report, Verdict
from shared.store.lanes import Lanes

FIRST = window(limit=10) | {"k": "first"}
SECOND = [
    window(limit=10) | {"k": "second"},
    window("tpm", 10_000, d="tokens", c="input+output") | {"k": "second-tokens"},
]
HEADER = {"lanes": [LANE, OTHER], "providers": ["alpha", "beta"]}


async def started(world, **more):
    """A job that runs on LANE, with OTHER to hedge on."""
    await world.configure(
        {LANE: lane_of(FIRST, conc=1), OTHER: lane_of(*SECOND, conc=1, cred="c2")}
    )
    await world.accept(world.job(candidates=(LANE, OTHER), **more))
    (claim,) = await world.claim(want=1)
    return claim


async def hedge(world, claim, **more):
    header = {"worker": "w1", "id": claim.job_id, "fence": claim.fence, **HEADER, **more}
    found = await world.run("hedge", **header)
    return found and [each.decode() for each in found]


async def used(world, lane):
    """Per window of a lane's one credential."""
    for view in await world.lanes():
        if view.lane == lane:
            return {each["window"]: each["used"] for each in view.windows}
    raise AssertionError(lane)


@pytest.fixture
def seen(world):
    world.lanes = Lanes(world.client).lanes
    return world


def ended(won, reached, **more):
    answer = {"result": b"{}", "usage": Usage(3, 4)}
    return Report(Verdict.COMPLETE, hedge=Hedged(OTHER, "c2", won, reached, **more), **answer)


async def test_a_second_call_is_reserved_and_counted_like_a_claim(seen):
    claim = await started(seen)
    lane, credential, _ = await hedge(seen, claim)
    assert (lane, credential) == (OTHER, "c2")
    assert await used(seen, OTHER) == {"rpm": 1, "tpm": 30}
    await assert_conserved(seen.client)
    assert await hedge(seen, claim) is None


async def test_who_answers_settles_and_the_other_keeps_what_it_may_have_cost(seen):
    claim = await started(seen)
    await hedge(seen, claim)
    assert await seen.finish(claim, ended(won=True, reached=True))
    assert await used(seen, LANE) == {"rpm": 1}
    assert await used(seen, OTHER) == {"rpm": 1, "tpm": 7}
    assert (await seen.jobs.get(claim.job_id, None)).lane == OTHER
    await assert_at_rest(seen.client)


@pytest.mark.parametrize(("reached", "left"), [(True, {"rpm": 1, "tpm": 30}), (False, {})])
async def test_a_second_call_that_lost_keeps_its_reservation_unless_it_never_left(
    seen, reached, left
):
    claim = await started(seen)
    await hedge(seen, claim)
    rest = (Cooldown("lane", 60_000, "rate_limited"),)
    assert await seen.finish(claim, ended(won=False, reached=reached, cooldowns=rest))
    assert await used(seen, OTHER) == {"rpm": 0, "tpm": 0} | left
    assert (await seen.jobs.get(claim.job_id, None)).lane == LANE
    cool = await seen.client.hkeys("{hr}:cool")
    assert cool == [f"l:{OTHER}|c2".encode()]
    await assert_at_rest(seen.client)


@pytest.mark.parametrize("how", ["lost", "cancelled", "given back"])
async def test_however_a_hedged_job_ends_its_places_are_free_again(seen, how):
    claim = await started(seen)
    await hedge(seen, claim)
    if how == "lost":
        assert await seen.lose_worker("w1") == 1
    elif how == "cancelled":
        await seen.jobs.cancel(claim.job_id, None)
    else:
        await seen.finish(claim, Report(Verdict.REQUEUE, uncertain=True))
    space = await assert_conserved(seen.client)
    assert not space.get("run")
    assert (await used(seen, OTHER))["rpm"] == 1


async def test_no_second_call_where_it_would_overtake_or_does_not_fit(seen):
    claim = await started(seen)
    assert await hedge(seen, claim, fence=claim.fence + 1) is None
    assert await hedge(seen, claim, worker="w2") is None
    assert await hedge(seen, claim, providers=["alpha"]) is None
    await seen.accept(seen.job(lane=OTHER))
    assert await hedge(seen, claim) is None
    (other,) = await seen.claim(want=1, providers=("beta",))
    assert await hedge(seen, claim) is None
    await seen.finish(other)
    assert await hedge(seen, claim) is not None
