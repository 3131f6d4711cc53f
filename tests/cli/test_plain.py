"""Text of others is shown on a terminal, and commands it nothing."""

import io
import socket

import orjson
import pytest
from rich.table import Table

from cli import plain, show

EVIL = "a\x1b]0;owned\x07b\x9b2Jc\rd\u202ee\ud800"


def commands(text):
    return [one for one in text if plain.plain(one) != one]


def test_what_commands_a_terminal_is_written_out_and_all_else_stays():
    assert plain.plain(EVIL) == r"a\x1b]0;owned\x07b\x9b2Jc\rd\u202ee\ud800"
    usual = "Größe: 5 µm\t[b]42[/b]\n日本語 🎉 \\x1b"
    assert plain.plain(usual) == usual


@pytest.mark.parametrize("exact", [True, False])
def test_no_way_to_print_lets_it_through_to_a_terminal(exact):
    file = io.StringIO()
    console = show.Plain(exact=exact, file=file, force_terminal=True, color_system=None, width=200)
    table = Table(EVIL)
    table.add_row(EVIL)
    console.print(EVIL, table)
    console.print(f"{EVIL} on", soft_wrap=True)
    console.out(EVIL)
    assert commands(file.getvalue()) == []
    assert file.getvalue().count("owned") == 5


def test_a_script_reads_it_as_it_is_and_a_log_does_not():
    said = io.StringIO()
    show.Plain(exact=True, file=said, width=200).out(orjson.dumps("\x9b").decode())
    assert said.getvalue() == '"\x9b"\n'
    log = io.StringIO()
    show.Plain(file=log, width=200).print(EVIL)
    assert commands(log.getvalue()) == []


def test_a_simulator_whose_port_is_taken_prints_nothing_but_that(headrace, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = headrace("simulate", "--port", str(port), "--write", str(tmp_path / "sim.yaml"))
    assert (ran.code, ran.out) == (2, "")
    assert f"127.0.0.1:{port}" in ran.err
    assert not (tmp_path / "sim.yaml").exists()


def test_an_error_that_quotes_a_server_commands_nothing(fake, headrace):
    ran = headrace("import", "\x1b[2Jnone.json")
    assert (ran.code, commands(ran.err)) == (2, [])
    assert r"\x1b[2Jnone.json" in ran.err
