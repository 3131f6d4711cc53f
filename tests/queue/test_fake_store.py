"""The scripts on fakeredis tell the same story: unit tests elsewhere may stand on it."""

from collections.abc import AsyncIterator

import fakeredis
import pytest
from conserved import assert_at_rest, assert_conserved
from queue_world import DONE, PREFIX, World

from shared.core.batch import BatchStatus
from shared.core.model import Status
from shared.errors import Refused
from shared.queue.scripts import Scripts
from shared.queue.types import Acceptance, Report, Verdict
from shared.store.batches import Batches, Change, NewBatch
from shared.store.jobs import Jobs


@pytest.fixture
async def fake() -> AsyncIterator[World]:
    made = World("unix:///nowhere?db=0")
    await made.close()
    made.client = made.writes = fakeredis.FakeAsyncRedis()
    made.jobs = Jobs(made.writes, made.client)
    made.scripts = Scripts(made.client, PREFIX)
    await made.configure()
    yield made
    await made.close()


async def test_a_job_lives_its_life_on_fakeredis(fake: World) -> None:
    await fake.accept(fake.job("a", idempotency=("k", "b")), fake.job("b"), fake.job("c"))
    (again,) = await fake.accept(fake.job("d", idempotency=("k", "b")))
    assert (again.how, again.job_id) == (Acceptance.REPEATED, "a")
    claimed = await fake.claim(want=3)
    assert [c.job_id for c in claimed] == ["a", "b", "c"]
    await assert_conserved(fake.client)
    assert await fake.finish(claimed[0])
    assert await fake.finish(claimed[1], Report(Verdict.FAIL, error={"message": "no"}))
    assert await fake.finish(claimed[2], Report(Verdict.RETRY))
    assert not await fake.finish(claimed[2], DONE)
    await assert_conserved(fake.client)
    await fake.jobs.cancel("c", "t1")
    assert [await fake.status(name) for name in "abc"] == [
        Status.COMPLETED, Status.FAILED, Status.CANCELLED,
    ]  # fmt: skip
    page = await fake.jobs.list("t1", limit=2)
    assert len(page.jobs) == 2
    assert page.next_after is not None
    await assert_at_rest(fake.client)


async def test_a_lost_worker_is_reaped_on_fakeredis(fake: World) -> None:
    await fake.accept(fake.job("a"))
    await fake.claim()
    assert await fake.lose_worker("w1") == 1
    await assert_conserved(fake.client)


async def test_lines_of_a_batch_are_counted_on_fakeredis(fake: World) -> None:
    store = Batches(fake.client, PREFIX)
    new = NewBatch("batch_1", "t1", "/v1/chat/completions", "file-1", "24h")
    assert (await store.create(new)).status is BatchStatus.VALIDATING
    begun = Change((BatchStatus.VALIDATING,), BatchStatus.IN_PROGRESS, incr={"fed": 3})
    assert await store.change("batch_1", begun)
    names = ("job_1_1", "job_1_2", "job_1_3")
    await fake.accept(*(fake.job(name, batch=("batch_1", f"id of {name}")) for name in names))
    claimed = await fake.claim(want=2)
    assert await fake.finish(claimed[0])
    assert await fake.finish(claimed[1], Report(Verdict.FAIL, error={"message": "no"}))
    assert await fake.jobs.cancel_all(names, "t1", "batch_cancelled") == 1
    batch = await store.get("batch_1", "t1")
    assert batch is not None
    assert (batch.completed, batch.failed, batch.ended, batch.waiting) == (1, 2, 3, 3)
    ended = await store.ended("batch_1", 0, 9)
    assert [one.mark for one in ended] == ["Cjob_1_1", "Fjob_1_2", "Fjob_1_3"]
    assert ended[0].custom_id == "id of job_1_1"
    assert ended[0].outcome is not None
    assert await store.cancel("batch_1", "t2") is None
    with pytest.raises(Refused):
        await fake.jobs.replay("job_1_2", "t1")
