"""A truth that is spoken, and what models that hear perfectly tell of a part of it."""

import random
from dataclasses import dataclass

from hypothesis import strategies as st

from shared.core.cutting import Silence, Span
from shared.core.strands import Heard
from shared.core.transcript import Segment, Transcript, Word, plain

LONGEST_WORD_MS = 900
APART_MS = 400  # the same word twice within less, no two models' clocks tell from once


@dataclass(frozen=True)
class Truth:
    """What is said in a recording."""

    words: tuple[Word, ...]
    duration_ms: int

    @property
    def text(self):
        return " ".join(one.text for one in self.words)

    def silences(self, least_ms=240):
        ends = [0, *(one.end_ms for one in self.words)]
        starts = [*(one.start_ms for one in self.words), self.duration_ms]
        return tuple(Silence(a, b) for a, b in zip(ends, starts, strict=True) if b - a >= least_ms)


def truths(vocabulary=None, most=120):
    """Words at any pace; without a vocabulary no two of them are the same."""
    return st.builds(spoken, st.integers(0, most), st.integers(0, 2**32), st.just(vocabulary))


def spoken(count, seed, vocabulary=None):
    draw = random.Random(seed)
    at, words = draw.randint(0, 2_000), []
    pauses = draw.choice([(0,), (0, 20, 120), (0, 0, 0, 20, 120, 400, 1_500)])
    for number in range(count):
        recent = {plain(one.text) for one in words[-12:] if one.end_ms > at - APART_MS}
        free = [one for one in vocabulary or () if plain(one) not in recent]
        text = draw.choice(free) if free else f"w{number}"
        length = draw.randint(60, LONGEST_WORD_MS)
        words.append(Word(text, at, at + length))
        at += length + draw.choice(pauses)
    return Truth(tuple(words), at + draw.randint(0, 1_000))


def heard(truth, span, told="words", in_segment=7):
    """What a model tells of a span, by its times: the words that are wholly in it.

    `told` is words, both, segments or text.
    """
    by_ms = span.start_ms
    words = tuple(
        Word(one.text, one.start_ms - by_ms, one.end_ms - by_ms)
        for one in truth.words
        if span.start_ms <= one.start_ms and one.end_ms <= span.end_ms
    )
    segments = tuple(
        Segment(
            " " + " ".join(one.text for one in words[at : at + in_segment]),
            words[at].start_ms,
            words[min(at + in_segment, len(words)) - 1].end_ms,
        )
        for at in range(0, len(words), in_segment)
    )
    said = Transcript(
        text=" ".join(one.text for one in words),
        duration_ms=span.end_ms - span.start_ms,
        language="english",
        segments=segments if told in ("both", "segments") else None,
        words=words if told in ("both", "words") else None,
    )
    return Heard(span, said)


def whole(truth):
    return Span(0, truth.duration_ms, 0, truth.duration_ms)
