"""Cuts a text into pieces that fit, at the borders a reader would choose. Pure.

A piece is as long as the bound allows, then shortened to the best border near its end: before a
heading, after a paragraph, a sentence, a line, a word. Only a run without any of these is cut
anywhere. The pieces, joined, are the text.
"""

import re
from collections.abc import Callable, Iterable
from typing import Final

Count = Callable[[str], int]

LEAST_TOKENS: Final = 16  # a character may be several
_CHARS_PER_TOKEN: Final = 4.0  # to begin with; then as the text's last piece was
_FULL: Final = 0.9  # of the bound: a piece so long is not made longer
_MOST_TRIES: Final = 40
# what to look for, and in how much of a piece's end
_BORDERS: Final = (
    (re.compile(r"\n(?=#{1,6} )"), 2),
    (re.compile(r"\n[ \t]*\n\s*"), 2),
    (re.compile(r"[.!?…][\"'”’»)\]]*\s+|[。！？]+"), 3),  # noqa: RUF001 - other scripts end too
    (re.compile(r"\n"), 3),
    (re.compile(r"\s+"), 2),
)


def ends(text: str, most_tokens: int, count: Count) -> tuple[int, ...]:
    """Where the pieces of `text` end, in characters; each is `most_tokens` or fewer by `count`.

    Empty for an empty text. The bound is `LEAST_TOKENS` or more.
    """
    found: list[int] = []
    at, density = 0, _CHARS_PER_TOKEN
    while at < len(text):
        end = _reach(text, at, most_tokens, count, density)
        if end < len(text):
            end = _shortened(text, at, _border(text, at, end), most_tokens, count)
        density = max(0.25, (end - at) / max(1, count(text[at:end])))
        found.append(end)
        at = end
    return tuple(found)


def pieces(text: str, at: Iterable[int]) -> tuple[str, ...]:
    """The pieces that end there."""
    start, found = 0, []
    for end in at:
        found.append(text[start:end])
        start = end
    return tuple(found)


def clipped(text: str, most_tokens: int, count: Count) -> str:
    """The beginning of a text that is too long, up to a border; else all of it."""
    if len(text) <= most_tokens or count(text) <= most_tokens:
        return text
    return text[: ends(text, most_tokens, count)[0]].rstrip()


def _reach(text: str, at: int, most: int, count: Count, density: float) -> int:
    """Where about `most` tokens from `at` end: never more, and seldom less than nine tenths."""
    low, high = at, len(text) + 1
    guess = min(len(text), at + max(1, int(most * density)))
    for _ in range(_MOST_TRIES):
        tokens = count(text[at:guess])
        if tokens > most:
            high = guess
        else:
            low = guess
            if low == len(text) or tokens >= most * _FULL:
                break
        if high - low <= 1:
            break
        likely = at + int((guess - at) * most * 0.97 / max(1, tokens))
        # halves at least, where the guess is of no use
        guess = likely if low < likely < high and likely != guess else (low + high) // 2
        guess = min(guess, len(text))
    return max(low, at + 1)


def _border(text: str, at: int, end: int) -> int:
    """The last of the best borders there are before `end`; `end` where there is none."""
    for border, share in _BORDERS:
        start = end - (end - at) // share
        last = None
        for last in border.finditer(text, start, end):  # noqa: B007 - the last one is wanted
            pass
        if last is not None and last.end() > at:
            return last.end()
    return end


def _shortened(text: str, at: int, end: int, most: int, count: Count) -> int:
    """A beginning may count more tokens than the whole; seldom, and by few."""
    while end - at > 1 and count(text[at:end]) > most:
        end = at + (end - at) * 9 // 10
    return end
