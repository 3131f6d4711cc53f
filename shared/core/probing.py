"""When a credential that was set aside is tried again: at growing intervals. Pure; spans are ms."""

from dataclasses import dataclass

MOST_MS = 6 * 3_600_000
FORGET = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about one dead credential: `note` how often it was tried, `probe` it now or not.

    `due_ms` is the moment of its next probe.
    """

    tries: int
    note: bool
    probe: bool
    due_ms: int


def interval_ms(tries: int, first_ms: int) -> int:
    """The wait before probe number `tries` + 1: doubled each time, at most 6 h."""
    return min(MOST_MS, first_ms << min(tries, 24))


def plan(tries: int, at_ms: int | None, now_ms: int, first_ms: int) -> Plan:
    """What to do now about a credential found dead.

    `tries` and `at_ms` are what was noted of it, None where nothing was. A note far older than its
    interval is of an earlier death: the count begins again.
    """
    stale = at_ms is not None and now_ms - at_ms > FORGET * interval_ms(tries, first_ms)
    if at_ms is None or stale:
        return Plan(0, note=True, probe=False, due_ms=now_ms + interval_ms(0, first_ms))
    if now_ms < at_ms + interval_ms(tries, first_ms):
        return Plan(tries, note=False, probe=False, due_ms=at_ms + interval_ms(tries, first_ms))
    return Plan(tries + 1, note=True, probe=True, due_ms=now_ms + interval_ms(tries + 1, first_ms))
