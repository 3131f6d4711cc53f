import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core import backoff
from shared.core.decision import (
    MAX_UNSENT_REQUEUES,
    UNSTATED_QUOTA_MS,
    UNSUPPLIED_REST_MS,
    Candidate,
    Complete,
    Expire,
    Fail,
    JobError,
    JobFacts,
    Move,
    Requeue,
    Retry,
    aggregate,
    decide,
)
from shared.core.model import Usage
from shared.core.outcome import (
    TABLE,
    Blame,
    Cooldown,
    Effect,
    Failed,
    FailureKind,
    Learned,
    OnBreak,
    OnUncertain,
    Succeeded,
)

NOW_MS = 1_000_000
BETA = Candidate("beta/m@shared", 8_000)
BIG = Candidate("gamma/m@shared", 200_000)
PAID = Candidate("gold/m@shared", 200_000)


def failed(kind, **changes):
    return Failed(FailureKind(kind), "the provider's words", **changes)


def after(outcome, draw=0.5, **facts):
    return decide(outcome, JobFacts(**facts), NOW_MS, draw)


def action(outcome, draw=0.5, **facts):
    return after(outcome, draw, **facts).action


def test_a_worker_without_the_key_or_the_model_lets_others_try_and_not_for_ever():
    lacking = failed("unsupplied", sent=False)
    assert after(lacking).cooldowns == (Cooldown("lane", UNSUPPLIED_REST_MS, "unsupplied"),)
    assert action(lacking) == Requeue(0)
    assert action(lacking, siblings=1) == Requeue(0, elsewhere=False)
    given_up = action(lacking, requeues=MAX_UNSENT_REQUEUES)
    assert isinstance(given_up, Fail)
    assert (given_up.error.status, given_up.error.code) == (503, "no_credential")


def test_every_kind_of_failure_has_a_row():
    assert set(TABLE) == set(FailureKind)


def test_a_success_completes_and_passes_on_what_it_learned():
    learned = (Learned("rpm", "requests", 60_000, 10, "header"),)
    decision = after(Succeeded(b"{}", Usage(), learned))
    assert decision.action == Complete()
    assert decision.learned == learned


@pytest.mark.parametrize("kind", ["rate_limited", "quota_exhausted"])
def test_a_limit_spends_nothing_rests_the_lane_and_sends_the_job_elsewhere(kind):
    decision = after(failed(kind, retry_after_ms=7_000, window="rpm"), attempts=2)
    assert decision.action == Requeue(0, elsewhere=True)
    assert decision.cooldowns == (Cooldown("lane", 7_000, f"{kind}:rpm"),)


def test_with_another_credential_a_limited_job_keeps_its_place():
    assert action(failed("rate_limited"), siblings=1) == Requeue(0, elsewhere=False)


def test_a_limit_that_states_no_wait_rests_longer_each_time():
    rests = [
        after(failed("rate_limited"), 0.0, streak=streak).cooldowns[0].for_ms for streak in range(9)
    ]
    assert rests == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]


def test_a_limit_that_says_zero_still_rests_a_moment():
    assert after(failed("rate_limited", retry_after_ms=0)).cooldowns[0].for_ms > 0


def test_an_exhausted_quota_without_a_stated_wait_is_looked_at_again_in_an_hour():
    (rest,) = after(failed("quota_exhausted", scope="credential")).cooldowns
    assert rest == Cooldown("credential", UNSTATED_QUOTA_MS, "quota_exhausted")


def test_an_unpaid_key_is_dead():
    gone = failed("quota_exhausted", scope="credential", dead=True, window="credit")
    assert after(gone).cooldowns[0].dead


def test_a_refused_key_dies_and_the_job_lives():
    decision = after(failed("unauthorized"))
    assert decision.action == Requeue(0, elsewhere=True)
    assert decision.cooldowns == (Cooldown("credential", 0, "unauthorized", dead=True),)


def test_a_model_that_is_gone_is_left_for_good():
    decision = after(failed("model_gone"), others=(BETA, BIG))
    assert decision.action == Move("beta/m@shared")
    assert decision.cooldowns == (Cooldown("lane", 0, "model_gone", dead=True),)
    assert action(failed("model_gone"), siblings=1, others=(BETA,)) == Requeue(0, elsewhere=False)


def test_a_model_that_is_gone_everywhere_is_a_404():
    final = action(failed("model_gone"))
    assert isinstance(final, Fail)
    assert (final.error.status, final.error.code) == (404, "model_not_found")


def test_what_one_place_does_not_take_goes_to_any_other_for_good_and_paid_last():
    unsuited = failed("unsuited", code="audio_too_large", status=413, param="file")
    assert action(unsuited, others=(BETA,), paid=(PAID,), context_tokens=9**9) == Move(BETA.lane)
    assert action(unsuited, paid=(PAID,), attempts=9) == Move(PAID.lane)
    final = action(unsuited)
    assert isinstance(final, Fail)
    assert (final.error.code, final.error.status, final.error.param) == (
        "audio_too_large",
        400,
        "file",
    )
    assert after(unsuited).cooldowns == ()


def test_what_is_too_long_goes_to_a_larger_context_only():
    facts = {"others": (BETA, BIG), "context_tokens": 8_000}
    assert action(failed("too_long"), **facts) == Move("gamma/m@shared")
    final = action(failed("too_long"), others=(BETA,), context_tokens=8_000)
    assert isinstance(final, Fail)
    assert (final.error.status, final.error.code) == (400, "context_length_exceeded")


def test_what_is_too_large_for_a_window_goes_to_any_other_lane():
    huge = failed("too_long", window="tpm", limit=8_000)
    assert action(huge, others=(BETA,), context_tokens=8_000) == Move("beta/m@shared")
    final = action(huge)
    assert isinstance(final, Fail)
    assert (final.error.status, final.error.code) == (400, "request_too_large")


def test_a_bad_request_fails_at_once_with_the_providers_words():
    bad = failed("invalid_request", param="tools[0].type", code="unsupported_value")
    assert action(bad, others=(BETA,)) == Fail(
        JobError(
            "the provider's words",
            "unsupported_value",
            400,
            "invalid_request_error",
            "tools[0].type",
        )
    )


def test_filtered_content_fails_as_such():
    final = action(failed("filtered"))
    assert isinstance(final, Fail)
    assert (final.error.status, final.error.code) == (400, "content_filter")


RETRIED = ["overloaded", "timeout", "unreachable", "malformed_reply", "unknown"]


@pytest.mark.parametrize("kind", RETRIED)
def test_trouble_upstream_is_tried_again_with_jitter_until_the_attempts_are_spent(kind):
    assert action(failed(kind), attempts=0) == Retry(500)
    assert action(failed(kind), attempts=1) == Retry(1_000)
    final = action(failed(kind), attempts=2)
    assert isinstance(final, Fail)
    assert final.error.code == "all_attempts_failed"
    assert final.error.status in (502, 503, 504)


def test_a_stated_wait_wins_over_backoff():
    assert action(failed("overloaded", retry_after_ms=9_000)) == Retry(9_000)
    (rest,) = after(failed("overloaded", retry_after_ms=9_000)).cooldowns
    assert rest == Cooldown("deployment", 9_000, "overloaded")
    assert after(failed("overloaded")).cooldowns == ()


def test_what_never_left_spends_no_attempt_but_not_for_ever():
    unsent = failed("unreachable", sent=False)
    assert action(unsent, attempts=2) == Requeue(500)
    assert action(unsent, attempts=2, requeues=3) == Requeue(4_000)
    assert action(unsent, attempts=0, requeues=MAX_UNSENT_REQUEUES) == Retry(500)
    assert isinstance(action(unsent, attempts=2, requeues=MAX_UNSENT_REQUEUES), Fail)


def test_an_uncertain_outcome_is_repeated_and_counted_or_failed_as_the_job_wishes():
    lost = failed("unreachable", uncertain=True)
    decision = after(lost)
    assert decision.action == Retry(500)
    assert decision.uncertain
    final = action(lost, on_uncertain=OnUncertain.FAIL)
    assert isinstance(final, Fail)
    assert final.error.code == "outcome_uncertain"


def test_a_refusal_is_not_uncertain():
    careful = {"on_uncertain": OnUncertain.FAIL}
    assert action(failed("overloaded"), **careful) == Retry(500)
    assert action(failed("rate_limited"), **careful) == Requeue(0)


def test_a_stream_that_broke_after_its_first_delta_follows_the_jobs_wish():
    broken = failed("malformed_reply", uncertain=True)
    final = action(broken, streamed=True)
    assert isinstance(final, Fail)
    assert (final.error.code, final.error.status) == ("stream_broken", 502)
    for wish in (OnBreak.RESTART, OnBreak.CONTINUE):
        assert action(broken, streamed=True, on_break=wish) == Retry(500)
    stuck = action(broken, streamed=True, on_break=OnBreak.CONTINUE, obstacle="it is a picture")
    assert isinstance(stuck, Fail)
    assert stuck.error.code == "stream_broken"
    assert "it cannot be continued: it is a picture" in stuck.error.message
    assert action(broken, streamed=False) == Retry(500)


def test_a_refusal_of_our_way_of_going_on_is_not_the_callers_fault():
    refused = failed("invalid_request")
    assert isinstance(action(refused, continued=False), Fail)
    assert action(refused, continued=True) == Retry(500)


def test_paid_lanes_come_last():
    assert action(failed("model_gone"), others=(BETA,), paid=(BIG,)) == Move(BETA.lane)
    assert action(failed("model_gone"), paid=(BIG,)) == Move(BIG.lane)
    facts = {"others": (BETA,), "context_tokens": 8_000}
    assert action(failed("too_long"), **facts, paid=(BIG,)) == Move(BIG.lane)
    busy = failed("overloaded")
    assert action(busy, paid=(BIG,), untried=False) == Retry(500)
    assert action(busy, attempts=1, paid=(BIG,), untried=True) == Retry(1_000)
    assert action(busy, attempts=1, paid=(BIG,), untried=False) == Retry(0, lane=BIG.lane)
    assert isinstance(action(busy, attempts=2, paid=(BIG,), untried=False), Fail)


def test_nothing_is_tried_past_the_deadline_and_no_delay_reaches_beyond_it():
    expired = action(failed("overloaded"), deadline_ms=NOW_MS)
    assert isinstance(expired, Expire)
    assert expired.error.code == "deadline_exceeded"
    late = failed("overloaded", retry_after_ms=60_000)
    assert action(late, deadline_ms=NOW_MS + 10_000) == Retry(10_000)


@given(
    st.builds(
        Failed,
        kind=st.sampled_from(FailureKind),
        message=st.text(max_size=20),
        status=st.none() | st.integers(100, 599),
        retry_after_ms=st.none() | st.integers(0, 10**10),
        dead=st.booleans(),
        window=st.none() | st.just("rpm"),
        sent=st.booleans(),
        uncertain=st.booleans(),
    ),
    st.builds(
        JobFacts,
        attempts=st.integers(0, 5),
        requeues=st.integers(0, 100),
        deadline_ms=st.none() | st.integers(NOW_MS - 10, NOW_MS + 10**6),
        others=st.sampled_from([(), (BETA,), (BETA, BIG)]),
        paid=st.sampled_from([(), (PAID,)]),
        untried=st.booleans(),
        context_tokens=st.none() | st.just(8_000),
        siblings=st.integers(0, 2),
        on_uncertain=st.sampled_from(OnUncertain),
        on_break=st.sampled_from(OnBreak),
        streamed=st.booleans(),
        obstacle=st.sampled_from(["", "why"]),
        continued=st.booleans(),
        streak=st.integers(0, 100),
    ),
    st.floats(0, 1, exclude_max=True),
)
def test_no_failure_completes_none_surfaces_a_429_and_all_stop(outcome, facts, draw):
    decision = decide(outcome, facts, NOW_MS, draw)
    match decision.action:
        case Complete():
            raise AssertionError("a failure is no success")
        case Fail(error=error) | Expire(error=error):
            assert 400 <= error.status <= 599
            assert error.status != 429
        case Retry(delay_ms=delay_ms, lane=lane):
            assert facts.attempts + 1 < facts.max_attempts
            assert delay_ms >= 0
            assert lane is None or lane == PAID.lane
        case Requeue(delay_ms=delay_ms):
            assert delay_ms >= 0
            assert facts.deadline_ms is None or NOW_MS + delay_ms <= facts.deadline_ms
        case Move(lane=lane):
            assert lane in {other.lane for other in (*facts.others, *facts.paid)}
            assert lane != PAID.lane or not set(facts.others) & {BIG}
    if facts.streamed and facts.on_break is OnBreak.FAIL:
        assert isinstance(decision.action, Fail | Move)
    for rest in decision.cooldowns:
        assert rest.scope in ("lane", "credential", "deployment")
        assert rest.for_ms >= 0


def test_the_final_error_names_every_attempt():
    error = JobError("the last words", "all_attempts_failed", 502)
    told = aggregate(error, [(1, "alpha/m: timeout"), (9, "beta/m: overloaded (503)")]).message
    assert "1. alpha/m: timeout" in told
    assert "9. beta/m: overloaded (503)" in told
    assert aggregate(error, []) == error


def test_blame_falls_on_one_party_each():
    assert TABLE[FailureKind.UNAUTHORIZED].blame is Blame.CREDENTIAL
    assert TABLE[FailureKind.RATE_LIMITED].blame is Blame.NOBODY
    assert {row.effect for row in TABLE.values()} == set(Effect)


def test_backoff_doubles_to_its_cap_and_draws_the_whole_range():
    assert [backoff.ceiling_ms(n) for n in (0, 1, 4, 5, 99)] == [
        1_000,
        2_000,
        16_000,
        30_000,
        30_000,
    ]
    assert backoff.full_jitter_ms(3, 0.0) == 0
    assert backoff.half_jitter_ms(3, 0.99) >= 4_000
    assert backoff.wait_ms(3, 0.5, 12) == 12
