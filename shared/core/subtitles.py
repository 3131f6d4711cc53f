"""What was heard as subtitles: no cue more than two lines long, none there for too long to read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Final

from shared.core.cutting import Span
from shared.core.strands import SENTENCE_ENDS, Heard, Mark, strand
from shared.core.transcript import Segment, Transcript

MOST_CHARS: Final = 84  # two lines
MOST_MS: Final = 7_000
LEAST_CHARS: Final = 42  # of a cue that a sentence's or clause's end may end
CLAUSE_ENDS: Final = (*SENTENCE_ENDS, ",", ";", ":", "，", "、", "；")  # noqa: RUF001 - meant so
UNSURE_MS: Final = 60_000  # times within a longer segment are not reckoned: nobody knows them


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown from one moment to another, on one line."""

    start_ms: int
    end_ms: int
    text: str


def cues(heard: Transcript) -> tuple[Cue, ...]:
    """The segments, long ones in pieces: by their words' times, else as if said evenly.

    Where a model told no times at all there is one cue for all it heard.
    """
    whole = strand(Heard(Span(0, heard.duration_ms, 0, heard.duration_ms), heard))
    marks = {line: list(group) for line, group in groupby(whole.marks, lambda one: one.line)}
    found: list[Cue] = []
    for number, line in enumerate(whole.lines):
        sure = whole.words is not None or line.end_ms - line.start_ms <= UNSURE_MS
        found += _pieces(line, marks.get(number, ()) if sure else ())
    return tuple(cue for cue in found if cue.text)


def _pieces(line: Segment, marks: Sequence[Mark]) -> Iterator[Cue]:
    """A line, broken before the word that would make a piece too long, or after a clause."""
    start, start_ms, end_ms = 0, line.start_ms, line.start_ms
    for before, one in pairwise(marks):
        piece = line.text[start : one.start].strip()
        ended = len(piece) >= LEAST_CHARS and piece.endswith(CLAUSE_ENDS)
        rest_ms = line.end_ms - start_ms
        rest_fits = len(line.text[start:].strip()) <= MOST_CHARS and rest_ms <= MOST_MS
        long = len(line.text[start : one.end].strip()) > MOST_CHARS
        slow = one.end_ms - start_ms > MOST_MS
        if piece and (long or slow or (ended and not rest_fits)):
            end_ms = max(start_ms, before.end_ms)
            yield _cue(start_ms, end_ms, piece)
            start, start_ms = one.start, max(one.start_ms, end_ms)
    yield _cue(start_ms, max(line.end_ms, start_ms), line.text[start:])


def _cue(start_ms: int, end_ms: int, text: str) -> Cue:
    return Cue(start_ms, end_ms, " ".join(text.split()))
