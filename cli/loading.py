"""How code is loaded: without a look for garbage, and without what nobody will use."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage is collected in this block: to look for it takes 0.1 s of a start."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@contextmanager
def without(*packages: str) -> Iterator[None]:
    """In this block their import fails as if they were not there, but for those already loaded.

    For what others load where it is installed: structlog loads rich, 0.08 s of a start.
    """
    hidden = [name for name in packages if name not in sys.modules]
    sys.modules |= dict.fromkeys(hidden, cast("Any", None))
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)
