"""What `headrace doctor` says of the local engines."""

import os

import pytest
from up_processes import environment

from cli import doctor
from cli.engines import found

ABSENT = found.Kind("chat", "m", "M", ("no_such_module",), "no_such_module", "*")


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    """No key, no setting, nobody at the usual port."""
    for name in os.environ:
        if name not in environment():
            monkeypatch.delenv(name)
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HEADRACE_URL", "http://127.0.0.1:9")


def findings():
    return {each.what: each for each in doctor.look(None, None)}


def test_with_the_engines_installed_a_machine_without_a_key_lacks_nothing():
    said = findings()
    assert said["providers"].level == "note"
    assert "small models instead" in said["providers"].says
    assert "SmolLM2-135M (" in said["chat engine"].says
    assert "Whisper tiny.en (model.bin, 76 MB)" in said["speech engine"].says
    assert not [each.todo for each in said.values() if each.level == "error"]


def test_without_them_it_says_how_to_get_either_keys_or_them(monkeypatch):
    monkeypatch.setattr(found, "KINDS", {"chat": ABSENT})
    said = findings()
    assert said["providers"].level == "warning"
    assert "make engines" in said["providers"].todo
    assert (said["chat engine"].level, said["chat engine"].todo) == ("note", "")
    monkeypatch.setenv("HEADRACE_LOCAL", "true")
    assert "make engines" in findings()["chat engine"].todo
    monkeypatch.setenv("HEADRACE_LOCAL", "false")
    said = findings()
    assert "chat engine" not in said
    assert "not wanted" in said["engines"].says


def test_it_tries_where_files_are_kept_and_leaves_nothing_there(monkeypatch, tmp_path):
    assert findings()["objects"].level == "ok"
    assert not [each for each in (tmp_path / "objects").rglob("*") if each.is_file()]
    monkeypatch.setenv("HEADRACE_OBJECTS_URL", f"file://{tmp_path}/bulk")
    assert (
        findings()["objects"].says == f"file://{tmp_path}/bulk: one was written, read and removed"
    )
    (tmp_path / "bulk" / "files").rmdir()
    (tmp_path / "bulk" / "files").write_text("in the way")
    said = findings()["objects"]
    assert said.level == "error"
    assert "HEADRACE_OBJECTS_URL" in said.todo
