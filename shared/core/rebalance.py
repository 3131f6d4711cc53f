"""Which queued jobs to move so that the backlog's last job starts as soon as the windows allow.

First what free quota cannot end before its deadline goes to paid lanes, at the last moment
(`spill`). Then each class
in turn is filled into the free lanes behind the classes before it (`waterfill`): no interactive
job ever waits for a bulk job to be placed. Jobs stay where they stand unless the least time asks
otherwise, and a class is left alone where no part of it would gain 2 s and 5 %: so a plan made on
the result of a plan is empty, and nothing goes back and forth.

Jobs whose lanes are all set aside stay. Jobs that stand in a paid lane stay too, unless that lane
is set aside. A lane of unknown rate counts as a start a second for each call it runs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

from shared.core.backlog import Group, LaneReading, Move, Snapshot
from shared.core.model import Priority
from shared.core.spill import Payment, spill
from shared.core.tank import Tank, as_tank
from shared.core.waterfill import Level, Node, least_times, place

MIN_GAIN_S = 2.0
MIN_GAIN_SHARE = 0.05
SLACK = 1.01
UNKNOWN_RATE_PER_S = 1.0

Tanks = Mapping[str, Tank]


@dataclass(frozen=True, slots=True)
class _Crowd:
    """Groups of one class that may run in the same lanes: a node of the filling."""

    groups: tuple[Group, ...]
    node: Node


@dataclass(frozen=True, slots=True)
class Plan:
    """The moves to make, the deadlines' first. No more than is queued is ever moved.

    `look_ms`: plan again by then, for what may have to be paid for; None: for no such reason.
    `notice_ms`: how long before its deadline a job that is queued later wants a look; None: no
    paid lane could serve it. `payments` says why those of its moves that cost money are made.
    """

    moves: tuple[Move, ...]
    look_ms: int | None = None
    notice_ms: int | None = None
    payments: tuple[Payment, ...] = ()


def plan(snapshot: Snapshot) -> Plan:
    """What to do about a backlog, and when to look at it again."""
    tanks = {one.lane: tank_of(one, snapshot.now_ms) for one in snapshot.lanes if _serves(one)}
    groups = tuple(group for group in snapshot.groups if group.count > 0)
    spilled = spill(replace(snapshot, groups=groups), tanks)
    moves = [*spilled.moves, *_sooner(spilled.groups, tanks)]
    return Plan(tuple(moves), spilled.look_ms, spilled.notice_ms, spilled.payments)


def _sooner(groups: Iterable[Group], tanks: Tanks) -> Iterator[Move]:
    """The moves that let the last job of each class start sooner."""
    listed = list(groups)
    for priority in Priority:
        of_class = [group for group in listed if group.priority is priority]
        fixed, crowds = _crowds(of_class, tanks)
        tanks = _behind(tanks, fixed)
        loads = dict.fromkeys(tanks, 0)
        for part in _parts(crowds):
            placed = _fill([crowd.node for crowd in part], tanks)
            for crowd, where in zip(part, placed, strict=True):
                yield from _moves(crowd, where)
                for lane, jobs in where.items():
                    loads[lane] = loads.get(lane, 0) + jobs
        tanks = _behind(tanks, loads)


def tank_of(reading: LaneReading, now_ms: int) -> Tank:
    """A lane's room as the filling sees it."""
    return as_tank(reading, now_ms, UNKNOWN_RATE_PER_S * max(reading.running, 1))


def _serves(reading: LaneReading) -> bool:
    return not reading.dead and (reading.rate_per_s is None or reading.rate_per_s > 0)


def _behind(tanks: Tanks, loads: Mapping[str, int]) -> dict[str, Tank]:
    return {lane: tank.without(loads.get(lane, 0)) for lane, tank in tanks.items()}


def _crowds(groups: Iterable[Group], tanks: Tanks) -> tuple[dict[str, int], list[_Crowd]]:
    """What stays where it is whatever happens, and what may be placed."""
    fixed: dict[str, int] = {}
    found: dict[tuple[str, ...], list[Group]] = {}
    for group in groups:
        lanes = tuple(sorted({lane for lane in group.lanes if lane in tanks}))
        in_paid = group.lane in tanks and group.lane not in group.lanes
        if in_paid or not lanes:
            fixed[group.lane] = fixed.get(group.lane, 0) + group.count
        else:
            found.setdefault(lanes, []).append(group)
    crowds = []
    for lanes, members in found.items():
        standing: dict[str, int] = {}
        for group in members:
            standing[group.lane] = standing.get(group.lane, 0) + group.count
        crowds.append(_Crowd(tuple(members), Node(lanes, standing)))
    return fixed, crowds


def _parts(crowds: Sequence[_Crowd]) -> list[list[_Crowd]]:
    """Crowds that touch no lane in common are filled, and left alone, apart from each other."""
    parts: list[tuple[set[str], list[_Crowd]]] = []
    for crowd in crowds:
        lanes, members = {*crowd.node.lanes, *crowd.node.standing}, [crowd]
        apart = []
        for other_lanes, others in parts:
            if lanes.isdisjoint(other_lanes):
                apart.append((other_lanes, others))
            else:
                lanes |= other_lanes
                members = others + members
        parts = [*apart, (lanes, members)]
    return [members for _, members in parts]


def _fill(nodes: Sequence[Node], tanks: Tanks) -> list[Mapping[str, int]]:
    """Where each node's jobs are to be: where they are, unless some of them gain enough."""
    levels = least_times(nodes, tanks)
    if not any(_worth_it(level, nodes, tanks) for level in levels):
        return [node.standing for node in nodes]
    where: list[Mapping[str, int]] = [node.standing for node in nodes]
    for level in levels:
        placed = place(level, nodes, tanks, level.least_s * SLACK)
        for i, lanes in zip(level.nodes, placed, strict=True):
            where[i] = lanes
    return where


def _worth_it(level: Level, nodes: Sequence[Node], tanks: Tanks) -> bool:
    loads: dict[str, int] = {}
    for node in nodes:
        for lane, jobs in node.standing.items():
            loads[lane] = loads.get(lane, 0) + jobs
    standing = {lane for i in level.nodes for lane, jobs in nodes[i].standing.items() if jobs}
    now_s = max(tanks[one].finish_s(loads[one]) if one in tanks else inf for one in standing)
    return now_s - level.least_s >= max(MIN_GAIN_S, MIN_GAIN_SHARE * now_s)


def _moves(crowd: _Crowd, where: Mapping[str, int]) -> list[Move]:
    """The moves that turn where the crowd stands into where it should be."""
    standing = crowd.node.standing
    wanted = [(lane, jobs - standing.get(lane, 0)) for lane, jobs in sorted(where.items())]
    wanted = [(lane, jobs) for lane, jobs in wanted if jobs > 0]
    excess = {lane: jobs - where.get(lane, 0) for lane, jobs in standing.items()}
    moves = []
    for group in sorted(crowd.groups, key=lambda one: (one.lane, -one.count, one.signature)):
        spare = min(group.count, excess[group.lane])
        while spare > 0 and wanted:
            target, missing = wanted.pop()
            jobs = min(spare, missing)
            moves.append(Move(group.lane, target, jobs, group.priority, group.signature, "sooner"))
            spare -= jobs
            excess[group.lane] -= jobs
            if missing > jobs:
                wanted.append((target, missing - jobs))
    return moves
