"""Keys that turn out to be of one organisation share its windows, what they used, its rests."""

import orjson
from queue_world import LANE, World

from shared.core.model import CredentialRef, Deployment, Dimension, Kind, Limits, Window, WindowKind
from shared.queue.types import Cooldown, Report, Verdict
from shared.store import learned
from shared.store.lanes import lane_config

NOON = 20_000 * 86_400_000 + 43_200_000
RESTS = Report(Verdict.REQUEUE, cooldowns=(Cooldown("lane", 30_000, "rate_limited:rpm"),))


def lanes(*refs, kind=WindowKind.SLIDING, limit=10):
    windows = (Window("rpm", Dimension.REQUESTS, limit, 60_000, kind),)
    there = Deployment(
        *("alpha/m", "alpha", "m", "x", "http://x", frozenset({Kind.CHAT})),
        plans=(("free", Limits(windows=windows)),),
    )
    return {LANE: lane_config(there, refs, NOON)}


def key(id_, **more):
    return CredentialRef(id_, "alpha", "free", **more)


APART = (key("a"), key("b"))
TOGETHER = (key("a", shares="a"), key("b", shares="a"))


async def free(world):
    raw = orjson.loads(await world.run("survey", windows=True))
    return {c["id"]: [w["free"] for w in c["win"]] for c in raw["lanes"][LANE]["creds"]}


async def claimed(world, count):
    await world.accept(*(world.job(kind=Kind.CHAT) for _ in range(count)))
    return await world.claim(want=count)


async def test_what_both_have_used_counts_together_from_then_on(each_world: World) -> None:
    world = each_world
    for kind in WindowKind:
        await world.client.flushall()
        await world.set_clock(NOON + 10_000)
        await world.configure(lanes(*APART, kind=kind))
        assert len(await claimed(world, 6)) == 6
        cut = kind is WindowKind.BUCKET  # what a guard may cost of a full one
        assert await free(world) == {"a": [7 - cut], "b": [7 - cut]}
        await world.set_clock(NOON + 10_100)
        await world.configure(lanes(*TOGETHER, kind=kind))
        left = 4 - 2 * cut  # and what was used of one is brought rounded up
        assert await free(world) == {"a": [left], "b": [left]}
        assert len(await claimed(world, 9)) == left


async def test_what_was_brought_runs_out_when_it_would_have(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOON)
    await world.configure(lanes(*APART))
    assert len(await claimed(world, 6)) == 6
    await world.set_clock(NOON + 50_000)
    await world.configure(lanes(*TOGETHER))
    await world.set_clock(NOON + 60_500)  # a grain and the guard
    assert await free(world) == {"a": [10], "b": [10]}


async def test_a_key_that_turns_out_to_be_anothers_takes_nothing_with_it(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOON)
    await world.configure(lanes(*TOGETHER))
    assert len(await claimed(world, 6)) == 6
    await world.configure(lanes(*APART))
    assert await free(world) == {"a": [4], "b": [10]}


async def test_a_limit_met_by_one_rests_all_that_share_it_and_nobody_else(
    each_world: World,
) -> None:
    world = each_world
    await world.set_clock(NOON)
    await world.configure(lanes(*TOGETHER, key("c")))
    (claim,) = await claimed(world, 1)
    other = {"a": "b", "b": "a", "c": ""}[claim.credential]
    while not other:  # the first turn may be the stranger's
        (claim,) = await claimed(world, 1)
        other = {"a": "b", "b": "a", "c": ""}[claim.credential]
    assert await world.finish(claim, RESTS)
    raw = orjson.loads(await world.run("survey", windows=True))
    resting = {c["id"] for c in raw["lanes"][LANE]["creds"] if c["rest"] > NOON}
    assert resting == {"a", "b"}


async def test_a_key_that_joins_knows_what_the_others_were_told(world: World) -> None:
    spec = learned.spec_of(
        learned.Known(Window("rpm", Dimension.REQUESTS, 7, 60_000, source="header")),
        Deployment(*("alpha/m", "alpha", "m", "x", "http://x", frozenset({Kind.CHAT}))),
        key("a"),
        NOON,
    )
    bare = Deployment(*("alpha/m", "alpha", "m", "x", "http://x", frozenset({Kind.CHAT})))
    apart = lane_config(bare, APART, NOON)
    told = {**apart["creds"][0], "win": [spec | {"new": True}]}
    kept = learned.rows(LANE, told) | learned.rows(LANE, apart["creds"][1])
    both = {LANE: lane_config(bare, TOGETHER, NOON)}
    found = learned.merged(both, {k: v for k, v in kept.items() if v})[LANE]["creds"]
    assert [[w["l"] for w in cred["win"]] for cred in found] == [[7], [7]]
