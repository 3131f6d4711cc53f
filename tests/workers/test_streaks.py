"""Refusals in a row that name no wait make the rest grow; those under way together count once."""

import pytest
from worker_claims import claim

from shared.core.decision import UNSTATED_LIMIT_CAP_MS, JobFacts, cooldowns
from shared.core.outcome import Failed, FailureKind
from shared.queue.types import Report, Verdict
from workers import streaks
from workers.streaks import ALIKE, Streaks, grown

REFUSED = Report(Verdict.REQUEUE, attempt={"outcome": "rate_limited"})
BROKE = Report(Verdict.RETRY, attempt={"outcome": "timeout"})
ANSWERED = Report(Verdict.COMPLETE, attempt={"outcome": "succeeded"})


def rest_ms(refused):
    said_nothing = Failed(FailureKind.RATE_LIMITED, "no")
    (rest,) = cooldowns(said_nothing, JobFacts(streak=grown(refused)), 0.0)
    return rest.for_ms


def test_the_first_rests_are_alike_then_they_double_to_a_minute():
    rests = [rest_ms(n) for n in range(20)]
    assert len(set(rests[: ALIKE + 1])) == 1
    assert rests[ALIKE + 1] == 2 * rests[ALIKE]
    assert rests[-1] == UNSTATED_LIMIT_CAP_MS


@pytest.mark.parametrize("stated_ms", [0, 1])
def test_a_days_quota_that_is_said_to_be_back_at_once_is_not_asked_again_at_once(stated_ms):
    back = Failed(FailureKind.QUOTA_EXHAUSTED, "no", retry_after_ms=stated_ms)
    rests = [cooldowns(back, JobFacts(streak=grown(n)), 0.9)[0].for_ms for n in (0, 20)]
    assert 500 <= rests[0] <= 1_000
    assert rests[1] >= UNSTATED_LIMIT_CAP_MS / 2
    far = Failed(FailureKind.QUOTA_EXHAUSTED, "no", retry_after_ms=3_600_000)
    assert cooldowns(far, JobFacts(), 0.9)[0].for_ms == 3_600_000


def test_refusals_in_a_row_count_until_an_answer_comes():
    seen, mine = Streaks(), claim()
    for n in range(5):
        assert seen.of(mine) == n
        seen.note(mine, seen.of(mine), REFUSED)
    seen.note(mine, 0, BROKE)
    assert seen.of(mine) == 5
    assert seen.of(claim(credential="a2")) == 0
    seen.note(mine, 5, ANSWERED)
    assert seen.of(mine) == 0


def test_calls_that_were_under_way_together_count_once():
    seen, mine = Streaks(), claim()
    for _ in range(50):
        seen.note(mine, 0, REFUSED)
    assert seen.of(mine) == 1


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(streaks, "MOST", 3)
    seen = Streaks()
    for n in range(10):
        seen.note(claim(credential=f"k{n}"), 0, REFUSED)
    assert sum(seen.of(claim(credential=f"k{n}")) for n in range(10)) <= 3
