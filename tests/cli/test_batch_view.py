"""What a person sees of a batch on its way."""

import pytest

from cli.batch_view import describe, stands_behind, waits_for

BATCH = {"status": "in_progress", "request_counts": {"total": 9, "completed": 5, "failed": 0}}


def lane(name, queued=1, running=0, until=None, reason=None):
    return {
        "deployment": name, "queued": queued, "running": running, "parked_until": until,
        "parked_reason": reason,
    }  # fmt: skip


def test_who_answers_it_is_told_by_how_much():
    by = {"a/m": 1, "b/m": 40, "c/m": 3, "d/m": 2, "e/m": 1}
    told = describe(BATCH | {"headrace": {"answered_by": by}, "usage": {"total_tokens": 1200}}, ())
    assert told == "in_progress, 1,200 tokens, on b/m (40), c/m (3), d/m (2) and 2 more"


def test_failed_lines_are_told_and_a_server_without_more_to_tell_is_no_fault():
    counts = {"total": 9, "completed": 5, "failed": 2}
    assert describe(BATCH | {"request_counts": counts}, ()) == "in_progress, 2 failed"


def test_what_it_waits_for_is_the_lane_that_reopens_first():
    lanes = [lane("a/m", until=2_000_000_060, reason="quota"), lane("b/m", until=2_000_000_000)]
    assert waits_for(lanes).startswith("waits for b/m until 2033-05-1")
    assert waits_for([lanes[0]]).endswith("(quota)")
    windows = [{"window": "rpm", "free": 3}, {"window": "rpd", "free": 0}]
    assert waits_for([lanes[0] | {"windows": windows}]).endswith("(quota: rpd)")
    assert "waits for" in describe(BATCH, lanes)
    assert "waits for" not in describe(BATCH | {"status": "finalizing"}, lanes)


@pytest.mark.parametrize(
    "lanes", [[], [lane("a", queued=0, until=9)], [lane("a"), lane("b", until=9)],
              [lane("a", running=1, until=9)]],
)  # fmt: skip
def test_it_waits_for_nothing_while_anything_moves(lanes):
    assert waits_for(lanes) is None


@pytest.mark.parametrize(
    ("completed", "lanes", "others"),
    [
        (0, [lane("a", queued={"bulk": 500, "normal": 0}, running=1)], 492),
        (0, [lane("a", queued={"bulk": 5}), lane("b", queued={"normal": 6})], 2),
        (0, [lane("a", queued={"bulk": 8}, running=1)], None),  # its own
        (0, [], None),
        (1, [lane("a", queued={"bulk": 500})], None),  # it is not behind any more
    ],
)
def test_a_batch_of_which_nothing_is_answered_yet_tells_how_much_other_work_there_is(
    completed, lanes, others
):
    batch = BATCH | {"request_counts": {"total": 9, "completed": completed, "failed": 0}}
    told = stands_behind(batch, lanes)
    assert told == (others and f"{others} other jobs are queued or run: those due sooner go first"
                    " (--window 1h)")  # fmt: skip
    assert describe(batch, lanes).endswith(told or "in_progress")
    assert "other jobs" not in describe(batch | {"status": "finalizing"}, lanes)
