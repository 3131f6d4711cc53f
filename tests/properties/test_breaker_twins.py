"""The breaker in the store and the pure one admit the same calls."""

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from queue_world import DONE, LANE, World, lane_of

from shared.core.breaker import OPEN_MS, Breaker, admit, failed, succeeded
from shared.queue.types import Report, Verdict

START = 1_790_000_000_000
BAD = Report(Verdict.FAIL, error={"message": "down"}, health="bad", reason="overloaded")
GOOD = Report(DONE.verdict, result=DONE.result, usage=DONE.usage, health="ok")

steps = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0, 1_000, OPEN_MS - 1, OPEN_MS])), max_size=30
)


async def store_admits(url: str, story: list[tuple[bool, int]]) -> list[bool]:
    """Which calls the store lets out, one at a time."""
    world = World(url)
    try:
        await world.client.flushall()
        await world.set_clock(START)
        await world.configure({LANE: lane_of()})
        admitted = []
        for works, wait_ms in story:
            world.now_ms += wait_ms
            await world.accept(world.job())
            claims = await world.claim()
            admitted.append(bool(claims))
            for claim in claims:
                await world.finish(claim, GOOD if works else BAD)
        return admitted
    finally:
        await world.close()


def rule_admits(story: list[tuple[bool, int]]) -> list[bool]:
    """Which calls the pure rule lets out."""
    breaker, now_ms, admitted = Breaker(), START, []
    for works, wait_ms in story:
        now_ms += wait_ms
        goes, breaker = admit(breaker, now_ms)
        admitted.append(goes)
        if goes:
            breaker = succeeded(breaker, now_ms) if works else failed(breaker, now_ms)
    return admitted


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps)
def test_the_store_admits_what_the_rule_admits(valkey, story):
    assert asyncio.run(store_admits(valkey.url, story)) == rule_admits(story)


def test_five_failures_in_a_row_open_it_and_one_probe_decides(valkey):
    story = [(False, 0)] * 6 + [(False, OPEN_MS), (True, 1_000), (True, OPEN_MS), (True, 0)]
    expected = [True] * 5 + [False, True, False, True, True]
    assert rule_admits(story) == expected
    assert asyncio.run(store_admits(valkey.url, story)) == expected
