"""Clocks."""

import time

import pytest

from shared.clock import ManualClock, SystemClock


def test_the_systems_clock_is_in_milliseconds():
    clock = SystemClock()
    assert abs(clock.now_ms() - time.time() * 1000) < 5_000
    assert clock.monotonic_ms() <= clock.monotonic_ms()


def test_a_manual_clock_moves_when_told_and_never_back():
    clock = ManualClock(100)
    clock.advance(50)
    assert (clock.now_ms(), clock.monotonic_ms()) == (150, 150)
    with pytest.raises(ValueError, match="not turned back"):
        clock.advance(-1)
