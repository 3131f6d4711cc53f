"""What the claim order promises, whatever is queued and whoever comes back."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from shared.core.fairness import (
    SHARE_EVERY,
    LaneOrder,
    Queued,
    class_order,
    enter,
    leave,
    next_job,
    score_ms,
)
from shared.core.model import Priority

TENANTS = ("ann", "bob", "cyd")
EMPTY = LaneOrder()


def jobs(max_size=60):
    one = st.tuples(
        st.sampled_from(TENANTS), st.sampled_from(Priority), st.integers(0, 5), st.integers(1, 4)
    )
    return st.lists(one, max_size=max_size).map(
        lambda rows: [
            Queued(f"{number:03}", tenant, priority, score, weight)
            for number, (tenant, priority, score, weight) in enumerate(rows)
        ]
    )


def filled(entries, order=EMPTY):
    for job in entries:
        order = enter(order, job)
    return order


def drained(order, most=10_000):
    served = []
    while len(served) < most:
        job, order = next_job(order)
        if job is None:
            break
        served.append(job)
    return served, order


@given(jobs())
def test_every_job_is_served_once(entries):
    served, order = drained(filled(entries))
    assert Counter(served) == Counter(entries)
    assert order.queued == 0


@given(jobs())
def test_a_tenants_jobs_of_a_class_go_by_score_then_id(entries):
    served, _ = drained(filled(entries))
    for tenant in TENANTS:
        for priority in Priority:
            own = [j for j in served if (j.tenant, j.priority) == (tenant, priority)]
            assert own == sorted(own, key=lambda job: (job.score, job.id))


@given(jobs(), st.integers(0, 1_000))
def test_a_lower_class_is_served_before_a_higher_one_only_in_its_turn(entries, claims):
    order = filled(entries, LaneOrder(claims=claims))
    while order.queued:
        waiting = {priority for priority in Priority if order.rings[priority].tenants}
        first = next(p for p in class_order(order.claims) if p in waiting)
        job, order = next_job(order)
        assert job.priority is first


def test_of_20_claims_one_looks_at_bulk_first_and_one_at_normal_first():
    firsts = Counter(class_order(n)[0] for n in range(SHARE_EVERY))
    assert firsts == {Priority.INTERACTIVE: 18, Priority.NORMAL: 1, Priority.BULK: 1}


@given(st.integers(1, 5), st.integers(1, 5))
def test_two_backlogged_tenants_share_by_weight(ann, bob):
    entries = [Queued(f"a{n:03}", "ann", Priority.NORMAL, 0, ann) for n in range(200)]
    entries += [Queued(f"b{n:03}", "bob", Priority.NORMAL, 0, bob) for n in range(200)]
    served, _ = drained(filled(entries), 120)
    share = sum(job.tenant == "ann" for job in served) / len(served)
    assert abs(share - ann / (ann + bob)) < 0.03


@given(st.integers(1, 40), st.sampled_from(["aa", "zz"]))
def test_a_tenant_that_comes_back_with_one_job_at_a_time_gains_nothing(rounds, name):
    order = filled([Queued(f"m{n:03}", "mm", Priority.NORMAL, 0) for n in range(100)])
    served = []
    for number in range(2 * rounds):
        if not any(t.name == name for t in order.rings[Priority.NORMAL].tenants):
            order = enter(order, Queued(f"x{number:03}", name, Priority.NORMAL, 0))
        job, order = next_job(order)
        served.append(job.tenant)
    assert abs(served.count("mm") - served.count(name)) <= 1


@given(jobs(), st.data())
def test_taking_a_job_out_leaves_the_others_in_their_order(entries, data):
    if not entries:
        return
    gone = data.draw(st.sampled_from(entries))
    order = leave(filled(entries), gone)
    served, _ = drained(order)
    assert Counter(served) == Counter(job for job in entries if job != gone)
    assert leave(order, gone) == order


def test_a_deadline_goes_before_age_and_no_deadline_counts_as_a_year():
    assert score_ms(5, 1_000) == 1_000
    assert score_ms(5, None) - 5 == 365 * 86_400_000
