"""Becomes the server: takes the lock, ties its life to its parent's, writes its pid, execs.

Run by `shared.store.server` as a bare script (`python -I -S`), so it uses little of the standard
library and starts in about 20 ms: argparse, pathlib and signal would take as long again. The
process that holds the data's lock *is* the server: the lock's descriptor crosses the exec, so the
kernel frees it at the very moment the server dies.
"""
# ruff: noqa: PTH105, PTH123, SIM105 - for that reason

import ctypes
import fcntl
import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
SIGKILL = 9


def die_with_parent(parent_pid: int, death_signal: int) -> None:
    """Linux sends us `death_signal` when the thread that started us ends; survives exec."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:  # it died before we asked
        sys.exit("the parent process has gone")


def take_lock(path: str) -> None:
    """Waits, asleep in the kernel, until no other server holds this data; held until death."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write("another server holds this data: standing by until it ends\n")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.set_inheritable(descriptor, True)


def write_pid(path: str) -> None:
    """Leaves our pid, which the server keeps, in `path`; never a half-written file."""
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    os.replace(temporary, path)


def become(
    argv: list[str],
    *,
    lock: str,
    pid_file: str,
    parent_pid: int = 0,
    death_signal: int = SIGKILL,
) -> None:
    """Never returns: execs `argv` under the lock. `parent_pid` 0: outlives its parent."""
    if parent_pid:
        try:
            os.setpgid(0, 0)  # a terminal's Ctrl-C reaches the supervisor, not its store
        except PermissionError:  # a session leader has its own group already
            pass
        die_with_parent(parent_pid, death_signal)
    os.umask(0o077)
    take_lock(lock)
    write_pid(pid_file)
    os.execv(argv[0], argv)  # noqa: S606 - no shell is the point


def main(arguments: list[str]) -> None:
    """`--lock FILE --pid-file FILE [--parent PID --death-signal N] -- SERVER ARG…`."""
    split = arguments.index("--")
    options = dict(zip(arguments[:split:2], arguments[1:split:2], strict=True))
    become(
        arguments[split + 1 :],
        lock=options["--lock"],
        pid_file=options["--pid-file"],
        parent_pid=int(options.get("--parent", "0")),
        death_signal=int(options.get("--death-signal", SIGKILL)),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
