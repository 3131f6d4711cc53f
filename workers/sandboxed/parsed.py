"""What every parser of documents gives, and the bound on it."""

from dataclasses import dataclass
from typing import Final

from shared.errors import Refused

MOST_CHARS: Final = 12_000_000  # some three million tokens


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document as text. `title` is what it calls itself, `pages` None where it has none.

    `warning` says what of it was not read, where its reader would not expect that.
    """

    type: str
    text: str
    title: str | None = None
    pages: int | None = None
    warning: str | None = None


class TextBound:
    """Gathers text. Refused where it grows beyond what one document may hold."""

    def __init__(self, most: int = MOST_CHARS) -> None:
        self._parts: list[str] = []
        self._left = most
        self._most = most

    def add(self, text: str) -> None:
        """One more piece."""
        self._left -= len(text)
        if self._left < 0:
            raise Refused(
                f"it holds more text than the {self._most} characters that are read of one"
                " document: split it",
                code="too_large",
            )
        self._parts.append(text)

    def joined(self, between: str) -> str:
        """All of it."""
        return between.join(self._parts)
