"""Stories of selection: one table row or one small catalog each."""

from dataclasses import replace
from random import Random

import pytest

from shared.core.candidates import Skip
from shared.core.features import Features
from shared.core.index import MAX_VIEWS, Index
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
)
from shared.core.pace import Pace
from shared.core.ranking import START_BITS, even
from shared.core.selection import (
    MAX_LANES,
    SEEN_WITHIN_MS,
    Impossible,
    Selection,
    UnknownModel,
    loads_of,
    select,
)
from shared.needs import embedding_need
from shared.store.types import LaneState

NOW_MS = 1_800_000_000_000
FREE = Price(0, 0)
DEAR = Price(2_000_000, 8_000_000)


def deployment(name, **given):
    provider, _, model = name.partition("/")
    values = {"kinds": frozenset({Kind.CHAT}), "price": FREE} | given
    return Deployment(name, provider, model, "openai-compatible", "http://x/v1", **values)


def windows(**limits):
    dimension = {"rpm": Dimension.REQUESTS, "tpm": Dimension.TOKENS}
    made = tuple(Window(k, dimension[k], v, 60_000) for k, v in limits.items())
    return (("free", Limits(windows=made)), ("paid", Limits(windows=made)))


def index(*deployments, plan="free", tenants=(None,), plans=None):
    providers = {one.provider for one in deployments}
    refs = [
        CredentialRef(f"{provider}-{tenant}", provider, (plans or {}).get(provider, plan), tenant)
        for provider in sorted(providers)
        for tenant in tenants
    ]
    return Index(deployments, refs)


def ask(model="auto", **given):
    return Features(Kind.CHAT, model, **({"input_tokens": 100, "output_tokens": 100} | given))


def lane(name, backlog=(0, 0, 0), rate=1.0, free=0, open_ms=0, *, dead=False):
    return LaneState(f"{name}@shared", backlog, 0, open_ms, rate, free, dead, "", 0)


def paced(name, pace, backlog=(0, 0, 0)):
    return replace(lane(name, backlog, free=0 if any(backlog) else 9), pace=pace)


@pytest.mark.parametrize(
    ("given", "inputs"),
    [("one", 1), (["one"], 1), (["one", "two"], 2), ([1, 2, 3], 1), ([[1], [2], [3]], 3)],
)
def test_an_embedding_needs_as_many_inputs_as_it_has_texts(given, inputs):
    assert embedding_need({"input": given}).inputs == inputs


def test_texts_count_as_requests_where_the_provider_says_so():
    kinds = frozenset({Kind.EMBEDDING})
    each = deployment("p/m", kinds=kinds, each_input=True, plans=windows(rpm=5))
    call = deployment("q/m", kinds=kinds, plans=windows(rpm=5))
    asked = Features(Kind.EMBEDDING, "auto", input_tokens=10, inputs=6)
    found = select(index(each, call), asked, {}, NOW_MS, 0, 0.2)
    assert chosen(found) == ("q/m@shared",)
    (skipped,) = [one for one in found.considered if not one.kept]
    assert skipped.reason.startswith("never_fits: needs 6 requests")
    assert isinstance(select(index(each), asked, {}, NOW_MS, 0, 0.2), Impossible)


def chosen(found):
    assert isinstance(found, Selection), found
    return found.lanes


@pytest.mark.parametrize(
    ("facts", "wish", "skip"),
    [
        ({"status": "retired"}, {}, Skip.STATUS),
        ({"kinds": frozenset({Kind.EMBEDDING})}, {}, Skip.KIND),
        ({"plans": windows(rpm=0)}, {}, Skip.NO_QUOTA),
        ({}, {"allowed_models": frozenset({"other/m"})}, Skip.NOT_ALLOWED),
        ({"capabilities": frozenset({"chat"})}, {"capabilities": frozenset({"vision"})},
         Skip.CAPABILITY),
        ({"max_output_tokens": 99}, {"max_output_tokens": 100}, Skip.MAX_OUTPUT),
        ({"context_tokens": 199}, {}, Skip.CONTEXT),
        ({"plans": windows(tpm=199)}, {}, Skip.NEVER_FITS),
        ({"price": DEAR}, {"paid": Paid.NEVER}, Skip.PAID),
        ({"price": DEAR}, {"cost_cap_microusd": 999}, Skip.COST_CAP),
        ({"price": Price()}, {"cost_cap_microusd": 10**9}, Skip.COST_CAP),
    ],
)  # fmt: skip
def test_each_hard_filter_refuses_and_says_so(facts, wish, skip):
    plan = "paid" if skip in (Skip.PAID, Skip.COST_CAP) else "free"
    found = select(index(deployment("p/m", **facts), plan=plan), ask(**wish), {}, NOW_MS)
    assert isinstance(found, Impossible)
    assert found.cause is skip
    assert found.skipped == ((skip.value, 1),)
    assert [(one.deployment, one.kept) for one in found.considered] == [("p/m", False)]
    assert found.considered[0].reason.startswith(skip.value)


@pytest.mark.parametrize(
    ("facts", "wish"),
    [
        ({"status": "deprecated"}, {}),
        ({"capabilities": None}, {"capabilities": frozenset({"vision"})}),
        ({"context_tokens": None, "max_output_tokens": None}, {"max_output_tokens": 10**6}),
        ({"context_tokens": 220}, {}),
        ({"max_output_tokens": 100}, {"max_output_tokens": 100}),
        ({"plans": windows(tpm=200)}, {}),
        ({"plans": windows(tpm=100), "token_count": TokenCount.INPUT}, {}),
        ({"plans": ()}, {}),
        ({"price": DEAR}, {"cost_cap_microusd": 0}),
        ({}, {"allowed_models": frozenset({"p/*"})}),
    ],
)
def test_what_is_unknown_or_just_fits_is_kept(facts, wish):
    found = select(index(deployment("p/m", **facts)), ask(**wish), {}, NOW_MS)
    assert chosen(found) == ("p/m@shared",)


def test_a_lane_set_aside_is_no_candidate():
    loads = loads_of([lane("p/m", dead=True)])
    found = select(index(deployment("p/m")), ask(), loads, NOW_MS)
    assert isinstance(found, Impossible)
    assert found.cause is Skip.DEAD


def test_the_context_margin_prefers_the_roomy_and_is_dropped_only_where_nothing_is_roomy():
    tight, roomy = deployment("a/m", context_tokens=205), deployment("b/m", context_tokens=220)
    assert chosen(select(index(tight, roomy), ask(), {}, NOW_MS)) == ("b/m@shared",)
    assert chosen(select(index(tight), ask(), {}, NOW_MS)) == ("a/m@shared",)


def test_a_provider_that_counts_more_tokens_needs_more_room():
    dense = deployment("a/m", context_tokens=250, token_factor=1.4)
    plain = deployment("b/m", context_tokens=250)
    assert chosen(select(index(dense, plain), ask(), {}, NOW_MS)) == ("b/m@shared",)


def test_equals_that_count_tokens_differently_are_each_held_to_their_own_count():
    strict = deployment("a/m", plans=windows(tpm=150), token_count=TokenCount.INPUT_OUTPUT)
    lax = deployment("b/m", plans=windows(tpm=150), token_count=TokenCount.INPUT_MAX_OUTPUT)
    for order in ((strict, lax), (lax, strict)):
        found = select(index(*order), ask(max_output_tokens=10), {}, NOW_MS)
        assert chosen(found) == ("b/m@shared",)


def test_the_cause_is_the_check_that_the_best_of_them_failed():
    blind = deployment("a/m", capabilities=frozenset({"chat"}), context_tokens=10**6)
    small = deployment("b/m", capabilities=frozenset({"chat", "vision"}), context_tokens=50)
    found = select(index(blind, small), ask(capabilities=frozenset({"vision"})), {}, NOW_MS)
    assert isinstance(found, Impossible)
    assert found.cause is Skip.CONTEXT
    assert [one.deployment for one in found.considered] == ["b/m", "a/m"]


class TestLastResort:
    toy = deployment("local/toy", last_resort=True, category="small")
    real = deployment("groq/real", category="large")

    @pytest.mark.parametrize("name", ["auto", "auto:small", "auto:cheap", "auto:fast"])
    def test_it_takes_no_work_from_a_better_lane_that_is_busy_or_rests(self, name):
        busy = loads_of([lane("groq/real", (50, 50, 50), rate=0.1, open_ms=NOW_MS + 600_000)])
        found = select(index(self.toy, self.real), ask(name), busy, NOW_MS)
        assert chosen(found) == ("groq/real@shared",)
        assert ("last_resort", 1) in found.skipped

    def test_it_stands_in_where_nothing_else_could_serve(self):
        blind = replace(self.real, capabilities=frozenset({"chat"}))
        seeing = replace(self.toy, capabilities=frozenset({"chat", "vision"}))
        wish = ask(capabilities=frozenset({"vision"}))
        assert chosen(select(index(seeing, blind), wish, {}, NOW_MS)) == ("local/toy@shared",)
        assert chosen(select(index(self.toy), ask(), {}, NOW_MS)) == ("local/toy@shared",)

    def test_named_it_is_what_was_meant(self):
        both = index(self.toy, self.real)
        assert chosen(select(both, ask("toy"), {}, NOW_MS)) == ("local/toy@shared",)

    def test_it_never_hides_why_the_better_ones_could_not_serve(self):
        small = replace(self.real, context_tokens=150)
        found = select(index(self.toy, small), ask(), {}, NOW_MS)
        assert isinstance(found, Impossible)
        assert found.cause is Skip.CONTEXT


class TestNames:
    catalog = (
        deployment("groq/openai/gpt-oss-20b", family="gpt-oss-20b"),
        deployment("together/gpt-oss-20b", family="gpt-oss-20b"),
        deployment("openai/gpt-oss-20b", family="other"),
        deployment("groq/llama"),
        deployment("local/llama"),
    )

    @pytest.mark.parametrize(
        ("name", "lanes"),
        [
            ("groq/openai/gpt-oss-20b", {"groq/openai/gpt-oss-20b"}),
            ("openai/gpt-oss-20b", {"openai/gpt-oss-20b"}),
            ("llama", {"groq/llama", "local/llama"}),
            (
                "gpt-oss-20b",
                {"groq/openai/gpt-oss-20b", "together/gpt-oss-20b", "openai/gpt-oss-20b"},
            ),
        ],
    )
    def test_an_exact_name_means_one_and_a_family_all_that_serve_it(self, name, lanes):
        found = select(index(*self.catalog), ask(name), {}, NOW_MS)
        assert set(chosen(found)) == {f"{one}@shared" for one in lanes}

    @pytest.mark.parametrize("name", ["auto:huge", "gpt-oss-20", "", "x" * 10_000, "groq/gpt"])
    def test_an_unknown_name_is_told_what_is_near(self, name):
        found = select(index(*self.catalog), ask(name), {}, NOW_MS)
        assert isinstance(found, UnknownModel)
        assert found.model == name
        assert len(found.nearest) <= 3

    def test_the_nearest_name_comes_first(self):
        tables = index(*self.catalog)
        assert tables.nearest("gpt-oss-20")[0] == "gpt-oss-20b"
        assert tables.nearest("auto:larg")[0] == "auto:large"
        assert tables.nearest("LLAMA")[0] == "llama"

    def test_unknown_names_fill_no_table(self):
        tables = index(*self.catalog)
        for number in range(10):
            select(tables, ask(f"none-{number}"), {}, NOW_MS)
        assert not tables._views

    def test_views_are_bounded(self):
        tables = index(*self.catalog)
        for number in range(MAX_VIEWS + 10):
            select(tables, ask("llama", own_pool=f"t{number}"), {}, NOW_MS)
        assert len(tables._views) <= MAX_VIEWS


class TestCredentials:
    def test_a_tenant_has_its_own_lanes_beside_the_shared_ones_and_nobody_elses(self):
        tables = index(deployment("p/m"), tenants=(None, "ann", "bob"))
        own = select(tables, ask(own_pool="ann"), {}, NOW_MS)
        assert set(chosen(own)) == {"p/m@shared", "p/m@ann"}
        assert chosen(select(tables, ask(), {}, NOW_MS)) == ("p/m@shared",)

    def test_who_may_not_use_shared_keys_needs_its_own(self):
        tables = index(deployment("p/m"), tenants=(None, "ann"))
        only = select(tables, ask(own_pool="ann", shared_pool=False), {}, NOW_MS)
        assert chosen(only) == ("p/m@ann",)
        none = select(tables, ask(own_pool="bob", shared_pool=False), {}, NOW_MS)
        assert isinstance(none, Impossible)
        assert none.cause is Skip.NO_CREDENTIAL

    def test_a_provider_without_authentication_needs_no_credential(self):
        tables = Index([deployment("local/m")], [], no_auth=["local"])
        assert chosen(select(tables, ask(), {}, NOW_MS)) == ("local/m@shared",)

    def test_a_lane_with_one_paid_key_among_free_ones_counts_as_paid(self):
        refs = [CredentialRef("a", "p", "free"), CredentialRef("b", "p", "paid")]
        tables = Index([deployment("p/m", price=DEAR)], refs)
        found = select(tables, ask(paid=Paid.NEVER), {}, NOW_MS)
        assert isinstance(found, Impossible)
        assert found.cause is Skip.PAID


class TestPaid:
    free, paid = deployment("f/m"), deployment("p/m", price=DEAR)
    tables = index(free, paid, plans={"p": "paid"})

    def test_without_a_deadline_work_waits_for_free_quota(self):
        found = select(self.tables, ask(), {}, NOW_MS)
        assert (found.lanes, found.paid_lanes) == (("f/m@shared",), ())
        assert found.skipped == (("paid", 1),)

    def test_with_a_deadline_paid_lanes_stand_by(self):
        found = select(self.tables, ask(deadline_ms=600_000), {}, NOW_MS)
        assert (found.lanes, found.paid_lanes) == (("f/m@shared",), ("p/m@shared",))
        assert found.first == "f/m@shared"

    def test_work_that_free_quota_would_end_late_waits_there_for_its_last_moment(self):
        loads = loads_of([lane("f/m", (0, 700, 0))])
        found = select(self.tables, ask(deadline_ms=600_000), loads, NOW_MS)
        assert (found.first, found.paid_lanes) == ("f/m@shared", ("p/m@shared",))

    def test_with_no_time_to_be_moved_it_begins_in_a_paid_lane(self):
        loads = loads_of([lane("f/m", (0, 700, 0))])
        found = select(self.tables, ask(deadline_ms=SEEN_WITHIN_MS), loads, NOW_MS)
        assert found.first == "p/m@shared"
        assert found.lanes == ("f/m@shared",)
        idle = select(self.tables, ask(deadline_ms=SEEN_WITHIN_MS), {}, NOW_MS)
        assert idle.first == "f/m@shared"

    def test_how_long_answers_take_brings_the_last_moment_forward(self):
        slow = replace(lane("p/m"), pace=Pace(9, total_ms=10_000))
        loads = loads_of([lane("f/m", (0, 700, 0)), slow])
        assert select(self.tables, ask(deadline_ms=40_000), loads, NOW_MS).first == "p/m@shared"
        assert select(self.tables, ask(deadline_ms=60_000), loads, NOW_MS).first == "f/m@shared"
        assert select(self.tables, ask(deadline_ms=9_000), loads, NOW_MS).first == "f/m@shared"

    def test_always_makes_no_difference_but_takes_free_first(self):
        found = select(self.tables, ask(paid=Paid.ALWAYS), {}, NOW_MS)
        assert (found.lanes, found.paid_lanes) == (("f/m@shared", "p/m@shared"), ())
        busy = loads_of([lane("f/m", (0, 5, 0))])
        assert select(self.tables, ask(paid=Paid.ALWAYS), busy, NOW_MS).first == "p/m@shared"

    def test_a_name_that_means_only_paid_lanes_uses_them_unless_never(self):
        found = select(self.tables, ask("p/m"), {}, NOW_MS)
        assert (found.lanes, found.paid_lanes) == (("p/m@shared",), ())
        assert isinstance(select(self.tables, ask("p/m", paid=Paid.NEVER), {}, NOW_MS), Impossible)

    def test_a_free_lane_set_aside_is_no_excuse_to_spend(self):
        loads = loads_of([lane("f/m", dead=True)])
        found = select(self.tables, ask(), loads, NOW_MS)
        assert isinstance(found, Impossible)
        assert dict(found.skipped) == {"dead": 1, "paid": 1}
        assert select(self.tables, ask(deadline_ms=60_000), loads, NOW_MS).lanes == ("p/m@shared",)

    def test_a_paid_lane_that_could_not_keep_the_deadline_either_is_not_begun_in(self):
        full = lane("f/m", (0, 700, 0))
        parked = lane("p/m", free=5, open_ms=NOW_MS + 900_000)
        ask_soon = ask(deadline_ms=SEEN_WITHIN_MS)
        found = select(self.tables, ask_soon, loads_of([full, parked]), NOW_MS)
        assert found.first == "f/m@shared"
        assert found.paid_lanes == ("p/m@shared",)

    def test_of_two_paid_lanes_the_one_that_keeps_the_deadline_is_begun_in(self):
        tables = index(self.free, deployment("p/m", price=DEAR), deployment("q/m", price=DEAR),
                       plans={"p": "paid", "q": "paid"})  # fmt: skip
        late = loads_of([lane("f/m", (0, 700, 0)), lane("p/m", open_ms=NOW_MS + 900_000)])
        soon = ask(deadline_ms=SEEN_WITHIN_MS)
        assert select(tables, soon, late, NOW_MS).first == "q/m@shared"


class TestSpeed:
    tables = index(deployment("a/m"), deployment("b/m"), deployment("c/m"))
    quick = Pace(50, first_ms=100, each_us=2_000, total_ms=300)
    slow = Pace(50, first_ms=900, each_us=20_000, total_ms=2_900)

    def first(self, wish, *lanes):
        loads = loads_of(lanes)
        return {select(self.tables, ask(**wish), loads, NOW_MS, n).first[0] for n in range(6)}

    @pytest.mark.parametrize("wish", [{"mode": "fastest"}, {"model": "auto:fast"}])
    def test_the_fastest_is_who_ends_first_as_measured(self, wish):
        lanes = [paced("a/m", self.slow), paced("b/m", self.quick), paced("c/m", self.slow)]
        assert self.first(wish, *lanes) == {"b"}
        assert self.first({}, *lanes) == {"a", "b", "c"}

    def test_a_long_answer_favours_who_writes_fast_a_short_one_who_begins_soon(self):
        eager = Pace(9, first_ms=50, each_us=10_000)
        steady = Pace(9, first_ms=600, each_us=1_000)
        lanes = [paced("a/m", eager), paced("b/m", steady), paced("c/m", self.slow)]
        assert self.first({"mode": "fastest", "output_tokens": 10}, *lanes) == {"a"}
        assert self.first({"mode": "fastest", "output_tokens": 2_000}, *lanes) == {"b"}

    def test_waiting_counts_as_time_too(self):
        lanes = [paced("b/m", self.quick, (0, 5, 0)), paced("a/m", self.slow), paced("c/m", None)]
        assert self.first({"mode": "fastest"}, *lanes) <= {"a", "c"}

    def test_what_was_never_measured_is_taken_to_be_as_fast_as_most(self):
        lanes = [paced("a/m", self.quick), paced("b/m", self.slow), paced("c/m", None)]
        found = loads_of(lanes)["c/m@shared"]
        assert (found.first_ms, found.each_us) == (100, 2_000)
        assert loads_of([paced("c/m", None)])["c/m@shared"].first_ms == 0

    def test_the_reason_tells_the_time(self):
        loads = loads_of([paced("b/m", self.quick)])
        found = select(self.tables, ask("b/m", mode="fastest"), loads, NOW_MS)
        assert found.considered[0].reason == "free, starts now, answers in about 300 ms"

    def test_a_later_step_never_ranks_before_and_none_overflows(self):
        steps = sorted({*range(600), *(2**n + d for n in range(50) for d in (-1, 0, 1))})
        ranks = [even(step) for step in steps]
        assert ranks == sorted(ranks)
        assert max(ranks) < 2**START_BITS


class TestConversation:
    tables = index(deployment("a/m"), deployment("b/m"), deployment("p/m", price=DEAR),
                   plans={"p": "paid"})  # fmt: skip

    def test_it_stays_where_it_was_while_there_is_room(self):
        for sticky in ("a/m@shared", "b/m@shared"):
            firsts = {
                select(self.tables, ask(sticky=sticky), {}, NOW_MS, draw).first for draw in range(4)
            }
            assert firsts == {sticky}

    @pytest.mark.parametrize(
        "reading",
        [
            lane("a/m", (0, 5, 0)),
            lane("a/m", free=5, open_ms=NOW_MS + 5_000),
            lane("a/m", dead=True),
        ],
    )
    def test_it_moves_where_there_is_none(self, reading):
        loads = loads_of([reading])
        assert select(self.tables, ask(sticky="a/m@shared"), loads, NOW_MS).first == "b/m@shared"

    def test_it_never_makes_free_work_cost(self):
        wish = {"sticky": "p/m@shared", "deadline_ms": 60_000}
        assert select(self.tables, ask(**wish), {}, NOW_MS).first != "p/m@shared"
        always = ask(sticky="p/m@shared", paid=Paid.ALWAYS)
        assert select(self.tables, always, {}, NOW_MS).first != "p/m@shared"

    def test_no_filter_is_waived_for_it(self):
        tables = index(deployment("a/m", context_tokens=50), deployment("b/m"))
        assert select(tables, ask(sticky="a/m@shared"), {}, NOW_MS).lanes == ("b/m@shared",)


class TestOrder:
    def test_what_starts_sooner_comes_first_but_small_differences_decide_nothing(self):
        small, large = deployment("a/m", category="small"), deployment("b/m", category="large")
        tables = index(small, large)
        near = loads_of([lane("b/m", rate=10.0)])
        assert chosen(select(tables, ask(), near, NOW_MS))[0] == "b/m@shared"
        far = loads_of([lane("b/m", (0, 20, 0))])
        assert chosen(select(tables, ask(), far, NOW_MS))[0] == "a/m@shared"

    def test_a_class_waits_only_for_its_own_and_the_higher_ones(self):
        tables = index(deployment("a/m"), deployment("b/m"))
        loads = loads_of([lane("a/m", (0, 0, 500)), lane("b/m", (9, 0, 0))])
        urgent = select(tables, ask(priority=Priority.INTERACTIVE), loads, NOW_MS)
        assert urgent.first == "a/m@shared"
        assert select(tables, ask(priority=Priority.BULK), loads, NOW_MS).first == "b/m@shared"

    def test_a_parked_lane_starts_when_it_opens(self):
        tables = index(deployment("a/m"), deployment("b/m"))
        loads = loads_of([lane("a/m", free=5, open_ms=NOW_MS + 30_000), lane("b/m", (0, 3, 0))])
        found = select(tables, ask(), loads, NOW_MS)
        assert found.first == "b/m@shared"
        assert "starts in 30.0 s" in found.considered[1].reason

    @pytest.mark.parametrize(
        ("name", "wish", "first"),
        [
            ("auto", {}, "b/large"),
            ("auto:small", {}, "a/small"),
            ("auto:large", {}, "b/large"),
            ("auto:reasoning", {}, "c/think"),
            ("auto", {"request_type": "planning"}, "c/think"),
            ("auto", {"request_type": "summarization"}, "a/small"),
            ("auto", {"mode": "powerful"}, "c/think"),
        ],
    )
    def test_a_category_that_is_named_or_follows_from_the_request_comes_first(
        self, name, wish, first
    ):
        tables = index(
            deployment("a/small", category="small"),
            deployment("b/large", category="large"),
            deployment("c/think", category="reasoning"),
        )
        found = select(tables, ask(name, **wish), {}, NOW_MS)
        assert found.first == f"{first}@shared"
        assert len(found.lanes) == 3

    def test_a_named_category_waits_longer_for_its_own_kind(self):
        tables = index(deployment("a/s", category="small"), deployment("b/l", category="large"))
        loads = loads_of([lane("a/s", (0, 9, 0))])
        assert select(tables, ask("auto:small"), loads, NOW_MS).first == "a/s@shared"
        assert select(tables, ask(), loads, NOW_MS).first == "b/l@shared"

    def test_cheap_takes_the_lower_price_and_auto_the_sooner_start(self):
        cheap = deployment("a/m", price=Price(100, 100))
        dear = deployment("b/m", price=Price(900, 900))
        unknown = deployment("c/m", price=Price())
        tables = index(cheap, dear, unknown, plan="paid")
        loads = loads_of([lane("a/m", (0, 60, 0)), lane("b/m", (0, 6, 0))])
        assert chosen(select(tables, ask("auto:cheap"), loads, NOW_MS)) == (
            "a/m@shared", "b/m@shared", "c/m@shared",
        )  # fmt: skip
        assert select(tables, ask(), loads, NOW_MS).first == "c/m@shared"

    def test_a_providers_priority_decides_between_equals(self):
        tables = index(deployment("a/m"), deployment("b/m", priority=5))
        assert {select(tables, ask(), {}, NOW_MS, n).first for n in range(5)} == {"b/m@shared"}

    def test_equals_take_turns_and_are_spread_over_providers(self):
        tables = index(*(deployment(f"{p}/m{n}") for p in "abc" for n in range(20)))
        firsts = [select(tables, ask(), {}, NOW_MS, draw).first for draw in range(60)]
        assert len(set(firsts)) == 60
        found = select(tables, ask(), {}, NOW_MS)
        assert len(found.lanes) == MAX_LANES
        assert {one.partition("/")[0] for one in found.lanes[:3]} == {"a", "b", "c"}
        assert dict(found.skipped) == {"ranked_lower": 60 - MAX_LANES}


def test_a_summary_is_served_by_what_chats():
    found = select(index(deployment("p/m")), replace(ask(), kind=Kind.SUMMARY), {}, NOW_MS)
    assert chosen(found) == ("p/m@shared",)


class TestTheListsThatJobsKeep:
    """Few lists serve all jobs, whatever stood in their lanes when they came."""

    def lists(self, tables, names, asks, **wish):
        draw, found = Random(7), []
        for number in range(asks):
            loads = loads_of(lane(name, (0, draw.choice((0, 1, 9, 99)), 0)) for name in names)
            found.append(select(tables, ask(**wish), loads, NOW_MS, number))
        return [(one, one.listed) for one in found if isinstance(one, Selection)]

    def test_they_do_not_follow_the_moments_order(self):
        names = [f"p{n}/m" for n in range(MAX_LANES)]
        found = self.lists(index(*map(deployment, names)), names, 300)
        assert len({one.lanes for one, _ in found}) > 200
        assert {listed for _, listed in found} == {tuple(f"{name}@shared" for name in names)}

    def test_of_very_many_lanes_they_hold_the_best_and_those_about_the_first(self):
        large = [f"p{n}/large" for n in range(40)]
        small = [f"p{n}/small" for n in range(40)]
        tables = index(
            *(deployment(name, category="large") for name in large),
            *(deployment(name, category="small") for name in small),
        )
        found = self.lists(tables, large + small, 500)
        assert len({one.lanes for one, _ in found}) > 400
        assert len({listed for _, listed in found}) <= 10
        assert len({one.first for one, _ in found}) > 30, "equals take turns all the same"
        for one, listed in found:
            assert one.first in listed
            assert len(listed) == len(set(listed)) == MAX_LANES
            assert {f"{name}@shared" for name in large[: MAX_LANES // 2]} <= set(listed)

    def test_where_the_fastest_was_asked_for_the_measured_order_stays(self):
        names = ("a/m", "b/m")
        tables = index(*map(deployment, names))
        loads = loads_of([paced("a/m", Pace(9, 900.0, 9e3)), paced("b/m", Pace(9, 90.0, 9e2))])
        found = select(tables, ask(mode="fastest"), loads, NOW_MS)
        assert found.listed == found.lanes == ("b/m@shared", "a/m@shared")

    def test_paid_lanes_are_apart(self):
        tables = index(
            deployment("f/m"), *(deployment(f"p{n}/m", price=DEAR) for n in range(3)),
            plans={f"p{n}": "paid" for n in range(3)},
        )  # fmt: skip
        for draw in range(9):
            found = select(tables, ask(deadline_ms=60_000), {}, NOW_MS, draw)
            assert found.listed == ("f/m@shared",)
            assert found.listed_paid == tuple(f"p{n}/m@shared" for n in range(3))
