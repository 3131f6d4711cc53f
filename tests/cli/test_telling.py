"""When progress is told where no terminal shows it, and what is told of a watched job."""

import json
import time
from dataclasses import replace

import pytest

from cli import show
from cli.telling import EVERY_S, WAITS_S, Standing, Teller
from cli.watching import standing

BEGUN = Standing(0, 100, "running")


class Log:
    """A log and a clock that is set by hand."""

    def __init__(self, *, as_json=False):
        self.lines, self.now_s = [], 0.0
        self.teller = Teller(self.lines.append, as_json=as_json, clock=lambda: self.now_s)

    def told(self, *stands):
        """How many lines these make."""
        before = len(self.lines)
        for each in stands:
            self.teller.stands(each)
        return len(self.lines) - before


def test_the_beginning_and_each_tenth_are_told_once():
    log = Log()
    assert log.told(*(replace(BEGUN, done=n) for n in range(101) for _ in range(2))) == 11
    assert log.lines[:2] == ["0 of 100: running", "10 of 100: running"]


def test_where_nothing_changes_a_line_is_told_from_time_to_time():
    log = Log()
    assert log.told(BEGUN, BEGUN) == 1
    log.now_s += EVERY_S - 1
    assert log.told(BEGUN) == 0
    log.now_s += 1
    assert log.told(BEGUN, BEGUN) == 1


def test_a_state_is_told_at_once_and_what_is_waited_for_after_a_while():
    log = Log()
    waits = replace(BEGUN, waits="waits for a/m until 2033-05-18 05:33:20 (quota: rpd)")
    later = replace(BEGUN, waits="waits for a/m until 2033-05-18 05:34:20 (quota: rpd)")
    assert log.told(BEGUN, replace(BEGUN, state="finalizing"), BEGUN, waits) == 3
    log.now_s += WAITS_S
    assert log.told(waits) == 1
    log.now_s += WAITS_S
    assert log.told(later, BEGUN) == 0  # the same, only later; and what goes on needs no line
    assert log.told(replace(BEGUN, waits="waits for b/m")) == 1


def test_a_script_reads_events():
    log = Log(as_json=True)
    log.told(replace(BEGUN, waits="quota", facts={"left_s": 3.5}))
    assert json.loads(log.lines[0]) == {
        "event": "progress", "why": "begins", "done": 0, "total": 100, "state": None,
        "waits_for": "quota", "left_s": 3.5,
    }  # fmt: skip


def job(**more):
    return {"id": "job_1", "status": "in_progress", "route": {"chosen": "own/summaries"}} | more


def test_of_a_parent_it_is_told_where_its_parts_run_and_what_the_others_wait_for():
    waiting = {
        "reason": "quota", "window": "rpd", "until": 2_000_000_000, "position": 4,
        "eta": {"p50": time.time() + 3_600, "p95": time.time() + 7_200},
    }  # fmt: skip
    progress = {"children": {"total": 40, "ended": 10}}
    parts = [job(route={"chosen": place}) for place in ("a/m", "b/m", "b/m")]
    told = standing(job(progress=progress, waiting=waiting), parts)
    assert (told.done, told.total) == (10, 40)
    assert told.words.startswith(
        "in_progress, 3 of its parts run, on b/m, a/m, waits for quota, window rpd, until 2033-"
    )
    assert told.facts["running_on"] == {"a/m": 1, "b/m": 2}
    assert 0 < told.facts["left_s"] <= 3_600


@pytest.mark.parametrize(
    ("status", "place"), [("queued", {}), ("in_progress", {"own/summaries": 1})]
)
def test_a_job_without_parts_runs_where_it_is(status, place):
    told = standing(job(status=status), ())
    assert (told.state, told.facts["running_on"], told.waits) == (status, place, None)


def test_of_a_job_that_no_worker_would_start_that_is_told_and_no_time_left():
    alone = "no live worker serves its lane, so it is not known when it starts"
    waiting = {"reason": "no_worker", "message": f"{alone}; it is next", "position": 0, "eta": None}
    told = standing(job(status="queued", waiting=waiting), ())
    assert told.words == "queued, waits for a worker: no live one serves its lane"
    assert told.facts["left_s"] is None
    assert show.waiting(job(waiting=waiting)) == f"{alone}; it is next"
