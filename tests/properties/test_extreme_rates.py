"""Tanks and plans where lanes start almost nothing, or almost everything."""

from math import inf, isnan

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.backlog import Due, Group, Snapshot
from shared.core.model import Priority
from shared.core.rebalance import plan
from shared.core.tank import Tank
from shared.core.waterfill import Node, fluid_time, least_times, place, time_for
from shared.store.types import LaneState

NOW_MS = 1_800_000_000_000
FREE, PAID = ("a/m@shared", "b/m@shared", "c/m@shared"), "z/m@shared"
rates = st.sampled_from([0.0, 1e-300, 3e-9, 1e-10, 1e-9, 2e-9, 1.0, 1e9, 1e300, inf])
figures = st.sampled_from([0, 1, 3, 10**12])
tanks = st.builds(
    Tank,
    st.sampled_from([0.0, 5.0, 1e9, 1e12]),
    figures,
    rates,
    st.sampled_from([(), ((7.0, 2, 1e-10),), ((1.0, 0, 0.5), (1e9, 1, 1e-12))]),
)


@given(tanks, st.sampled_from([0, 1, 2, 300, 10**6]))
def test_a_tank_answers_whatever_its_rate_is(tank: Tank, jobs: int) -> None:
    at_s = tank.finish_s(jobs)
    assert not isnan(at_s)
    assert at_s == inf or tank.room(at_s * (1 + 1e-6) + 1e-6) >= jobs
    assert tank.room(inf) >= tank.room(1e6)
    rest = tank.without(jobs)
    assert 0 <= rest.room(inf) <= tank.room(inf)
    assert not isnan(rest.finish_s(1))
    assert (at_s < inf) or rest.room(inf) == 0


@settings(deadline=None)
@given(st.lists(tanks, min_size=1, max_size=3), st.lists(st.integers(0, 400), min_size=3))
def test_levels_are_found_whatever_the_rates_are(found: list[Tank], counts: list[int]) -> None:
    lanes = {f"lane{i}": tank for i, tank in enumerate(found)}
    names = tuple(lanes)
    nodes = [Node(names[: 1 + i % len(names)], {names[0]: n}) for i, n in enumerate(counts)]
    behind = {lane: tank.without(7) for lane, tank in lanes.items()}
    for each in (lanes, behind):
        assert not isnan(fluid_time(each.values(), sum(counts)))
        assert not isnan(time_for(each.values(), sum(counts)))
        levels = least_times(nodes, each)
        assert sorted(i for level in levels for i in level.nodes) == [
            i for i, node in enumerate(nodes) if node.count
        ]
        for level in levels:
            placed = place(level, nodes, each, level.least_s)
            for i, where in zip(level.nodes, placed, strict=True):
                assert sum(where.values()) <= nodes[i].count


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    def lane(name: str) -> LaneState:
        rate, free = draw(rates.filter(lambda one: one < inf)), draw(figures)
        steps = draw(st.sampled_from([(), ((0.0, free, rate), (5.0, 0, -rate * 0.999))]))
        opens = NOW_MS + draw(st.sampled_from([0, 10**6, 10**14]))
        return LaneState(name, (0, 0, 0), 1, opens, rate, free, False, "", 0, None, steps)

    lanes = tuple(lane(name) for name in (*FREE, PAID))
    groups = []
    for at in FREE:
        n = draw(st.integers(1, 50))
        due = (Due(NOW_MS + draw(st.sampled_from([1_000, 10**9])), n),)
        groups.append(Group("s", at, Priority.NORMAL, n, FREE, (PAID,), due))
    return Snapshot(NOW_MS, lanes, tuple(groups), paid_left_microusd=10**9, costs=((PAID, 5),))


@settings(deadline=None)
@given(snapshots())
def test_a_plan_is_made_whatever_the_rates_are(snapshot: Snapshot) -> None:
    made = plan(snapshot)
    for one in made.moves:
        assert 0 < one.count <= 150
