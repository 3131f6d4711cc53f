"""Becomes another command whose life is tied to its parent's: `tied.py PARENT_PID COMMAND ARG…`.

Run as a bare script (`python -I -S`), so it uses little of the standard library and costs 20 ms:
signal and contextlib alone would take half as long again.
The command gets a process group of its own: a terminal's Ctrl-C reaches its supervisor only, and
the supervisor can end whatever the command has started with one signal.
"""
# ruff: noqa: SIM105 - for that reason

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
SIGKILL = 9


def tie(argv: list[str]) -> list[str]:
    """`argv` such that it dies with this process, however that dies (Linux).

    Start it from a thread that lives as long as it should, best the main thread: Linux ties the
    child's life to the starting *thread*.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def main(parent_pid: int, argv: list[str]) -> None:
    """Never returns: becomes `argv`."""
    try:
        os.setpgid(0, 0)
    except PermissionError:  # a session leader has its own group already
        pass
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != parent_pid:  # it died before we asked
            sys.exit("the parent process has gone")
    os.execvp(argv[0], argv)  # noqa: S606 - no shell is the point


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
