"""What a local engine may take of this machine: it serves beside the API, not instead of it."""

import os
import sys

MOST_THREADS = 4
MEMORY_BYTES = 4 * 1024**3
NICENESS = 5


def threads() -> int:
    """Half of the processors, one to four: an engine's threads spin, and others need room too."""
    return max(1, min(MOST_THREADS, (os.cpu_count() or 1) // 2))


def bound_memory() -> None:
    """From here on this process cannot have more than 4 GiB of addresses (Linux).

    It needs about a third of it; input that would take more ends the engine, not the machine.
    """
    if sys.platform == "linux":
        import resource  # noqa: PLC0415 - there is none on Windows

        _, most = resource.getrlimit(resource.RLIMIT_AS)
        bound = MEMORY_BYTES if most == resource.RLIM_INFINITY else min(most, MEMORY_BYTES)
        resource.setrlimit(resource.RLIMIT_AS, (bound, most))


def stand_back() -> None:
    """Lets others have a busy processor first."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
