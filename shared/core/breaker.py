"""A circuit breaker as a pure state machine, one per deployment and one per credential.

closed ── 5 failures in a row ──▶ open (60 s) ── its time is over ──▶ half_open (one probe)
   ▲                               ▲                                       │
   └───────── the probe succeeds ──┼───────────────────────────────────────┤
                                   └────────── the probe fails ────────────┘

A probe that is never heard of again (its worker died) frees its place after `PROBE_MS`.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

THRESHOLD = 5
OPEN_MS = 60_000
PROBE_MS = 60_000


class State(StrEnum):
    """Whether calls go through."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class Breaker:
    """`failures` in a row while closed; `until_ms` the end of the rest, or of the probe's time."""

    state: State = State.CLOSED
    failures: int = 0
    until_ms: int = 0


def admit(breaker: Breaker, now_ms: int, probe_ms: int = PROBE_MS) -> tuple[bool, Breaker]:
    """Whether a call may go out now, and the state after it went.

    Of several callers who store the new state by compare-and-set, exactly one gets the probe.
    """
    match breaker.state:
        case State.CLOSED:
            return True, breaker
        case State.OPEN | State.HALF_OPEN:
            if now_ms < breaker.until_ms:
                return False, breaker
            return True, replace(breaker, state=State.HALF_OPEN, until_ms=now_ms + probe_ms)


def succeeded(breaker: Breaker, now_ms: int) -> Breaker:
    """After a call that worked. A late answer to a call made before it opened closes nothing."""
    if breaker.state is State.OPEN and now_ms < breaker.until_ms:
        return breaker
    return Breaker()


def failed(
    breaker: Breaker, now_ms: int, threshold: int = THRESHOLD, open_ms: int = OPEN_MS
) -> Breaker:
    """After a call that failed by the fault of whom this breaker guards."""
    match breaker.state:
        case State.CLOSED:
            failures = breaker.failures + 1
            if failures < threshold:
                return replace(breaker, failures=failures)
            return Breaker(State.OPEN, failures, now_ms + open_ms)
        case State.HALF_OPEN:
            return Breaker(State.OPEN, breaker.failures, now_ms + open_ms)
        case State.OPEN:
            return breaker
