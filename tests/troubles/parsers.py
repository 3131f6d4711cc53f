"""Parsers that misbehave in every way that strangers' files make parsers misbehave."""

import ctypes
import itertools
import os
import resource
import signal
import sys
import time
from pathlib import Path

from shared.errors import Refused
from workers.sandboxed.watchdog import allow, rest


def echo(request, files, out):
    print("a library that prints")  # noqa: T201
    (out / "written").write_bytes(b"kept")
    return {
        "request": request,
        "files": {name: path.read_bytes().decode() for name, path in files.items()},
        "environment": sorted(os.environ),
        "modules": "workers.pool" in sys.modules,
    }


def refuse(request, files, out):
    raise Refused("page 3 is upside down", param="pages", code="upside_down")


def stumble(request, files, out):
    raise ValueError("no such chunk")


def eat(request, files, out):
    return {"length": len(bytearray(request["bytes"]))}


def spin_within_one_piece(request, files, out):
    """Code of a library that never comes back to Python, after some that did."""
    allow(time.process_time() + 30)
    for _ in range(request["pieces"]):
        allow(time.process_time() + 1)
    if request["ends"]:
        rest()
        return {"left": resource.getrlimit(resource.RLIMIT_CPU)[0]}
    return {"sum": sum(itertools.repeat(0, 10**15))}


def spin(request, files, out):
    while True:
        pass


def talk(request, files, out):
    return {"text": "x" * request["bytes"]}


def write(request, files, out):
    (out / "large").write_bytes(b"x" * request["bytes"])
    return {}


def crash(request, files, out):
    ctypes.string_at(0)


def abort(request, files, out):
    os.kill(os.getpid(), signal.SIGABRT)


def nest(request, files, out):
    return nest(request, files, out)


def sleep(request, files, out):
    """Says that it runs by writing its pid, then waits to be killed."""
    temporary = Path(request["pid_file"] + ".new")
    temporary.write_text(str(os.getpid()))
    temporary.replace(request["pid_file"])
    time.sleep(600)


def unwritable(request, files, out):
    return {"text": object()}


def alone(request, files, out):
    """Fails where another runs at the same time."""
    mark = Path(request["mark"])
    mark.touch(exist_ok=False)
    time.sleep(0.2)
    mark.unlink()
    return {}
