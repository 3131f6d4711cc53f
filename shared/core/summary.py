"""How a summary is made: what fits, what is cut, what is read again. Pure.

A document that fits is read in one call. One that does not is cut into pieces; a call takes notes
of each, and the notes, joined, are the next text: level by level, until it fits. Notes are at most
a sixth of a piece, so each level is less than half of the one before, and the levels end.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from shared.core.rooms import Room

TARGET_TOKENS: Final = 16_000  # more in one call is read with less care
LEAST_TOKENS: Final = 128
MOST_LEVELS: Final = 16
NOTE_SHARE: Final = 6
MOST_NOTE_TOKENS: Final = 1_024
THINKING_TOKENS: Final = 1_024  # models that reason count it as output
ROOM_TO_THINK: Final = 8_192
SCHEMA_TOKENS: Final = 1_024
TOKENS_A_WORD: Final = 3  # of the languages that need most
LEAST_ANSWER: Final = 64
LEAST_SPARE: Final = 16
MOST_SPARE: Final = 64
OF_ITS_DOCUMENT: Final = 1.5  # tokens are counted as o200k does; a model's own may be more
LENGTHS: Final = {"short": 75, "medium": 200, "long": 500}
STYLES: Final = {
    "paragraph": "Write flowing paragraphs without headings or lists.",
    "bullets": "Write a list of bullet points, each beginning with '- ', one thought each.",
    "executive": (
        "Write an executive summary: first the conclusion in one sentence, then what supports it,"
        " then what has to be decided or done."
    ),
    "abstract": "Write an abstract as of a paper: purpose, method, findings, conclusion.",
    "key_points": "Write a numbered list of the key points, the most important first.",
    "tldr": "Write one or two plain sentences that say what it comes to.",
}


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be written. `words` is its length, `language` None the document's own."""

    style: str = "paragraph"
    words: int = LENGTHS["medium"]
    language: str | None = None
    focus: str | None = None
    instructions: str | None = None
    schema: dict[str, object] | None = None
    chunk_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much goes into a call and comes out of it, in tokens.

    `chunk_tokens` of text are read at once; a call may write `note_output_tokens` or, the last one,
    `answer_output_tokens`, of which `thinking_tokens` are no words of it.
    """

    chunk_tokens: int
    note_output_tokens: int
    answer_output_tokens: int
    thinking_tokens: int = 0


def sizes(rooms: Sequence[Room], wish: Wish, overhead_tokens: int) -> Sizes | None:
    """What fits into the calls of these rooms; None where nothing does.

    At least half of the lanes take what is chosen. A size that the caller asks for may need the
    largest of them. `overhead_tokens` is what a call holds beside the text.
    """
    if not rooms:
        return None
    ordered = sorted(rooms)
    usual = ordered[(len(ordered) - 1) // 2]
    if wish.chunk_tokens is not None:
        enough = wish.chunk_tokens + overhead_tokens + _answer_tokens(wish) + THINKING_TOKENS
        usual = next((room for room in ordered if room.tokens >= enough), ordered[-1])
    most = min(room.output_tokens for room in ordered if room.tokens >= usual.tokens)
    thinking = THINKING_TOKENS if usual.tokens >= ROOM_TO_THINK else 0
    answer = min(_answer_tokens(wish), usual.tokens // 3)
    text = usual.tokens - overhead_tokens - answer - thinking
    chunk = min(text, wish.chunk_tokens or TARGET_TOKENS)
    if chunk < LEAST_TOKENS:
        return None
    note = note_tokens(chunk)
    return Sizes(chunk, min(most, note + thinking), min(most, answer + thinking), thinking)


def most_written(
    sizes: Sizes, wish: Wish, document_tokens: int | None, document_words: int | None = None
) -> int:
    """How much the last call may write: a summary is not longer than its document, about.

    A small model does not end by itself. With `document_words` (all of the document's) its words
    tell how many tokens one needs in its language, so about twice the length asked for is enough.
    JSON, another language and a caller's own instructions may need more than the document: then
    it says nothing.
    """
    free = wish.schema is not None or wish.language is not None or wish.instructions is not None
    if free or document_tokens is None:
        return sizes.answer_output_tokens
    written = max(LEAST_ANSWER, int(document_tokens * OF_ITS_DOCUMENT))
    if document_words:
        a_word = min(float(TOKENS_A_WORD), document_tokens / document_words * OF_ITS_DOCUMENT)
        spare = min(MOST_SPARE, wish.words // 2 + LEAST_SPARE)
        written = min(written, max(LEAST_ANSWER, round(wish.words * a_word) + spare))
    return min(sizes.answer_output_tokens, written + sizes.thinking_tokens)


def note_tokens(chunk_tokens: int) -> int:
    """How much is kept of the notes of one piece."""
    return min(MOST_NOTE_TOKENS, chunk_tokens // NOTE_SHARE)


def half(chunk_tokens: int) -> int | None:
    """For a text whose pieces were too long after all; None where they cannot be smaller."""
    return chunk_tokens // 2 if chunk_tokens // 2 >= LEAST_TOKENS else None


def _answer_tokens(wish: Wish) -> int:
    least = SCHEMA_TOKENS if wish.schema is not None else 0
    return max(least, wish.words * TOKENS_A_WORD + MOST_SPARE)


def joined(notes: Sequence[str]) -> str:
    """The notes of a level as the text of the next; a heading before each is where it is cut."""
    return "\n\n".join(f"# {number}\n\n{note}" for number, note in enumerate(notes, 1))
