"""What a person sees of a batch on its way."""

import io

from rich.console import Console

from cli.batch_view import View, describe, waiting

BATCH = {"status": "in_progress", "request_counts": {"total": 9, "completed": 5, "failed": 0}}


def test_who_answers_it_is_told_by_how_much():
    by = {"a/m": 1, "b/m": 40, "c/m": 3, "d/m": 2, "e/m": 1}
    told = describe(BATCH | {"headrace": {"answered_by": by}, "usage": {"total_tokens": 1200}})
    assert told == "in_progress, 1,200 tokens, on b/m (40), c/m (3), d/m (2) and 2 more"


def test_failed_lines_are_told_and_a_server_without_more_to_tell_is_no_fault():
    counts = {"total": 9, "completed": 5, "failed": 2}
    assert describe(BATCH | {"request_counts": counts}) == "in_progress, 2 failed"


def waits(reason, message, until=None):
    return BATCH | {"headrace": {"waiting": {"reason": reason, "message": message, "until": until}}}


def test_what_it_waits_for_is_told_as_the_api_says_it():
    rests = waits("quota", "every lane with work rests", until=2_000_000_000)
    assert waiting(rests).startswith("waits: every lane with work rests, until 2033-05-1")
    assert describe(rests).startswith("in_progress, waits: every lane")
    assert waiting(waits("behind", "7 other jobs are queued")) == "waits: 7 other jobs are queued"
    assert waiting(BATCH | {"headrace": {"waiting": None}}) is None
    assert waiting(BATCH) is None


def test_no_time_left_is_promised_where_no_worker_lives(monkeypatch):
    for terminal in (False, True):
        said = io.StringIO()
        console = Console(file=said, force_terminal=terminal, width=200, highlight=False)
        monkeypatch.setattr("cli.show.err", lambda console=console: console)
        view = View(as_json=False)
        monkeypatch.setattr(view, "_left_s", lambda _done, _total: 70.0)
        stuck = waits("no_worker", "no live worker serves the lanes of what is queued")
        with view.progress():
            view.refresh(stuck | {"id": "batch_1"})
        assert "no live worker" in said.getvalue()
        assert "left" not in said.getvalue()
        if not terminal:
            view = View(as_json=False)
            monkeypatch.setattr(view, "_left_s", lambda _done, _total: 70.0)
            view.refresh(waits("behind", "7 other jobs") | {"id": "batch_1"})
            assert "about 1 min 10 s left" in said.getvalue()
