"""What bulk verbs remember: whoever notes a step first wins, and nothing is done twice."""

import pytest

from cli.notes import Name, opened
from shared.errors import ConfigError

NAME = Name("transcribe", "/talks/a.txt")


def test_two_runs_of_one_command_share_key_uploads_and_job(tmp_path):
    with opened(tmp_path) as one, opened(tmp_path) as other:
        first, second = one.begin(NAME, "p"), other.begin(NAME, "p")
        assert first == second
        assert one.uploaded(NAME, first.key, ("file-1",)).files == ("file-1",)
        assert other.uploaded(NAME, second.key, ("file-2",)).files == ("file-1",)
        one.handed_in(NAME, first.key, "job_1")
        other.handed_in(NAME, second.key, "job_2")
        assert other.get(NAME).job == "job_1"


def test_other_inputs_or_options_are_other_work(tmp_path):
    with opened(tmp_path) as notes:
        first = notes.begin(NAME, "p")
        notes.handed_in(NAME, first.key, "job_1")
        again = notes.begin(NAME, "q")
        assert again.key != first.key
        assert again.job is None
        notes.handed_in(NAME, first.key, "job_2")  # the earlier run is late
        notes.finished(NAME, first.key)
        assert notes.get(NAME) == again


def test_what_is_done_stays_so_until_it_is_wanted_anew(tmp_path):
    with opened(tmp_path) as notes:
        first = notes.begin(NAME, "p")
        notes.finished(NAME, first.key)
        assert notes.begin(NAME, "p").done
        anew = notes.begin(NAME, "p", anew=True)
        assert (anew.done, anew.key == first.key) == (False, False)
        assert notes.begin(NAME, "p", anew=True) == anew  # interrupted: it goes on


def test_notes_survive_the_process(tmp_path):
    with opened(tmp_path) as notes:
        key = notes.begin(NAME, "p").key
    with opened(tmp_path) as notes:
        assert notes.begin(NAME, "p").key == key
        notes.forget(NAME, key)
        assert notes.get(NAME) is None


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ConfigError, match="HEADRACE_DATA_DIR"), opened(tmp_path / "file"):
        pass
