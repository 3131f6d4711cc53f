"""The books are written with the job's end, in the same step, and read back as they were."""

import pytest
from conserved import assert_at_rest
from queue_world import LANE, OTHER, World, lane_of

from shared.core.backlog import Due
from shared.core.books import Counts, grouped
from shared.core.model import CredentialRef, Deployment, Dimension, Kind, Need, Price, Usage
from shared.queue.types import Measured, Report, Verdict
from shared.store.lanes import Lanes, lane_config
from shared.store.usage import Usage as Books

NOON = 20_000 * 86_400_000 + 43_200_000
PRICE = Price(1_000_000, 2_000_000)


def done(cost=30, **measured):
    given = {"total_ms": 1_100, "first_ms": 100, "asked_tokens": 40, "list_microusd": 30} | measured
    return Report(
        Verdict.COMPLETE,
        result=b"{}",
        usage=Usage(10, 10, cached_tokens=4),
        cost_microusd=cost,
        measured=Measured(**given),
        health="ok",
    )


FREE = {"cost": 0, "free": True}


async def finished(world: World, *reports: Report, **job) -> list[bool]:
    jobs = [world.job(**job) for _ in reports]
    await world.accept(*jobs)
    claims = await world.claim(want=len(jobs))
    pairs = list(zip(claims, reports, strict=True))
    _, stale = await world.tick("w1", 0, pairs)
    return [claim.job_id not in stale for claim in claims]


async def test_calls_are_booked_by_day_tenant_and_deployment(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOON)
    await finished(world, done(), done(**FREE), done(0, list_microusd=None))
    failed = Report(Verdict.FAIL, error={"message": "no"}, measured=Measured(5))
    unsent = Report(Verdict.FAIL, error={"message": "no"}, reached=False, measured=Measured(5))
    await finished(world, failed, unsent, tenant="t2")
    await world.set_clock(NOON + 86_400_000)
    await finished(world, done())
    rows = await Books(world.client).rows(19_990, 20_001)
    whole = Counts(3, 3, 1, 1, 30, 30, 12, 0, 30, 30)
    assert [(row.day, row.tenant, row.deployment, row.counts) for row in rows] == [
        (20_000, "t1", "alpha/m", whole),
        (20_000, "t2", "alpha/m", Counts(calls=1)),
        (20_001, "t1", "alpha/m", Counts(1, 1, 0, 0, 10, 10, 4, 0, 30, 0)),
    ]
    by_provider = grouped(rows, ("provider",))
    assert [(key, counts.calls, counts.free_share) for key, counts in by_provider] == [
        (("alpha",), 5, 0.25)
    ]
    assert await Books(world.client).spent_microusd(20_000) == 30
    assert await world.client.pttl("{hr}:usage:20000") > 0
    await assert_at_rest(world.client)


async def test_a_stale_finish_books_nothing(world: World) -> None:
    await world.accept(world.job("a"))
    (claim,) = await world.claim()
    assert await world.lose_worker("w1") == 1
    assert not await world.finish(claim, done())
    assert not await world.client.keys("{hr}:usage:*")
    assert not await world.client.exists("{hr}:pace")


async def test_how_a_deployment_answers_is_a_moving_mean(world: World) -> None:
    await finished(world, *(done() for _ in range(6)))
    pace = (await Books(world.client).paces())["alpha/m"]
    assert (pace.calls, pace.first_ms, pace.total_ms, pace.share) == (6, 100, 1_100, 0.25)
    assert (pace.each_us, pace.output_tokens, pace.cost_microusd) == (100_000, 10, 30)
    assert pace.answer_ms(10) == 1_100
    await finished(world, *(done(total_ms=600) for _ in range(60)))
    later = (await Books(world.client).paces())["alpha/m"]
    assert later.total_ms == pytest.approx(600, abs=5)
    assert later.share_dev == 0


async def test_a_tenant_beyond_the_bound_of_rows_is_counted_with_all_such(world: World) -> None:
    await world.set_clock(NOON)
    many = {f"t{n}|x/y": "1,1,1,0,0,0,0,0,0,0" for n in range(20_000)}
    await world.client.hset("{hr}:usage:20000", mapping=many)
    await finished(world, done(), tenant="late")
    await finished(world, done(), tenant="later")
    assert await world.client.hlen("{hr}:usage:20000") == 20_001
    text = await world.client.hget("{hr}:usage:20000", "*|alpha/m")
    assert text.startswith(b"2,2,0,")


def deployment(**given) -> Deployment:
    chat = frozenset({Kind.CHAT})
    return Deployment("alpha/m", "alpha", "m", "x", "http://x", chat, price=PRICE, **given)


def capped(cap_microusd, plan="paid"):
    return lane_config(deployment(), [CredentialRef("c1", "alpha", plan)], NOON, cap_microusd)


async def test_the_days_cap_holds_whatever_was_queued_and_ends_at_midnight(
    each_world: World,
) -> None:
    world = each_world
    await world.set_clock(NOON)
    await world.configure({LANE: capped(500)}, paid_cap_microusd=500)
    jobs = [world.job(need=Need(10, 20, 100)) for _ in range(5)]  # each at most 210 microusd
    await world.accept(*jobs)
    first = await world.claim(want=5)
    assert len(first) == 2
    (lane,) = await Lanes(world.client).lanes()
    assert lane.capped
    assert lane.parked_until_ms == NOON + 43_200_000
    for claim in first:
        assert await world.finish(claim, done(30))
    third = await world.claim(want=5)  # what was not spent came back: room for two more
    assert len(third) == 2
    refused = Report(Verdict.REQUEUE, measured=Measured(9), reason="rate_limited")
    assert await world.finish(third[0], refused)  # a refusal costs nothing
    assert await world.finish(third[1], done(400))
    assert not await world.claim(want=5)
    await world.set_clock(NOON + 43_200_000)
    assert len(await world.claim(want=5)) == 2


async def test_a_free_plan_has_no_cap_and_no_cap_is_no_window() -> None:
    assert Dimension.MICROUSD not in {w["d"] for w in capped(500, "free")["creds"][0]["win"]}
    assert not capped(None)["creds"][0]["win"]


@pytest.mark.parametrize(
    ("spent", "told"),
    [([30, 30], 1), ([390, 30], 2), ([0, 0], 0), ([500], 1)],
)
async def test_the_first_money_of_a_day_and_four_fifths_of_its_cap_are_announced(
    world: World, spent, told
) -> None:
    await world.configure(paid_cap_microusd=500)
    heard = world.client.pubsub()
    await heard.subscribe("{hr}:lane-events")
    for cost in spent:
        await finished(world, done(cost))
    await world.client.publish("{hr}:lane-events", "end")
    kinds = []
    while "end" not in kinds:
        message = await heard.get_message(ignore_subscribe_messages=True, timeout=60)
        if message:
            kinds.append(message["data"].decode().partition(" ")[0])
    await heard.aclose()
    assert kinds.count("spending") == told


async def test_what_may_be_paid_for_is_counted_by_when_it_is_due(each_world: World) -> None:
    world = each_world
    await world.set_clock(NOON)
    await world.configure({LANE: lane_of(), OTHER: lane_of(cred="c2")})
    dated = {"candidates": (LANE,), "paid_lanes": (OTHER,)}
    await world.accept(
        *(world.job(f"soon{n}", deadline_ms=60_000, **dated) for n in range(3)),
        *(world.job(f"late{n}", deadline_ms=600_000, **dated) for n in range(2)),
        world.job("never", **dated),
        world.job("free", deadline_ms=60_000),
    )
    groups = {one.lanes + one.paid: one for one in await seen(world)}
    assert groups[LANE,].due == ()
    found = groups[LANE, OTHER]
    assert (found.count, [due.count for due in found.due]) == (6, [3, 2])
    for due, span_ms in zip(found.due, (60_000, 600_000), strict=True):
        assert 0 <= due.deadline_ms - (NOON + span_ms) <= span_ms / 100
    await world.claim(want=9)
    assert not await seen(world)


async def test_a_replayed_job_is_due_by_its_new_deadline(world: World) -> None:
    await world.set_clock(NOON)
    await world.accept(world.job("a", deadline_ms=60_000, paid_lanes=(OTHER,)))
    await world.jobs.cancel("a", "t1")
    await world.run("replay", id="a", deadline_ms=90_000)
    ((found,),) = [one.due for one in await seen(world)]
    assert isinstance(found, Due)
    assert 90_000 <= found.deadline_ms - NOON <= 91_000
    await world.claim()


async def seen(world: World):
    return (await Lanes(world.client).snapshot()).groups


async def test_how_long_the_parts_of_audio_are_is_a_moving_mean(each_world: World) -> None:
    world = each_world
    heard = Report(
        Verdict.COMPLETE,
        result=b"{}",
        usage=Usage(audio_seconds=600),
        measured=Measured(2_000),
        health="ok",
    )
    await finished(world, heard, need=Need(audio_seconds=600), kind=Kind.TRANSCRIPTION)
    pace = (await Books(world.client).paces())["alpha/m"]
    assert (pace.audio_seconds, pace.output_tokens) == (600, None)
    short = Report(
        Verdict.COMPLETE,
        result=b"{}",
        usage=Usage(audio_seconds=300),
        measured=Measured(2_000),
        health="ok",
    )
    await finished(world, short, need=Need(audio_seconds=300), kind=Kind.TRANSCRIPTION)
    books = Books(world.client)
    assert (await books.paces())["alpha/m"].audio_seconds == 450
    await world.client.hset("{hr}:pace", "alpha/old", "3,-1,-1,5,-1,-1,-1,-1,-1,7")
    older = (await Books(world.client).paces())["alpha/old"]  # as it was kept before
    assert (older.calls, older.input_tokens, older.audio_seconds) == (3, 7, None)


async def test_how_long_a_job_was_held_is_measured_from_its_claim_to_its_end(
    each_world: World,
) -> None:
    world = each_world
    await world.set_clock(NOON)
    await finished(world, done(total_ms=100, claimed_ms=NOON - 900))
    pace = (await Books(world.client).paces())["alpha/m"]
    assert (pace.total_ms, pace.held_ms) == (100, 900)
    await finished(
        world, done(total_ms=100, claimed_ms=NOON + 5)
    )  # another clock's: at least the call
    assert (await Books(world.client).paces())["alpha/m"].held_ms == 500
    await finished(world, done(total_ms=100))
    assert (await Books(world.client).paces())["alpha/m"].held_ms == 500
