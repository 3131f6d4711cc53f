"""Which jobs free quota cannot start before their deadline, and the paid lanes that can.

Classes in order, inside a class the earliest deadline first, each takes what its free lanes can
start so that 95 of 100 such calls end by its deadline: first where it stands, then where most is
left, and there it is moved: another lane's room counts only if it is used. What a class has queued
without a (known) deadline counts after it, where it stands. Only what is left over goes to a paid
lane, the cheapest first, as far as that lane does it in time and the day's cap allows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from shared.core.backlog import Due, Group, LaneReading, Move, Snapshot
from shared.core.candidates import is_free
from shared.core.cost import cost_microusd
from shared.core.eta import P95_SERVICE
from shared.core.model import CredentialRef, Deployment, Priority, Usage, lane_id
from shared.core.tank import Tank

TYPICAL = Usage(input_tokens=1_000, output_tokens=500)
UNPRICED_MICROUSD = 1_000_000
SLOTS = 8


def paid_costs(
    deployments: Iterable[Deployment], credentials: Iterable[CredentialRef], *, capped: bool
) -> dict[str, int]:
    """The lanes that may cost money and what a typical job should cost there, in microusd.

    One of unknown price counts as dearest, and is left out under a cap: it could not be kept.
    """
    held: dict[tuple[str, str], list[CredentialRef]] = {}
    for ref in credentials:
        held.setdefault((ref.provider, ref.pool), []).append(ref)
    found: dict[str, int] = {}
    for one in deployments:
        cost = cost_microusd(TYPICAL, one.price)
        if cost is None and capped:
            continue
        for (provider, pool), refs in held.items():
            if provider == one.provider and not is_free(one, refs):
                found[lane_id(one.id, pool)] = UNPRICED_MICROUSD if cost is None else cost
    return found


class _Ledger:
    """What is left of lanes and money while jobs are handed out."""

    __slots__ = ("budget", "calls_ms", "now_ms", "tanks", "used")

    def __init__(self, snapshot: Snapshot, tanks: Mapping[str, Tank]) -> None:
        self.tanks = {**tanks, **_unmeasured(snapshot, tanks)}
        self.budget = _budget(snapshot)
        self.now_ms = snapshot.now_ms
        self.calls_ms = {one.lane: P95_SERVICE * _call_ms(one) for one in snapshot.lanes}
        self.used: dict[str, int] = {}

    def take(self, lane: str, jobs: int, by_ms: int) -> int:
        """Uses up to `jobs` of what the lane ends by then; returns how many."""
        taken = max(min(jobs, self.spare(lane, by_ms)), 0)
        self.occupy(lane, taken)
        return taken

    def occupy(self, lane: str, jobs: int) -> None:
        """Counts jobs that are there whatever is decided."""
        self.used[lane] = self.used.get(lane, 0) + jobs

    def spare(self, lane: str, by_ms: int) -> int:
        """What the lane can still start so that it ends by then."""
        tank = self.tanks.get(lane)
        if tank is None:
            return 0
        start_s = (by_ms - self.now_ms - self.calls_ms.get(lane, 0.0)) / 1_000
        return tank.room(start_s) - self.used.get(lane, 0)

    def pay(self, jobs: int, cost_microusd: int) -> int:
        """How many of the jobs the cap allows; they are paid."""
        if self.budget is None:
            return jobs
        affordable = max(self.budget, 0) // cost_microusd if cost_microusd else jobs
        allowed = min(jobs, affordable)
        self.budget -= allowed * cost_microusd
        return allowed


def _unmeasured(snapshot: Snapshot, tanks: Mapping[str, Tank]) -> dict[str, Tank]:
    """Paid lanes without a known limit: as many calls at once as such a lane begins with."""
    costs = dict(snapshot.costs)
    return {
        one.lane: replace(tanks[one.lane], rate=SLOTS * 1_000 / (_call_ms(one) or 1_000))
        for one in snapshot.lanes
        if one.rate_per_s is None and one.lane in costs and one.lane in tanks
    }


def _call_ms(reading: LaneReading) -> float:
    return (reading.pace.total_ms or 0.0) if reading.pace else 0.0


def _budget(snapshot: Snapshot) -> int | None:
    """What may still be promised: what is left, less what stands in paid lanes already."""
    if snapshot.paid_left_microusd is None:
        return None
    costs = dict(snapshot.costs)
    promised = sum(one.count * costs.get(one.lane, 0) for one in snapshot.groups)
    return snapshot.paid_left_microusd - promised


def spill(snapshot: Snapshot, tanks: Mapping[str, Tank]) -> tuple[list[Move], list[Group]]:
    """The moves to paid lanes, and the groups as they stand after them."""
    groups = list(snapshot.groups)
    if not any(group.paid and group.due for group in groups):
        return [], groups
    costs = dict(snapshot.costs)
    ledger = _Ledger(snapshot, tanks)
    moves, arrived = list[Move](), list[Move]()
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
            late, made = _in_time(one, groups[i], ledger)
            arrived += made
            made += _pay_for(late, one, groups[i], ledger, costs)
            moves += made
            gone = sum(move.count for move in made)
            groups[i] = replace(groups[i], count=groups[i].count - gone)
        for i in of_class:
            undated = snapshot.groups[i].count - sum(one.count for one in snapshot.groups[i].due)
            if undated > 0 and groups[i].lane not in groups[i].paid:
                ledger.occupy(groups[i].lane, undated)
    lanes = {one.signature: (one.lanes, one.paid) for one in groups}
    return moves, _with(arrived, lanes, [group for group in groups if group.count > 0])


def _with(
    arrived: Iterable[Move],
    lanes: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]],
    groups: list[Group],
) -> list[Group]:
    """The groups with what was moved to free lanes standing there."""
    places = {(one.signature, one.priority, one.lane): i for i, one in enumerate(groups)}
    for move in arrived:
        key = (move.signature, move.priority, move.target)
        if key in places:
            group = groups[places[key]]
            groups[places[key]] = replace(group, count=group.count + move.count)
        else:
            places[key] = len(groups)
            may = lanes[move.signature]
            groups.append(Group(move.signature, move.target, move.priority, move.count, *may))
    return groups


def _in_time(due: Due, group: Group, ledger: _Ledger) -> tuple[int, list[Move]]:
    """How many of the jobs due then free lanes cannot start by then; moves of those others can."""
    left = min(due.count, group.count)
    if group.lane in group.lanes:
        left -= ledger.take(group.lane, left, due.deadline_ms)
    moves = []
    for lane in sorted(
        (lane for lane in group.lanes if lane != group.lane),
        key=lambda lane: -ledger.spare(lane, due.deadline_ms),
    ):
        taken = ledger.take(lane, left, due.deadline_ms)
        if taken:
            moves.append(_for_deadline(group, lane, taken, due))
            left -= taken
        if not left:
            break
    return left, moves


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
            moves.append(_for_deadline(group, lane, jobs, due))
    return moves


def _for_deadline(group: Group, lane: str, jobs: int, due: Due) -> Move:
    return Move(
        source=group.lane,
        target=lane,
        count=jobs,
        priority=group.priority,
        signature=group.signature,
        reason="deadline",
        deadline_ms=due.deadline_ms,
    )
