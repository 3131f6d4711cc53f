"""The data directory: its lock, its keys, and where the command line finds Headrace."""

import hashlib
import json
import os
import ssl
import stat

import pytest

from cli import home
from cli.client import Place, find, pause_s
from cli.home import Home
from cli.keys import make_keys
from cli.sse import Decoder
from shared.errors import ConfigError
from shared.settings import Settings


@pytest.fixture
def here(tmp_path):
    found = Home(tmp_path / "data")
    found.prepare()
    return found


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_first_time_makes_an_admin_key_of_256_bits_and_keeps_only_its_hash(here):
    key = make_keys(here).reveal()
    text = here.keys_file.read_text()
    assert key.startswith("hr_")
    assert len(key) >= 3 + 43
    assert key not in text
    digests = {each["digest"] for each in json.loads(text)}
    assert hashlib.sha256(key.encode()).hexdigest() in digests
    assert mode(here.keys_file) == mode(here.client_key_file) == 0o600
    assert mode(here.path) == 0o700


def test_the_second_time_makes_none(here):
    make_keys(here)
    before = here.keys_file.read_text()
    assert make_keys(here) is None
    assert here.keys_file.read_text() == before


def test_another_key_leaves_the_first_and_the_command_lines_own(here):
    make_keys(here)
    client = here.client_key()
    make_keys(here, anew=True)
    assert [each["name"] for each in json.loads(here.keys_file.read_text())] == [
        "admin",
        "command-line",
        "admin-2",
    ]
    assert here.client_key() == client


def test_a_lost_client_key_is_made_anew(here):
    make_keys(here)
    here.client_key_file.unlink()
    assert make_keys(here) is None
    digest = hashlib.sha256(here.client_key().encode()).hexdigest()
    names = {e["digest"]: e["name"] for e in json.loads(here.keys_file.read_text())}
    assert names[digest] == "command-line"
    assert len(names) == 2


def test_a_damaged_file_of_keys_is_refused_and_kept(here):
    here.keys_file.write_text("{")
    with pytest.raises(ConfigError, match="cannot be read"):
        make_keys(here)
    assert here.keys_file.read_text() == "{"


def test_only_one_holds_a_data_directory(here):
    with here.held(), pytest.raises(ConfigError, match=f"pid {os.getpid()}"), here.held():
        pass
    with here.held():
        pass


def test_a_directory_that_cannot_be_made_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="--data-dir"):
        Home(tmp_path / "file" / "data").prepare()


@pytest.mark.parametrize("xdg", ["", "relative", "/somewhere"])
def test_the_default_directory_is_the_settings_one(monkeypatch, xdg):
    monkeypatch.delenv("HEADRACE_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", xdg)
    assert home.of_environment().path == Settings().data_dir


def test_this_machines_key_is_never_sent_elsewhere(here, monkeypatch):
    make_keys(here)
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(here.path))
    assert find("http://127.0.0.1:8080", {}).key == here.client_key()
    assert find("https://headrace.example", {}).key is None
    assert here.client_key() not in repr(find("http://localhost:1", {}))


def test_the_address_is_the_environments_then_the_last_served_then_the_default(here, monkeypatch):
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(here.path))
    assert find(None, {}).url == "http://127.0.0.1:8080"
    here.address_file.write_text("http://127.0.0.1:9999\n")
    assert find(None, {}).url == "http://127.0.0.1:9999"
    assert find(None, {"HEADRACE_URL": "http://10.0.0.1/v1/"}).url == "http://10.0.0.1"
    with pytest.raises(ConfigError, match="http://"):
        find("localhost:8080", {})


def test_pauses_grow_to_5_s_and_no_further():
    assert [pause_s(n, 1.0) for n in (0, 1, 5, 6, 500)] == [0.1, 0.2, 3.2, 5.0, 5.0]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_read_whatever_the_edges_of_the_chunks(size):
    raw = 'id: 1\r\nevent: a\r\ndata: {"x": "\u2028"}\r\n\r\n: hm\ndata: p\ndata: q\n\n'.encode()
    decoder = Decoder()
    events = [e for i in range(0, len(raw), size) for e in decoder.feed(raw[i : i + size])]
    assert [(e.id, e.event, e.data) for e in events] == [
        ("1", "a", '{"x": "\u2028"}'),
        ("1", "message", "p\nq"),
    ]


@pytest.mark.parametrize(
    ("url", "world"),
    [("http://127.0.0.1:8080", False), ("https://127.0.0.1:8443", True), ("http://a.test", True)],
)
def test_where_there_is_no_tls_nobody_is_trusted_and_elsewhere_who_always_is(url, world):
    trust = Place(url, None).trust()
    assert (trust is True) == world
    if not world:
        assert (trust.get_ca_certs(), trust.verify_mode) == ([], ssl.CERT_REQUIRED)
