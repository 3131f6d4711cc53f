"""How far work on several documents is said to be, and how long yet."""

import json

import pytest

from cli.bulk import Outcome
from cli.bulk_view import BulkView, Manner
from cli.countdown import Countdown, Far
from cli.results import Work
from cli.telling import Standing, Teller


def job(done, total, failed=0):
    documents = {"total": total, "completed": done, "failed": failed}
    children = {"total": total, "ended": done, "completed": done}
    return {"id": "j", "progress": {"children": children, "step": {"documents": documents}}}


@pytest.mark.parametrize("doc", [{}, {"progress": None}, job(1, 1), {"progress": {"step": {}}}])
def test_a_job_of_one_document_is_one_work(doc):
    assert Far().seen(doc) == Far()


def test_what_an_earlier_run_has_done_is_no_pace_of_this_one():
    far = Far().seen(job(3, 7)).seen(job(4, 7, failed=1))
    assert (far.done, far.total, far.before) == (5, 7, 3)
    assert far.ended() == Far(7, 7, 3)


def test_what_is_left_falls_steadily_until_something_more_is_done():
    begun = Countdown(began_s=100.0)
    assert begun.left_s(7, 500.0) is None
    two = begun.seen(2, 120.0)
    left = [two.seen(2, 120.0 + s).left_s(5, 120.0 + s) for s in (0, 4, 10, 1_000)]
    assert left == [50.0, 46.0, 40.0, 40.0]
    assert two.seen(3, 130.0).left_s(4, 130.0) == 40.0


def test_a_line_counts_documents_and_each_tenth_of_them_is_told():
    lines = []
    teller = Teller(lines.append, as_json=False, clock=lambda: 0.0)
    for done in (0, 1, 1, 2):
        teller.stands(Standing(0, 1, "1 running", documents=(done, 7)))
    assert lines == [f"{n} of 7 documents: 1 running" for n in range(3)]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_work_of_several_documents_tells_each_of_them(capsys, as_json):
    view = BulkView(1, Manner(lambda _job: ("tokens", 0.0), as_json=as_json))
    work = Work("7 documents", (), ())
    for done in (0, 2, 2, 3):
        view.changed(Outcome(work, "in_progress", "", job(done, 7)))
    lines = capsys.readouterr().err.splitlines()
    if as_json:
        told = [json.loads(line) for line in lines]
        assert [one["documents"] for one in told] == [{"done": n, "total": 7} for n in (0, 2, 3)]
        assert {(one["done"], one["total"]) for one in told} == {(0, 1)}
    else:
        assert [line.split(":")[0] for line in lines] == [f"{n} of 7 documents" for n in (0, 2, 3)]
