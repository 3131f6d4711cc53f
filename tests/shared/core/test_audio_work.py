"""Where the parts of a recording stand, from step to step."""

from dataclasses import replace

import orjson
import pytest

from shared.core.audio_work import (
    MOST_TRIES,
    Piece,
    Stage,
    Unheard,
    Work,
    again,
    awaited,
    given_up,
    hopeless,
    kept,
    lost,
    of_json,
    out,
    progress,
    revived,
    span_named,
    taken,
    to_json,
)
from shared.core.cutting import Span


def piece(number, stage=Stage.TO_DO, **more):
    start = number * 60_000
    span = Span(start, start + 60_000, start, start + 60_000)
    return Piece(span, stage, name=f"p{number}", size=9, digest=f"d{number}", **more)


def work(*pieces):
    return Work(len(pieces) * 60_000, "digest", pieces)


BAD = Unheard("no", "bad", 400, frozenset({"a/x"}))
BUSY = Unheard("no", "busy", 502, frozenset({"b/x"}))


def test_it_is_kept_and_read_back_as_it_was():
    one = work(piece(0, Stage.SILENT), out(work(piece(1)), 0, "child").pieces[0], piece(2))
    assert of_json(orjson.loads(orjson.dumps(to_json(one)))) == one


def test_a_part_goes_out_is_heard_and_then_all_is_whole():
    one = out(work(piece(0), piece(1, Stage.SILENT)), 0, "c0")
    assert (one.made, one.whole, one.pieces[0].tries) == (1, False, 1)
    heard, failed = taken(one, {"c0": None})
    assert (heard.whole, failed) == (True, {})
    assert again(heard, 0).pieces[0].stage is Stage.TO_DO


def test_a_part_that_failed_is_to_be_done_elsewhere_and_others_are_not_touched():
    one = out(out(work(piece(0), piece(1)), 0, "c0"), 1, "c1")
    found, failed = taken(one, {"c1": BAD})
    assert failed == {1: BAD}
    assert found.pieces[0] == one.pieces[0]
    assert (found.pieces[1].stage, found.pieces[1].left_out) == (Stage.TO_DO, ("a/x",))
    found, _ = taken(out(found, 1, "c2"), {"c2": BUSY})
    assert (found.pieces[1].left_out, found.pieces[1].tries) == (("a/x", "b/x"), 2)


def test_who_was_only_in_trouble_may_be_tried_again_and_who_refused_may_not():
    def failed(*tried, troubled):
        return Unheard("no", "c", 502, frozenset(tried), frozenset(troubled))

    one = work(piece(0))
    for tried, troubled, left_out, back in (
        (("a/x", "b/x"), {"b/x"}, ("a/x", "b/x"), ("b/x",)),
        (("c/x",), {"c/x"}, ("a/x", "b/x", "c/x"), ("b/x", "c/x")),
        (("b/x",), set(), ("a/x", "b/x", "c/x"), ("c/x",)),  # it refused it in the end
        (("a/x",), {"a/x"}, ("a/x", "b/x", "c/x"), ("c/x",)),  # it refused it before
    ):
        one, _ = taken(out(one, 0, "c"), {"c": failed(*tried, troubled=troubled)})
        assert (one.pieces[0].left_out, one.pieces[0].again) == (left_out, back)
        assert of_json(orjson.loads(orjson.dumps(to_json(one)))) == one


@pytest.mark.parametrize(
    ("tries", "unheard", "elsewhere", "gone"),
    [
        (1, BAD, True, False),
        (1, BAD, False, True),  # who refused it will refuse it again
        (1, BUSY, False, False),  # trouble passes
        (MOST_TRIES, BUSY, True, True),
        (MOST_TRIES, BAD, True, True),
    ],
)
def test_a_part_is_given_up_when_there_is_no_use_in_trying(tries, unheard, elsewhere, gone):
    assert hopeless(piece(0, tries=tries), unheard, elsewhere=elsewhere) is gone


def test_a_job_that_is_begun_again_may_try_everything_again_but_what_was_heard():
    tried = piece(0, tries=3, left_out=("a/x",))
    heard = piece(1, Stage.HEARD, tries=2, child="c")
    found = revived(work(tried, heard))
    assert found.pieces == (replace(tried, tries=0, left_out=()), heard)


def test_one_lost_part_lets_the_others_be_heard_and_several_do_not():
    one = work(piece(0, Stage.HEARD, child="c"), piece(1), piece(2, Stage.OUT, child="d"), piece(3))
    assert not given_up(one, busy=False)
    gone = lost(one, 1, BAD)
    assert (gone.pieces[1].stage, gone.pieces[1].unheard) == (Stage.LOST, BAD)
    assert not given_up(gone, busy=True)
    assert given_up(gone, busy=False)
    assert given_up(lost(lost(gone, 2, BUSY), 3, BAD), busy=True)
    rest = taken(out(gone, 3, "e"), {"d": None, "e": None})[0]
    assert (rest.whole, progress(rest)["parts"]["failed"]) == (True, 1)
    assert of_json(orjson.loads(orjson.dumps(to_json(rest)))) == rest


def test_what_was_lost_is_tried_again_where_the_job_is_begun_again():
    gone = lost(work(piece(0, tries=3), piece(1, Stage.HEARD, child="c")), 0, BAD)
    assert revived(gone).pieces[0] == piece(0)
    assert kept(work(piece(0), piece(1)), gone).pieces == gone.pieces


def test_a_recording_cut_anew_keeps_what_was_heard_of_the_same_sound():
    old = work(piece(0, Stage.HEARD, child="c0"), piece(1, Stage.HEARD, child="c1"), piece(2))
    new = work(
        replace(piece(0), name="n0"),
        replace(piece(1), name="n1", digest="other"),
        replace(piece(2), name="n2"),
    )
    found = kept(new, replace(old, made=5))
    assert [one.name for one in found.pieces] == ["p0", "n1", "n2"]
    assert [one.stage for one in found.pieces] == [Stage.HEARD, Stage.TO_DO, Stage.TO_DO]
    assert found.made == 5


@pytest.mark.parametrize(("living", "ended", "wanted"), [(1, 0, 1), (2, 3, 4), (9, 0, 5)])
def test_it_looks_when_half_of_those_that_live_have_ended(living, ended, wanted):
    one = work(*(piece(n, Stage.OUT, child=f"c{n}") for n in range(living)))
    assert awaited(one, ended) == wanted


def test_progress_counts_what_was_heard_and_what_needs_no_hearing():
    one = work(piece(0, Stage.HEARD), piece(1, Stage.SILENT), piece(2, Stage.OUT), piece(3))
    assert progress(one) == {
        "phase": "transcribing",
        "seconds": {"total": 240.0, "completed": 120.0},
        "parts": {"total": 4, "completed": 2, "failed": 0},
    }


def test_a_part_is_called_by_its_times():
    assert span_named(Span(0, 0, 3_599_700, 7_325_000)) == "the part from 1:00:00 to 2:02:05"
