"""The demo waits as long as something moves, and tells what stands still from what is slow."""

import asyncio
import itertools

import pytest

from cli.demo.pace import Broken, Pace, TooSlow, paced


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def watched(moved):
    clock = Clock()
    pace = Pace(still_s=3.0, most_s=20.0, clock=clock)
    pace.moved = moved
    return pace, clock


def looked(pace, clock, seconds):
    for _ in range(seconds):
        pace.look()
        clock.now += 1.0


def test_what_stands_still_is_broken():
    pace, clock = watched(lambda: (2, 7))
    looked(pace, clock, 4)
    with pytest.raises(Broken, match="nothing moved for 3 s"):
        pace.look()


def test_what_moves_is_waited_for_until_it_is_too_slow_which_is_not_broken():
    numbers = itertools.count()
    pace, clock = watched(lambda: next(numbers) // 3)
    looked(pace, clock, 21)
    with pytest.raises(TooSlow, match="not broken"):
        pace.look()


async def test_work_has_its_outcome_and_its_errors():
    async def work(error):
        await asyncio.sleep(0)
        if error is not None:
            raise error
        return 7

    assert await paced(work(None), Pace()) == 7
    with pytest.raises(OSError, match="oops"):
        await paced(work(OSError("oops")), Pace())


async def test_work_that_stands_still_is_cancelled():
    cancelled = asyncio.Event()

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(Broken):
        await paced(work(), Pace(still_s=-1.0))
    assert cancelled.is_set()
