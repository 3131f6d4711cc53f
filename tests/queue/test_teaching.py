"""Learned limits in the store: compare-and-set, ledgers that go on, caps that grow and fall."""

import orjson
import pytest
from queue_world import LANE, OTHER, PREFIX, lane_of, window

from shared.core.model import Priority, Usage
from shared.queue.types import Report, Verdict

START = 1_790_000_000_000
OK = Report(Verdict.COMPLETE, result=b"{}", usage=Usage(1, 1), health="ok")
REFUSED = Report(Verdict.REQUEUE, reason="rate_limited")
NEVER_SENT = Report(Verdict.REQUEUE, reached=False, reason="shutdown")


def text(config):
    return orjson.dumps(config).decode()


def unlimited(**more):
    log = window("seen", 10**9, 120_000)
    return {"creds": [{"id": "c1", "win": [], "log": log, **more}]}


async def teach(world, **ask):
    answer = await world.run("teach", lane=LANE, cred="c1", **ask)
    return answer.decode() if isinstance(answer, bytes) else answer


async def look(world):
    return orjson.loads(await teach(world, look={"log": True}))


async def claimed(world, count):
    await world.accept(*(world.job() for _ in range(count)))
    return await world.claim(want=count)


async def test_a_lesson_applies_only_to_what_was_believed(each_world):
    old, new = lane_of(window(limit=10)), lane_of(window(limit=2))
    await each_world.configure({LANE: old})
    stands = (await look(each_world))["raw"]
    assert await teach(each_world, was="{}", now=text(new)) == stands
    assert (await look(each_world))["raw"] == stands
    assert await teach(each_world, was=stands, now=text(new), trail='{"at_ms":5}') == ""
    after = await look(each_world)
    assert (after["raw"], after["trail"]) == (text(new), '{"at_ms":5}')
    assert len(await claimed(each_world, 5)) == 2


async def test_a_higher_limit_opens_a_lane_that_rests_for_its_quota(world):
    await world.configure({LANE: lane_of(window(limit=1))})
    assert len(await claimed(world, 4)) == 1
    assert await world.claim(want=4) == []
    stands = (await look(world))["raw"]
    await teach(world, was=stands, now=text(lane_of(window(limit=3))))
    assert len(await world.claim(want=4)) == 2


async def test_what_is_learned_is_kept_beside_the_configuration_and_can_be_forgotten(world):
    raw = (await look(world))["raw"]
    await teach(world, was=raw, now=text(lane_of(window(limit=3))), keep={"w|a": "{}", "c|b": "1"})
    raw = (await look(world))["raw"]
    await teach(world, was=raw, now=text(lane_of(window(limit=4))), keep={"w|a": ""})
    assert await world.client.hgetall(f"{PREFIX}learned") == {b"c|b": b"1"}


async def test_a_new_ledger_begins_with_the_calls_that_were_logged(each_world):
    await each_world.set_clock(START)
    await each_world.configure({LANE: unlimited(seen=True)})
    for _ in range(4):
        assert len(await claimed(each_world, 2)) == 2
        each_world.now_ms += 1_000
    spec = window("requests/3s", 9, 3_000)
    with_window = unlimited(seen=True)
    with_window["creds"][0]["win"] = [spec]
    before = await look(each_world)
    assert sum(n for _, n in before["sent"]["seen-key"]) == 8
    log = with_window["creds"][0]["log"]
    now = text(with_window)
    assert (
        await teach(each_world, was=before["raw"], now=now, seed=[{"w": spec, "from": log}]) == ""
    )
    used, free = (await look(each_world))["win"]["requests/3s-key"]
    assert (used, free) == (6, 3)  # those of the last three seconds, a grain's end each
    each_world.now_ms += 500
    used, _ = (await look(each_world))["win"]["requests/3s-key"]
    assert used == 4


async def test_the_log_counts_a_call_from_when_it_left_and_not_at_all_if_it_never_did(each_world):
    await each_world.set_clock(START)
    await each_world.configure({LANE: unlimited(seen=True)})
    late, never = await claimed(each_world, 2)
    each_world.now_ms += 5_000
    await each_world.tick(sent=[(late, START + 3_000)], want=0)
    await each_world.finish(never, NEVER_SENT)
    (row,) = (await look(each_world))["sent"]["seen-key"]
    grain_ms = 120
    assert 0 <= row[0] - (START + 3_000) < grain_ms
    assert row[1] == 1


async def test_a_new_ledger_still_counts_what_may_have_come_within_its_guard(each_world):
    await each_world.set_clock(START)
    await each_world.configure({LANE: unlimited(seen=True)})
    await claimed(each_world, 2)
    each_world.now_ms += 3_200
    spec = window("requests/3s", 9, 3_000, g=500)
    taught = unlimited(seen=True)
    taught["creds"][0]["win"] = [spec]
    raw, log = (await look(each_world))["raw"], taught["creds"][0]["log"]
    await teach(each_world, was=raw, now=text(taught), seed=[{"w": spec, "from": log}])
    assert (await look(each_world))["win"]["requests/3s-key"] == [2, 7]


async def test_the_newest_call_that_was_answered_is_remembered_whoever_made_it(each_world):
    world = each_world
    await world.set_clock(START)
    await world.configure({LANE: lane_of(window(limit=10))})
    older, *_ = await claimed(world, 1)
    assert (await look(world))["admitted"] == 0
    world.now_ms += 1_000
    newer, refused = await claimed(world, 2)
    world.now_ms += 1_000
    await world.finish(newer, OK)
    await world.finish(older, OK)  # sent before: it says nothing of later
    (last,) = await claimed(world, 1)
    await world.finish(refused, REFUSED)
    await world.finish(last, REFUSED)
    assert (await look(world))["admitted"] == START + 1_000


async def test_a_providers_own_count_is_believed_where_it_is_clearly_higher(world):
    await world.set_clock(START)
    spec = window(limit=100)
    await world.configure({LANE: lane_of(spec)})
    await claimed(world, 3)
    now = {"w": spec, "at": world.now_ms}
    assert await teach(world, observe=[{**now, "used": 11}]) == 0  # 3 counted, 3 in flight, 5 %
    assert await teach(world, observe=[{**now, "used": 60}]) == 1
    assert (await look(world))["win"]["rpm-key"] == [60, 40]


async def test_a_providers_count_that_is_told_late_is_less_by_what_came_back_since(world):
    """A bucket at its steady rate: what was used a while ago is not used now."""
    await world.set_clock(START)
    spec = window(limit=60, t="bucket")  # one a second
    await world.configure({LANE: lane_of(spec)})
    for claim in await claimed(world, 50):
        await world.finish(claim, OK)
    counted_at = world.now_ms
    world.now_ms += 20_000
    assert await teach(world, observe=[{"w": spec, "used": 52, "at": counted_at}]) == 0
    used, free = (await look(world))["win"]["rpm-key"]
    assert (used, free) == (30, 30)


async def test_a_shared_window_changes_in_every_lane_that_has_it(world):
    common, own = window("day", 50, k="c1|*|day"), window("rpm", 5)
    await world.configure({LANE: lane_of(common), OTHER: lane_of(own, common)})
    lower = {**common, "l": 7}
    raw = (await look(world))["raw"]
    await teach(world, was=raw, now=text(lane_of(lower)), shared={"c1|*|day": lower})
    there = orjson.loads(await world.client.hget(f"{PREFIX}cfg", OTHER))
    assert [w["l"] for w in there["creds"][0]["win"]] == [5, 7]


async def test_calls_at_once_grow_by_evidence_and_fall_when_refused(each_world):
    world = each_world
    await world.set_clock(START)
    await world.configure({LANE: unlimited(grow=True)})
    claims = await claimed(world, 20)
    assert len(claims) == 8
    for _ in range(20):  # sixteen successes raise it by one
        await world.accept(world.job())
        claims += await world.claim(want=20)
        await world.finish(claims.pop(0), OK)
    claims += await world.claim(want=20)
    assert len(claims) == 9
    world.now_ms += 2_000
    for _ in range(3):  # a burst of refusals halves it once
        await world.finish(claims.pop(0), REFUSED)
    claims += await world.claim(want=20)
    assert len(claims) == 6
    while len(claims) > 3:
        await world.finish(claims.pop(0), OK)
    claims += await world.claim(want=20)
    assert len(claims) == 4


@pytest.mark.parametrize("grow", [True, False])
async def test_a_cap_is_forgotten_when_a_limit_is_known(world, grow):
    await world.client.hset(f"{PREFIX}cap", f"{LANE}|c1", "3|0|3|1|0")
    raw = (await look(world))["raw"]
    await teach(world, was=raw, now=text(unlimited(grow=True) if grow else lane_of(window())))
    assert await world.client.hexists(f"{PREFIX}cap", f"{LANE}|c1") is grow


async def test_callers_who_wait_open_a_never_refused_provider_wider_than_a_backlog(world):
    await world.configure({LANE: unlimited(grow=True)})
    assert len(await claimed(world, 20)) == 8
    waited_for = [world.job(priority=Priority.INTERACTIVE) for _ in range(70)]
    await world.accept(*waited_for)
    claims = await world.claim(want=100)
    assert len(claims) == 64 - 8
    assert {claim.priority for claim in claims} == {Priority.INTERACTIVE}
    await world.finish(claims.pop(0), REFUSED)
    assert await world.claim(want=100) == []
