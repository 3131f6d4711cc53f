import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.waits import NO_WORKER, Before, before, before_new, describe

COUNTS = st.tuples(*[st.integers(0, 50_000)] * 3)


@pytest.mark.parametrize(
    ("waiting", "sentence"),
    [
        (("quota", "rpm", 3), "the provider's limit (rpm) is used up; 3 jobs are before it"),
        (("quota", None, 0), "the provider's limit is used up; it is next"),
        (("cooldown", None, 1), "the provider asked for a rest or fails; 1 job is before it"),
        (("concurrency", None, 0), "as many calls as allowed are running; it is next"),
        (("delayed", None, None), "it is to be tried again later"),
        (("shared", None, None), "an equal job is asked for it"),
        (("paused", None, None), "its lane is set aside until it is edited or probed"),
        (
            (NO_WORKER, None, None),
            "no live worker serves its lane, so it is not known when it starts",
        ),
        (("behind", None, 0), "it is next"),
        (("behind", None, 1_234), "1,234 jobs are before it"),
        (("something new", None, 0), "something new; it is next"),
    ],
)
def test_a_wait_is_told_in_words(waiting, sentence):
    assert describe(*waiting) == sentence


@pytest.mark.parametrize(
    ("ahead", "line", "sentence"),
    [
        (Before((0, 0, 0), 0, 0), False, "it is next"),
        (Before((0, 0, 0), 2, 0), False, "it is next; its lane runs 2"),
        (Before((1, 0, 0), 0, 0), False, "1 job is before it: 1 interactive"),
        (Before((2, 3, 0), 0), False, "5 jobs are before it: 2 interactive, 3 normal"),
        (
            Before((2, 30, 0), 4, 10),
            False,
            "32 jobs are before it: 2 interactive, 30 normal (10 its tenant's); its lane runs 4",
        ),
        (
            Before((0, 0, 20_000), 0, 20_000),
            True,
            (
                "20,000 jobs are before it: 20,000 bulk"
                " (20,000 its tenant's, earlier lines of its batch among them)"
            ),
        ),
    ],
)
def test_what_stands_before_a_job_is_named_by_class_and_owner(ahead, line, sentence):
    assert describe("behind", None, None, ahead, line=line) == sentence


@pytest.mark.parametrize(
    ("queued", "rank", "place", "tenants", "by", "own"),
    [
        ((4, 9, 9), 0, 2, 1, (2, 0, 0), 2),
        ((4, 9, 9), 1, 2, 3, (4, 6, 0), 2),
        ((4, 9, 9), 1, 5, 3, (4, 9, 0), 5),  # no more than there are
        ((4, 9, 9), 2, 0, 3, (4, 9, 0), 0),
        ((0, 0, 2), 2, 5, 1, (0, 0, 2), 2),  # a count that lags behind
    ],
)
def test_tenants_take_turns_and_classes_stand_in_order(queued, rank, place, tenants, by, own):
    found = before(queued, rank, place, tenants, 7)
    assert found == Before(by, 7, own)
    assert found.total == sum(by)


@given(COUNTS, st.integers(0, 2), st.integers(0, 50_000), st.integers(0, 9))
def test_nobody_of_a_lesser_class_is_before_a_job(queued, rank, place, tenants):
    found = before(queued, rank, place, tenants, 0)
    assert not any(found.by[rank + 1 :])
    assert found.by[:rank] == queued[:rank]
    assert found.total <= before_new(queued, rank, 0).total
