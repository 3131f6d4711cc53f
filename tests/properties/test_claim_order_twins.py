"""The claim order in Lua and its twin in core/fairness serve the same jobs in the same order."""

import itertools
import random

import orjson
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from queue_world import LANE, PREFIX, lane_of

from shared.core import fairness
from shared.core.model import Priority
from shared.queue.scripts import digest, source
from shared.store.server import Server

NOW = 1_000_000_000
SIGS = {"sig": {"c": [LANE], "p": []}}


class Store:
    """The scripts without a loop: what Hypothesis drives."""

    def __init__(self, url: str) -> None:
        self.client = redis.Redis.from_url(url)
        for name in ("configure", "accept", "tick", "cancel"):
            self.client.script_load(source(name))

    def run(self, name: str, header: dict[str, object], *args: bytes) -> object:
        body = orjson.dumps(header | {"now_ms": NOW})
        return self.client.execute_command("EVALSHA", digest(name), 1, PREFIX, body, *args)

    def fresh(self) -> None:
        self.client.flushall()
        self.client.set(f"{PREFIX}testing", "1")
        self.run("configure", {"lanes": {LANE: lane_of()}})

    def accept(self, job: fairness.Queued) -> None:
        given = {
            "id": job.id, "tenant": job.tenant, "kind": "chat", "priority": int(job.priority),
            "lane": LANE, "sig": "sig", "need": "1,1,1,0", "weight": job.weight,
            "deadline_ms": job.score - NOW,
        }  # fmt: skip
        self.run("accept", {"jobs": [given], "sigs": SIGS}, b"{}")

    def claim(self, want: int) -> list[str]:
        header = {"worker": "w", "turn": 1, "lease_ms": 5000, "providers": ["alpha"], "want": want}
        rows = self.run("tick", header | {"idle": True})[4]  # type: ignore[index]
        return [rows[at].decode() for at in range(0, len(rows), 17)]


def drawn(number: int, tenant: int, rank: int, score: int) -> fairness.Queued:
    weights = (1, 3, 7)
    return fairness.Queued(
        f"j{number:04d}", f"t{tenant}", Priority(rank), NOW + 1000 + score, weights[tenant % 3]
    )


class Twins(RuleBasedStateMachine):
    """Jobs come, are cancelled and are claimed; both sides are asked the same."""

    store: Store

    def __init__(self) -> None:
        super().__init__()
        self.store.fresh()
        self.order = fairness.LaneOrder()
        self.waiting: dict[str, fairness.Queued] = {}
        self.numbers = itertools.count()

    @rule(tenant=st.integers(0, 2), rank=st.integers(0, 2), score=st.integers(0, 5),
          count=st.integers(1, 3))  # fmt: skip
    def accept(self, tenant: int, rank: int, score: int, count: int) -> None:
        for _ in range(count):
            job = drawn(next(self.numbers), tenant, rank, score)
            self.store.accept(job)
            self.order = fairness.enter(self.order, job)
            self.waiting[job.id] = job

    @rule(at=st.integers(0, 1000))
    def cancel(self, at: int) -> None:
        if self.waiting:
            job = self.waiting.pop(sorted(self.waiting)[at % len(self.waiting)])
            self.store.run("cancel", {"ids": [job.id]})
            self.order = fairness.leave(self.order, job)

    @rule(want=st.integers(1, 5))
    def claim(self, want: int) -> None:
        expected = []
        for _ in range(want):
            job, self.order = fairness.next_job(self.order)
            if job is not None:
                expected.append(job.id)
                del self.waiting[job.id]
        assert self.store.claim(want) == expected

    @invariant()
    def the_lane_counts_what_waits(self) -> None:
        counts = self.store.client.hmget(f"{PREFIX}lane:{LANE}", "n0", "n1", "n2")
        assert sum(int(n or 0) for n in counts) == len(self.waiting)  # type: ignore[union-attr]


def test_lua_and_python_claim_in_the_same_order(valkey: Server) -> None:
    Twins.store = Store(valkey.url)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Twins,
        settings=settings(max_examples=60, stateful_step_count=50, deadline=None),
    )


@given(seed=st.integers(0, 2**32))
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_lua_and_python_agree_over_long_mixed_traffic(valkey: Server, seed: int) -> None:
    Twins.store = Store(valkey.url)
    twins, draw = Twins(), random.Random(seed)
    for _ in range(250):
        what = draw.random()
        if what < 0.45:
            rank = draw.choice((0, 1, 1, 1, 2))
            score, count = draw.randrange(6), draw.choice((1, 1, 1, 3))
            twins.accept(tenant=draw.randrange(5), rank=rank, score=score, count=count)
        elif what < 0.6:
            twins.cancel(at=draw.randrange(1000))
        else:
            twins.claim(want=draw.choice((1, 1, 2, 5)))
        twins.the_lane_counts_what_waits()


def test_a_tenant_that_comes_back_with_one_job_at_a_time_gains_nothing(valkey: Server) -> None:
    Twins.store = Store(valkey.url)
    twins = Twins()
    twins.accept(tenant=1, rank=1, score=0, count=9)
    for _ in range(3):
        twins.accept(tenant=0, rank=1, score=0, count=1)
        twins.claim(want=1)


def backlog(store: Store, jobs: list[fairness.Queued]) -> None:
    for job in jobs:
        store.accept(job)


def test_a_tenant_of_weight_three_gets_three_jobs_for_one(valkey: Server) -> None:
    store = Store(valkey.url)
    store.fresh()
    numbers = itertools.count()
    backlog(store, [drawn(next(numbers), tenant, 1, 0) for tenant in (0, 1) for _ in range(400)])
    got = [int(job_id[1:]) < 400 for job_id in store.claim(400)]
    assert got.count(True) == 100
    assert got.count(False) == 300


def test_a_tenant_that_comes_late_gets_no_credit_for_its_idle_time(valkey: Server) -> None:
    store = Store(valkey.url)
    store.fresh()
    numbers = itertools.count()
    backlog(store, [drawn(next(numbers), 0, 1, 0) for _ in range(600)])
    store.claim(500)
    late = next(numbers)
    backlog(store, [drawn(late, 3, 1, 0), *(drawn(next(numbers), 3, 1, 0) for _ in range(49))])
    got = [int(job_id[1:]) >= late for job_id in store.claim(20)]
    assert 9 <= got.count(True) <= 11


def test_bulk_gets_one_claim_in_twenty_and_no_more(valkey: Server) -> None:
    store = Store(valkey.url)
    store.fresh()
    numbers = itertools.count()
    ranks = {rank: [drawn(next(numbers), 0, rank, 0) for _ in range(200)] for rank in range(3)}
    for jobs in ranks.values():
        backlog(store, jobs)
    got = [int(job_id[1:]) // 200 for job_id in store.claim(200)]
    assert [got.count(rank) for rank in range(3)] == [180, 10, 10]


@given(tenants=st.integers(2, 6), count=st.integers(1, 10))
@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_tenant_waits_longer_than_a_round(valkey: Server, tenants: int, count: int) -> None:
    store = Store(valkey.url)
    store.fresh()
    numbers = itertools.count()
    jobs = [fairness.Queued(f"j{next(numbers):04d}", f"t{t}", Priority.NORMAL, NOW + 1000)
            for t in range(tenants) for _ in range(count)]  # fmt: skip
    backlog(store, jobs)
    owners = {job.id: job.tenant for job in jobs}
    for _ in range(count):
        assert len({owners[job_id] for job_id in store.claim(tenants)}) == tenants
