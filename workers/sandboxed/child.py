"""What the child process of `workers.sandbox` runs: one parser, under bounds, then it ends.

Run as a bare script (`python -I -S`): its environment is empty, its import path comes with the
request, on stdin; the answer is one JSON object on what was stdout. A parser that prints, prints to
nowhere.
"""

import ctypes
import errno
import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_NO_NEW_PRIVS = 38
OPEN_FILES = 64


def die_with_parent(parent: int) -> None:
    """Linux kills us when the thread that started us ends."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before we asked
        sys.exit("the parent process has gone")


def bound(limits: dict[str, int]) -> None:
    """From here on the kernel refuses more; past its CPU time the process is killed."""
    seconds = limits["cpu_s"]
    for what, soft, hard in (
        (resource.RLIMIT_AS, limits["memory_bytes"], limits["memory_bytes"]),
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        (resource.RLIMIT_FSIZE, limits["file_bytes"], limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        most = resource.getrlimit(what)[1]
        most = hard if most == resource.RLIM_INFINITY else min(hard, most)
        resource.setrlimit(what, (min(soft, most), most))


def answer_of(call: dict[str, Any]) -> dict[str, Any]:
    """The parser's result, or its refusal, or what it fell over."""
    from importlib import import_module  # noqa: PLC0415 - the import path is known only now

    from shared.errors import Refused  # noqa: PLC0415

    module, _, name = call["entry"].partition(":")
    files = {name: Path(path) for name, path in call["files"].items()}
    try:
        parser = getattr(import_module(module), name)
        return {"result": parser(call["request"], files, Path(call["out"]))}
    except Refused as refused:
        return {
            "refused": {"message": refused.message, "param": refused.param, "code": refused.code}
        }
    except MemoryError:
        return {"memory": True}
    except RecursionError:
        return {"crashed": "it is nested too deeply"}
    except Exception as error:  # noqa: BLE001 - whatever a stranger's file does to a parser
        if isinstance(error, OSError) and error.errno == errno.EFBIG:
            return {"output": True}
        return {"crashed": f"{type(error).__name__}: {error}"[:300]}


def own_answer() -> BinaryIO:
    """What was stdout, for the answer alone; whatever is printed from now on goes nowhere."""
    answer = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return answer


def main() -> None:
    """One call: read it, bind ourselves, run it, answer."""
    call = json.loads(sys.stdin.buffer.read())
    die_with_parent(call["parent"])
    sys.path[:] = call["path"]
    answer = own_answer()
    bound(call["limits"])
    try:
        told = json.dumps(answer_of(call), ensure_ascii=False).encode("utf-8", "replace")
    except MemoryError:
        told = b'{"memory": true}'
    answer.write(told)
    answer.flush()
    os._exit(0)  # nothing of a parser's is worth the time to tidy up


if __name__ == "__main__":
    main()
