"""What was heard in one part, laid out for joining: lines of text, and where each word stands.

A mark is a word with its place in the text and its moment: as the model told it, else reckoned by
its place in its line. Times are ms from the beginning of the recording.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from shared.core.cutting import Span
from shared.core.transcript import Segment, Transcript, Word, joined, plain, tokens

LOOK_CHARS: Final = 48  # how far a word that a text spells otherwise is looked for
PAUSE_MS: Final = 800  # between two words, that ends a line
LINE_MS: Final = 30_000
WORD_SURE_MS: Final = 300  # how far two models' times of a word are apart
LINE_SURE_MS: Final = 4_000  # the same, where it is reckoned from a line's
END: Final = 1 << 40
SENTENCE_ENDS: Final = (".", "?", "!", "。", "？", "！", "…")  # noqa: RUF001 - meant so

Timed = TypeVar("Timed", Segment, Word)


@dataclass(frozen=True, slots=True)
class Heard:
    """A part and what was heard in it, its times from the part's own beginning."""

    span: Span
    said: Transcript


@dataclass(frozen=True, slots=True)
class Mark:
    """A word: `plain` as it is compared, its characters in its line, its moment."""

    plain: str
    line: int
    start: int
    end: int
    start_ms: int
    end_ms: int

    @property
    def middle_ms(self) -> int:
        """When it is said."""
        return (self.start_ms + self.end_ms) // 2


@dataclass(frozen=True, slots=True)
class Strand:
    """A part ready to be joined.

    `words` None: the model told of none; else one for each mark. `sure_ms` is how far off a mark's
    moment may be (None: it is not known at all).
    """

    span: Span
    text: str
    lines: tuple[Segment, ...]
    marks: tuple[Mark, ...]
    words: tuple[Word, ...] | None
    sure_ms: int | None


def strand(heard: Heard) -> Strand:
    """A part laid out; times are put within it, since a model may tell others."""
    span, said = heard.span, heard.said
    text = said.text.strip()
    if not text:
        return Strand(span, "", (), (), (), WORD_SURE_MS)
    lines = tuple(_placed(one, span) for one in said.segments or () if one.text.strip())
    told = bool(lines) and plain(joined(one.text for one in lines)) == plain(text)
    if not told:  # segments that leave out some of the text are none
        lines = (Segment(text, span.start_ms, span.end_ms),)
    if not said.words:
        return Strand(span, text, lines, _reckoned(lines), None, LINE_SURE_MS if told else None)
    words = tuple(_placed(one, span) for one in said.words)
    marks = _found(lines, words)
    if not told:
        lines, marks = _broken(text, marks)
    return Strand(span, text, lines, marks, words, WORD_SURE_MS)


def _placed(one: Timed, span: Span) -> Timed:
    """A word or segment at its time in the recording, within its part."""
    start_ms = min(max(span.start_ms + one.start_ms, span.start_ms), span.end_ms)
    end_ms = min(max(span.start_ms + one.end_ms, start_ms), span.end_ms)
    return replace(one, start_ms=start_ms, end_ms=end_ms)


def _reckoned(lines: Sequence[Segment]) -> tuple[Mark, ...]:
    """The words of lines, as if they were said evenly."""
    found = []
    for number, line in enumerate(lines):
        each_ms = (line.end_ms - line.start_ms) / len(line.text)
        for one in tokens(line.text):
            start_ms, end_ms = (line.start_ms + round(at * each_ms) for at in (one.start, one.end))
            found.append(Mark(one.plain, number, one.start, one.end, start_ms, end_ms))
    return tuple(found)


def _found(lines: Sequence[Segment], words: Sequence[Word]) -> tuple[Mark, ...]:
    """Where each word stands in the lines; one that is spelled otherwise there has no width."""
    letters, places = [], []
    for number, line in enumerate(lines):
        for at, character in enumerate(line.text):
            for letter in plain(character):
                letters.append(letter)
                places.append((number, at))
    text, after = "".join(letters), 0
    marks = []
    for word in words:
        spelled = plain(word.text)
        at = text.find(spelled, after, after + len(spelled) + LOOK_CHARS) if spelled else -1
        if at >= 0:
            (number, start), (_, last) = places[at], places[at + len(spelled) - 1]
            after = at + len(spelled)
            end = last + 1 if places[after - 1][0] == number else len(lines[number].text)
        else:
            number, start = places[after] if after < len(places) else (len(lines) - 1, END)
            end = start = min(start, len(lines[number].text))
        marks.append(Mark(spelled, number, start, end, word.start_ms, word.end_ms))
    return tuple(marks)


def _broken(text: str, marks: Sequence[Mark]) -> tuple[tuple[Segment, ...], tuple[Mark, ...]]:
    """One long line as several, at sentences' ends and pauses."""
    lines: list[Segment] = []
    moved: list[Mark] = []
    for group in _sentences(text, marks):
        first, last = group[0], group[-1]
        start = 0 if not lines else first.start
        after = len(moved) + len(group)
        end = marks[after].start if after < len(marks) else len(text)
        moved += [
            replace(one, line=len(lines), start=one.start - start, end=one.end - start)
            for one in group
        ]
        lines.append(Segment(text[start:end].strip(), first.start_ms, last.end_ms))
    return tuple(lines), tuple(moved)


def _sentences(text: str, marks: Sequence[Mark]) -> Iterator[list[Mark]]:
    group: list[Mark] = []
    for one in marks:
        if group:
            last = group[-1]
            ended = text[last.end : one.start].strip().endswith(SENTENCE_ENDS)
            paused = one.start_ms - last.end_ms >= PAUSE_MS
            if ended or paused or one.end_ms - group[0].start_ms > LINE_MS:
                yield group
                group = []
        group.append(one)
    yield group
