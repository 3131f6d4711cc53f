import pytest

from shared.core.lifecycle import (
    BY_NAME,
    TERMINAL_EVENTS,
    TRANSITIONS,
    NotAllowed,
    allowed,
    apply,
)
from shared.core.model import Status

STATES = (None, *Status)
ALLOWED = {
    None: {"accept"},
    Status.QUEUED: {"move", "claim", "cancel", "expire", "answer", "fail_alike"},
    Status.IN_PROGRESS: {
        "retry",
        "requeue",
        "take_back",
        "complete",
        "fail",
        "dead_letter",
        "cancel_running",
        "expire_running",
    },
}


@pytest.mark.parametrize("status", STATES)
@pytest.mark.parametrize("transition", TRANSITIONS, ids=lambda one: one.name)
def test_a_transition_applies_only_where_it_starts(transition, status):
    if transition.name in ALLOWED.get(status, set()):
        assert apply(transition, status) is transition.target
    else:
        assert apply(transition, status) == NotAllowed(transition, status)


@pytest.mark.parametrize("status", STATES)
def test_what_may_happen_to_a_job_is_what_the_table_says(status):
    assert {one.name for one in allowed(status)} == ALLOWED.get(status, set())


def test_nothing_leaves_a_final_state_and_every_final_state_can_be_reached():
    assert not any(allowed(status) for status in Status if status.final)
    assert {one.target for one in TRANSITIONS} == set(Status)


def test_each_final_state_has_one_terminal_event_of_its_name():
    assert {f"job.{status}" for status in Status if status.final} == TERMINAL_EVENTS
    assert len(BY_NAME) == len(TRANSITIONS)


def test_a_worker_ends_or_returns_a_job_only_with_its_fence():
    fenced = {one.name for one in TRANSITIONS if one.fenced}
    assert fenced == {"retry", "requeue", "complete", "fail"}
