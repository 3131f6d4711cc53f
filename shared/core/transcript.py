"""What was heard: the nouns of a transcription. Times are ms from the beginning."""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

# scripts that put no space between words: every character is a token
_SCRIPTS: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
)
_UNSPACED: Final = re.compile(f"[{_SCRIPTS}]")
_TOKEN: Final = re.compile(rf"[{_SCRIPTS}]|[^\s{_SCRIPTS}]+")


@dataclass(frozen=True, slots=True)
class Word:
    """One word as a model told it."""

    text: str
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Segment:
    """Some words as one. `measures` are what a model says of its own certainty, by name.

    `speaker` is whom it is said by, where the model tells.
    """

    text: str
    start_ms: int
    end_ms: int
    measures: tuple[tuple[str, float], ...] = ()
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was heard in a recording or a part of it; None: the model does not tell such a thing."""

    text: str
    duration_ms: int
    language: str | None = None
    segments: tuple[Segment, ...] | None = None
    words: tuple[Word, ...] | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a text as it stands there, and as it is compared."""

    plain: str
    start: int
    end: int


def tokens(text: str) -> tuple[Token, ...]:
    """The words of a text; of scripts without spaces each character. Punctuation is none."""
    found = (
        Token(plain(match.group()), match.start(), match.end()) for match in _TOKEN.finditer(text)
    )
    return tuple(one for one in found if one.plain)


def plain(word: str) -> str:
    """A word as it is compared: without case, accents and punctuation. It goes letter by letter."""
    folded = unicodedata.normalize("NFKD", word).casefold()
    return "".join(each for each in folded if each.isalnum())


def spaced(text: str) -> str:
    """A segment's text as Whisper tells it: with the space before it, where its script has one."""
    stripped = text.strip()
    return stripped if not stripped or _UNSPACED.match(stripped) else f" {stripped}"


def joined(texts: Iterable[str]) -> str:
    """Texts one after the other: a space between them, but for scripts that have none."""
    found: list[str] = []
    for each in texts:
        text = each.strip()
        if not text:
            continue
        if found and not (_UNSPACED.match(found[-1][-1]) and _UNSPACED.match(text[0])):
            found.append(" ")
        found.append(text)
    return "".join(found)
