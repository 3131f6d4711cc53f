"""How a server process begins: what is large only while it loads comes before its own code.

Reading the catalog and the token ranks takes tens of MB for a moment and leaves what it took in
holes between what stays. Code that is imported afterwards takes their place: measured, 6 MB less of
each process for as long as it runs.
"""

import contextlib
import ctypes
import os
from dataclasses import replace
from typing import Final

from shared import log, tokens
from shared.settings import Settings
from shared.supply import NO_ROWS, Base, assemble

ARENAS: Final = 2
MAPPED_FROM_BYTES: Final = 128 * 1024
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # as <malloc.h> numbers them


def begun(settings: Settings, process: str, *, counting: bool) -> Base:
    """The log set up and what the process stands on, read. ConfigError for what is set wrong.

    `counting` where tokens are counted on the loop: the ranks take half a second to load, and no
    thread helps, for most of it holds the interpreter's lock (0.3 s: every stream would stand).
    """
    _give_back_what_is_freed()
    log.configure(level=settings.log_level, format_=settings.log_format, keys={"process": process})
    if counting:
        tokens.load()
    base = Base.of_settings(settings, os.environ)
    return replace(base, first=assemble(base, NO_ROWS))


def _give_back_what_is_freed() -> None:
    """Parts of files go back to the system with their last use, whichever thread read them.

    Else glibc keeps them for later, in a pool of its own for each thread: some MB a file.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library has its own way
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, ARENAS)
        mallopt(_M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)
