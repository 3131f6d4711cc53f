"""Two calls race: one speaks and counts, the other's socket is closed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from raw_server import COMPLETION, always, chunked, json_reply, serving
from recorded_replies import openai
from recorded_streams import HELLO, PIECES, USAGE, chunk, sse
from worker_claims import Told, catalog, claim, context, deployment

from shared.credentials import Secret
from shared.queue.types import Verdict
from workers import attempt
from workers.attempt import Hedge
from workers.hedging import FEW, MOST_SAVED, Budget, Gate, Latencies
from workers.transport import AioTransport, Transport

ALPHA, BETA = "alpha/m1@shared", "beta/m1@shared"
WHOLE = chunked(sse(*PIECES, chunk({}, "stop"), chunk(None, usage=USAGE)))
BUSY = json_reply(openai("busy", None), "503 Service Unavailable")
LIMITED = json_reply(openai("slow down", "rate_limit_exceeded"), "429 Too Many", "retry-after: 9")


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport(AioTransport(proxies={}))
    yield made
    await made.aclose()


async def silent(peer):
    await peer.request()
    await peer.gone()


class Race:
    """An attempt on alpha with a second call on beta, each as a handler says."""

    def __init__(self, transport, told=None, after_ms=0, room=True):
        self.transport, self.after_ms, self.room = transport, after_ms, room
        self.told = told or Told()
        self.asked = 0
        self.servers = []

    async def run(self, first, second, **changes):
        """The report, once the socket of a call that was stopped is closed."""
        async with serving(first) as one, serving(second) as two:
            self.servers = [one, two]
            report = await self.attempt(**changes)
            if report.attempt.get("hedge", {}).get("outcome") == "stopped":
                stopped = one if report.hedge.won else two
                await asyncio.wait_for(stopped.gone.wait(), 60)
            return report

    async def attempt(self, **changes):
        known = catalog(
            deployment(f"{self.servers[0].url}/v1"),
            deployment(f"{self.servers[1].url}/v1", "beta"),
        )
        mine = claim(candidates=(ALPHA, BETA), **changes)

        async def reserve():
            self.asked += 1
            there = replace(mine, lane=BETA, credential="b1")
            return (there, False) if self.room else None

        secrets = {"a1": Secret("sk-a"), "b1": Secret("sk-b")}
        ctx = context(self.transport, known, self.told, secret=secrets.get)
        return await attempt.run(mine, replace(ctx, hedge=Hedge(self.after_ms, reserve)))


async def test_the_second_answer_wins_over_silence_and_the_first_socket_is_closed(transport):
    race = Race(transport, after_ms=50)
    report = await race.run(silent, always(json_reply(COMPLETION)))
    assert report.verdict is Verdict.COMPLETE
    assert (report.attempt["deployment"], report.attempt["credential"]) == ("beta/m1", "b1")
    assert b"sk-b" in race.servers[1].requests[0][0]
    hedge = report.hedge
    assert (hedge.lane, hedge.credential, hedge.won, hedge.reached) == (BETA, "b1", True, True)
    shown = report.attempt["hedge"]
    assert (shown["deployment"], shown["outcome"], shown["second"]) == (
        "alpha/m1",
        "stopped",
        False,
    )
    assert report.uncertain


async def test_only_who_says_the_first_word_is_heard(transport):
    race = Race(transport, after_ms=50)
    report = await race.run(silent, always(WHOLE), stream=True)
    assert race.told.text == HELLO["content"]
    assert report.hedge.won
    assert report.verdict is Verdict.COMPLETE


async def test_a_first_call_that_speaks_in_time_is_never_hedged(transport):
    race = Race(transport, after_ms=60_000)
    report = await race.run(always(WHOLE), silent, stream=True)
    assert (report.hedge, race.asked) == (None, 0)
    assert race.servers[1].connections == 0


async def test_where_nowhere_is_room_the_first_call_goes_on(transport):
    async def late(peer):
        await peer.request()
        await asyncio.sleep(0.1)
        await peer.send(json_reply(COMPLETION))

    race = Race(transport, room=False)
    report = await race.run(late, silent)
    assert (report.verdict, report.hedge, race.asked) == (Verdict.COMPLETE, None, 1)


async def test_the_first_answer_may_still_come_first(transport):
    async def after_the_second_was_asked(peer):
        await peer.request()
        await race.servers[1].asked.wait()
        await peer.send(json_reply(COMPLETION))

    race = Race(transport)
    report = await race.run(after_the_second_was_asked, silent)
    assert report.attempt["deployment"] == "alpha/m1"
    assert (report.hedge.won, report.hedge.reached, report.uncertain) == (False, True, True)
    assert report.attempt["hedge"]["second"] is True


async def test_a_second_call_that_is_refused_rests_its_own_lane_and_the_first_goes_on(transport):
    async def after_the_refusal(peer):
        await peer.request()
        await race.servers[1].asked.wait()
        await asyncio.sleep(0.1)
        await peer.send(json_reply(COMPLETION))

    race = Race(transport)
    report = await race.run(after_the_refusal, always(LIMITED))
    assert report.verdict is Verdict.COMPLETE
    assert [each.for_ms for each in report.hedge.cooldowns] == [9_000]
    assert report.attempt["hedge"]["outcome"] == "rate_limited"
    assert not report.uncertain


async def test_of_two_failures_the_first_calls_counts(transport):
    async def busy_later(peer):
        await peer.request()
        await race.servers[1].asked.wait()
        await asyncio.sleep(0.05)
        await peer.send(BUSY)

    race = Race(transport)
    report = await race.run(busy_later, always(BUSY))
    assert report.verdict is Verdict.RETRY
    assert report.attempt["deployment"] == "alpha/m1"
    assert report.attempt["hedge"]["outcome"] == "overloaded"


async def test_a_job_that_wants_no_call_twice_is_not_hedged(transport):
    race = Race(transport)
    policy = {"on_uncertain": "fail"}
    report = await race.run(always(json_reply(COMPLETION)), silent, policy=policy)
    assert (report.hedge, race.asked) == (None, 0)


async def test_cancelling_closes_both_sockets(transport):
    race = Race(transport)
    async with serving(silent) as one, serving(silent) as two:
        race.servers = [one, two]
        task = asyncio.create_task(race.attempt())
        await asyncio.wait_for(two.asked.wait(), 60)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        for server in (one, two):
            await asyncio.wait_for(server.gone.wait(), 60)


async def test_who_comes_second_to_the_gate_never_speaks():
    gate = Gate()
    await gate.enter("first")
    await gate.enter("first")
    late = asyncio.create_task(gate.enter("second"))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not late.done()
    late.cancel()
    await asyncio.wait([late])
    assert gate.speaker == "first"


def test_second_calls_are_never_more_than_their_share_of_the_first():
    budget, made = Budget(0.05), 0
    for _ in range(1_000):
        budget.earn()
        if budget.left:
            budget.spend()
            made += 1
    assert 49 <= made <= 50
    for _ in range(1_000):
        budget.earn()
    saved = 0
    while budget.left:
        budget.spend()
        saved += 1
    assert saved <= MOST_SAVED
    assert not Budget(0).left


def test_slow_is_slower_than_nineteen_of_twenty():
    latencies = Latencies()
    for ms in range(FEW - 1):
        latencies.note("alpha/m1", ms, stream=True)
    assert latencies.slow_ms("alpha/m1", stream=True) is None
    latencies.note("alpha/m1", 99, stream=True)
    assert latencies.slow_ms("alpha/m1", stream=True) == 99
    assert latencies.slow_ms("alpha/m1", stream=False) is None
