"""A bound on the CPU time until something next comes of a file, which code that spins cannot miss.

A decoder that never leaves one packet runs no line of ours; the kernel ends it. Where no limit is
set on this process, it is no child of `workers.sandbox`, and nothing is done.
"""

import math
import resource
from typing import Final

CPU_S: Final = 30.0  # of each pass over sound to begin with; then a second for so many of sound
HEARD_PER_CPU_S: Final = 40.0
TOO_LONG: Final = (
    f"it takes too long to decode: {CPU_S:g} s of CPU time, and one more for each"
    f" {HEARD_PER_CPU_S:g} s of sound that come of it, are the most"
)
KILLED_S: Final = 1  # after the soft limit, of `child.bound`


def allow(until_s: float) -> None:
    """This process is killed when it has used so many seconds of CPU time, but for another word."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    wanted = math.ceil(until_s)
    if resource.RLIM_INFINITY in (soft, hard) or wanted == soft:
        return
    resource.setrlimit(resource.RLIMIT_CPU, (min(wanted, hard - KILLED_S), hard))


def rest() -> None:
    """From here on only the bound of the whole call holds."""
    allow(float(resource.getrlimit(resource.RLIMIT_CPU)[1]))
