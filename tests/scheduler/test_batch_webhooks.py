"""The end of a batch is owed to the outside by the step that ends it: told once, whoever dies."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from batch_world import BatchWorld, batch_world, line

from shared.errors import StoreError
from shared.store.batches import NewBatch
from shared.store.hooks import LANE, Endpoint, Hooks, SigningSecret

ENDS = ("completed", "failed", "expired", "cancelled")
ALL = tuple(f"batch.{end}" for end in ENDS)


@pytest.fixture
async def world(valkey: Any) -> AsyncIterator[BatchWorld]:
    async with batch_world(valkey.url) as made:
        await listening(made, "all", ALL)
        yield made


@pytest.fixture
async def each_world(store_url: str) -> AsyncIterator[BatchWorld]:
    async with batch_world(store_url) as made:
        await listening(made, "all", ALL)
        yield made


async def listening(
    world: BatchWorld, name: str, types: tuple[str, ...], tenant: str = "t1"
) -> None:
    endpoint = Endpoint(
        f"wh_{name}", tenant, f"https://example.com/{name}", name, types,
        (SigningSecret("x" * 24),), 1, 1,
    )  # fmt: skip
    assert await Hooks(world.world.client).put(None, endpoint) == "done"


async def told(world: BatchWorld, batch_id: str) -> list[tuple[str, dict[str, Any]]]:
    """The endpoints that are told of a batch's end, and the event each is told."""
    found = []
    for telling in await Hooks(world.world.client).told(batch_id):
        record = await world.world.jobs.get(telling, None)
        assert record
        assert (record.lane, record.tenant) == (LANE, "webhooks~t1")
        found.append((record.doc["kwargs"]["endpoint"], record.doc["kwargs"]["event"]))
    return found


async def test_a_batch_tells_of_its_end_and_of_nothing_before_it(each_world: BatchWorld) -> None:
    world = each_world
    batch_id = await world.create([line("a")])
    await world.turn(2)
    assert await told(world, batch_id) == []
    await world.settle(batch_id)
    ((endpoint, event),) = await told(world, batch_id)
    assert (endpoint, event["type"]) == ("wh_all", "batch.completed")
    assert event["data"] == {"id": batch_id}
    assert event["id"].startswith("evt_")


async def test_a_failed_a_cancelled_and_an_expired_batch_tell_so(world: BatchWorld) -> None:
    failed = await world.create([b"{"])
    cancelled = await world.create([line("a")])
    expired = await world.create([line("a")])
    await world.store.cancel(cancelled, "t1")
    now = await world.files.now_ms()
    await world.world.client.hset(f"{{hr}}:batch:{expired}", "expires", now - 1)
    for batch_id, end in {failed: "failed", cancelled: "cancelled", expired: "expired"}.items():
        assert (await world.settle(batch_id)).status.value == end
        ((_, event),) = await told(world, batch_id)
        assert event["type"] == f"batch.{end}"


async def test_only_the_owners_endpoints_that_asked_for_that_end_are_told(
    world: BatchWorld,
) -> None:
    await listening(world, "fails", ("batch.failed",))
    await listening(world, "jobs", ("job.completed", "response.completed"))
    await listening(world, "theirs", ALL, tenant="t2")
    batch_id = await world.create([line("a")])
    await world.settle(batch_id)
    assert [endpoint for endpoint, _ in await told(world, batch_id)] == ["wh_all"]


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("end", [Killed(), StoreError("changing a batch: the connection broke")])
@pytest.mark.parametrize("made", [False, True])
async def test_a_leader_that_dies_at_the_end_leaves_it_told_exactly_once(
    world: BatchWorld, end: BaseException, *, made: bool
) -> None:
    """Before its last change, or with the reply to it on the way."""
    batch_id = await world.create([line("a")])
    real, broken = world.store._change, []

    async def dying(asked: dict[str, Any]) -> Any:
        if asked["keep_ms"] is None or broken:
            return await real(asked)
        broken.append(asked)
        if made:
            await real(asked)
        raise end

    world.store._change = dying
    try:
        await world.settle(batch_id)
    except Killed:
        assert bool(await told(world, batch_id)) == made
        await world.lead()
        await world.settle(batch_id)
    assert broken
    assert [event["type"] for _, event in await told(world, batch_id)] == ["batch.completed"]
    assert await world.world.client.zcard("{hr}:ix:webhooks~t1:live") == 1


async def test_a_batch_that_nobody_hears_of_leaves_nothing(world: BatchWorld) -> None:
    new = NewBatch("batch_x", "t2", "/v1/chat/completions", "file-none", "24h")
    await world.store.create(new)
    await world.turn(2)
    batch = await world.store.get("batch_x", "t2")
    assert batch
    assert batch.status.value == "failed"
    assert await told(world, "batch_x") == []
    assert await world.world.client.exists("{hr}:told:batch_x") == 0
