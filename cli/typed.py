"""What is to be typed to run `headrace` again: advice that can be pasted as it is shown."""

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cli.home import Home, of_environment, usual

NAME: Final = "headrace"


def command(home: Home | None = None) -> str:
    """`headrace` as it is found from here, with its data directory (else the environment's)."""
    path = (home or of_environment()).path.absolute()
    before = f"HEADRACE_DATA_DIR={shlex.quote(str(path))} " if path != usual().path else ""
    return f"{before}{name()}"


def again(words: Sequence[str]) -> str:
    """The command with these words after it."""
    return f"{command()} {shlex.join(words)}"


def name() -> str:
    """`headrace` where the shell finds it, else the way to it that was typed."""
    typed = Path(sys.argv[0])
    return NAME if typed.name != NAME or shutil.which(NAME) else shlex.quote(sys.argv[0])
