"""Where a provider counts every text of an embedding as a request, so do its windows."""

import orjson
import pytest
from queue_world import LANE, World

from shared.core.model import (
    CredentialRef,
    Deployment,
    Dimension,
    Kind,
    Limits,
    Need,
    Usage,
    Window,
)
from shared.queue.types import Measured, Report, Verdict
from shared.store.lanes import Lanes, lane_config
from shared.store.usage import Usage as Books

NOON = 20_000 * 86_400_000 + 43_200_000


def embeds(*, each_input):
    windows = (Window("rpm", Dimension.REQUESTS, 10, 60_000),)
    there = Deployment(
        *("alpha/m", "alpha", "m", "x", "http://x", frozenset({Kind.EMBEDDING})),
        each_input=each_input,
        plans=(("free", Limits(windows=windows)),),
    )
    return {LANE: lane_config(there, [CredentialRef("c1", "alpha", "free")], NOON)}


async def used(world):
    raw = orjson.loads(await world.run("survey", windows=True))
    return raw["lanes"][LANE]["creds"][0]["win"][0]["used"]


def batch(world, texts):
    return world.job(kind=Kind.EMBEDDING, need=Need(input_tokens=texts, inputs=texts))


async def test_a_batch_takes_as_many_requests_as_it_has_texts(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOON)
    await world.configure(embeds(each_input=True))
    await world.accept(batch(world, 6), batch(world, 6), batch(world, 1))
    claims = await world.claim(want=3)
    assert [claim.need.inputs for claim in claims] == [6, 1] or len(claims) == 1
    assert await used(world) == sum(claim.need.inputs for claim in claims)
    answer = Report(Verdict.COMPLETE, result=b"{}", usage=Usage(input_tokens=6), health="ok")
    assert await world.finish(claims[0], answer)
    assert await used(world) == sum(claim.need.inputs for claim in claims)


async def test_elsewhere_a_batch_is_one_request(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOON)
    await world.configure(embeds(each_input=False))
    await world.accept(*(batch(world, 50) for _ in range(12)))
    assert len(await world.claim(want=12)) == 10
    assert await used(world) == 10


async def test_what_never_left_gives_every_text_back(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOON)
    await world.configure(embeds(each_input=True))
    await world.accept(batch(world, 8))
    (claim,) = await world.claim(want=1)
    unsent = Report(Verdict.FAIL, error={"message": "no"}, reached=False)
    assert await world.finish(claim, unsent)
    assert await used(world) == 0


async def test_how_many_texts_a_batch_has_is_measured_and_the_lane_is_that_much_slower(
    world: World,
) -> None:
    await world.set_clock(NOON)
    await world.configure(embeds(each_input=True))
    books, lanes = Books(world.client), Lanes(world.client)
    await world.accept(batch(world, 1), batch(world, 4))
    for texts in (1, 4):  # in the order they came
        (claim,) = await world.claim(want=1)
        measured = Measured(total_ms=5)
        answer = Report(
            Verdict.COMPLETE, result=b"{}", usage=Usage(input_tokens=texts), health="ok",
            measured=measured,
        )  # fmt: skip
        assert await world.finish(claim, answer)
    assert (await books.paces())["alpha/m"].inputs == 4  # one text alone told of no batches
    assert (await lanes.lane_states())[LANE].rate_per_s == pytest.approx(10 / 60 / 4)
