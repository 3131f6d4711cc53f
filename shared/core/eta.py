"""When a queued job will be done.

Start: a lane is fluid (`tank`). It opens after `open_ms`, starts its free requests at once and the
rest at its rate, so job number n (from 0) starts at `open + max(0, n + 1 - free) / rate`, while the
rate stays. Where windows say no rate, slots do: `running / mean service`, at least one slot.
Spread: the wait for n starts at a rate varies like a Poisson count, by `sqrt(n) / rate` (the
normal's 95th percentile is 1.645 of it). A service time is taken as exponential about its mean:
p50 = ln 2 and p95 = ln 20 times the mean. p95 adds both, which is on the safe side.
"""

from dataclasses import dataclass
from math import log, sqrt

from shared.core.backlog import LaneReading
from shared.core.tank import as_tank

Z95 = 1.645
P50_SERVICE = log(2)
P95_SERVICE = log(20)
P99_SERVICE = log(100)
FAR_S = 1e9


@dataclass(frozen=True, slots=True)
class Eta:
    """Spans from now until the job is done: half of such jobs, and 95 of 100."""

    start_ms: int
    p50_ms: int
    p95_ms: int


def estimate(
    reading: LaneReading | None, position: int, service_ms: int, now_ms: int, calls: int = 1
) -> Eta | None:
    """The estimate for the job with `position` jobs before it in its lane; None for a dead lane.

    `service_ms` is the mean time of a call, above 0. An unread lane is taken to be idle. The job
    itself takes of the windows what `calls` of the lane's average calls take.
    """
    if reading is None:
        return _eta(0.0, 0.0, service_ms)
    if reading.dead:
        return None
    slots_per_s = max(reading.running, 1) * 1_000 / max(service_ms, 1)
    tank = as_tank(reading, now_ms, slots_per_s)
    free = reading.free_requests
    behind = max(position + calls - (free or 0), 0)
    if free is None and reading.rate_per_s is None and position == 0:
        behind = 0
    if not behind:
        return _eta(tank.open_s * 1_000, 0.0, service_ms)
    waits_s = max(tank.finish_s(position + calls) - tank.open_s, 0.0)
    # the spread is taken before the cut, or it would shrink further back
    spread_s = min(waits_s / sqrt(behind), FAR_S)
    start_s = tank.open_s + min(waits_s, max(FAR_S - tank.open_s, 0.0))
    return _eta(start_s * 1_000, spread_s * 1_000, service_ms)


def _eta(start_ms: float, spread_ms: float, service_ms: int) -> Eta:
    p50_ms = start_ms + P50_SERVICE * service_ms
    p95_ms = start_ms + Z95 * spread_ms + P95_SERVICE * service_ms
    return Eta(round(start_ms), round(p50_ms), round(p95_ms))
