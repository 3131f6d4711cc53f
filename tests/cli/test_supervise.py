"""Supervision, on tiny children: what dies comes back, what is stopped stays away."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cli.output import Output
from cli.supervise import Program, Supervisor, describe, next_delay_s
from cli.tied import tie

WAIT_S = 30.0
SLEEPER = "import time\nprint('here', flush=True)\ntime.sleep(600)"
POLITE = (
    "import signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(0)))\n"
    "print('here', flush=True)\ntime.sleep(600)"
)
STUBBORN = (
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('here', flush=True)\ntime.sleep(600)"
)


def program(name: str, code: str, *, stop_s: float = WAIT_S) -> Program:
    return Program(name, tie([sys.executable, "-c", code]), os.environ, stop_s)


class Heard(Output):
    """An output that remembers everything and can be waited on."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.news = threading.Condition()
        super().__init__(io.StringIO())

    def line(self, source: str, text: str) -> None:
        with self.news:
            self.said.append((source, text))
            self.news.notify_all()
        super().line(source, text)

    def count(self, source: str, text: str) -> int:
        with self.news:
            return self.said.count((source, text))


@pytest.fixture
def heard():
    output = Heard()
    yield output
    output.close()


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in {"Z", "X"}


def gone(pid: int) -> bool:
    deadline = time.monotonic() + WAIT_S
    while alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize(
    ("previous_s", "lived_s", "expected_s"),
    [(0, 0, 0.1), (0.1, 0, 0.2), (3.2, 0, 5.0), (5.0, 9.9, 5.0), (5.0, 10.0, 0.1)],
)
def test_the_delay_doubles_to_5_s_and_begins_anew_after_10_s_of_life(
    previous_s, lived_s, expected_s
):
    assert next_delay_s(previous_s, lived_s) == pytest.approx(expected_s)


def test_every_first_restart_comes_well_within_a_second():
    assert next_delay_s(0, 0) <= 0.5


def test_an_end_is_described_in_words():
    assert describe(0) == "exit code 0"
    assert describe(-signal.SIGKILL) == "SIGKILL"


def test_a_killed_child_comes_back(heard):
    with Supervisor(heard) as boss:
        boss.start(program("a", SLEEPER))
        assert boss.wait_until(lambda: heard.count("a", "here") == 1, WAIT_S)
        first = boss.pid("a")
        os.kill(first, signal.SIGKILL)
        assert boss.wait_until(lambda: heard.count("a", "here") == 2, WAIT_S)
        assert boss.pid("a") != first
        assert boss.children["a"].starts == 2


def test_a_child_that_cannot_start_is_tried_again_and_reported(heard):
    with Supervisor(heard) as boss:
        boss.start(Program("ghost", ["/nonexistent/command"], os.environ))
        assert boss.wait_until(lambda: boss.children["ghost"].starts >= 2, WAIT_S)
    assert "cannot be started" in heard.said[0][1]


def test_what_a_dead_child_has_started_dies_with_it(heard):
    code = (
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(p.pid, flush=True)\ntime.sleep(600)"
    )
    with Supervisor(heard) as boss:
        boss.start(program("a", code))
        assert boss.wait_until(lambda: len(heard.said) == 1, WAIT_S)
        grandchild = int(heard.said[0][1])
        os.kill(boss.pid("a"), signal.SIGKILL)
        assert gone(grandchild)


def test_sigterm_stops_in_the_order_named_and_each_only_after_the_one_before(heard):
    with Supervisor(heard, ("one", "two", "three")) as boss:
        for name in ("three", "one", "two"):
            boss.start(program(name, POLITE))
        here = lambda: sum(text == "here" for _, text in heard.said) == 3  # noqa: E731
        assert boss.wait_until(here, WAIT_S)
        os.kill(os.getpid(), signal.SIGTERM)
        boss.run()
    ends = [name for name, text in heard.said if text == "bye"]
    assert ends == ["one", "two", "three"]


def test_while_the_first_stops_the_others_are_still_kept_running(heard):
    with Supervisor(heard, ("slow", "other")) as boss:
        slow = (
            "import signal, sys\n"
            "signal.signal(signal.SIGTERM, lambda *_: print('asked', flush=True))\n"
            "print('here', flush=True)\n"
            "while True: signal.pause()"
        )
        boss.start(program("slow", slow))
        boss.start(program("other", POLITE))
        here = lambda: sum(text == "here" for _, text in heard.said) == 2  # noqa: E731
        assert boss.wait_until(here, WAIT_S)
        other, slow_pid = boss.pid("other"), boss.pid("slow")

        def meddle() -> None:
            with heard.news:
                heard.news.wait_for(lambda: ("slow", "asked") in heard.said, WAIT_S)
            os.kill(other, signal.SIGKILL)
            with heard.news:
                heard.news.wait_for(lambda: heard.said.count(("other", "here")) == 2, WAIT_S)
            os.kill(slow_pid, signal.SIGKILL)

        meddler = threading.Thread(target=meddle)
        meddler.start()
        os.kill(os.getpid(), signal.SIGTERM)
        boss.run()
        meddler.join()
    assert heard.count("other", "here") == 2
    assert heard.count("other", "bye") == 1


def test_a_child_that_ignores_sigterm_is_ended_after_its_time(heard):
    with Supervisor(heard) as boss:
        boss.start(program("a", STUBBORN, stop_s=0.2))
        assert boss.wait_until(lambda: heard.count("a", "here") == 1, WAIT_S)
        pid = boss.pid("a")
        boss.stop()
        boss.run()
        assert gone(pid)


def test_a_second_signal_ends_everything_at_once_and_only_the_first_is_told(heard):
    told = []
    with Supervisor(heard, on_asked=lambda: told.append(boss.pid("a"))) as boss:
        boss.start(program("a", STUBBORN, stop_s=3600))
        assert boss.wait_until(lambda: heard.count("a", "here") == 1, WAIT_S)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        pid = boss.pid("a")
        boss.run()
    assert told == [pid]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties children to their parent")
def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path):
    parent = (
        "import os, sys\n"
        "from cli.output import Output\nfrom cli.supervise import Program, Supervisor\n"
        "from cli.tied import tie\n"
        "with Supervisor(Output(sys.stdout)) as boss:\n"
        "    code = 'import os, time; print(os.getpid(), flush=True); time.sleep(600)'\n"
        "    for name in 'ab':\n"
        "        boss.start(Program(name, tie([sys.executable, '-c', code]), os.environ))\n"
        "    boss.run()\n"
    )
    root = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", parent], cwd=root, stdout=subprocess.PIPE, text=True
    )
    with process:
        pids = [int(process.stdout.readline().split("|")[1]) for _ in range(2)]
        assert all(alive(pid) for pid in pids)
        process.kill()
    assert all(gone(pid) for pid in pids)


def test_a_stream_that_has_gone_stops_nobody():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        output = Output(stream)
        for number in range(3):
            output.line("a", f"line {number}")
        output.close()
        assert output.tail("a")[-1] == "line 2"
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def test_json_lines_pass_unchanged_where_no_person_reads():
    stream = io.StringIO()
    output = Output(stream, prefix=False)
    output.line("api", '{"event":"x"}')
    output.line("api", "plain words")
    output.close()
    assert stream.getvalue().splitlines() == ['{"event":"x"}', "api       | plain words"]
