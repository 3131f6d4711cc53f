"""Parsers that misbehave in every way that strangers' files make parsers misbehave."""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from shared.errors import Refused


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
