"""Which jobs free quota cannot start before their deadline, and the paid lanes that can.

Classes in order, inside a class the earliest deadline first, each takes what its free lanes can
start by its deadline: first where it stands, then where most is left. What a class has queued
without a (known) deadline counts after it, where it stands. Only what is left over goes to a paid
lane, the cheapest first, as far as that lane starts it in time and the day's cap allows.
"""

from collections.abc import Mapping
from dataclasses import replace

from shared.core.backlog import Due, Group, Move, Snapshot
from shared.core.model import Priority
from shared.core.waterfill import Tank


class _Ledger:
    """What is left of lanes and money while jobs are handed out."""

    __slots__ = ("budget", "now_ms", "tanks", "used")

    def __init__(self, tanks: Mapping[str, Tank], budget: int | None, now_ms: int) -> None:
        self.tanks = tanks
        self.budget = budget
        self.now_ms = now_ms
        self.used: dict[str, int] = {}

    def take(self, lane: str, jobs: int, by_ms: int) -> int:
        """Uses up to `jobs` of what the lane starts by then; returns how many."""
        tank = self.tanks.get(lane)
        if tank is None:
            return 0
        spare = tank.room((by_ms - self.now_ms) / 1_000) - self.used.get(lane, 0)
        taken = max(min(jobs, spare), 0)
        self.occupy(lane, taken)
        return taken

    def occupy(self, lane: str, jobs: int) -> None:
        """Counts jobs that are there whatever is decided."""
        self.used[lane] = self.used.get(lane, 0) + jobs

    def spare(self, lane: str, by_ms: int) -> int:
        """What the lane can still start by then."""
        tank = self.tanks.get(lane)
        if tank is None:
            return 0
        return tank.room((by_ms - self.now_ms) / 1_000) - self.used.get(lane, 0)

    def pay(self, jobs: int, cost_microusd: int) -> int:
        """How many of the jobs the cap allows; they are paid."""
        if self.budget is None:
            return jobs
        affordable = max(self.budget, 0) // cost_microusd if cost_microusd else jobs
        allowed = min(jobs, affordable)
        self.budget -= allowed * cost_microusd
        return allowed


def spill(snapshot: Snapshot, tanks: Mapping[str, Tank]) -> tuple[list[Move], list[Group]]:
    """The moves to paid lanes, and the groups as they stand after them."""
    groups = list(snapshot.groups)
    if not any(group.paid and group.due for group in groups):
        return [], groups
    costs = dict(snapshot.costs)
    ledger = _Ledger(tanks, snapshot.paid_left_microusd, snapshot.now_ms)
    moves: list[Move] = []
    for priority in Priority:
        of_class = [i for i, group in enumerate(groups) if group.priority is priority]
        for i in of_class:
            if groups[i].lane in groups[i].paid:
                ledger.occupy(groups[i].lane, groups[i].count)
        due = [
            (one, i) for i in of_class if groups[i].lane not in groups[i].paid
            for one in groups[i].due
        ]  # fmt: skip
        for one, i in sorted(due, key=lambda pair: (pair[0].deadline_ms, pair[1])):
            late = _late(one, groups[i], ledger)
            made = _pay_for(late, one, groups[i], ledger, costs)
            moves += made
            gone = sum(move.count for move in made)
            groups[i] = replace(groups[i], count=groups[i].count - gone)
        for i in of_class:
            undated = snapshot.groups[i].count - sum(one.count for one in snapshot.groups[i].due)
            if undated > 0 and groups[i].lane not in groups[i].paid:
                ledger.occupy(groups[i].lane, undated)
    return moves, [group for group in groups if group.count > 0]


def _late(due: Due, group: Group, ledger: _Ledger) -> int:
    """How many of the jobs due then free lanes cannot start by then."""
    left = min(due.count, group.count)
    others = sorted(
        (lane for lane in group.lanes if lane != group.lane),
        key=lambda lane: -ledger.spare(lane, due.deadline_ms),
    )
    for lane in (group.lane, *others) if group.lane in group.lanes else others:
        left -= ledger.take(lane, left, due.deadline_ms)
        if not left:
            break
    return left


def _pay_for(
    late: int, due: Due, group: Group, ledger: _Ledger, costs: Mapping[str, int]
) -> list[Move]:
    """Moves of late jobs to the cheapest paid lanes that start them in time."""
    moves = []
    for lane in sorted((one for one in group.paid if one in costs), key=lambda one: costs[one]):
        spare = max(ledger.spare(lane, due.deadline_ms), 0)
        jobs = ledger.pay(min(late, spare), costs[lane])
        if jobs:
            ledger.occupy(lane, jobs)
            late -= jobs
            moves.append(_to_paid(group, lane, jobs, due))
    return moves


def _to_paid(group: Group, lane: str, jobs: int, due: Due) -> Move:
    return Move(
        source=group.lane,
        target=lane,
        count=jobs,
        priority=group.priority,
        signature=group.signature,
        reason="deadline",
        deadline_ms=due.deadline_ms,
    )
