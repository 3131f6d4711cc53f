"""Text of others (files, servers, models) on a terminal: what it shows, never what it commands."""

import re
import sys
from typing import Final

# All but tab and newline of the control characters, what turns text around, halves of characters.
_COMMANDS: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def plain(text: str) -> str:
    r"""The text with each character that could command a terminal written out: `\x1b`."""
    return _COMMANDS.sub(lambda found: ascii(found[0])[1:-1], text)


def write(text: str) -> None:
    """Text on stdout: as it is for a script, plain for a terminal."""
    sys.stdout.write(plain(text) if sys.stdout.isatty() else text)
