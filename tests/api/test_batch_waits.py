"""What a batch as a whole waits for, by the lanes there are."""

import pytest

from api.batch_waits import waiting
from shared.core.batch import Batch, BatchStatus
from shared.queue.types import LaneView

BATCH = Batch(
    "batch_1", "t1", "/v1/chat/completions", "file-1", "24h", BatchStatus.IN_PROGRESS, 0, 0,
    total=9, fed=9,
)  # fmt: skip
BEGUN = Batch(
    "batch_1", "t1", "/v1/chat/completions", "file-1", "24h", BatchStatus.IN_PROGRESS, 0, 0,
    total=9, fed=9, ended=1, completed=1,
)  # fmt: skip


def lane(name, bulk=1, running=0, until_ms=0, reason="", workers=1, **more):
    queued = {"interactive": 0, "normal": 0, "bulk": bulk} | more.pop("queued", {})
    windows = tuple({"window": name, "free": free} for name, free in more.items())
    return LaneView(
        f"{name}@shared", queued, running, until_ms, reason, windows, 1.0, None, workers=workers
    )


def test_it_waits_for_the_lane_that_reopens_first():
    lanes = [lane("a/m", until_ms=60_000, reason="quota rpd"), lane("b/m", until_ms=50_000,
             reason="quota", rpm=3, rpd=0)]  # fmt: skip
    found = waiting(BEGUN, lanes)
    assert found == {
        "reason": "quota", "deployment": "b/m", "window": "rpd", "until": 50, "position": None,
        "message": "every lane with work rests, b/m the shortest:"
        " the provider's limit (rpd) is used up",
    }  # fmt: skip
    assert waiting(BEGUN, lanes[:1])["window"] == "rpd"
    assert waiting(BEGUN, lanes[:1])["message"].endswith("the provider's limit (rpd) is used up")


def test_where_nobody_serves_what_is_queued_that_is_what_it_waits_for():
    dead = lane("a/m", running=3, workers=0)  # what it ran when its worker died
    for batch in (BATCH, BEGUN):
        found = waiting(batch, [dead])
        assert (found["reason"], found["until"]) == ("no_worker", None)
        assert found["message"] == "no live worker serves the lanes of what is queued"
    rests = lane("b/m", until_ms=5_000, reason="cooldown")
    assert waiting(BEGUN, [dead, rests])["deployment"] == "b/m"
    assert waiting(BEGUN, [dead, lane("b/m")]) is None


@pytest.mark.parametrize(
    "lanes",
    [
        [],
        [lane("a", bulk=0, until_ms=9)],
        [lane("a", bulk=0, workers=0)],
        [lane("a"), lane("b", until_ms=9)],
        [lane("a", running=1, until_ms=9)],
    ],
)
def test_it_waits_for_nothing_while_anything_moves(lanes):
    assert waiting(BEGUN, lanes) is None


@pytest.mark.parametrize(
    ("lanes", "others", "named"),
    [
        ([lane("a", bulk=500, running=1)], 492, ""),
        ([lane("a", bulk=5), lane("b", bulk=0, queued={"normal": 6})], 2, " (6 normal)"),
        (
            [lane("a", bulk=9, queued={"interactive": 1_200, "normal": 1})],
            1_201,
            " (1,200 interactive, 1 normal)",
        ),
        ([lane("a", bulk=8, running=1)], None, ""),  # its own
        ([], None, ""),
    ],
)
def test_a_batch_of_which_nothing_is_answered_yet_names_the_other_work(lanes, others, named):
    found = waiting(BATCH, lanes)
    if others is None:
        assert found is None
        return
    assert (found["reason"], found["position"]) == ("behind", others)
    assert found["message"].startswith(f"{others:,} other jobs are queued or run{named}: ")
    assert waiting(BEGUN, lanes) is None, "it is not behind any more"


def test_lines_that_are_not_handed_in_yet_hide_no_other_work():
    first = Batch(
        "batch_1", "t1", "/v1/chat/completions", "file-1", "24h", BatchStatus.IN_PROGRESS, 0, 0,
        total=50_000, fed=5_000,
    )  # fmt: skip
    assert waiting(first, [lane("a", bulk=5_007)])["position"] == 7
