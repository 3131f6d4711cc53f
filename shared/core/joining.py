"""Parts' transcripts become the recording's: what two parts both heard is told once.

Neighbours that share sound are joined at a word that both heard: where they agree in the longest
run of words at about the same moment, at the one of these nearest the cut. Where they agree in
nothing, each is believed on its side of the cut; where nobody knows the times, all is kept.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

from shared.core.languages import name_of
from shared.core.strands import Heard, Mark, Strand, Timed, strand
from shared.core.transcript import Segment, Transcript, joined, plain, spaced

MOST_MARKS: Final = 200  # of a part that are looked at for one joint
WORDS_PER_S: Final = 6  # nobody speaks faster for long
SPARE_MARKS: Final = 8
MOST_SLIPS: Final = 2  # words that the end of the sound may have spoilt
OPENING: Final = "\"'([{«“‘¿¡「『"  # noqa: RUF001 - typographic quotation marks are meant


@dataclass(frozen=True, slots=True)
class Run:
    """Words that two parts have in common: where it ends in each, how long it is, how far off."""

    left: int
    right: int
    length: int
    off_ms: int


def merged(parts: Sequence[Heard], duration_ms: int) -> Transcript:
    """What was heard in the whole recording; `parts` are in order and cover it.

    Times never go back and stay within the recording. Words are there where every part that heard
    something told them; a part without segments is one segment.
    """
    strands, bounds = _laid_out(parts)
    kept = [_trimmed(one, *bound) for one, bound in zip(strands, bounds, strict=True)]
    words = None
    if all(one.words is not None for one in strands):
        told = (
            one.words[first:last]
            for one, (first, last) in zip(strands, bounds, strict=True)
            if one.words is not None
        )
        words = tuple(_ordered([word for each in told for word in each], duration_ms))
    lines = [replace(line, text=spaced(line.text)) for _, lines in kept for line in lines]
    return Transcript(
        text=joined(text for text, _ in kept),
        duration_ms=duration_ms,
        language=_language(parts),
        segments=tuple(_ordered(lines, duration_ms)),
        words=words,
    )


def texts(parts: Sequence[Heard]) -> tuple[str, ...]:
    """What each of some neighbouring parts adds to the text of the whole.

    The first and the last as if nothing were beyond them.
    """
    strands, bounds = _laid_out(parts)
    return tuple(_trimmed(one, *bound)[0] for one, bound in zip(strands, bounds, strict=True))


def _laid_out(parts: Sequence[Heard]) -> tuple[list[Strand], list[list[int]]]:
    """The parts with their marks, and from which mark up to which each is believed."""
    strands = [strand(one) for one in parts]
    bounds = [[0, len(one.marks)] for one in strands]
    for at, (left, right) in enumerate(pairwise(strands)):
        if left.span.end_ms > right.span.start_ms:
            bounds[at][1], bounds[at + 1][0] = _joint(left, right)
    return strands, bounds


def _language(parts: Sequence[Heard]) -> str | None:
    """The language that most of the text is in; None where no part says."""
    said: Counter[str] = Counter()
    for one in parts:
        if one.said.language:
            said[name_of(one.said.language)] += len(one.said.text)
    return max(said, key=said.__getitem__) if said else None


def _joint(left: Strand, right: Strand) -> tuple[int, int]:
    """How many marks of the left part are kept, and how many of the right one are left out."""
    sure_ms = None
    if left.sure_ms is not None and right.sure_ms is not None:
        sure_ms = max(left.sure_ms, right.sure_ms)
    first, last = _shared(left, right, sure_ms)
    runs = _runs(left.marks[first:], right.marks[:last], sure_ms)
    cut_ms = left.span.to_ms
    if sure_ms is None:
        return _by_ends(left, runs, first)
    best = max(runs, key=lambda run: (run.length, -run.off_ms), default=None)
    if best is None:
        return (
            sum(one.middle_ms < cut_ms for one in left.marks),
            sum(one.middle_ms < cut_ms for one in right.marks),
        )
    back = min(
        range(best.length),
        key=lambda step: abs(left.marks[first + best.left - step].middle_ms - cut_ms),
    )
    return first + best.left - back + 1, best.right - back + 1


def _by_ends(left: Strand, runs: Iterator[Run], first: int) -> tuple[int, int]:
    """The joint of parts without times: the run that is nearest the end of one, begin of other."""
    best, found = -2 * MOST_SLIPS - 1, (len(left.marks), 0)
    for run in runs:
        after = len(left.marks) - first - 1 - run.left
        before = run.right + 1 - run.length
        slips = max(after, before)
        worth = run.length - after - before
        if slips <= MOST_SLIPS and slips < run.length and worth > best:
            best, found = worth, (first + run.left + 1, run.right + 1)
    return found


def _shared(left: Strand, right: Strand, sure_ms: int | None) -> tuple[int, int]:
    """From which mark of the left part, and up to which of the right one, both may have heard."""
    from_ms, to_ms = right.span.start_ms, left.span.end_ms
    if sure_ms is None:
        count = (to_ms - from_ms) * WORDS_PER_S // 1000 + SPARE_MARKS
        return max(0, len(left.marks) - count), min(len(right.marks), count)
    late = sum(one.end_ms > from_ms - sure_ms for one in left.marks)
    early = sum(one.start_ms < to_ms + sure_ms for one in right.marks)
    return len(left.marks) - min(late, MOST_MARKS), min(early, MOST_MARKS)


def _runs(left: Sequence[Mark], right: Sequence[Mark], sure_ms: int | None) -> Iterator[Run]:
    """Every run of same words that cannot be made longer."""
    before: dict[int, tuple[int, int]] = {}
    for i in range(len(left) + 1):
        here: dict[int, tuple[int, int]] = {}
        for j, other in enumerate(right if i < len(left) else ()):
            off_ms = abs(left[i].middle_ms - other.middle_ms)
            near = sure_ms is None or off_ms <= sure_ms
            if near and left[i].plain and left[i].plain == other.plain:
                length, sum_ms = before.get(j - 1, (0, 0))
                here[j] = length + 1, sum_ms + off_ms
        for j, (length, sum_ms) in before.items():
            if j + 1 not in here:
                yield Run(i - 1, j, length, sum_ms // length)
        before = here


def _trimmed(one: Strand, first: int, last: int) -> tuple[str, list[Segment]]:
    """The text and the lines of a part from one mark up to another."""
    marks = one.marks
    if (first, last) == (0, len(marks)):
        return one.text, list(one.lines)
    if first >= last:
        return "", []
    from_line = marks[first].line if first else 0
    to_line = marks[last].line if last < len(marks) else len(one.lines) - 1
    lines = []
    for number in range(from_line, to_line + 1):
        line = one.lines[number]
        text, start_ms, end_ms = line.text, line.start_ms, line.end_ms
        if last < len(marks) and number == to_line:
            text, end_ms = text[: marks[last].start], min(end_ms, marks[last - 1].end_ms)
        if first and number == from_line:
            text, start_ms = (
                text[_begin(text, marks, first) :],
                max(start_ms, marks[first].start_ms),
            )
        if text == line.text or plain(text):
            lines.append(replace(line, text=text, start_ms=start_ms, end_ms=max(start_ms, end_ms)))
    return joined(line.text for line in lines), lines


def _begin(text: str, marks: Sequence[Mark], first: int) -> int:
    """Where a word's text begins: with what opens it, as a quotation mark."""
    start, before = marks[first].start, marks[first - 1]
    least = before.end if before.line == marks[first].line else 0
    while start > least and text[start - 1] in OPENING:
        start -= 1
    return start


def _ordered(found: Sequence[Timed], duration_ms: int) -> Iterator[Timed]:
    """The same, none beginning before the one before it, or ending after the next one begins."""
    starts: list[int] = list(accumulate((min(one.start_ms, duration_ms) for one in found), max))
    for one, start_ms, next_ms in zip(found, starts, [*starts, duration_ms][1:], strict=True):
        yield replace(one, start_ms=start_ms, end_ms=max(start_ms, min(one.end_ms, next_ms)))
