"""Filling lanes with jobs that may run in some of them, so that the last one starts soonest.

A lane is fluid (`tank`), whole jobs only. Nodes are jobs that may run in the same lanes.

The least time: guess it from below, place as many jobs as fit (a maximum flow, by augmenting
paths), and where some are left over read off the set of lanes that is too small for the jobs that
have nothing else; the time that set needs is the next guess. Each guess is a lower bound, so the
first that fits is the least (Newton's method on the minimum cut). That tightest set is one level;
without it, the rest has a level of its own below, and so on.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from shared.core.tank import EXACT, Tank, flows

PRECISION = 0.001
MAX_STEPS = 64
MAX_LEVELS = 8


@dataclass(frozen=True, slots=True)
class Node:
    """Jobs that may run in `lanes`, and how many stand where (elsewhere too, if they must go)."""

    lanes: tuple[str, ...]
    standing: Mapping[str, int]

    @property
    def count(self) -> int:
        """All of them."""
        return sum(self.standing.values())


@dataclass(frozen=True, slots=True)
class Level:
    """Nodes (by index) that share the lanes named, and the least time these need for them."""

    nodes: tuple[int, ...]
    lanes: frozenset[str]
    least_s: float


Placed = list[dict[str, int]]


def least_times(nodes: Sequence[Node], tanks: Mapping[str, Tank]) -> list[Level]:
    """The levels, the slowest first. Every lane a node names must be in `tanks`."""
    left = [i for i, node in enumerate(nodes) if node.count]
    lanes = {lane for i in left for lane in nodes[i].lanes}
    levels: list[Level] = []
    while left:
        tight, tight_lanes, least_s = _tightest(left, nodes, {lane: tanks[lane] for lane in lanes})
        if len(levels) + 1 >= MAX_LEVELS:
            tight, tight_lanes = set(left), lanes
        levels.append(Level(tuple(sorted(tight)), frozenset(tight_lanes), least_s))
        left = [i for i in left if i not in tight]
        lanes = lanes - tight_lanes
    return levels


def _tightest(
    left: Sequence[int], nodes: Sequence[Node], tanks: Mapping[str, Tank]
) -> tuple[set[int], set[str], float]:
    members, lanes = set(left), set(tanks)
    least_s = time_for(tanks.values(), sum(nodes[i].count for i in left))
    demand = {i: nodes[i].count for i in left}
    options = {i: [lane for lane in nodes[i].lanes if lane in tanks] for i in left}
    flow = _Flow(options, demand)
    for _ in range(MAX_STEPS):
        flow.fill({lane: tank.room(least_s) for lane, tank in tanks.items()})
        if not flow.short():
            break
        members, lanes = flow.cut()
        if least_s == inf:
            break
        needed_s = time_for((tanks[lane] for lane in lanes), sum(demand[i] for i in members))
        least_s = max(needed_s, least_s * (1 + PRECISION))
    return members, lanes, least_s


def place(level: Level, nodes: Sequence[Node], tanks: Mapping[str, Tank], by_s: float) -> Placed:
    """Where the level's jobs go so that all start by `by_s`; who can stays where it stands.

    Those with the fewest other lanes have the first claim to stay. In order of `level.nodes`.
    """
    rooms = {lane: tanks[lane].room(by_s) for lane in level.lanes}
    options = {i: [lane for lane in nodes[i].lanes if lane in level.lanes] for i in level.nodes}
    flow = _Flow(options, {i: nodes[i].count for i in level.nodes})
    for i in sorted(level.nodes, key=lambda i: len(options[i])):
        for lane in options[i]:
            staying = min(nodes[i].standing.get(lane, 0), rooms[lane] - flow.load.get(lane, 0))
            if staying > 0:
                flow.put(i, lane, staying)
    flow.fill(rooms)
    return [flow.placed[i] for i in level.nodes]


def time_for(tanks: Iterable[Tank], jobs: int) -> float:
    """The least time in which these lanes start so many jobs, within PRECISION above it."""
    lanes = list(tanks)
    low = fluid_time(lanes, jobs)
    if low == inf or sum(tank.room(low) for tank in lanes) >= jobs:
        return low
    high = fluid_time(lanes, jobs + len(lanes))
    while high - low > PRECISION * high:
        middle = (low + high) / 2
        if sum(tank.room(middle) for tank in lanes) >= jobs:
            high = middle
        else:
            low = middle
    return high


def fluid_time(tanks: Iterable[Tank], jobs: int) -> float:
    """The same if jobs were water: lanes open one after another, each adding to the flow."""
    if jobs <= 0:
        return 0.0
    started, rate, now = 0.0, 0.0, 0.0
    for at_s, free, more in sorted(step for tank in tanks for step in tank.steps()):
        reached = started + flows(rate, at_s - now)
        if rate > EXACT and reached >= jobs:
            break
        started, now = reached + free, at_s
        rate += more
        if started >= jobs:
            return now
    return now + (jobs - started) / rate if rate > EXACT else inf


class _Flow:
    """A maximum flow from nodes into lanes that only ever grows: rooms never shrink."""

    __slots__ = ("_found_in", "_options", "_rooms", "_users", "_via", "load", "missing", "placed")

    def __init__(self, options: Mapping[int, list[str]], demand: Mapping[int, int]) -> None:
        self._options = options
        self._rooms: Mapping[str, int] = {}
        self._users: dict[str, dict[int, None]] = {}
        self._via: dict[str, int] = {}
        self._found_in: dict[int, str | None] = {}
        self.missing = dict(demand)
        self.placed: dict[int, dict[str, int]] = {i: {} for i in options}
        self.load: dict[str, int] = {}

    def put(self, node: int, lane: str, jobs: int) -> None:
        """Places jobs of a node that were not placed yet."""
        self._shift(node, lane, jobs)
        self.missing[node] -= jobs

    def short(self) -> list[int]:
        """The nodes that could not be placed whole."""
        return [i for i, jobs in self.missing.items() if jobs > 0]

    def fill(self, rooms: Mapping[str, int]) -> None:
        """Places all that fits: first straight, then by moving others aside."""
        self._rooms = rooms
        for i in sorted(self.short(), key=lambda i: len(self._options[i])):
            for lane in self._options[i]:
                jobs = min(self.missing[i], self._spare(lane))
                if jobs > 0:
                    self.put(i, lane, jobs)
        while short := self.short():
            roomy = self._search(short)
            if not roomy:
                return
            for lane in roomy:
                self._make_room(lane)

    def cut(self) -> tuple[set[int], set[str]]:
        """After a filling that left some over: the nodes, and the full lanes, they press upon."""
        return set(self._found_in), set(self._via)

    def _spare(self, lane: str) -> int:
        return self._rooms[lane] - self.load.get(lane, 0)

    def _shift(self, node: int, lane: str, jobs: int) -> None:
        placed = self.placed[node]
        placed[lane] = placed.get(lane, 0) + jobs
        if placed[lane]:
            self._users.setdefault(lane, {})[node] = None
        else:
            del placed[lane]
            del self._users[lane][node]
        self.load[lane] = self.load.get(lane, 0) + jobs

    def _search(self, sources: Iterable[int]) -> list[str]:
        """Breadth first from nodes over full lanes to the nodes placed there; the roomy lanes met.

        `_via` holds the node each lane was met from, `_found_in` the lane each node was found in.
        """
        queue = list(sources)
        via, found_in = dict[str, int](), dict[int, str | None](dict.fromkeys(queue))
        rooms, load, users, roomy = self._rooms, self.load, self._users, list[str]()
        for i in queue:
            for lane in self._options[i]:
                if lane in via:
                    continue
                via[lane] = i
                if rooms[lane] > load.get(lane, 0):
                    roomy.append(lane)
                    continue
                for user in users.get(lane, ()):
                    if user not in found_in:
                        found_in[user] = lane
                        queue.append(user)
        self._via, self._found_in = via, found_in
        return roomy

    def _make_room(self, lane: str) -> None:
        """Shifts jobs along the searched path that ends in `lane`, as far as it still stands."""
        path: list[tuple[int, str, str]] = []  # node, to lane, from lane
        node, to_lane, jobs = self._via[lane], lane, self._spare(lane)
        while (from_lane := self._found_in[node]) is not None:
            path.append((node, to_lane, from_lane))
            jobs = min(jobs, self.placed[node].get(from_lane, 0))
            node, to_lane = self._via[from_lane], from_lane
        jobs = min(jobs, self.missing[node])
        if jobs <= 0:
            return
        for mover, into, out_of in path:
            self._shift(mover, into, jobs)
            self._shift(mover, out_of, -jobs)
        self.put(node, to_lane, jobs)
