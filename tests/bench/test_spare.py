"""Whether a paid call was needless, on calls small enough to check by hand."""

import pytest

from bench.spare import Key, PaidCall, Use, knowable, needless
from simulator.config import LimitSpec

MINUTE_US = 60_000_000
TWO_A_MINUTE = [LimitSpec("requests", 2, MINUTE_US)]


def calls(*at_s):
    return [Use(round(at * 1e6), 10, 20) for at in at_s]


def paid(at_s, by_s, job="j"):
    return PaidCall(job, calls(at_s)[0], round(by_s * 1e6))


def judged(key, *found):
    return [(one.job, round(at / 1e6)) for one, _, at in needless(found, [key])]


def free(*at_s, limits=TWO_A_MINUTE, **given):
    return Key("p", "k", limits, "input+output", uses=calls(*at_s), **given)


def test_a_free_key_with_room_at_once_makes_it_needless():
    assert judged(free(0), paid(30, 40)) == [("j", 30)]


def test_room_that_opens_before_the_deadline_counts_and_later_does_not():
    assert judged(free(0, 1), paid(30, 90)) == [("j", 60)]
    assert judged(free(0, 1), paid(30, 55)) == []


def test_the_calls_that_were_made_afterwards_must_still_pass():
    assert judged(free(0, 61), paid(30, 40)) == [("j", 30)]
    assert judged(free(0, 58, 59), paid(30, 40)) == []


def test_time_to_answer_must_be_left():
    key = free(0, 1, takes_us=40_000_000)
    assert judged(key, paid(30, 90)) == []


def test_a_key_that_was_not_to_be_called_excuses():
    key = free(shut=[(0, 50_000_000)])
    assert judged(key, paid(30, 40)) == []
    assert judged(key, paid(30, 90)) == [("j", 50)]


def test_a_gap_counts_against_one_paid_call_only():
    assert judged(free(0), paid(30, 40, "first"), paid(30, 41, "second")) == [("first", 30)]


@pytest.mark.parametrize(("limit", "found"), [(60, [("j", 30)]), (59, [])])
def test_tokens_count_as_the_provider_counts_them(limit, found):
    limits = [LimitSpec("tokens", limit, MINUTE_US)]
    assert judged(free(0, limits=limits), paid(30, 40)) == found


def test_a_bucket_remembers_all_that_was_taken():
    limits = [LimitSpec("requests", 2, MINUTE_US, "bucket")]
    assert judged(free(0, 1, 30, limits=limits), paid(31, 40)) == []
    assert judged(free(0, 1, limits=limits), paid(31, 40)) == [("j", 31)]


def test_what_had_not_ended_counts_what_it_held_for_who_could_not_know():
    limits = [LimitSpec("tokens", 100, MINUTE_US)]
    running = Use(0, 10, 20, ended_us=31_000_000, held=(10, 70))
    key = Key("p", "k", limits, "input+output", uses=[running])
    call = paid(30, 40)
    assert judged(key, call) == [("j", 30)]
    key.uses = [running]
    assert knowable(call, call.use.at_us, [key]) is None
    assert knowable(call, 31_000_000, [key]) == ("p", 30_000_000)


def test_a_paid_call_that_had_held_more_than_fits_was_not_knowably_needless():
    limits = [LimitSpec("tokens", 60, MINUTE_US)]
    use = Use(30_000_000, 10, 20, ended_us=32_000_000, held=(10, 80))
    call = PaidCall("j", use, 40_000_000)
    key = Key("p", "k", limits, "input+output", uses=calls(0))
    assert knowable(call, use.at_us, [key]) is None
    assert knowable(call, 32_000_000, [key]) is not None
    assert key.left(use.at_us) == {"tokens per 60.0 s sliding": 30}
