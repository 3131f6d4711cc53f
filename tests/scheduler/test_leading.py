"""Who leads, for how long, and what a fault in one duty does to the others."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from scheduler import duty
from scheduler.duty import BACKOFF_CAP_S, backoff_s, keep
from scheduler.ending import end
from scheduler.leading import lead_for_ever
from scheduler.main import duties_of
from shared.core.backlog import LaneEvent, LaneEventKind
from shared.errors import StoreError
from shared.store.leader import StaleFence

A, B = "alpha/m@shared", "beta/m@shared"


@asynccontextmanager
async def running(lease, duties):
    task = asyncio.create_task(lead_for_ever(lease, duties))
    try:
        yield task
    finally:
        await end([task])


class Ticking:
    """A duty that counts its turns and notes the fence it was made for."""

    def __init__(self, fence, seen, error=None):
        self.fence, self.seen, self.error = fence, seen, error

    async def turn(self):
        self.seen.append(self.fence)
        await asyncio.sleep(0.002)
        if self.error:
            raise self.error


async def nothing():
    return 0


async def test_the_leader_moves_what_an_announced_cooldown_strands(
    store, lease, reading, eventually
):
    store.lanes = (reading(A), reading(B))
    async with running(lease, duties_of(store, nothing, 5_000)):
        await eventually(lambda: "events" in store.calls and "queued" in store.calls)
        store.fill(A, 40, (A, B))
        store.lanes = (reading(A, open_ms=store.now + 60_000), reading(B))
        store.announced.put_nowait(LaneEvent(LaneEventKind.COOLED_DOWN, A))
        await eventually(lambda: store.count(B) == 40)


async def test_a_fault_in_one_duty_leaves_the_others_at_work(store, lease, reading, eventually):
    store.lanes = (reading(A, dead=True), reading(B))
    store.fill(A, 3, (A, B))
    store.broken = ("reap", "clean", "expire_due")
    async with running(lease, duties_of(store, nothing, 5_000)) as task:
        await eventually(lambda: store.count(B) == 3)
        await eventually(lambda: store.calls.count("reap") > 1)
        assert not task.done()


async def test_while_another_leads_nothing_is_done(lease, eventually):
    seen = []
    lease.free = False
    async with running(lease, lambda fence: {"tick": Ticking(fence, seen)}):
        await asyncio.sleep(0.1)
        assert seen == []
        lease.free = True
        await eventually(lambda: seen)


async def test_a_lost_lease_stops_every_duty_and_a_new_one_carries_a_new_fence(lease, eventually):
    seen = []
    async with running(lease, lambda fence: {"tick": Ticking(fence, seen)}):
        await eventually(lambda: seen)
        lease.held = None
        await eventually(lambda: lease.released == [1])
        stopped_at = len(seen)
        await asyncio.sleep(0.03)
        assert len(seen) == stopped_at
        lease.free = True
        await eventually(lambda: seen[-1] == 2)


async def test_a_lease_that_cannot_be_renewed_is_given_up_before_it_may_be_anothers(
    lease, eventually
):
    seen = []
    loop = asyncio.get_running_loop()
    async with running(lease, lambda fence: {"tick": Ticking(fence, seen)}):
        await eventually(lambda: seen)
        lease.down = True
        lost_at = loop.time()
        await eventually(lambda: lease.released == [1])
        stopped_at = len(seen)
        assert loop.time() - lost_at < 10 * lease.ttl_ms / 1_000
        await asyncio.sleep(0.03)
        assert len(seen) == stopped_at


async def test_a_renewal_that_hangs_ends_with_the_lease(lease, eventually):
    seen = []
    async with running(lease, lambda fence: {"tick": Ticking(fence, seen)}):
        await eventually(lambda: seen)

        async def hang(_fence):
            await asyncio.Event().wait()

        lease.renew = hang
        await eventually(lambda: lease.released == [1])


async def test_a_refused_fence_ends_the_leadership(lease, eventually):
    seen = []
    stale = StaleFence("a newer leader acts")

    def duties(fence):
        return {"tick": Ticking(fence, seen, stale if fence == 1 else None)}

    async with running(lease, duties):
        await eventually(lambda: 2 in seen)
    assert seen.count(1) == 1


async def test_a_store_that_is_away_at_the_start_is_waited_for(lease, eventually):
    seen = []
    lease.down = True
    async with running(lease, lambda fence: {"tick": Ticking(fence, seen)}):
        await asyncio.sleep(0.05)
        lease.down = False
        await eventually(lambda: seen)


async def test_when_it_is_stopped_the_lease_is_given_up(lease, eventually):
    async with running(lease, lambda fence: {"tick": Ticking(fence, [])}):
        await lease.taken.wait()
    assert lease.released == [1]
    assert lease.free


async def test_a_duty_keeps_its_errors_to_itself_but_not_a_refused_fence():
    errors = [StoreError("away"), RuntimeError("a fault"), None, StaleFence("newer")]

    async def turn():
        error = errors.pop(0)
        if error:
            raise error

    with pytest.raises(StaleFence):
        await keep("some", turn)
    assert errors == []


@pytest.mark.parametrize(("again_s", "expected"), [(0.0, [1, 2, 3]), (1e9, [1])])
async def test_a_duty_that_keeps_failing_says_so_again(monkeypatch, again_s, expected):
    told = []
    monkeypatch.setattr(duty, "TOLD_AGAIN_S", again_s)
    monkeypatch.setattr(duty, "_tell", lambda *of: told.append(of[-1]))
    monkeypatch.setattr(duty, "backoff_s", lambda *_: 0.0)
    errors = [RuntimeError("a fault")] * 3 + [StaleFence("newer")]

    async def turn():
        raise errors.pop(0)

    with pytest.raises(StaleFence):
        await keep("some", turn)
    assert told == expected


@pytest.mark.parametrize(
    ("failures", "draw", "expected_s"),
    [(1, 1.0, 0.2), (1, 0.0, 0.02), (5, 1.0, 3.2), (6, 1.0, 5.0), (10**9, 1.0, BACKOFF_CAP_S)],
)
def test_backoff_doubles_with_full_jitter_to_5_s(failures, draw, expected_s):
    assert backoff_s(failures, draw) == pytest.approx(expected_s)


async def test_a_task_that_misses_its_first_cancellation_is_ended_all_the_same():
    missed = []

    async def deaf():
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if missed:
                    raise
                missed.append(1)

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)
    await end([task], again_s=0.01)
    assert task.cancelled()
    assert missed == [1]
