"""Which jobs free quota cannot end before their deadline, and when paid lanes must take them.

Classes in order, inside a class the earliest deadline first, each takes what its free lanes can
start so that 95 of 100 such calls end by its deadline: first where it stands, then where most is
left, and there it is moved: another lane's room counts only if it is used. What a class has queued
without a (known) deadline counts after it, where it stands. Only what is left over is promised to a
paid lane, the cheapest first, as far as that lane does it in time and the day's cap allows.

A promise is kept at the last moment (`last_moment`) when 99 of 100 paid calls still end in time.
Until then the job stands in its free lane, which may serve it yet; and the plan says when to look
again.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, inf

from shared.core.backlog import Due, Group, Move, Snapshot
from shared.core.candidates import is_free
from shared.core.cost import cost_microusd
from shared.core.eta import P99_SERVICE
from shared.core.last_moment import HELD_UP_MS, HELD_UP_TIMES, Owed, cannot_wait, takes_s, waits_s
from shared.core.model import CredentialRef, Deployment, Priority, Usage, lane_id
from shared.core.room import Room, Seen
from shared.core.tank import Tank

TYPICAL = Usage(input_tokens=1_000, output_tokens=500)
UNPRICED_MICROUSD = 1_000_000
FAR_MS = 31 * 86_400_000  # no deadline is noticed sooner, however slow a paid lane is


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


@dataclass(frozen=True, slots=True)
class Payment:
    """Why money is spent now: `jobs` due then that no free lane was seen to start in time."""

    source: str
    target: str
    jobs: int
    deadline_ms: int
    free: tuple[Seen, ...]


@dataclass(frozen=True, slots=True)
class Spilled:
    """What is to be moved for deadlines, and the groups as they stand after it.

    `look_ms`: when to look again at the latest, for what is not paid for yet; None: nothing dated
    waits that could be paid for. `notice_ms`: how long before its deadline a new job wants a look.
    """

    moves: tuple[Move, ...]
    groups: tuple[Group, ...]
    look_ms: int | None = None
    notice_ms: int | None = None
    payments: tuple[Payment, ...] = ()


@dataclass(frozen=True, slots=True)
class _Promise:
    """`jobs` of a group, due together, that only a paid lane does in time; what free ones had."""

    place: int
    due: Due
    lane: str
    jobs: int
    free: tuple[Seen, ...] = ()


def spill(snapshot: Snapshot, tanks: Mapping[str, Tank]) -> Spilled:
    """The moves to make now for deadlines' sake, and when to look again."""
    groups = list(snapshot.groups)
    costs = dict(snapshot.costs)
    room = Room(snapshot, tanks)
    if not any(group.paid and group.due for group in groups):
        return Spilled((), tuple(groups), None, _notice_ms(snapshot, room, {}))
    moves, promises, hopeful = list[Move](), list[_Promise](), list[_Promise]()
    for priority in Priority:
        of_class = [i for i, group in enumerate(groups) if group.priority is priority]
        for i in of_class:
            if groups[i].lane in groups[i].paid:
                room.occupy(groups[i].lane, groups[i].count)
        due = [
            (one, i) for i in of_class if groups[i].lane not in groups[i].paid
            for one in groups[i].due
        ]  # fmt: skip
        for one, i in sorted(due, key=lambda pair: (pair[0].deadline_ms, pair[1])):
            late, made = _in_time(one, groups[i], room)
            promises += _promised(late, one, i, groups[i], room, costs)
            hopeful += _watched(one.count - late, one, i, groups[i], room, costs)
            moves += made
            gone = sum(move.count for move in made)
            groups[i] = replace(groups[i], count=groups[i].count - gone)
        for i in of_class:
            undated = snapshot.groups[i].count - sum(one.count for one in snapshot.groups[i].due)
            if undated > 0 and groups[i].lane not in groups[i].paid:
                room.occupy(groups[i].lane, undated)
    return _settled(snapshot, room, groups, moves, promises, hopeful)


def _settled(
    snapshot: Snapshot,
    room: Room,
    groups: list[Group],
    arrived: list[Move],
    promises: Iterable[_Promise],
    hopeful: Iterable[_Promise],
) -> Spilled:
    """Keeps the promises that cannot wait, and says when the others cannot."""
    by_lane: dict[str, list[_Promise]] = {}
    for one in sorted(promises, key=lambda one: (one.due.deadline_ms, one.place)):
        by_lane.setdefault(one.lane, []).append(one)
    moves, waits, takes = list[Move](), list[float](), dict[str, float]()
    payments = list[Payment]()
    for lane, members in by_lane.items():
        standing = sum(group.count for group in groups if group.lane == lane)
        tank = room.tanks[lane].without(standing)
        now, waiting = _split(members, room, tank, snapshot.lead_ms / 1_000)
        for one, jobs in now:
            group = groups[one.place]
            moves.append(replace(_for_deadline(group, lane, jobs, one.due), pays=True))
            payments.append(Payment(group.lane, lane, jobs, one.due.deadline_ms, one.free))
            groups[one.place] = replace(group, count=group.count - jobs)
        rest = tank.without(sum(jobs for _, jobs in now))
        waits.append(waits_s(waiting, rest))
        takes[lane] = tank.open_s + takes_s(tank, sum(one.jobs for one in members))
    waits += [_watch_s(one, room) for one in hopeful]
    lanes = {one.signature: (one.lanes, one.paid) for one in groups}
    soonest_s = min(waits, default=inf)
    return Spilled(
        tuple(_merged((*arrived, *moves))),
        tuple(_with(arrived, lanes, [group for group in groups if group.count > 0])),
        None if soonest_s == inf else _ahead(snapshot, soonest_s),
        _notice_ms(snapshot, room, takes),
        tuple(payments),
    )


def _split(
    members: Sequence[_Promise], room: Room, tank: Tank, wait_s: float
) -> tuple[list[tuple[_Promise, int]], list[Owed]]:
    """Of one lane's promises, the first due first: what must be kept now, and what can wait."""
    owed = [Owed(_start_s(one, room), one.jobs) for one in members]
    left = cannot_wait(owed, tank, wait_s)
    now, waiting = list[tuple[_Promise, int]](), list[Owed]()
    for one, each in zip(members, owed, strict=True):
        jobs = min(left, one.jobs)
        left -= jobs
        if jobs:
            now.append((one, jobs))
        if jobs < one.jobs:
            waiting.append(replace(each, jobs=one.jobs - jobs))
    return now, waiting


def _merged(moves: Iterable[Move]) -> Iterable[Move]:
    """One move for all that goes the same way: of those due in its span, the first due go first."""
    found: dict[tuple[str, str, Priority, str], Move] = {}
    for move in moves:
        way = (move.source, move.target, move.priority, move.signature)
        same = found.get(way)
        found[way] = move if same is None else _spanning(same, move)
    return found.values()


def _spanning(one: Move, other: Move) -> Move:
    return replace(
        one,
        count=one.count + other.count,
        after_ms=min(one.after_ms or 0, other.after_ms or 0),
        deadline_ms=max(one.deadline_ms or 0, other.deadline_ms or 0),
    )


def _ahead(snapshot: Snapshot, wait_s: float) -> int:
    return snapshot.now_ms + max(int(max(wait_s, 0.0) * 1_000) - snapshot.lead_ms, 0)


def _start_s(one: _Promise, room: Room) -> float:
    """When it should start in the paid lane, so that 99 of 100 such calls end by its deadline."""
    return (one.due.deadline_ms - room.now_ms - _takes_ms(one.lane, room)) / 1_000


def _watch_s(one: _Promise, room: Room) -> float:
    """When to look again at what a free lane should just do: at its last moment, then ever sooner.

    That is after an eighth of the time in which paying for it may still do.
    """
    start_s = _start_s(one, room)
    if start_s > 0:
        return start_s
    left_ms = one.due.deadline_ms - room.now_ms - room.paid_call_ms(one.lane)
    return max(left_ms, 0.0) / 8_000


def _takes_ms(lane: str, room: Room) -> float:
    held_up_ms = max(HELD_UP_MS, HELD_UP_TIMES * room.held_up_ms(lane))
    return P99_SERVICE * room.paid_call_ms(lane) + held_up_ms


def _notice_ms(snapshot: Snapshot, room: Room, takes: Mapping[str, float]) -> int | None:
    """How long before its deadline a job that is queued from now on may have to be paid for."""
    spans = [
        _takes_ms(lane, room) + 1_000 * takes.get(lane, room.tanks[lane].open_s)
        for lane, _ in snapshot.costs
        if lane in room.tanks
    ]
    return snapshot.lead_ms + ceil(min(max(spans), FAR_MS)) if spans else None


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


def _in_time(due: Due, group: Group, room: Room) -> tuple[int, list[Move]]:
    """How many of the jobs due then free lanes cannot start by then; moves of those others can."""
    left = min(due.count, group.count)
    if group.lane in group.lanes:
        left -= room.take(group.lane, left, due.deadline_ms)
    moves = []
    for lane in sorted(
        (lane for lane in group.lanes if lane != group.lane),
        key=lambda lane: -room.spare(lane, due.deadline_ms),
    ):
        taken = room.take(lane, left, due.deadline_ms)
        if taken:
            moves.append(_for_deadline(group, lane, taken, due))
            left -= taken
        if not left:
            break
    return left, moves


def _promised(
    late: int, due: Due, place: int, group: Group, room: Room, costs: Mapping[str, int]
) -> list[_Promise]:
    """Late jobs promised to the cheapest paid lanes that end them in time."""
    found, seen = [], room.seen(group.lanes, due.deadline_ms) if late else ()
    for lane in _by_cost(group, costs):
        spare = max(room.paid_spare(lane, due.deadline_ms), 0)
        jobs = room.pay(min(late, spare), costs[lane])
        if jobs:
            room.occupy(lane, jobs)
            late -= jobs
            found.append(_Promise(place, due, lane, jobs, seen))
    return found


def _watched(
    jobs: int, due: Due, place: int, group: Group, room: Room, costs: Mapping[str, int]
) -> list[_Promise]:
    """Jobs that free lanes should end in time: what is looked at again before it is too late."""
    lanes = (lane for lane in _by_cost(group, costs) if room.paid_spare(lane, due.deadline_ms) > 0)
    return [_Promise(place, due, lane, jobs) for lane in lanes if jobs > 0][:1]


def _by_cost(group: Group, costs: Mapping[str, int]) -> list[str]:
    return sorted((one for one in group.paid if one in costs), key=lambda one: costs[one])


def _for_deadline(group: Group, lane: str, jobs: int, due: Due) -> Move:
    return Move(
        source=group.lane,
        target=lane,
        count=jobs,
        priority=group.priority,
        signature=group.signature,
        reason="deadline",
        deadline_ms=due.deadline_ms,
        after_ms=max((at for at in _moments(group) if at < due.deadline_ms), default=0),
    )


def _moments(group: Group) -> Iterable[int]:
    return (one.deadline_ms for one in group.due)
