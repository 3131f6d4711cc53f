"""The child process behind `running`: serves what its parent pickled, ends when it does."""

import ctypes
import os
import pickle
import signal
import sys
import threading
from dataclasses import asdict

import orjson

from simulator.server import address_of, listen, serve_on

_PR_SET_PDEATHSIG = 1


def _die_with(parent: int | None) -> None:
    """Ask Linux for SIGKILL when the parent's main thread ends; elsewhere the pipe must do."""
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _end_with_input() -> None:
    """Leave when standard input closes: whoever started us is gone."""
    while os.read(0, 4_096):
        pass
    os._exit(0)


def main() -> None:
    """Serve what the parent describes; tell it where, in one line of JSON."""
    config, host, port, parent = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our parent
    _die_with(parent)
    threading.Thread(target=_end_with_input, daemon=True).start()
    sockets = listen(config, host, port)
    address = address_of(config, host, [each.getsockname()[1] for each in sockets])
    sys.stdout.buffer.write(orjson.dumps(asdict(address)) + b"\n")
    sys.stdout.flush()
    serve_on(config, sockets)


if __name__ == "__main__":
    main()
