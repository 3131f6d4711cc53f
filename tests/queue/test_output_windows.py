"""Input and output that are counted apart are reserved apart and settled with what was used."""

import orjson
from queue_world import LANE, World

from shared.core.model import (
    CredentialRef,
    Deployment,
    Dimension,
    Kind,
    Limits,
    Need,
    TokenCount,
    Usage,
    Window,
)
from shared.queue.types import Report, Verdict
from shared.store.lanes import lane_config

NOON = 20_000 * 86_400_000 + 43_200_000


def apart(into=1_000, out=200):
    windows = (
        Window("itpm", Dimension.INPUT_TOKENS, into, 60_000),
        Window("otpm", Dimension.OUTPUT_TOKENS, out, 60_000),
    )
    there = Deployment(
        *("alpha/m", "alpha", "m", "x", "http://x", frozenset({Kind.CHAT})),
        token_count=TokenCount.INPUT,
        plans=(("free", Limits(windows=windows)),),
    )
    return {LANE: lane_config(there, [CredentialRef("c1", "alpha", "free")], NOON)}


def chat(world, into, out, most=4_096):
    need = Need(input_tokens=into, output_tokens=out, max_output_tokens=most)
    return world.job(kind=Kind.CHAT, need=need)


def answered(into, out, cached=0):
    return Report(
        Verdict.COMPLETE, result=b"{}", usage=Usage(into, out, cached_tokens=cached), health="ok"
    )


async def used(world):
    raw = orjson.loads(await world.run("survey", windows=True))
    return {each["n"]: each["used"] for each in raw["lanes"][LANE]["creds"][0]["win"]}


async def test_a_claim_reserves_the_input_and_the_output_to_expect(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOON)
    await world.configure(apart())
    await world.accept(*(chat(world, 100, 80) for _ in range(4)))
    assert len(await world.claim(want=4)) == 2
    assert await used(world) == {"itpm": 200, "otpm": 160}
    assert not await world.claim(want=4)


async def test_output_that_was_not_said_comes_back_and_lets_the_next_in(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOON)
    await world.configure(apart())
    await world.accept(*(chat(world, 100, 150) for _ in range(2)))
    (first,) = await world.claim(want=2)
    assert await world.finish(first, answered(100, 30))
    assert await used(world) == {"itpm": 100, "otpm": 30}
    assert len(await world.claim(want=2)) == 1


async def test_input_that_a_cache_answered_does_not_count(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOON)
    await world.configure(apart())
    await world.accept(chat(world, 900, 20))
    (claim,) = await world.claim(want=1)
    assert await world.finish(claim, answered(905, 25, cached=800))
    assert await used(world) == {"itpm": 105, "otpm": 25}


async def test_a_call_that_never_left_gives_both_back(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOON)
    await world.configure(apart())
    await world.accept(chat(world, 900, 20))
    (claim,) = await world.claim(want=1)
    unsent = Report(Verdict.FAIL, error={"message": "no"}, reached=False)
    assert await world.finish(claim, unsent)
    assert await used(world) == {"itpm": 0, "otpm": 0}
