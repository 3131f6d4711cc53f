"""Bulk verbs against a stand-in API: what is found, written, left alone and gone on with."""

import io
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import raw_server
from bulk_api import BulkApi
from fake_api import KEY, serving
from raw_server import Peer
from rich.console import Console

from cli import typed
from cli.bulk import Outcome, briefly
from cli.bulk_view import BulkView, Manner
from cli.client import Api, Place
from cli.results import Work
from cli.transcribe import minutes
from shared.errors import Refused

SRT = "1\n00:00:00,000 --> 00:00:01,500\nHello there.\n\n2\n00:00:01,500 --> 00:00:03,000\nGood bye.\n\n"  # noqa: E501


@pytest.fixture
def fake(monkeypatch, tmp_path):
    with serving(BulkApi()) as api:
        monkeypatch.setenv("HEADRACE_URL", api.url)
        monkeypatch.setenv("HEADRACE_API_KEY", KEY)
        monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path / "data"))
        yield api


@pytest.fixture
def talks(tmp_path, monkeypatch):
    """A folder with two talks, one of them deeper, and what is none."""
    folder = tmp_path / "talks"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.mp3", "deep/b.WAV", "notes.pdf", ".hidden.mp3"):
        (folder / name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return folder


def tree(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_is_transcribed_beside_its_files_and_says_what_it_left_out(fake, headrace, talks):
    ran = headrace("transcribe", str(talks))
    assert ran.code == 0, ran.err
    assert sorted(ran.out.split()) == [str(talks / "a.txt"), str(talks / "deep/b.txt")]
    assert (talks / "a.txt").read_text() == "Hello there. Good bye.\n"
    assert "skipped 1 file that is no audio or video by name (1 .pdf)" in ran.err
    again = headrace("transcribe", str(talks))
    assert "skipped 1 file that is no audio" in again.err  # its own results are not counted
    assert again.out == ""
    assert tree(talks) == [".hidden.mp3", "a.mp3", "a.txt", "deep/b.WAV", "deep/b.txt", "notes.pdf"]
    assert sorted(fake.uploads) == ["a.mp3", "b.WAV"]
    assert sorted(fake.removed) == sorted(fake.files)
    assert fake.forms[0]["expires_after[seconds]"] == "2592000"
    assert {body["priority"] for body in fake.bodies} == {"bulk"}


def test_several_formats_are_written_from_one_job(fake, headrace, talks):
    words = ("--format", "srt", "--format", "vtt", "--format", "verbose_json", "--words")
    ran = headrace("transcribe", "talks/a.mp3", *words, "--language", "en", "--model", "whisper-1")
    assert ran.code == 0, ran.err
    assert (talks / "a.srt").read_text() == SRT
    assert (talks / "a.vtt").read_text().startswith("WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n")
    assert json.loads((talks / "a.verbose.json").read_bytes())["words"][0]["word"] == "Hello"
    assert len(fake.jobs) == 1
    assert fake.bodies[0]["request"] == {
        "file_id": "file-1", "model": "whisper-1", "language": "en",
        "response_format": "verbose_json", "timestamp_granularities": ["segment", "word"],
    }  # fmt: skip


def test_who_speaks_is_told_before_each_turn_of_a_text(fake, headrace, talks):
    assert headrace("transcribe", "talks/a.mp3").code == 0  # nobody is told in this text
    words = ("--format", "diarized_json", "--format", "txt", "--format", "srt")
    ran = headrace("transcribe", "talks/a.mp3", *words)
    assert (ran.code, "made with other options: --force replaces it" in ran.err) == (1, True)
    ran = headrace("transcribe", "talks/a.mp3", *words, "--force")
    assert ran.code == 0, ran.err
    assert (talks / "a.txt").read_text() == "A: Hello there.\nB: Good bye. Or not.\n"
    assert (talks / "a.srt").read_text().startswith(SRT)
    told = json.loads((talks / "a.diarized.json").read_bytes())["segments"]
    assert [one["speaker"] for one in told] == ["A", "B", "B"]
    assert fake.bodies[-1]["request"]["response_format"] == "diarized_json"


def test_out_mirrors_the_tree(fake, headrace, talks, tmp_path):
    assert headrace("transcribe", "talks", "--out", "texts").code == 0
    assert tree(tmp_path / "texts") == ["a.txt", "deep/b.txt"]


def test_out_keeps_the_names_of_several_folders_apart(fake, headrace, talks, tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.mp3").write_bytes(b"x")
    assert headrace("transcribe", "talks", "more", "--out", "texts").code == 0
    assert tree(tmp_path / "texts") == ["more/a.txt", "talks/a.txt", "talks/deep/b.txt"]


def test_a_glob_is_ours_to_expand_and_a_file_given_twice_is_done_once(fake, headrace, talks):
    ran = headrace("transcribe", "talks/**/*.[mW]*", "talks/a.mp3")
    assert ran.code == 0, ran.err
    assert sorted(fake.uploads) == ["a.mp3", "b.WAV"]


def test_an_address_is_fetched_by_headrace_and_its_result_stands_here(
    fake, headrace, talks, tmp_path
):
    assert headrace("transcribe", "https://example.com/x/talk%20one.mp3?k=1").code == 0
    assert (tmp_path / "talk-one.txt").exists()
    assert fake.bodies[0]["request"]["url"] == "https://example.com/x/talk%20one.mp3?k=1"
    assert fake.uploads == []


def test_a_file_that_is_named_itself_is_handed_in_whatever_it_is_called(fake, headrace, talks):
    assert headrace("transcribe", "talks/notes.pdf").code == 0
    assert (talks / "notes.pdf.txt").exists()


def test_two_files_that_differ_in_their_suffix_alone_get_results_apart(fake, headrace, talks):
    (talks / "a.ogg").write_bytes(b"x")
    assert headrace("transcribe", "talks").code == 0
    assert {"a.mp3.txt", "a.ogg.txt", "deep/b.txt"} <= set(tree(talks))


def test_what_is_done_is_left_out_the_next_time_and_nothing_is_handed_in(fake, headrace, talks):
    headrace("transcribe", "talks")
    before = (talks / "a.txt").stat().st_mtime_ns
    ran = headrace("transcribe", "talks", "--json")
    assert ran.code == 0
    rows = [json.loads(line) for line in ran.out.splitlines()]
    assert {row["status"] for row in rows} == {"skipped"}
    assert rows[0]["outputs"] == ["talks/a.txt"]
    assert (len(fake.jobs), len(fake.uploads)) == (2, 2)
    assert (talks / "a.txt").stat().st_mtime_ns == before


@pytest.mark.parametrize("change", ["input", "options", "note"])
def test_a_result_of_something_else_is_not_replaced_without_force(
    fake, headrace, talks, tmp_path, change
):
    headrace("transcribe", "talks/a.mp3")
    words: tuple[str, ...] = ()
    if change == "input":
        (talks / "a.mp3").write_bytes(b"another")
    elif change == "options":
        words = ("--prompt", "Hanoi")
    else:
        (tmp_path / "data" / "bulk.sqlite").unlink()
    fake.text = "New."
    ran = headrace("transcribe", "talks/a.mp3", *words)
    assert ran.code == 1
    assert "a.txt is there" in ran.err
    assert "--force" in ran.err
    assert len(fake.jobs) == 1
    assert headrace("transcribe", "talks/a.mp3", *words, "--force").code == 0
    assert (talks / "a.txt").read_text() == "New.\n"


def test_a_result_that_was_taken_away_is_written_again_from_the_same_job(fake, headrace, talks):
    headrace("transcribe", "talks/a.mp3")
    (talks / "a.txt").unlink()
    assert headrace("transcribe", "talks/a.mp3").code == 0
    assert (talks / "a.txt").exists()
    assert len(fake.jobs) == 1


def test_a_format_that_is_added_is_written_from_the_same_job(fake, headrace, talks):
    two = ("--format", "txt", "--format", "srt")
    headrace("transcribe", "talks/a.mp3", *two)
    (talks / "a.txt").write_text("Edited.\n")
    ran = headrace("transcribe", "talks/a.mp3", *two, "--format", "vtt")
    assert ran.code == 0, ran.err
    assert (talks / "a.vtt").read_text().startswith("WEBVTT")
    assert (talks / "a.txt").read_text() == "Edited.\n"
    assert ran.out.split() == ["talks/a.txt", "talks/a.srt", "talks/a.vtt"]
    ran = headrace("transcribe", "talks/a.mp3", "--format", "txt", "--json")
    assert json.loads(ran.out)["status"] == "skipped"
    assert (len(fake.jobs), len(fake.uploads)) == (1, 1)


def test_a_format_that_the_kept_result_may_not_tell_is_another_job(fake, headrace, talks):
    headrace("transcribe", "talks/a.mp3")
    ran = headrace("transcribe", "talks/a.mp3", "--format", "txt", "--format", "srt")
    assert ran.code == 0, ran.err
    assert (talks / "a.srt").read_text() == SRT
    shapes = [body["request"]["response_format"] for body in fake.bodies]
    assert shapes == ["json", "verbose_json"]


def test_what_was_made_with_other_options_is_said_to_be(fake, headrace, talks):
    headrace("transcribe", "talks/a.mp3")
    ran = headrace("transcribe", "talks/a.mp3", "--language", "en")
    told = "talks/a.txt is there, made with other options: --force replaces it"
    assert (ran.code, told in ran.err) == (1, True)
    (talks / "a.mp3").write_bytes(b"another")
    assert "made of another input" in headrace("transcribe", "talks/a.mp3").err


@pytest.mark.parametrize("words", [["--out", "/dev/null/x"], ["--out", "talks/a.mp3"]])
def test_a_place_that_cannot_be_written_is_one_error_before_anything_is_sent(
    fake, headrace, talks, words
):
    ran = headrace("transcribe", "talks", *words)
    assert (ran.code, fake.uploads) == (2, [])
    assert "results cannot be written there (Not a directory)" in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_folder_where_a_result_belongs_is_told_before_anything_is_sent(fake, headrace, talks):
    (talks / "a.txt").mkdir()
    ran = headrace("transcribe", "talks/a.mp3", "--force")
    assert (ran.code, fake.uploads) == (2, [])
    assert "talks/a.txt is a folder" in ran.err


def test_without_a_terminal_a_log_has_its_beginning_tenths_and_end(fake, headrace, talks):
    told = headrace("transcribe", "talks/a.mp3", "talks/deep").err.splitlines()
    assert told[0].startswith("0 of 2")
    assert any(line.startswith("2 of 2") for line in told)
    assert told[-1].startswith("2 in ")
    assert headrace("transcribe", "talks", "--force", "--quiet").err == ""


def test_with_json_stderr_has_events_and_stdout_a_row_for_each_input(fake, headrace, talks):
    fake.ends = {"a.mp3": "failed"}
    ran = headrace("transcribe", "talks/a.mp3", "talks/deep", "--json")
    events = [json.loads(line) for line in ran.err.splitlines()]
    assert events[0] | {"left_s": None} == {
        "event": "progress", "why": "begins", "done": 0, "total": 2, "state": None,
        "waits_for": None, "running_on": {}, "left_s": None, "counts": {},
    }  # fmt: skip
    failed = [one for one in events if one["event"] == "failed"]
    assert [(one["input"], one["error"]) for one in failed] == [("talks/a.mp3", "nobody could")]
    assert events[-1]["event"] == "ended"
    assert events[-1]["counts"] == {"failed": 1, "completed": 1}
    assert len(ran.out.splitlines()) == 2


def test_a_job_that_is_no_longer_known_is_handed_in_anew(fake, headrace, talks):
    headrace("transcribe", "talks/a.mp3")
    (talks / "a.txt").unlink()
    fake.jobs.clear()
    assert headrace("transcribe", "talks/a.mp3").code == 0
    assert len(fake.keyed) == 2


def test_one_that_fails_does_not_fail_the_others_and_is_tried_anew(fake, headrace, talks):
    fake.ends = {"a.mp3": "failed"}
    ran = headrace("transcribe", "talks", "--quiet")
    assert ran.code == 1
    assert ran.err == "failed: talks/a.mp3: nobody could\n"
    assert (talks / "deep/b.txt").exists()
    assert sorted(fake.removed) == sorted(fake.files)
    fake.ends = {}
    assert headrace("transcribe", "talks").code == 0
    assert len(fake.jobs) == 3


def test_one_that_is_refused_is_named_and_its_upload_taken_away(fake, headrace, talks):
    fake.ends = {"a.mp3": "refused"}
    ran = headrace("transcribe", "talks", "--json")
    assert ran.code == 1
    rows = {row["input"]: row for row in map(json.loads, ran.out.splitlines())}
    assert rows["talks/a.mp3"]["status"] == "refused"
    assert rows["talks/a.mp3"]["error"] == "request.model: no such model"
    assert rows["talks/deep/b.WAV"]["outputs"] == ["talks/deep/b.txt"]
    assert sorted(fake.removed) == sorted(fake.files)


def test_an_empty_file_is_named_before_anything_is_sent(fake, headrace, talks):
    (talks / "a.mp3").write_bytes(b"")
    ran = headrace("transcribe", "talks/a.mp3")
    assert (ran.code, fake.uploads) == (1, [])
    assert "refused: talks/a.mp3: it is empty" in ran.err


def test_a_name_that_is_no_utf8_is_refused_and_stops_no_other(fake, headrace, talks):
    (talks / os.fsdecode(b"caf\xe9.mp3")).write_bytes(b"x")
    (talks / os.fsdecode(b"a.\xe9")).write_bytes(b"x")
    ran = headrace("transcribe", "talks")
    assert ran.code == 1
    assert "refused: talks/caf\ufffd.mp3: a name in its path is no UTF-8: rename it" in ran.err
    assert (talks / "a.txt").exists()
    assert sorted(fake.uploads) == ["a.mp3", "b.WAV"]


class Growing(io.FileIO):
    """A file that somebody still writes to."""

    def read(self, size=-1, /):
        with Path(self.name).open("ab") as more:
            more.write(b"more")
        return super().read(size)


async def test_a_file_that_grows_while_it_is_sent_is_no_server_that_is_gone(talks):
    class Recording(type(talks)):
        def open(self, mode):
            return Growing(self, mode)

    async with raw_server.serving(Peer.gone) as server, Api(Place(server.url, KEY)) as api:
        with pytest.raises(Refused, match="changed its length"):
            await api.upload(Recording(talks / "a.mp3"), "user_data")


def test_an_upload_that_finds_no_room_is_repeated(fake, headrace, talks):
    fake.drop_uploads = 2
    assert headrace("transcribe", "talks").code == 0


def test_a_great_folder_never_has_more_jobs_out_than_asked_for(fake, headrace, talks):
    for number in range(60):
        (talks / f"n{number}.mp3").write_bytes(b"x")
    fake.looks = 12
    assert headrace("transcribe", "talks", "--at-once", "5").code == 0
    assert len(fake.jobs) == 62
    assert 2 <= fake.most_live <= 5


def test_a_killed_run_goes_on_with_its_jobs(fake, headrace, talks):
    fake.hold = True
    command = [sys.executable, "-m", "cli.main", "transcribe", "talks/a.mp3"]
    process = subprocess.Popen(command, env=os.environ.copy())
    assert fake.busy.wait(120)
    process.kill()
    process.wait(120)
    fake.hold = False
    assert headrace("transcribe", "talks/a.mp3").code == 0
    assert (len(fake.jobs), fake.uploads) == (1, ["a.mp3"])


def test_an_interrupt_says_how_to_go_on_and_leaves_the_jobs_running(fake, headrace, talks):
    fake.hold = True
    command = [sys.executable, "-m", "cli.main", "transcribe", "talks/a.mp3", "--prompt", "o k"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ.copy())
    assert fake.busy.wait(120)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    resume = f"resume with: {typed.command()} transcribe talks/a.mp3 --prompt 'o k'"
    assert f"what was handed in goes on; {resume}" in err
    assert "Traceback" not in err


def test_a_job_of_other_options_that_nobody_waits_for_is_cancelled(fake, headrace, talks):
    fake.hold = True
    command = [sys.executable, "-m", "cli.main", "transcribe", "talks/a.mp3"]
    process = subprocess.Popen(command, env=os.environ.copy())
    assert fake.polled.wait(120)
    process.kill()
    process.wait(120)
    fake.hold = False
    assert headrace("transcribe", "talks/a.mp3", "--language", "en").code == 0
    assert [job["status"] for job in fake.jobs.values()] == ["cancelled", "completed"]
    assert sorted(fake.removed) == sorted(fake.files)


def test_what_may_have_been_accepted_is_found_by_its_key(fake, headrace, talks):
    fake.lost = 1
    ran = headrace("transcribe", "talks/a.mp3")
    assert (ran.code, len(fake.jobs)) == (1, 1)
    assert headrace("transcribe", "talks/a.mp3").code == 0
    assert (len(fake.jobs), len(fake.uploads)) == (1, 1)


def test_two_runs_at_once_share_one_job(fake, headrace, talks):
    fake.hold = True
    command = [sys.executable, "-m", "cli.main", "transcribe", "talks/a.mp3"]
    processes = [subprocess.Popen(command, env=os.environ.copy()) for _ in range(2)]
    assert fake.busy.wait(120)
    fake.hold = False
    assert [process.wait(120) for process in processes] == [0, 0]
    assert len(fake.jobs) == 1


def test_nobody_there_is_told_as_by_other_verbs(headrace, talks, monkeypatch, tmp_path):
    monkeypatch.setenv("HEADRACE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path / "data"))
    ran = headrace("transcribe", "talks")
    assert ran.code == 3
    assert "start it with `headrace up`" in ran.err
    told = "interrupted after 0 of 2; nothing of the rest was handed in; resume with:"
    assert f"{told} {typed.command()} transcribe talks" in ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["transcribe", "nothing.mp3"], "nothing.mp3: there is no such file"),
        (["transcribe", "talks/*.xyz"], "nothing matches"),
        (["transcribe", "talks", "--format", "doc"], "--format is 'doc'"),
        (["transcribe", "talks", "--words", "--format", "txt"], "--words"),
        (["transcribe", "talks", "-f", "verbose_json", "-f", "diarized_json"], "are two calls"),
        (["transcribe", "talks", "--priority", "high"], "--priority is 'high'"),
        (["transcribe", "talks", "--paid", "yes"], "--paid is 'yes'"),
        (["summarize", "talks/deep"], "nothing to do in talks/deep"),
        (["summarize", "talks", "--style", "long"], "--style is 'long'"),
        (["summarize", "talks", "--length", "huge"], "--length is 'huge'"),
        (["summarize", "talks", "--schema", "talks/a.mp3"], "--schema: talks/a.mp3 cannot be read"),
        (["summarize", "talks", "--schema", "none"], "none cannot be read: No such file or dir"),
        (["transcribe", "https://"], "names a host"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(fake, headrace, talks, words, said):
    ran = headrace(*words)
    assert ran.code == 2
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1
    assert fake.uploads == []


# -- summaries


@pytest.fixture
def papers(tmp_path, monkeypatch):
    folder = tmp_path / "papers"
    folder.mkdir()
    for name in ("one.pdf", "two.txt", "picture.png"):
        (folder / name).write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return folder


def test_documents_are_summarised_beside_themselves_as_asked(fake, headrace, papers):
    words = ("--style", "bullets", "--length", "120", "--language", "German", "--focus", "costs")
    ran = headrace("summarize", "papers", *words, "--webhook", "https://example.com/h")
    assert ran.code == 0, ran.err
    assert (papers / "one.summary.md").read_text() == "about one.pdf\n"
    assert (papers / "two.summary.md").exists()
    first = next(b for b in fake.bodies if b["request"]["documents"][0]["title"] == "one.pdf")
    file_id = next(i for i, (name, _) in fake.files.items() if name == "one.pdf")
    assert first["request"] == {
        "model": "auto", "style": "bullets", "length": 120, "language": "German", "focus": "costs",
        "documents": [{"file_id": file_id, "title": "one.pdf"}],
    }  # fmt: skip
    assert first["webhook"] == "https://example.com/h"
    assert headrace("summarize", "papers", *words).code == 0  # its own results are no documents
    assert len(fake.jobs) == 2


def test_a_schema_makes_json(fake, headrace, papers, tmp_path):
    (tmp_path / "schema.json").write_text('{"type": "object"}')
    assert headrace("summarize", "papers/one.pdf", "--schema", "schema.json").code == 0
    assert json.loads((papers / "one.summary.json").read_bytes()) == {"n": 1}
    assert fake.bodies[0]["request"]["json_schema"] == {"type": "object"}


def test_combined_is_one_job_with_a_summary_of_each_and_one_over_all(fake, headrace, papers):
    ran = headrace("summarize", "papers", "--combined")
    assert ran.code == 0, ran.err
    assert (papers / "combined.summary.md").read_text() == "about all\n"
    assert (papers / "one.summary.md").read_text() == "about one.pdf\n"
    assert ran.out.split()[-1] == "papers/combined.summary.md"  # told as the others are
    assert len(fake.jobs) == 1
    assert fake.bodies[0]["request"]["combined"] is True


def test_a_document_that_cannot_be_read_does_not_keep_the_others_from_being_written(
    fake, headrace, papers
):
    fake.ends = {"two.txt": "failed"}
    ran = headrace("summarize", "papers", "--combined")
    assert ran.code == 1
    assert "failed of 2 documents: two.txt: no text" in ran.err
    assert "1 completed, 1 failed" in ran.err.splitlines()[-1]  # documents, not jobs
    assert (papers / "combined.summary.md").exists()
    assert not (papers / "two.summary.md").exists()
    headrace("summarize", "papers", "--combined")
    assert len(fake.jobs) == 1  # the same answer costs nothing


def test_what_was_left_out_of_a_document_is_said(fake, headrace, papers):
    (papers / "long.html").write_text("x")
    ran = headrace("summarize", "papers/long.html")
    assert "warning: papers/long.html: its middle was left out" in ran.err
    ran = headrace("summarize", "papers", "--combined", "--force", "--json")
    assert json.loads(ran.out)["warnings"] == ["long.html: its middle was left out"]


def test_an_empty_document_fails_alone_of_those_that_are_combined(fake, headrace, papers):
    (papers / "empty.txt").touch()
    ran = headrace("summarize", "papers", "--combined")
    assert ran.code == 1
    assert "refused: papers/empty.txt: it is empty" in ran.err
    assert (papers / "combined.summary.md").exists()
    assert (papers / "one.summary.md").exists()
    assert [one["title"] for one in fake.bodies[0]["request"]["documents"]] == [
        "one.pdf",
        "two.txt",
    ]


def test_a_page_has_a_title_of_its_own_and_other_documents_their_name(fake, headrace, papers):
    (papers / "page.HTML").write_text("<title>Mills</title><p>Water turns wheels.</p>")
    headrace("summarize", "papers")
    told = {body["metadata"]["source"]: body["request"]["documents"][0] for body in fake.bodies}
    assert {Path(name).name for name, one in told.items() if "title" in one} == {
        "one.pdf",
        "two.txt",
    }


def test_a_name_is_not_told_twice():
    assert briefly("docs/a.md", "a.md: no text") == "no text"
    assert briefly("docs/ba.md", "a.md: no text") == "a.md: no text"
    assert briefly("a.md", "a.md") == "a.md"


def test_more_documents_than_one_job_takes_are_refused_together(fake, headrace, papers):
    for number in range(200):
        (papers / f"{number}.txt").write_bytes(b"x")
    ran = headrace("summarize", "papers", "--combined")
    assert ran.code == 2
    assert "--combined takes 200 documents at most, these are 202" in ran.err


def test_a_person_sees_how_far_it_is_where_it_runs_and_what_it_waits_for(fake, talks, monkeypatch):
    said = io.StringIO()
    terminal = Console(file=said, force_terminal=True, width=200, highlight=False)
    monkeypatch.setattr("cli.show.err", lambda: terminal)
    view = BulkView(3, Manner(minutes))
    works = [Work(name, (), ()) for name in "abc"]
    waiting = {"reason": "quota", "window": "audio_seconds/3600s", "until": None, "eta": None}
    children = {"total": 4, "ended": 2, "completed": 2, "audio_seconds": 600}
    with view.progress():
        view.ended(Outcome(works[0], "completed", "", {"usage": {"audio_seconds": 1200}}))
        view.changed(
            Outcome(works[1], "in_progress", "", {"id": "j", "progress": {"children": children}})
        )
        view.changed(Outcome(works[2], "queued", "", {"id": "k", "waiting": waiting}))
        view.runs(Counter({"groq/whisper": 2}))
        bar = view._bar
        assert bar is not None
        text = bar.tasks[0].description
        assert (bar.tasks[0].completed, bar.tasks[0].total) == (1, 3)
    for part in (
        "1 running, 1 queued", "30.0 minutes of audio", "on groq/whisper",
        "waits: quota, window audio_seconds/3600s", "left",
    ):  # fmt: skip
        assert part in text


def test_what_a_job_does_before_anything_can_be_counted_is_said(capsys):
    view = BulkView(2, Manner(minutes))
    phases = [{"step": {"phase": phase}} for phase in ("cutting", "transcribing")]
    for job, phase in zip("jk", phases, strict=True):
        one = {"id": job, "status": "in_progress", "progress": phase}
        view.changed(Outcome(Work(job, (), ()), "in_progress", "", one))
    assert view._states() == "2 running (1 cutting)"
    capsys.readouterr()
