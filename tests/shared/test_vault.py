"""Secrets at rest."""

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import settings, vault
from shared.credentials import Secret
from shared.errors import ConfigError
from shared.vault import Unreadable, Vault

MASTER, OTHER = (Secret(letter * 32) for letter in "xy")
VAULT = Vault(MASTER)


@given(st.text(min_size=1, max_size=200), st.text(max_size=40))
def test_what_was_sealed_for_a_row_comes_back_for_that_row(text, row):
    sealed = VAULT.seal(Secret(text), row)
    assert text not in sealed or len(text) < 4
    assert VAULT.unseal(sealed, row).reveal() == text
    with pytest.raises(Unreadable):
        VAULT.unseal(sealed, row + "!")


@pytest.mark.parametrize("text", ["", "v1.", "v1.####", "v1.AAAA"])
def test_what_was_never_sealed_is_unreadable(text):
    with pytest.raises(Unreadable):
        VAULT.unseal(text, "row")


def test_another_master_key_opens_nothing():
    with pytest.raises(Unreadable):
        Vault(OTHER).unseal(VAULT.seal(Secret("sk-1"), "row"), "row")


def test_the_same_secret_is_sealed_differently_each_time():
    assert VAULT.seal(Secret("sk-1"), "row") != VAULT.seal(Secret("sk-1"), "row")


def test_a_short_master_key_is_refused():
    with pytest.raises(ConfigError, match="at least 32 characters"):
        Vault(Secret("short"))


def test_the_key_file_is_ours_alone_and_is_made_once(tmp_path, monkeypatch):
    monkeypatch.delenv("HEADRACE_SECRET_KEY", raising=False)
    found = settings.load(data_dir=tmp_path)
    assert vault.of_settings(found) is None
    path = vault.make_key_file(tmp_path)
    first = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert vault.make_key_file(tmp_path).read_text() == first
    made = vault.of_settings(found)
    assert made is not None
    again = vault.of_settings(settings.load(data_dir=tmp_path))
    assert again.unseal(made.seal(Secret("sk-1"), "row"), "row").reveal() == "sk-1"


def test_the_environments_key_wins_and_is_not_shown(tmp_path, monkeypatch):
    vault.make_key_file(tmp_path)
    monkeypatch.setenv("HEADRACE_SECRET_KEY", MASTER.reveal())
    found = settings.load(data_dir=tmp_path)
    assert MASTER.reveal() not in repr(found)
    made = vault.of_settings(found)
    assert made.unseal(VAULT.seal(Secret("sk-1"), "row"), "row").reveal() == "sk-1"
