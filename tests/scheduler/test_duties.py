"""Each duty's turn against the store in memory."""

import asyncio
import time
from collections import Counter, deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.bell import Bell
from scheduler.deadlines import Deadlines
from scheduler.evacuate import Evacuate
from scheduler.listen import Listen
from scheduler.ports import Spent
from scheduler.probes import Probes
from scheduler.reaper import Reaper
from scheduler.rebalance import MOVE_BATCH, MOVES_A_CALL, Rebalance, batch_of
from scheduler.retention import Retention
from scheduler.spending import Spending
from shared.core.backlog import Due, Group, LaneEvent, LaneEventKind, Move
from shared.core.eta import P99_SERVICE
from shared.core.model import Priority
from shared.errors import StoreError
from shared.store.leader import StaleFence

A, B, C = "alpha/m@shared", "beta/m@shared", "gamma/m@shared"
FENCE = 1


def rebalance(store, bell):
    return Rebalance(store, bell, FENCE, debounce_s=0.01, safety_s=30)


async def test_what_waits_in_a_lane_set_aside_moves_to_one_that_can_run_it(store, reading):
    store.lanes = (reading(A, dead=True), reading(B))
    store.fill(A, 1_200, (A, B))
    moved = await rebalance(store, Bell()).once()
    assert (moved, store.count(A), store.count(B)) == (1_200, 0, 1_200)
    assert store.calls.count("move") == -(-1_200 // MOVE_BATCH)


async def test_many_moves_go_in_few_calls_in_their_order_and_none_is_asked_for_more_than_is_there(
    store, reading
):
    asked = []

    async def move(moves, fence):
        asked.append([(one.source, one.count) for one in moves])
        return [min(one.count, 300 if one.source == A else one.count) for one in moves]

    store.move = move
    moves = [Move(lane, B, n, Priority.NORMAL, "s", "sooner") for lane, n in ((A, 1_200), (C, 250))]
    duty = rebalance(store, Bell())
    assert await duty.carry_out([*moves, *moves[1:]]) == 800
    assert asked == [[(A, 500)], [(C, 250), (C, 250)]], "the rest of a short move is left"


@given(st.lists(st.integers(1, 1_300), max_size=200))
def test_calls_of_moves_are_bounded_and_together_ask_for_all(counts):
    moves = [Move(A, B, n, Priority.NORMAL, str(i), "sooner") for i, n in enumerate(counts)]
    left, found = deque(moves), Counter()
    while left:
        batch, rest = batch_of(left)
        assert sum(one.count for one in batch) <= MOVE_BATCH
        assert 0 < len(batch) <= MOVES_A_CALL
        assert [int(one.signature) for one in batch] == sorted(int(one.signature) for one in batch)
        for one in batch:
            found[int(one.signature)] += one.count
        if rest is not None:
            left.appendleft(rest)
    assert found == Counter(dict(enumerate(counts)))


async def test_several_announcements_in_a_moment_make_one_pass(store, reading, eventually):
    store.lanes = (reading(A), reading(B))
    store.fill(A, 1, (A, B))
    bell = Bell()
    for _ in range(5):
        bell.ring()
    turn = asyncio.create_task(rebalance(store, bell).turn())
    await asyncio.sleep(0)
    bell.ring()
    await turn
    assert store.calls.count("snapshot") == 1
    assert not await bell.wait(0)


async def test_with_nothing_queued_it_reads_no_snapshot_and_sleeps_until_it_is_rung(store):
    bell = Bell()
    bell.ring()
    duty = rebalance(store, bell)
    await duty.turn()
    assert store.calls == ["queued"]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await duty.turn()
    assert store.calls == ["queued"]


async def test_a_pass_that_fails_is_made_again(store, reading):
    store.lanes = (reading(A, dead=True), reading(B))
    store.fill(A, 3, (A, B))
    bell = Bell()
    bell.ring()
    duty = rebalance(store, bell)
    store.down = True
    with pytest.raises(StoreError):
        await duty.turn()
    store.down = False
    async with asyncio.timeout(60):
        await duty.turn()
    assert store.count(B) == 3


async def test_a_backlog_is_looked_at_now_and_then_without_any_event(store, reading):
    store.lanes = (reading(A, dead=True), reading(B))
    store.fill(A, 3, (A, B))
    await Rebalance(store, Bell(), FENCE, debounce_s=0, safety_s=0.01).turn()
    assert store.count(B) == 3


async def test_a_plan_that_waits_with_paying_is_followed_by_a_look_at_the_last_moment(
    store, reading
):
    store.lanes = (reading(A, rate=0.001), reading(B, rate=1_000.0, free=1_000))
    due = (Due(store.now + 60_000, 5),)
    store.groups["sig", A, Priority.NORMAL] = Group("sig", A, Priority.NORMAL, 5, (A,), (B,), due)
    store.costs = ((B, 1),)
    bell = Bell()
    bell.ring()
    duty = rebalance(store, bell)
    await duty.turn()
    assert store.count(B) == 0
    look_ms, notice_ms = store.look_at
    assert look_ms == store.now + 30_000  # the usual look comes before the last moment
    assert notice_ms >= P99_SERVICE * 1_000
    store.now += 54_000
    bell.ring()
    await duty.turn()
    assert store.count(B) == 0
    assert store.look_at[0] < store.now + 1_400
    store.now += 1_350  # what the duty sleeps through
    await duty.turn()  # nobody rings
    assert store.count(B) == 5


async def test_an_old_fence_moves_nothing(store, reading):
    store.lanes = (reading(A, dead=True), reading(B))
    store.fill(A, 3, (A, B))
    store.newest_fence = 2
    with pytest.raises(StaleFence):
        await rebalance(store, Bell()).once()
    assert store.count(A) == 3


async def test_limits_end_what_is_due_and_the_timer_is_armed_to_the_next(store):
    store.limits = [store.now - 5, store.now, store.now + 40, store.now + 90_000]
    duty = Deadlines(store, Bell(), FENCE)
    began = time.monotonic()
    await duty.turn()
    assert store.limits == [store.now + 40, store.now + 90_000]
    assert 0.03 < time.monotonic() - began < 80  # the later limit is in 90 s
    store.now += 40
    bell = Bell()
    bell.ring()
    await Deadlines(store, bell, FENCE).turn()
    assert store.limits == [store.now + 90_000 - 40]


async def test_without_limits_the_timer_sleeps_until_a_nearer_one_is_announced(store):
    bell = Bell()
    turn = asyncio.create_task(Deadlines(store, bell, FENCE).turn())
    await asyncio.sleep(0.05)
    assert not turn.done()
    assert store.calls == ["expire_due", "now_ms"]
    bell.ring()
    await turn


async def test_the_reaper_looks_again_within_half_a_lease(store):
    store.dead_jobs = 7
    began = time.monotonic()
    await Reaper(store, Bell(), FENCE, lease_ms=600).turn()
    assert store.dead_jobs == 0
    assert time.monotonic() - began > 0.25


async def test_retention_drops_in_batches_until_nothing_is_left(store):
    store.stale_entries = 1_234
    bell = Bell()
    bell.ring()
    await Retention(store, bell, FENCE).turn()
    assert (store.stale_entries, store.calls.count("clean")) == (0, 3)


def bells():
    names = ("rebalance", "deadlines", "evacuate", "probes", "spending", "batches")
    return {name: Bell() for name in names}


HEARD_BY = {
    LaneEventKind.LIMITS: ("deadlines",),
    LaneEventKind.UNSERVED: ("evacuate",),
    LaneEventKind.DIED: ("probes",),
    LaneEventKind.BATCH: ("batches",),
    LaneEventKind.SPENDING: ("spending",),
    LaneEventKind.CAPPED: ("spending", "rebalance"),
}


@pytest.mark.parametrize("kind", [kind for kind in LaneEventKind if kind is not LaneEventKind.LOST])
async def test_each_announcement_rings_the_duty_it_is_for(store, kind):
    ears = bells()
    turn = asyncio.create_task(Listen(store, **ears).turn())
    await asyncio.sleep(0)
    assert all([await bell.wait(60) for bell in ears.values()])  # after (re)connecting
    store.announced.put_nowait(LaneEvent(kind, A, in_ms=1))
    for name in HEARD_BY.get(kind, ("rebalance",)):
        assert await ears.pop(name).wait(60)
    assert not any([await bell.wait(0.01) for bell in ears.values()])
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn


async def test_a_broken_subscription_makes_every_duty_look_anew(store):
    ears = bells()
    turn = asyncio.create_task(Listen(store, **ears).turn())
    await asyncio.sleep(0)
    for bell in ears.values():
        await bell.wait(60)
    store.announced.put_nowait(StoreError("the connection broke"))
    with pytest.raises(StoreError):
        await turn
    assert all([await bell.wait(60) for bell in ears.values()])


async def test_lanes_nobody_serves_are_emptied_in_batches_once_those_of_now_are_published(store):
    store.left_behind = 1_234
    bell = Bell()
    bell.ring()

    async def publish():
        store.calls.append("publish")
        return 0

    await Evacuate(store, publish, bell, FENCE).turn()
    assert (store.left_behind, store.calls) == (0, ["publish", *["evacuate"] * 3])


async def test_a_dead_credential_is_probed_at_growing_intervals_and_its_count_is_kept(store):
    store.dead_credentials = {"a1": ()}
    bell = Bell()
    for wait_ms, tries in ((0, 0), (999, 0), (1, 1), (1_999, 1), (1, 2), (4_000, 3)):
        store.now += wait_ms
        bell.ring()
        await Probes(store, bell, 1_000).turn()
        assert len(store.probed) == tries
        assert store.dead_credentials["a1"][0] == tries
    assert store.probed == [("a1", 1), ("a1", 2), ("a1", 3)]


async def test_without_a_dead_credential_nothing_is_probed_until_one_dies(store):
    bell = Bell()
    turn = asyncio.create_task(Probes(store, bell, 1).turn())
    await asyncio.sleep(0.02)
    assert not turn.done()
    bell.ring()
    await turn
    assert store.calls == ["dead"]


class TestSpending:
    async def told(self, store, duty, capsys, *found):
        lines = []
        for one in found:
            store.spent = one
            await duty.once()
            lines.append("paid_use" in capsys.readouterr().out)
        return lines

    async def test_each_level_of_a_day_is_told_once(self, store, capsys):
        duty = Spending(store, Bell(), 1_000_000)
        spent = (0, 10, 20, 799_999, 800_000, 900_000)
        found = [Spent(7, one, False) for one in spent]
        assert await self.told(store, duty, capsys, *found) == [
            False, True, False, False, True, False,
        ]  # fmt: skip
        capped, next_day = Spent(7, 990_000, True), Spent(8, 5, False)
        assert await self.told(store, duty, capsys, capped, capped, next_day) == [
            True, False, True,
        ]  # fmt: skip

    async def test_without_a_cap_only_the_first_money_of_a_day_is_told(self, store, capsys):
        duty = Spending(store, Bell(), None)
        found = [Spent(7, 1, False), Spent(7, 10**9, False)]
        assert await self.told(store, duty, capsys, *found) == [True, False]

    async def test_what_could_not_be_read_is_looked_at_again(self, store):
        bell = Bell()
        bell.ring()
        store.down = True
        with pytest.raises(StoreError):
            await Spending(store, bell, None, pause_s=0).turn()
        assert await bell.wait(0)


async def test_of_several_moments_to_ring_at_the_nearest_counts():
    bell = Bell()
    bell.ring_in(3_600)
    bell.ring_in(0.01)
    bell.ring_in(1_800)
    assert await bell.wait(60)
    assert not await bell.wait(0.01)
    bell.ring_in(0.01)  # those before are forgotten
    assert await bell.wait(60)
