"""What is told of a job, from records made by hand."""

import pytest

from bench.seven_trace import Kept, begun_by, calls, passes, story
from shared.core.model import Kind, Priority, Status, Usage
from shared.store.types import JobRecord

AT_MS = 1_000_000


def attempt(began_ms, lane="p/m", outcome="succeeded", took_ms=50):
    return {
        "deployment": lane, "credential": "k", "outcome": outcome,
        "started_ms": AT_MS + began_ms, "sent_ms": AT_MS + began_ms + 2,
        "ended_ms": AT_MS + began_ms + took_ms,
    }  # fmt: skip


def record(*attempts, status=Status.COMPLETED):
    return JobRecord(
        id="j", tenant="t", kind=Kind.CHAT, status=status, priority=Priority.NORMAL,
        created_ms=AT_MS, started_ms=AT_MS, completed_ms=AT_MS + 900, deadline_ms=AT_MS + 1_000,
        lane="p/m@shared", due_ms=None, attempts=attempts, requeues=0, uncertain_repeats=0,
        doc={}, result=None, error=None, usage=Usage(7, 8), cost_microusd=3, events=4,
    )  # fmt: skip


MOVED = ("job.moved", {"from": "f/m", "to": "p/m", "reason": "deadline"})


@pytest.mark.parametrize(
    ("events", "by"),
    [
        ([("job.queued", {"lane": "p/m"})], "accepted"),
        ([MOVED, ("job.started", {})], "deadline"),
        ([MOVED, ("job.requeued", {"reason": "overloaded"})], "failover (overloaded)"),
    ],
)
def test_who_put_a_job_where_it_was_called_is_told_by_its_events(events, by):
    assert begun_by(events) == by


def test_a_payment_is_told_with_what_the_plan_saw_of_the_free_lanes():
    def pays(at_ms, due_ms=1_010):
        told = {"source": "f/m", "target": "p/m", "jobs": 2, "free": {"f/m": [3, 3]}}
        return {"at_ms": AT_MS + at_ms, "deadline_ms": AT_MS + due_ms, **told}

    kept = Kept({"j": (20, 30)}, {"j": [("job.queued", {"lane": "f/m"}), MOVED]})
    plans = [{"at_ms": AT_MS + at, "lead_ms": 40} for at in (-10, 300, 1_100)]
    payments = [pays(100), pays(300), pays(310, due_ms=1_200), pays(800)]
    found = story(record(attempt(400)), kept, payments, plans)
    assert (found["deadline_ms"], found["held"], found["used"]) == (1_000, (20, 30), (7, 8))
    assert found["put"] == ["queued f/m", "moved p/m deadline"]
    assert found["plans_ms"] == [300]
    assert found["plan"]["at_ms"] == 300
    assert found["plan"]["free"] == {"f/m": [3, 3]}


def test_of_a_job_that_was_never_called_the_last_payment_before_its_end_is_told():
    found = story(record(status=Status.EXPIRED), Kept(), [], [])
    assert (found["plan"], found["attempts"], found["begun_by"]) == (None, [], "accepted")


def test_calls_around_a_moment_are_those_of_the_provider_in_order():
    one = record(attempt(500), attempt(100), attempt(200, "other/m"), attempt(90_000))
    assert [each["began_ms"] for each in calls("p", AT_MS + 200, [one])] == [-100, 300]


def test_passes_tell_how_late_the_scheduler_looked():
    spans = {"lead_ms": 50, "read_ms": 5, "plan_ms": 1, "carry_ms": 2, "moves": 3}
    plans = [
        {"at_ms": at, "look_ms": look, **spans} for at, look in ((0, 100), (130, None), (900, 0))
    ]
    found = passes(plans)
    assert found["looks"] == 3
    assert found["late_ms"]["max"] == 30
    assert found["lead_ms"]["p50"] == 50
