"""Selection against a plain reading of the rules, on random catalogs and requests."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.analysis import TYPES
from shared.core.candidates import Skip
from shared.core.features import Features
from shared.core.index import MAX_SHOWN, Index
from shared.core.model import (
    CredentialRef,
    Deployment,
    Dimension,
    Kind,
    Limits,
    Paid,
    Price,
    Priority,
    TokenCount,
    Window,
    lane_deployment,
)
from shared.core.pace import Pace
from shared.core.selection import MAX_LANES, MAX_PAID_LANES, Impossible, Selection, loads_of, select
from shared.store.types import LaneState

NOW_MS = 1_800_000_000_000
PROVIDERS = ("p", "q", "r")
CAPABILITIES = ("tools", "vision")
SIZES = st.none() | st.sampled_from((50, 100, 119, 120, 121, 240, 1_000))


def some(*values):
    return st.sampled_from(values)


limits = st.builds(
    lambda rpm, tpm, itpm, otpm: Limits(
        windows=tuple(
            Window(name, dimension, limit, 60_000)
            for name, dimension, limit in (
                ("rpm", Dimension.REQUESTS, rpm),
                ("tpm", Dimension.TOKENS, tpm),
                ("itpm", Dimension.INPUT_TOKENS, itpm),
                ("otpm", Dimension.OUTPUT_TOKENS, otpm),
            )
            if limit is not None
        )
    ),
    st.none() | some(0, 5),
    SIZES,
    st.none() | SIZES,
    st.none() | SIZES,
)
paces = st.none() | st.builds(
    Pace, some(1, 90), st.none() | some(0.0, 150.0), st.none() | some(0.0, 9e3), some(None, 700.0)
)
prices = st.builds(Price, st.none() | some(0, 10**6), st.none() | some(0, 10**7))


@st.composite
def catalogs(draw):
    deployments = []
    for number in range(draw(st.integers(1, 12))):
        provider = draw(some(*PROVIDERS))
        deployments.append(
            Deployment(
                id=f"{provider}/m{number}",
                provider=provider,
                model=f"m{number}",
                type="openai-compatible",
                base_url="http://x",
                kinds=draw(some(frozenset({Kind.CHAT}), frozenset({Kind.EMBEDDING}))),
                family=draw(some("", "f")),
                category=draw(some(None, "small", "large", "reasoning")),
                context_tokens=draw(SIZES),
                max_output_tokens=draw(SIZES),
                capabilities=draw(st.none() | st.frozensets(some(*CAPABILITIES))),
                price=draw(prices),
                token_count=draw(some(*TokenCount)),
                token_factor=draw(some(1.0, 1.25, 1.4)),
                status=draw(some("active", "active", "preview", "retired")),
                plans=(("free", draw(limits)), ("paid", draw(limits))),
            )
        )
    refs = [
        CredentialRef(f"c{number}", draw(some(*PROVIDERS)), draw(some("free", "paid")), tenant)
        for number, tenant in enumerate(
            draw(st.lists(some(None, None, "ann", "bob"), min_size=1, max_size=6))
        )
    ]
    lanes = [
        LaneState(
            f"{one.id}@shared", draw(some((0, 0, 0), (3, 40, 900))), 0,
            draw(some(0, NOW_MS + 9_000)), draw(some(None, 0.5, 5.0)), draw(some(None, 0, 7)),
            draw(some(False, False, True)), "", 0, draw(paces),
        )
        for one in deployments
        if draw(st.booleans())
    ]  # fmt: skip
    return deployments, refs, lanes


requests = st.builds(
    Features,
    kind=st.just(Kind.CHAT),
    model=some("auto", "auto", "auto:small", "auto:cheap", "auto:fast", "f"),
    input_tokens=some(0, 50, 100),
    output_tokens=some(0, 20),
    max_output_tokens=st.none() | some(1, 20, 100),
    capabilities=st.frozensets(some(*CAPABILITIES)),
    own_pool=some(None, "ann"),
    shared_pool=st.booleans(),
    allowed_models=st.none() | st.frozensets(some("m0", "p/*", "f"), min_size=1),
    paid=some(*Paid),
    cost_cap_microusd=st.none() | some(0, 100, 10**6),
    deadline_ms=st.none() | some(1_000, 600_000),
    priority=some(*Priority),
    mode=some(None, "cheap", "powerful", "fastest"),
    request_type=some(None, *TYPES),
    sticky=st.none()
    | st.builds("{}/m{}@{}".format, some(*PROVIDERS), st.integers(0, 3), some("shared", "ann")),
)


def plainly_possible(lane, asked, catalog, margin=0.2):
    """The rules, read one by one: slow, and not the code under test."""
    deployments, refs, lanes = catalog
    one = next(d for d in deployments if d.id == lane_deployment(lane))
    pool = lane.rpartition("@")[2]
    keys = [ref for ref in refs if ref.provider == one.provider and ref.pool == pool]
    allowance = asked.max_output_tokens or asked.output_tokens
    sent = asked.input_tokens * one.token_factor
    counted = {
        TokenCount.INPUT: sent,
        TokenCount.INPUT_OUTPUT: sent + asked.output_tokens,
        TokenCount.INPUT_MAX_OUTPUT: sent + allowance,
    }[one.token_count]

    def fits(ref):
        found = {window.dimension: window.limit for window in one.limits(ref.plan).windows}
        most = one.token_count is TokenCount.INPUT_MAX_OUTPUT
        said = allowance if most else asked.output_tokens
        return (
            found.get(Dimension.REQUESTS, 1) > 0
            and counted <= found.get(Dimension.TOKENS, counted)
            and sent <= found.get(Dimension.INPUT_TOKENS, sent)
            and said <= found.get(Dimension.OUTPUT_TOKENS, said)
        )

    free = is_free(one, keys)
    cost = 0.0
    if not free and asked.cost_cap_microusd is not None:
        into, out = one.price.input_microusd_per_1m, one.price.output_microusd_per_1m
        cost = (sent * into + allowance * out) / 1e6 if None not in (into, out) else float("inf")
    return (
        one.status != "retired"
        and Kind.CHAT in one.kinds
        and bool(keys)
        and (pool == asked.own_pool or (pool == "shared" and asked.shared_pool))
        and (asked.allowed_models is None
             or bool(asked.allowed_models & {one.id, one.model, one.family, f"{one.provider}/*"}))
        and (one.capabilities is None or asked.capabilities <= one.capabilities)
        and (one.max_output_tokens is None
             or (asked.max_output_tokens or 0) <= one.max_output_tokens)
        and (one.context_tokens is None or sent * (1 + margin) + allowance <= one.context_tokens)
        and any(fits(ref) for ref in keys)
        and (free or asked.paid is not Paid.NEVER)
        and (asked.cost_cap_microusd is None or cost <= asked.cost_cap_microusd)
        and not any(state.dead for state in lanes if state.lane == lane)
    )  # fmt: skip


def is_free(one, keys):
    return one.price.free or all(ref.plan == "free" for ref in keys)


@given(catalogs(), requests, st.integers(0, 50))
@settings(max_examples=200, deadline=None)
def test_what_is_kept_satisfies_every_rule_and_what_satisfies_them_is_kept(catalog, asked, draw):
    deployments, refs, lanes = catalog
    found = select(Index(deployments, refs), asked, loads_of(lanes), NOW_MS, draw)
    if not isinstance(found, Selection | Impossible):
        assert asked.model == "f"
        return
    kept = set(found.lanes + found.paid_lanes) if isinstance(found, Selection) else set()
    named = [d for d in deployments if asked.model != "f" or d.family == "f"]
    every = {f"{d.id}@{pool}" for d in named for pool in ("shared", "ann", "bob")}
    possible = {lane for lane in every if plainly_possible(lane, asked, catalog)}
    if not possible:
        possible = {lane for lane in every if plainly_possible(lane, asked, catalog, margin=0.0)}
    assert kept <= possible
    withheld = possible - kept
    for lane in withheld:
        one = next(d for d in deployments if d.id == lane_deployment(lane))
        pool = lane.rpartition("@")[2]
        keys = [ref for ref in refs if ref.provider == one.provider and ref.pool == pool]
        assert not is_free(one, keys)
        assert (asked.paid, asked.deadline_ms) == (Paid.DEADLINE, None)


@given(catalogs(), requests, st.integers(0, 50))
@settings(max_examples=100, deadline=None)
def test_every_lane_and_deployment_that_is_left_out_has_a_reason(catalog, asked, draw):
    deployments, refs, lanes = catalog
    found = select(Index(deployments, refs), asked, loads_of(lanes), NOW_MS, draw)
    if not isinstance(found, Selection | Impossible):
        return
    kept = found.lanes + found.paid_lanes if isinstance(found, Selection) else ()
    named = [d for d in deployments if asked.model != "f" or d.family == "f"]
    told = {one.deployment for one in found.considered}
    assert told == {one.id for one in named}
    assert all(one.reason for one in found.considered)
    reasons = {skip.value for skip in Skip}
    left_out = [one for one in found.considered if not one.kept]
    assert all(one.reason.partition(":")[0] in reasons for one in left_out)
    assert sum(count for _, count in found.skipped) == len(left_out) <= MAX_SHOWN + len(named)
    assert [one.lane for one in found.considered if one.kept] == list(kept)


@given(catalogs(), requests, st.integers(0, 50))
@settings(max_examples=80, deadline=None)
def test_lanes_are_bounded_apart_and_paid_ones_come_last(catalog, asked, draw):
    deployments, refs, lanes = catalog
    found = select(Index(deployments, refs), asked, loads_of(lanes), NOW_MS, draw)
    if not isinstance(found, Selection):
        return
    assert 1 <= len(found.lanes) <= MAX_LANES
    assert len(found.paid_lanes) <= MAX_PAID_LANES
    assert len({*found.lanes, *found.paid_lanes}) == len(found.lanes) + len(found.paid_lanes)
    assert found.first in (found.lanes[0], *found.paid_lanes)
    assert sorted(found.listed) == sorted(found.lanes), "a job keeps the same, in another order"
    assert sorted(found.listed_paid) == sorted(found.paid_lanes)
    if found.paid_lanes:
        assert (asked.paid, asked.deadline_ms is None) == (Paid.DEADLINE, False)


@given(catalogs(), requests, st.integers(0, 50))
@settings(max_examples=80, deadline=None)
def test_a_conversation_changes_the_order_and_nothing_else(catalog, asked, draw):
    deployments, refs, lanes = catalog
    tables, loads = Index(deployments, refs), loads_of(lanes)
    found = select(tables, asked, loads, NOW_MS, draw)
    plain = select(tables, replace(asked, sticky=None), loads, NOW_MS, draw)
    if not isinstance(found, Selection):
        assert found == plain
        return
    assert isinstance(plain, Selection)
    assert sorted(found.lanes) == sorted(plain.lanes)
    assert (found.paid_lanes, found.skipped) == (plain.paid_lanes, plain.skipped)
    rest = [one for one in found.lanes if one != asked.sticky]
    assert rest == [one for one in plain.lanes if one != asked.sticky]
