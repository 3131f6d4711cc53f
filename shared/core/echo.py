"""Which words of a refusal are its provider's own, and not its caller's given back. Pure.

A provider may quote the request in what it says of it, whole or in part. What is learned of keys,
models and limits from a text is learned for all callers: so no part of it may be one caller's.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_WORD = re.compile(r"[^\W_]+")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
_DIGIT = re.compile(r"\d")
_QUOTES = frozenset("\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb")
_OPENS, _ENDS = frozenset(":([{<=;"), frozenset(":;,.!?)]}>=\u2026")
_LONG, _LONG_WITH_FIGURES = 5, 3  # words in a row that a provider does not happen to share
_SHORT = 2
_CUT = "…"
_OF_THE_FORM = frozenset({"model", "role", "type"})  # words of the API, between those of the caller
_ENCODED_CHARS = 4_096
_MOST_CHARS = 1 << 20
_DEEPEST = 40


@dataclass(frozen=True, slots=True)
class Heard:
    """A refusal's text without what the request says too. `asked` is the request, folded."""

    text: str
    asked: str = ""

    def says(self, phrase: re.Pattern[str]) -> bool:
        """Whether the provider says so: somewhere that is not a piece of the request."""
        return any(_fold(each[0]) not in self.asked for each in phrase.finditer(self.text))


def heard(message: str, request: Mapping[str, Any]) -> Heard:
    """The message with the pieces of the request cut out; of a request too long to compare, none.

    A piece is a run of words that the request has in the same order: one that is quoted, one of two
    words or more that stands for itself, and one too long to be there by chance.
    """
    if not message:
        return Heard("")
    pieces: list[str] = []
    size = 0
    for piece in _texts(request, 0):
        size += len(piece)
        if size > _MOST_CHARS:
            return Heard("")
        pieces.append(piece)
    asked = f" {_fold(' '.join(pieces))} "
    return Heard(_without(message, asked), asked)


def _texts(value: Any, depth: int) -> Iterator[str]:
    """All texts of a request, names too; not what is encoded: nobody quotes an image."""
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        if not (len(value) > _ENCODED_CHARS and not re.search(r"\s", value[:_ENCODED_CHARS])):
            yield value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            if name not in _OF_THE_FORM or not isinstance(each, str):
                yield from _texts(each, depth + 1)
        yield from (str(name) for name in value)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each, depth + 1)


def _fold(text: str) -> str:
    """The words alone, as one form of case, width and spacing."""
    plain = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold()
    return " ".join(_WORD.findall(plain))


def _without(message: str, asked: str) -> str:
    words = [(each.start(), each.end(), _fold(each[0])) for each in _WORD.finditer(message)]
    kept, at, i = "", 0, 0
    while i < len(words):
        run, j = words[i][2], i
        # a piece may end within a word, where it was cut; one word alone is a whole one
        while (f" {run}" if j > i else f" {run} ") in asked:
            j += 1
            if j == len(words):
                break
            run += f" {words[j][2]}"
        if j == i or not _is_piece(message, words[i:j]):
            i += 1
            continue
        kept += message[at : words[i][0]] + _CUT
        at, i = words[j - 1][1], j
    return kept + message[at:]


def _is_piece(message: str, run: list[tuple[int, int, str]]) -> bool:
    start, end = run[0][0], run[-1][1]
    figures = _DIGIT.search(message[start:end]) is not None
    if len(run) >= (_LONG_WITH_FIGURES if figures else _LONG):
        return True
    before, after = message[:start].rstrip()[-1:], message[end:].lstrip()[:1]
    if before in _QUOTES or after in _QUOTES or len(run) < _SHORT:
        return before in _QUOTES and after in _QUOTES
    if not before:
        return not after
    return before in _OPENS and (not after or after in _ENDS)
