"""The lease, the port and the whole scheduler on a real server."""

import asyncio
import secrets
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from scheduler.bell import Bell
from scheduler.ending import end
from scheduler.leading import lead_for_ever
from scheduler.main import PREFIX, duties_of
from scheduler.ports import Dead
from scheduler.probes import Probes
from scheduler.rebalance import Rebalance
from scheduler.store import Store
from shared.core.backlog import LaneEventKind, Move
from shared.core.model import (
    CredentialRef,
    Deployment,
    Dimension,
    Kind,
    Limits,
    Need,
    Price,
    Priority,
    Status,
    Window,
)
from shared.queue.types import NewJob
from shared.store import connect
from shared.store.jobs import Jobs
from shared.store.lanes import Lanes, lane_config
from shared.store.leader import Leader, StaleFence
from shared.store.tables import Tables

A, B = "alpha/m@shared", "beta/m@shared"
PAID = "dear/m@shared"


@pytest.fixture
async def client(valkey):
    client = connect.commands(valkey.url)
    yield client
    await client.aclose()


@pytest.fixture
async def store(valkey, client):
    listener = connect.pubsub(valkey.url)
    yield Store(client, listener, PREFIX, 5_000)
    await listener.aclose()


def leader(client, ttl_ms=4_000):
    return Leader(client, PREFIX, secrets.token_hex(4), ttl_ms=ttl_ms)


def job(number, lane=A, *, deadline_ms=None, max_wait_ms=None):
    return NewJob(
        id=f"job{number}",
        tenant="t",
        kind=Kind.CHAT,
        priority=Priority.NORMAL,
        lane=lane,
        candidates=(A, B),
        need=Need(10, 10, 10),
        doc=b"{}",
        deadline_ms=deadline_ms,
        max_wait_ms=max_wait_ms,
    )


async def standing(store):
    return {one.lane: one.count for one in (await store.snapshot()).groups if one.count}


async def publish(client, *lanes):
    configs = {lane: {"creds": [{"id": lane, "win": []}]} for lane in lanes}
    await Lanes(client, PREFIX).publish(configs, {}, "v1")


async def accept(client, *jobs):
    accepting = Jobs(client, client, PREFIX)
    await asyncio.gather(*(accepting.accept(one) for one in jobs))
    return accepting


async def test_one_holds_the_lease_and_the_next_has_a_larger_fence(client):
    first, second = leader(client), leader(client)
    fence, _ = await first.acquire()
    assert await first.acquire() == (fence, 0)
    nothing, wait_ms = await second.acquire()
    assert nothing is None
    assert 0 < wait_ms <= 4_000
    assert await first.renew(fence)
    assert not await second.renew(fence)
    await second.release(fence)
    assert await first.renew(fence)
    await first.release(fence)
    assert not await first.renew(fence)
    assert (await second.acquire())[0] == fence + 1


async def test_a_lease_that_runs_out_is_anothers_and_is_not_renewed(client):
    first, second = leader(client, ttl_ms=30), leader(client)
    fence, _ = await first.acquire()
    _, wait_ms = await second.acquire()
    await asyncio.sleep((wait_ms + 30) / 1_000)
    later, _ = await second.acquire()
    assert later == fence + 1
    assert not await first.renew(fence)


async def test_a_former_leaders_move_and_cleaning_are_refused_and_change_nothing(client, store):
    await publish(client, A, B)
    await accept(client, job(1))
    old, _ = await (first := leader(client)).acquire()
    await first.release(old)
    new, _ = await leader(client).acquire()
    snapshot = await store.snapshot()
    (group,) = (one for one in snapshot.groups if one.count)
    move = Move(A, B, 1, Priority.NORMAL, group.signature, "sooner")
    with pytest.raises(StaleFence):
        await store.move([move], old)
    with pytest.raises(StaleFence):
        await store.clean(old, 10)
    assert await standing(store) == {A: 1}
    assert await store.move([move], new) == [1]
    assert await standing(store) == {B: 1}


async def test_cleaning_drops_entries_of_jobs_that_are_gone_and_only_those(client, store):
    fence, _ = await leader(client).acquire()
    await client.sadd(f"{PREFIX}tenants", "t", "gone")
    await client.hset(f"{PREFIX}set", "retention_ms", 1_000)
    now_ms = await store.now_ms()
    old = {f"old{n}": now_ms - 10_000 for n in range(25)}
    await client.zadd(f"{PREFIX}ix:t:completed", {**old, "kept": now_ms - 9_000})
    await client.hset(f"{PREFIX}job:kept", "status", "completed")
    await client.zadd(f"{PREFIX}ix:t:failed", {"fresh": now_ms})
    await client.zadd(f"{PREFIX}ix:t:live", {"old-but-live": now_ms - 10_000})
    removed, more = 0, True
    while more:
        cleaned = await store.clean(fence, 10)
        assert cleaned.removed <= 10
        removed, more = removed + cleaned.removed, cleaned.more
    assert removed == 25
    assert await client.zrange(f"{PREFIX}ix:t:completed", 0, -1) == [b"kept"]
    assert await client.zcard(f"{PREFIX}ix:t:failed") == 1
    assert await client.zcard(f"{PREFIX}ix:t:live") == 1
    assert await client.smembers(f"{PREFIX}tenants") == {b"t"}


@asynccontextmanager
async def scheduling(client, store, publishing):
    work = lead_for_ever(leader(client, ttl_ms=300), duties_of(store, publishing, 5_000))
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        await end([task])


async def test_jobs_past_their_limits_end_on_time_even_when_accepted_while_it_sleeps(
    client, store, eventually
):
    async def publishing():
        await publish(client, A, B)
        return 2

    async with scheduling(client, store, publishing):
        jobs = await accept(client, job(1, deadline_ms=60_000))
        await asyncio.sleep(0.1)
        await accept(client, job(2, max_wait_ms=150))
        async with asyncio.timeout(60):
            while (await jobs.get("job2", "t")).status is not Status.EXPIRED:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await jobs.get("job1", "t")).status is Status.QUEUED


async def test_two_schedulers_move_every_stranded_job_once(client, store):
    async def publishing():
        return 0

    await publish(client, A, B)
    await accept(client, *(job(n) for n in range(300)))
    await client.hset(f"{PREFIX}cool", f"c:{A}", f"{10**15}|unauthorized")
    async with (
        scheduling(client, store, publishing),
        scheduling(client, store, publishing),
        asyncio.timeout(60),
    ):
        while await standing(store) != {B: 300}:  # noqa: ASYNC110 - the store is the only witness
            await asyncio.sleep(0.02)
    record = await Jobs(client, client, PREFIX).get("job7", "t")
    assert record.lane == B
    assert record.events == 2  # queued, moved


@pytest.mark.parametrize(("cap_microusd", "moved"), [(None, 20), (70, 7), (0, 0)])
async def test_what_free_quota_cannot_do_in_time_goes_to_paid_lanes_as_far_as_the_cap_allows(
    client, valkey, cap_microusd, moved
):
    """Ten of thirty fit the free window before the deadline; one paid job costs ten microusd."""
    window = {"k": "w", "n": "rpm", "d": "requests", "l": 10, "s": 60_000, "t": "sliding", "g": 0}
    price = Price(0, 1_000_000)
    chat = frozenset({Kind.CHAT})
    wide = Limits(windows=(Window("rpm", Dimension.REQUESTS, 1_000, 60_000),))
    plans = (("paid", wide),)
    dear = Deployment("dear/m", "dear", "m", "x", "http://x", chat, price=price, plans=plans)
    refs = [CredentialRef("d1", "dear", "paid")]
    now_ms = await Lanes(client, PREFIX).now_ms()
    lanes = {
        A: {"creds": [{"id": "a", "win": [window]}]},
        PAID: lane_config(dear, refs, now_ms, cap_microusd),
    }
    await Lanes(client, PREFIX).publish(lanes, {}, "v1")
    pressed = [
        replace(job(n, deadline_ms=8_000), candidates=(A,), paid_lanes=(PAID,)) for n in range(30)
    ]
    patient = [replace(one, id=f"patient{one.id}", deadline_ms=None) for one in pressed[:5]]
    accepting = await accept(client, *pressed, *patient)
    listener = connect.pubsub(valkey.url)
    store = Store(client, listener, PREFIX, 5_000, {PAID: 10})
    fence, _ = await leader(client).acquire()
    bell = Bell()
    bell.ring()
    duty = Rebalance(store, bell, fence, debounce_s=0, safety_s=30)
    await duty.turn()
    assert PAID not in await standing(store), "nothing is paid for before its last moment"
    while (await standing(store)).get(PAID, 0) < moved:
        await duty.turn()  # nobody rings: it looks when its plan says so
    bell.ring()
    await duty.turn()
    found = [await accepting.get(one.id, "t") for one in (*pressed, *patient)]
    there = [one for one in found if one.lane == PAID]
    assert len(there) == moved
    assert all(one.deadline_ms for one in there)
    if there:
        last = (await accepting.events(there[0].id, "t"))[-1]
        assert last.type == "job.moved"
        assert b'"reason":"deadline"' in last.data
    await listener.aclose()


async def test_a_move_for_a_deadline_takes_those_due_in_its_span_and_the_first_due_first(
    client, store
):
    await publish(client, A, B)
    due_s = {1: 60, 2: 61, 3: 62, 4: 63, 5: 64}
    accepting = await accept(
        client, *(job(n, deadline_ms=1_000 * due) for n, due in due_s.items()), job(6)
    )
    fence, _ = await leader(client).acquire()
    found = {n: await accepting.get(f"job{n}", "t") for n in due_s}
    (group,) = (one for one in (await store.snapshot()).groups if one.count)
    move = Move(A, B, 2, Priority.NORMAL, group.signature, "deadline")
    span = replace(move, after_ms=found[1].deadline_ms, deadline_ms=found[4].deadline_ms)
    assert await store.move([span], fence) == [2]
    lanes = {n: (await accepting.get(f"job{n}", "t")).lane for n in (*due_s, 6)}
    assert [n for n, lane in lanes.items() if lane == B] == [2, 3]
    assert await store.move([replace(span, count=9)], fence) == [1]  # job4


async def test_moves_made_in_one_call_are_made_in_their_order(client, store):
    await publish(client, A, B)
    accepting = await accept(client, *(job(n, deadline_ms=1_000 * (60 + n)) for n in range(4)))
    fence, _ = await leader(client).acquire()
    (group,) = (one for one in (await store.snapshot()).groups if one.count)
    there = Move(A, B, 3, Priority.NORMAL, group.signature, "deadline", 1 << 50, 0)
    back = replace(there, source=B, target=A, count=1)
    assert await store.move([there, back, there], fence) == [3, 1, 2]
    lanes = [(await accepting.get(f"job{n}", "t")).lane for n in range(4)]
    assert lanes == [B, B, B, B]


async def test_a_job_about_to_be_paid_for_goes_to_a_free_lane_that_can_start_it_at_once(
    client, store
):
    """Two calls fit there, both are spoken for then; who went there once is paid for next."""
    window = {"k": "w", "n": "rpm", "d": "requests", "l": 2, "s": 60_000, "t": "sliding", "g": 0}
    configs = {PAID: {"creds": [{"id": PAID, "win": []}]}}
    configs[A] = {"creds": [{"id": A, "win": [{**window, "k": "a", "l": 0}]}]}
    configs[B] = {"creds": [{"id": B, "win": [window]}]}
    await Lanes(client, PREFIX).publish(configs, {}, "v1")
    pressed = [replace(job(n, deadline_ms=60_000), paid_lanes=(PAID,)) for n in range(3)]
    accepting = await accept(client, *pressed)
    fence, _ = await leader(client).acquire()

    async def stands():
        return [(await accepting.get(one.id, "t")).lane for one in pressed]

    (group,) = (one for one in (await store.snapshot()).groups if one.count)
    move = Move(A, PAID, 2, Priority.NORMAL, group.signature, "deadline", pays=True)
    move = replace(move, deadline_ms=group.due[-1].deadline_ms, after_ms=0)
    assert await store.move([replace(move, count=3)], fence) == [3]
    assert await stands() == [B, B, PAID], "the next sees what is left"
    assert await store.move([replace(move, source=B)], fence) == [2]
    assert await stands() == [PAID, PAID, PAID]


async def test_a_job_about_to_be_paid_for_stays_where_all_before_it_can_be_started_now_once(
    client, store
):
    window = {"k": "w", "n": "rpm", "d": "requests", "l": 3, "s": 60_000, "t": "sliding", "g": 0}
    keys = [{"id": each, "win": [{**window, "k": each}]} for each in ("one", "two")]
    configs = {A: {"creds": keys}, PAID: {"creds": [{"id": PAID, "win": []}]}}
    await Lanes(client, PREFIX).publish(configs, {}, "v1")
    pressed = [
        replace(job(n, deadline_ms=60_000), candidates=(A,), paid_lanes=(PAID,)) for n in range(8)
    ]
    accepting = await accept(client, *pressed)
    fence, _ = await leader(client).acquire()
    (group,) = (one for one in (await store.snapshot()).groups if one.count)
    move = Move(A, PAID, 8, Priority.NORMAL, group.signature, "deadline", 1 << 50, 0, pays=True)

    async def paid():
        return [(await accepting.get(one.id, "t")).lane for one in pressed].count(PAID)

    assert await store.move([replace(move, count=1)], fence) == [1]
    assert await paid() == 1, "three and three of eight start now: two are too many"
    assert await store.move([move], fence) == [7]
    assert await paid() == 2
    assert await store.move([move], fence) == [6]
    assert await paid() == 8, "they were spared once"


async def due(heard):
    """The next announcement of a job that may have to be paid for."""
    async for told in heard:
        if told.kind is LaneEventKind.DUE:
            return told
    return None


async def test_a_job_that_may_have_to_be_paid_for_is_seen_in_time_while_the_scheduler_sleeps(
    client, valkey, store
):
    """It is announced if its last moment is near, and only if nobody looks before that anyway."""
    await publish(client, A, PAID)
    heard = aiter(store.events())
    await anext(heard)  # connected
    hurried = replace(job(1, deadline_ms=5_000), candidates=(A,), paid_lanes=(PAID,))
    accepting = await accept(client, hurried)
    told = await due(heard)
    assert 2_000 < told.in_ms <= 2_500  # half of the way, for nobody said how long before

    now_ms = await store.now_ms()
    await store.look(now_ms + 60_000, 4_000)
    patient = replace(hurried, id="patient", deadline_ms=600_000)
    undated = replace(hurried, id="undated", deadline_ms=None)
    unpaid = replace(hurried, id="unpaid", paid_lanes=())
    begun = replace(hurried, id="begun", lane=PAID)
    for one in (patient, undated, unpaid, begun, replace(hurried, id="second")):
        await accepting.accept(one)
    told = await due(heard)
    assert 0 <= told.in_ms <= 500  # what lies between is half of a second
    assert await client.hget(f"{PREFIX}look", "at") is not None
    await store.snapshot()
    assert await client.hget(f"{PREFIX}look", "at") is None
    await heard.aclose()


async def test_a_key_is_probed_that_is_set_aside_in_all_or_on_a_lane_for_good(client, store):
    ever, later = "9000000000000000|model_gone", "1800000000000|rate_limited"
    cool = {"c:k1": ever, f"l:{A}|k3": ever, f"l:{B}|k3": ever}
    cool |= {"c:k2": later, f"l:{A}|k4": later, "d:alpha/m": later}
    await client.hset(f"{PREFIX}cool", mapping=cool)
    await store.note_probe(f"{B}|k3", 2, 5)
    dead = await store.dead()
    assert dead == (Dead("k3", lane=A), Dead("k3", 2, 5, B), Dead("k1"))
    bell = Bell()
    bell.ring()
    await Probes(store, bell, 60_000).turn()
    assert set((await Tables(client, PREFIX).probes()).keys()) == {one.name for one in dead}


async def test_cleaning_forgets_failed_jobs_that_are_gone(client, store):
    fence, _ = await leader(client).acquire()
    await client.hset(f"{PREFIX}job:kept", "status", "failed")
    await client.zadd(f"{PREFIX}dead", {**{f"old{n}": 1_000 + n for n in range(25)}, "kept": 1})
    await client.zadd(f"{PREFIX}dead", {"fresh": 1e15})
    rounds = 1
    while (await store.clean(fence, 10)).more:
        rounds += 1
    assert rounds == 3
    assert await client.zrange(f"{PREFIX}dead", 0, -1) == [b"kept", b"fresh"]


async def test_candidate_lists_are_forgotten_once_no_job_that_had_one_can_be_replayed(
    client, store
):
    await publish(client, A, B)
    fence, _ = await leader(client).acquire()
    lists = [(A,), (B,), (A, B)]
    jobs = await accept(client, *(replace(job(n), candidates=c) for n, c in enumerate(lists)))
    assert await client.hlen(f"{PREFIX}sigs") == 3
    await jobs.cancel("job0", None)
    await jobs.cancel("job1", None)
    await store.clean(fence, 10)
    assert await client.hlen(f"{PREFIX}sigs") == 3, "both may be replayed"
    for name in await client.zrange(f"{PREFIX}sigs_idle", 0, -1):
        await client.zadd(f"{PREFIX}sigs_idle", {name: 1})
    assert await jobs.replay("job1", None)
    await store.clean(fence, 10)
    assert await client.zcard(f"{PREFIX}sigs_idle") == 0
    snapshot = await store.snapshot()
    assert sorted(group.lanes for group in snapshot.groups) == [(A, B), (B,)]
    assert await client.hlen(f"{PREFIX}sigs") == 2
