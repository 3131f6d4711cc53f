"""Keeps processes running: starts again what dies, and stops them in order.

Everything happens in one thread, which must be the main thread: it starts every
child (on Linux a child's life is tied to the *thread* that started it, see `tied`) and it is where
signals arrive. Other threads only put events into its inbox.
"""

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from cli.output import MAX_LINE, Output

FIRST_DELAY_S = 0.1
MOST_DELAY_S = 5.0
STABLE_S = 10.0
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Program:
    """A command to keep running. `stop_s`: what it may take after SIGTERM, before SIGKILL."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    stop_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Exited:
    """A child has ended; `code` is negative where a signal ended it."""

    name: str
    code: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A signal asks us to stop."""

    signal: int


@dataclass(frozen=True, slots=True)
class Called:
    """Something to do in the supervisor's thread."""

    do: Callable[[], None]


Event = Exited | Asked | Called


def next_delay_s(previous_s: float, lived_s: float) -> float:
    """How long to wait before starting a child again: 0.1 s doubling to 5 s, reset by 10 s alive.

    `previous_s` is the last delay (0 before the first), `lived_s` how long the child has lived.
    """
    if lived_s >= STABLE_S or previous_s <= 0:
        return FIRST_DELAY_S
    return min(previous_s * 2, MOST_DELAY_S)


def describe(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


@dataclass(slots=True)
class _Child:
    """What is known of one program: running if `process` is there, due again at `due`."""

    program: Program
    wanted: bool = True
    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    delay_s: float = 0.0
    due: float | None = None
    starts: int = 0


@dataclass(slots=True)
class Supervisor:
    """Runs programs, in the order given; stops them in the order `stop_order` names.

    `on_exit` is told of each end, `on_asked` of the first wish to stop, while all still run.
    """

    output: Output
    stop_order: Sequence[str] = ()
    on_exit: Callable[[str, int], None] = lambda _name, _code: None
    on_asked: Callable[[], None] = lambda: None
    children: dict[str, _Child] = field(default_factory=dict)
    inbox: "queue.SimpleQueue[Event]" = field(default_factory=queue.SimpleQueue)
    stopping: bool = False
    asked: int = 0
    handlers: dict[int, Any] = field(default_factory=dict)

    def __enter__(self) -> Self:
        """From here on SIGTERM and SIGINT are wishes to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self.handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        """All children have ended after it."""
        for child in self.children.values():
            if child.process is not None:
                _end_group(child.process.pid)
                child.process.kill()
                child.process.wait()
        for number, handler in self.handlers.items():
            signal.signal(number, handler)

    def call(self, do: Callable[[], None]) -> None:
        """Has `do` called in the supervisor's thread; may be called from any thread."""
        self.inbox.put(Called(do))

    def pid(self, name: str) -> int | None:
        """The pid of a program that runs now."""
        process = self.children[name].process
        return process.pid if process else None

    def start(self, program: Program) -> None:
        """Starts a program and keeps it running from now on."""
        child = self.children[program.name] = _Child(program)
        self._spawn(child)

    def run(self) -> None:
        """Keeps everything running until SIGTERM, SIGINT or `stop`; then stops it in order."""
        while not self.stopping:
            self._handle(self._next(None))
        for name in (*self.stop_order, *(n for n in self.children if n not in self.stop_order)):
            if name in self.children:
                self._stop_one(self.children[name])

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> bool:
        """Keeps everything running until `ready()`: True; False on timeout or a wish to stop."""
        deadline = time.monotonic() + timeout_s
        while not self.stopping and time.monotonic() < deadline:
            if ready():
                return True
            self._handle(self._next(min(deadline, time.monotonic() + POLL_S)))
        return False

    def stop(self) -> None:
        """Makes `run` stop everything, in order, and return."""
        self.stopping = True

    def _on_signal(self, number: int, _frame: object) -> None:
        self.inbox.put(Asked(number))

    def _next(self, until: float | None) -> Event | None:
        """The next event; None once a child is due or `until` has come."""
        times = [c.due for c in self.children.values() if c.due is not None]
        if until is not None:
            times.append(until)
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        try:
            return self.inbox.get(timeout=timeout)
        except queue.Empty:
            return None

    def _handle(self, event: Event | None) -> None:
        match event:
            case Exited(name, code):
                self._exited(self.children[name], code)
            case Asked():
                self.asked += 1
                if self.asked == 1 and not self.stopping:
                    self.on_asked()
                self.stopping = True
            case Called(do):
                do()
            case None:
                pass
        now = time.monotonic()
        for child in self.children.values():
            if child.due is not None and child.due <= now:
                self._spawn(child)

    def _spawn(self, child: _Child) -> None:
        program = child.program
        child.due, child.since = None, time.monotonic()
        child.starts += 1
        try:
            process = subprocess.Popen(  # noqa: S603 - our own words, no shell
                list(program.argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(program.env),
            )
        except OSError as exc:
            self.output.line(program.name, f"cannot be started: {exc}")
            self.inbox.put(Exited(program.name, 127))
            return
        child.process = process
        threading.Thread(target=self._read, args=(program.name, process), daemon=True).start()
        threading.Thread(target=self._wait, args=(program.name, process), daemon=True).start()

    def _read(self, name: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        with process.stdout as stream:
            while line := stream.readline(MAX_LINE):
                self.output.line(name, line.decode(errors="replace").rstrip("\r\n"))

    def _wait(self, name: str, process: subprocess.Popen[bytes]) -> None:
        if hasattr(os, "waitid"):  # its group is ended before its pid can be used again
            with contextlib.suppress(ChildProcessError):  # ended and awaited by `__exit__`
                os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
                _end_group(process.pid)
        self.inbox.put(Exited(name, process.wait()))

    def _exited(self, child: _Child, code: int) -> None:
        lived_s = time.monotonic() - child.since
        child.process = None
        name = child.program.name
        if not child.wanted:
            return
        self.on_exit(name, code)
        if self.stopping and not self.asked:  # it failed for good; while draining we still restart
            return
        child.delay_s = next_delay_s(child.delay_s, lived_s)
        child.due = time.monotonic() + child.delay_s
        self.output.note(
            f"headrace: {name} ended ({describe(code)}); starting it again in {child.delay_s:.1f} s"
        )

    def _stop_one(self, child: _Child) -> None:
        """SIGTERM, then SIGKILL after its time or on a second signal; the others are kept alive."""
        child.wanted, child.due = False, None
        if child.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + child.program.stop_s
        while child.process is not None:
            if self.asked > 1 or time.monotonic() >= deadline:
                if self.asked <= 1:
                    self.output.note(f"headrace: {child.program.name} took too long; ended hard")
                _end_group(child.process.pid)
                child.process.kill()
                deadline = time.monotonic() + 1.0
            self._handle(self._next(deadline))


def _end_group(pid: int) -> None:
    """Ends what a child has started, if it leads a process group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if pid != os.getpgrp():
            os.killpg(pid, signal.SIGKILL)
