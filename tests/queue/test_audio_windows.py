"""Seconds of audio are reserved at the claim and settled with what was heard; money likewise."""

import orjson
from queue_world import LANE, World

from shared.core.model import (
    Audio,
    CredentialRef,
    Deployment,
    Dimension,
    Kind,
    Limits,
    Need,
    Price,
    Usage,
    Window,
)
from shared.queue.types import Measured, Report, Verdict
from shared.store.lanes import lane_config

NOON = 20_000 * 86_400_000 + 43_200_000
HOUR = 3_600_000


def hearing(limit=1_200, plan="free", cap_microusd=None, dimension="audio_seconds", **audio):
    window = Window("ash", Dimension(dimension), limit, HOUR)
    there = Deployment(
        "alpha/m",
        "alpha",
        "m",
        "x",
        "http://x",
        frozenset({Kind.TRANSCRIPTION}),
        price=Price(audio_microusd_per_hour=360_000),
        plans=((plan, Limits(windows=(window,))),),
        audio=Audio(**audio),
    )
    return {LANE: lane_config(there, [CredentialRef("c1", "alpha", plan)], NOON, cap_microusd)}


def part(world, seconds):
    return world.job(kind=Kind.TRANSCRIPTION, need=Need(audio_seconds=seconds))


def heard(seconds, cost=0):
    return Report(
        Verdict.COMPLETE,
        result=b"{}",
        usage=Usage(audio_seconds=seconds),
        cost_microusd=cost,
        measured=Measured(2_000),
        health="ok",
    )


async def used(world):
    """The window's name, what is used of it and what is free, by the world's own clock."""
    raw = orjson.loads(await world.run("survey", windows=True))
    (found,) = raw["lanes"][LANE]["creds"][0]["win"]
    return found["n"], found["used"], found["free"]


async def test_a_part_waits_until_the_hour_has_room_and_shorter_ones_go_first(
    each_world: World,
) -> None:
    world = each_world
    await world.set_clock(NOON)
    await world.configure(hearing())
    await world.accept(*(part(world, seconds) for seconds in (600, 500, 200, 100)))
    claims = await world.claim(want=4)
    assert [claim.need.audio_seconds for claim in claims] == [600, 500, 100]
    assert await used(world) == ("ash", 1_200, 0)
    assert not await world.claim(want=4)
    await world.set_clock(NOON + HOUR + 5_700)  # a grain of the hour, and its guard
    (last,) = await world.claim(want=4)
    assert last.need.audio_seconds == 200


async def test_what_was_not_heard_comes_back_and_what_was_refused_too(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOON)
    await world.configure(hearing())
    await world.accept(*(part(world, 700) for _ in range(3)))
    (first,) = await world.claim(want=3)
    assert await world.finish(first, heard(500))
    (second,) = await world.claim(want=3)
    unsent = Report(Verdict.FAIL, error={"message": "no"}, reached=False)
    assert await world.finish(second, unsent)
    assert [claim.need.audio_seconds for claim in await world.claim(want=3)] == [700]


async def test_a_short_part_counts_as_the_least_that_is_billed(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOON)
    await world.configure(hearing(limit=25, least_seconds=10))
    await world.accept(*(part(world, 2) for _ in range(3)))
    claims = await world.claim(want=3)
    assert len(claims) == 2
    for claim in claims:
        assert await world.finish(claim, heard(10))
    assert await used(world) == ("ash", 20, 5)


async def test_audio_counts_in_windows_of_tokens_by_the_second(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOON)
    await world.configure(hearing(limit=50_000, dimension="tokens", tokens_per_s=32.0))
    await world.accept(*(part(world, 600) for _ in range(3)))
    assert len(await world.claim(want=3)) == 2
    assert await used(world) == ("ash", 38_400, 11_600)


async def test_the_days_cap_reserves_what_an_hour_costs(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOON)
    lanes = hearing(limit=10**6, plan="paid", cap_microusd=130_000)
    await world.configure(lanes, paid_cap_microusd=130_000)
    await world.accept(*(part(world, 600) for _ in range(4)))  # 60,000 each
    claims = await world.claim(want=4)
    assert len(claims) == 2
    assert await world.finish(claims[0], heard(300, 30_000))
    assert await world.finish(claims[1], heard(300, 30_000))
    assert len(await world.claim(want=4)) == 1
