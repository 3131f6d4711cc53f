"""Processes as Linux shows them in /proc: their tree, memory and processor time."""

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICK_S = 1 / os.sysconf("SC_CLK_TCK")
ROLES = ("valkey-server", "api", "workers", "scheduler", "up")


@dataclass(frozen=True, slots=True)
class Process:
    """One process: `cpu_s` since its start, `rss_mb` resident now."""

    pid: int
    role: str
    cpu_s: float
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Moment:
    """The processor time of everything at one moment. `busy_s` is the whole machine's."""

    at_s: float
    by_role: Mapping[str, float]
    busy_s: float


@dataclass(frozen=True, slots=True)
class Used:
    """What was used between two moments, in seconds of processor time."""

    elapsed_s: float
    by_role: Mapping[str, float]
    others_s: float

    def percent(self) -> dict[str, float]:
        """Percent of one core, by role."""
        return {role: round(100 * s / self.elapsed_s, 2) for role, s in self.by_role.items()}

    def capacity_per_s(self, calls: int, cores: int) -> float:
        """Calls a second if all cores did nothing else: at most what the busiest role allows.

        No role here uses more than one core. A figure for noisy machines; it is not a measurement.
        """
        each = [ms / 1000 for ms in self.per_call_ms(calls).values() if ms]
        return round(min(cores / sum(each), 1 / max(each)), 1) if each else 0.0

    def per_call_ms(self, calls: int) -> dict[str, float]:
        """Milliseconds of processor time a call, by role."""
        return {role: round(1000 * s / max(calls, 1), 3) for role, s in self.by_role.items()}

    @property
    def others_percent(self) -> float:
        """Percent of one core that programs other than ours took meanwhile."""
        return round(100 * self.others_s / self.elapsed_s, 1)


def read(pid: int, role: str = "") -> Process | None:
    """One process; None where it has ended."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        pages = int((PROC / str(pid) / "statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    cpu_s = (int(fields[11]) + int(fields[12])) * TICK_S
    return Process(pid, role, cpu_s, pages * os.sysconf("SC_PAGE_SIZE") / 1e6)


def tree(root: int) -> list[Process]:
    """A process and all below it; each has the role of its command line or of its parent."""
    found: list[Process] = []
    todo = [(root, "")]
    while todo:
        pid, above = todo.pop()
        role = _role(pid) or above
        process = read(pid, role)
        if process is not None:
            found.append(process)
            todo += [(child, role) for child in _children(pid)]
    return found


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in _listed(PROC / str(pid) / "task"):
        try:
            found += map(int, (task / "children").read_text().split())
        except OSError:
            continue
    return found


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _role(pid: int) -> str:
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    parts = [part for word in words[:8] for part in word.split(b" ")]  # a server sets one title
    names = {part.rpartition(b"/")[2].decode(errors="replace") for part in parts}
    return next((role for role in ROLES if role in names), "")


def moment(processes: Iterable[Process]) -> Moment:
    """What these processes, and the whole machine, have used so far."""
    by_role: dict[str, float] = {}
    for one in processes:
        by_role[one.role] = by_role.get(one.role, 0.0) + one.cpu_s
    fields = [int(n) for n in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    busy = sum(fields) - fields[3] - fields[4]  # all but idle and waiting for a disk
    return Moment(time.monotonic(), by_role, busy * TICK_S)


def used(before: Moment, after: Moment) -> Used:
    """What happened between two moments; a role that began anew counts from zero."""
    by_role = {
        role: round(max(0.0, spent - before.by_role.get(role, 0.0)), 3)
        for role, spent in after.by_role.items()
    }
    others = max(0.0, after.busy_s - before.busy_s - sum(by_role.values()))
    return Used(after.at_s - before.at_s, by_role, others)
