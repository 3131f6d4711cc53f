from dataclasses import replace

import pytest

from shared.core.batch import (
    Batch,
    BatchStatus,
    Chunk,
    Mark,
    Pace,
    Step,
    ending,
    file_id,
    job_id,
    mark_of_refusal,
    next_step,
)

PACE = Pace(outstanding=100, collect=50, chunk=40)
NOW = 1_000
BATCH = Batch(
    "batch_0123", "t", "/v1/chat/completions", "file-1", "24h", BatchStatus.IN_PROGRESS, 0, 2_000,
    total=300,
)  # fmt: skip
CHUNK = Chunk(0, 10, 0, 2, 5)

STEPS = [
    ("it is looked at first", {"status": BatchStatus.VALIDATING}, Step.VALIDATE),
    ("then it is fed", {}, Step.FEED),
    ("up to its bound", {"fed": 100}, Step.WAIT),
    ("and not by less than a chunk", {"fed": 100, "ended": 39, "collected": 39}, Step.WAIT),
    ("but as soon as there is room for one", {"fed": 100, "ended": 40, "collected": 40}, Step.FEED),
    ("a chunk that was begun comes first", {"fed": 200, "chunk": CHUNK}, Step.FEED),
    ("what ended is collected", {"fed": 60, "ended": 50, "waiting": 50}, Step.COLLECT),
    ("not a few at a time", {"fed": 140, "ended": 49, "waiting": 49}, Step.WAIT),
    ("but all at the end", {"fed": 300, "ended": 300, "waiting": 1}, Step.COLLECT),
    ("and then it is finished", {"fed": 300, "ended": 300}, Step.FINISH),
    ("a last line is waited for", {"fed": 300, "ended": 299}, Step.WAIT),
    ("cancelled, its lines are stopped", {"status": BatchStatus.CANCELLING, "fed": 9}, Step.STOP),
    ("and nothing more is fed", {"status": BatchStatus.CANCELLING, "fed": 9, "ended": 9},
     Step.FINISH),
    ("but for what was begun", {"status": BatchStatus.CANCELLING, "fed": 9, "chunk": CHUNK},
     Step.FEED),
    ("cancelled before it was looked at", {"status": BatchStatus.CANCELLING, "total": 0},
     Step.FINISH),
    ("over, it waits for what runs", {"expires_ms": NOW, "fed": 9}, Step.WAIT),
    ("and is finished then", {"expires_ms": NOW, "fed": 9, "ended": 9}, Step.FINISH),
    ("finalizing, it is finished", {"status": BatchStatus.FINALIZING, "fed": 300, "ended": 300},
     Step.FINISH),
]  # fmt: skip


@pytest.mark.parametrize(("why", "changes", "step"), STEPS)
def test_the_next_step(why, changes, step):
    assert next_step(replace(BATCH, **changes), NOW, PACE) is step, why


@pytest.mark.parametrize("status", [status for status in BatchStatus if status.final])
def test_a_final_batch_needs_nothing(status):
    assert next_step(replace(BATCH, status=status), NOW, PACE) is Step.WAIT


def test_what_has_waited_long_enough_is_collected():
    batch = replace(BATCH, fed=100, ended=1, waiting=1)
    assert next_step(batch, NOW, PACE, collect_now=True) is Step.COLLECT
    idle = replace(batch, waiting=0)
    assert next_step(idle, NOW, PACE, collect_now=True) is Step.WAIT


def test_how_it_ends():
    done = replace(BATCH, fed=300, ended=300, completed=290, failed=10)
    assert ending(done) is BatchStatus.COMPLETED
    assert ending(replace(done, completed=289)) is BatchStatus.EXPIRED  # one was never done
    assert ending(replace(done, status=BatchStatus.CANCELLING)) is BatchStatus.CANCELLED


def test_ids_are_the_same_whoever_makes_them():
    assert job_id("batch_0123", 7) == "job_0123_7"
    assert file_id("batch_0123", "output") == file_id("batch_0123", "output")
    assert file_id("batch_0123", "output") != file_id("batch_0123", "error")


@pytest.mark.parametrize(
    ("over", "cancelling", "mark"),
    [
        (False, False, Mark.REFUSED),
        (True, False, Mark.EXPIRED),
        (True, True, Mark.CANCELLED),
        (False, True, Mark.REFUSED),
    ],
)
def test_a_line_that_could_not_be_handed_in_is_not_at_fault_when_the_batch_is_over(
    over, cancelling, mark
):
    assert mark_of_refusal(over=over, cancelling=cancelling) is mark
