import asyncio
import os
import resource
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import uvloop

from shared.errors import Refused
from workers.sandbox import MIB, Bounds, Sandbox
from workers.sandboxed import watchdog

TIGHT = Bounds(most_bytes=64 * 1024, seconds=1, memory_bytes=256 * MIB)


def sandbox(**options):
    return Sandbox(package="troubles", **options)


async def run(name, request=None, *, bounds=TIGHT, **options):
    return await sandbox().run(f"parsers:{name}", request or {}, files={}, bounds=bounds, **options)


async def refusal(name, request=None, **options):
    with pytest.raises(Refused) as caught:
        await run(name, request, **options)
    return caught.value


async def test_a_parser_gets_its_request_and_files_and_gives_its_result(tmp_path, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk-secret")
    there = tmp_path / "there.txt"
    there.write_text("on disk")
    out = tmp_path / "out"
    out.mkdir()
    found = await sandbox().run(
        "parsers:echo", {"a": [1, "ü"]}, files={"one": b"bytes", "two": there}, out=out
    )
    assert found["request"] == {"a": [1, "ü"]}
    assert found["files"] == {"one": "bytes", "two": "on disk"}
    assert (out / "written").read_bytes() == b"kept"
    assert not found["modules"]
    assert set(found["environment"]) <= {"LANG", "LC_CTYPE", "MALLOC_ARENA_MAX", "TMPDIR"}


async def test_a_refusal_keeps_the_parsers_words():
    refused = await refusal("refuse")
    assert refused.message == "page 3 is upside down"
    assert (refused.param, refused.code, refused.status) == ("pages", "upside_down", 422)


@pytest.mark.parametrize(
    ("name", "request_", "code", "words"),
    [
        ("stumble", {}, "unreadable", "ValueError: no such chunk"),
        ("nest", {}, "unreadable", "nested too deeply"),
        ("unwritable", {}, "unreadable", "status 1"),
        ("eat", {"bytes": 1 << 30}, "memory_bound", "needs more memory than the 256 MiB"),
        ("spin", {}, "time_bound", "needs more time than the 1 s of CPU time"),
        ("talk", {"bytes": 1 << 20}, "output_bound", "needs more output than the 65536 bytes"),
        ("write", {"bytes": 1 << 20}, "output_bound", "needs more output than the 65536 bytes"),
        ("crash", {}, "parser_crashed", "SIGSEGV"),
        ("abort", {}, "parser_crashed", "SIGABRT"),
        ("missing", {}, "unreadable", "missing"),
    ],
)
async def test_a_parser_that_misbehaves_is_a_refusal_that_says_how(name, request_, code, words):
    refused = await refusal(name, request_)
    assert refused.code == code
    assert words in refused.message


DAY = Bounds(most_bytes=64 * 1024, seconds=4_410, memory_bytes=512 * MIB)


async def test_code_that_spins_within_one_piece_is_ended_long_before_the_bound_of_all():
    refused = await refusal("spin_within_one_piece", {"pieces": 3, "ends": False}, bounds=DAY)
    assert refused.code == "time_bound"
    found = await run("spin_within_one_piece", {"pieces": 3, "ends": True}, bounds=DAY)
    assert found["left"] == 4_410


def test_a_process_without_a_bound_is_given_none():
    before = resource.getrlimit(resource.RLIMIT_CPU)
    watchdog.allow(1)
    watchdog.rest()
    assert resource.getrlimit(resource.RLIMIT_CPU) == before


async def test_a_parser_that_sleeps_comes_to_the_bound_of_time(tmp_path):
    pid_file = tmp_path / "pid"
    bounds = Bounds(seconds=0.2)  # of CPU; it uses none, so the wall's bound it is
    refused = await refusal("sleep", {"pid_file": str(pid_file)}, bounds=bounds)
    assert refused.code == "time_bound"
    assert not alive(int(pid_file.read_text()))


async def test_a_cancelled_asker_leaves_no_child_and_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    pid_file = tmp_path / "pid"
    asker = asyncio.create_task(run("sleep", {"pid_file": str(pid_file)}, bounds=Bounds()))
    await appears(pid_file)
    asker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asker
    assert not alive(int(pid_file.read_text()))
    assert [path.name for path in tmp_path.iterdir()] == ["pid"]


async def test_no_more_children_run_at_once_than_allowed(tmp_path):
    one = sandbox(at_once=1)
    request = {"mark": str(tmp_path / "mark")}
    runs = [one.run("parsers:alone", request, files={}) for _ in range(3)]
    assert await asyncio.gather(*runs) == [{}, {}, {}]


async def test_who_is_cancelled_makes_room_for_the_next(tmp_path):
    one = sandbox(at_once=1)
    pid_file = tmp_path / "pid"
    asker = asyncio.create_task(one.run("parsers:sleep", {"pid_file": str(pid_file)}, files={}))
    await appears(pid_file)
    second = asyncio.create_task(one.run("parsers:echo", {}, files={}))
    asker.cancel()
    assert await second
    with pytest.raises(asyncio.CancelledError):
        await asker


def test_a_child_dies_with_a_worker_that_is_killed(tmp_path):
    pid_file = tmp_path / "pid"
    program = (
        "import asyncio, sys\n"
        "from workers.sandbox import Sandbox\n"
        "run = Sandbox(package='troubles').run\n"
        "asyncio.run(run('parsers:sleep', {'pid_file': sys.argv[1]}, files={}))\n"
    )
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": f"{root}:{root / 'tests'}"}
    with subprocess.Popen([sys.executable, "-c", program, str(pid_file)], env=environment) as it:
        asyncio.run(appears(pid_file))
        child = int(pid_file.read_text())
        it.kill()
    asyncio.run(ends(child))


def test_it_works_on_the_engines_loop_in_a_thread():
    found = []

    def serve():
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            found.append(runner.run(run("echo", {"a": 1})))

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    assert found[0]["request"] == {"a": 1}


async def appears(path):
    for _ in range(3_000):
        if path.exists():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{path} never came")


async def ends(pid):
    for _ in range(3_000):
        if not alive(pid):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{pid} lives on")


def alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
