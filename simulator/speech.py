"""Speech that means something: sound files whose words a simulated provider really hears.

    talk = spoken(script(seed=7, words=400), seed=7)
    talk.text                        # the truth: "Bado kemi lora. Gina …"
    talk.words[0]                    # Word("Bado", start_s=0.41, end_s=0.59)
    write(talk, Path("talk.flac"))   # .wav .flac, or any ending PyAV can write: .mp3 .ogg .m4a

or, for a folder of them, `python -m simulator.speak DIR --files 20 --minutes 3`, which writes the
truth beside each as JSON. Equal arguments make equal bytes of WAV.

A word is a burst of 180 ms: nine tones of 20 ms at 1 kHz whose loudness is a digit, of which the
first and the last mark the edges and the last but one is a check. Silence (with a faint noise) of
irregular length stands between words, a longer one between sentences. Only the words of
`VOCABULARY` can be said, with a capital where a sentence begins and a full stop where it ends.
`simulator.hearing` reads bursts back from whatever sound was sent: cut, resampled, or compressed.
A word that was cut through is lost or mumbled, as real models do.

PyAV is imported with the first file: it takes 0.12 s of a simulator's start, and most hear none.
"""
# ruff: noqa: PLC0415 - for that reason

import math
import random
import wave
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import av

RATE = 16_000
SYMBOL_SAMPLES = 320
SYMBOLS = 9
BURST_SAMPLES = SYMBOLS * SYMBOL_SAMPLES
PERIOD = 16
LEVELS = (3_000, 5_000, 8_300, 13_800)
"""Peaks of the four digits. Each is 1.66 times the one before, so compression may bend them."""
MARK = 23_000
_NOISE = 24
_SYLLABLES = [consonant + vowel for consonant in "bdgklmnr" for vowel in "aeio"]
VOCABULARY = tuple(first + second for first in _SYLLABLES for second in _SYLLABLES)
VOICES = 4
_INDEX = {word: index for index, word in enumerate(VOCABULARY)}
_BEGINS, _ENDS = 1, 2
_DIGITS = SYMBOLS - 3
_GAP_S = (0.04, 0.24)
_PAUSE_S = (0.4, 1.2)
_SENTENCE_WORDS = (4, 14)
_FRAME = 16_000


@dataclass(frozen=True, slots=True)
class Word:
    """A word and when it is said, in seconds from the start."""

    word: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Talk:
    """What is said, and how long it takes.

    `gaps` are the samples of silence before each word and after the last.
    """

    words: tuple[Word, ...]
    gaps: tuple[int, ...]
    seed: int

    @property
    def text(self) -> str:
        """The truth."""
        return " ".join(word.word for word in self.words)

    @property
    def samples(self) -> int:
        """How long it is at 16 kHz."""
        return sum(self.gaps) + len(self.words) * BURST_SAMPLES

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.samples / RATE


def script(seed: int, words: int, voices: int | None = None) -> list[str]:
    """That many words in sentences, a function of the seed.

    With `voices` so many people, up to `VOICES`, say a sentence in turn: see `voice_of`.
    """
    draw = random.Random(f"script {seed}")
    said: list[str] = []
    turn = 0
    while len(said) < words:
        count = min(draw.randint(*_SENTENCE_WORDS), words - len(said))
        own = VOCABULARY if voices is None else VOCABULARY[turn % voices :: VOICES]
        turn += 1
        sentence = [draw.choice(own) for _ in range(count)]
        sentence[0] = sentence[0].capitalize()
        sentence[-1] += "."
        said += sentence
    return said


def voice_of(word: str) -> int:
    """Whose word it is, from 0: each of `VOICES` people has words of their own."""
    return _INDEX[word.removesuffix(".").lower()] % VOICES


def spoken(words: Iterable[str], seed: int = 0) -> Talk:
    """Say these words, with pauses that follow from the seed.

    Raises:
        ValueError: a word is not in `VOCABULARY`.
    """
    draw = random.Random(f"pauses {seed}")
    said: list[Word] = []
    gaps = [round(draw.uniform(*_PAUSE_S) * RATE)]
    at = gaps[0]
    for word in words:
        code_of(word)
        said.append(Word(word, at / RATE, (at + BURST_SAMPLES) / RATE))
        bounds = _PAUSE_S if word.endswith(".") else _GAP_S
        gaps.append(round(draw.uniform(*bounds) * RATE))
        at += BURST_SAMPLES + gaps[-1]
    return Talk(tuple(said), tuple(gaps), seed)


def talk_of(seed: int, seconds: float, voices: int | None = None) -> Talk:
    """A talk of about this many seconds, a function of its arguments."""
    talk = spoken(script(seed, max(1, round(seconds * 2.9)), voices), seed)
    count = max(1, sum(word.end_s <= seconds for word in talk.words))
    said = [word.word for word in talk.words[:count]]
    said[-1] = said[-1].rstrip(".") + "."
    return spoken(said, seed)


def code_of(word: str) -> int:
    """The number a word is said as: its place in the vocabulary, and how it is written."""
    bare = word.removesuffix(".")
    index = _INDEX.get(bare.lower())
    if index is None or bare not in (bare.lower(), bare.capitalize()):
        raise ValueError(f"{word!r} cannot be said: it is not in simulator.speech.VOCABULARY")
    form = (_BEGINS if bare[0].isupper() else 0) | (_ENDS if word.endswith(".") else 0)
    return index << 2 | form


def word_of(code: int) -> str:
    """The word that is said as this number; the inverse of `code_of`."""
    word = VOCABULARY[code >> 2]
    word = word.capitalize() if code & _BEGINS else word
    return word + "." if code & _ENDS else word


def digits_of(code: int) -> list[int]:
    """The six digits of a number, highest first, and their check."""
    digits = [code >> 2 * place & 3 for place in reversed(range(_DIGITS))]
    return [*digits, check_of(digits)]


def check_of(digits: Sequence[int]) -> int:
    """A digit that changes with any one of the others."""
    return sum((place % 3 + 1) * digit for place, digit in enumerate(digits, 1)) % 4 ^ 1


def sound(talk: Talk) -> Iterator[bytes]:
    """The talk as 16-bit little-endian mono at 16 kHz, piece by piece."""
    for gap, word in zip(talk.gaps, talk.words, strict=False):
        yield _silence(gap)
        yield _burst(code_of(word.word))
    yield _silence(talk.gaps[-1])


def write(talk: Talk, path: Path) -> None:
    """Write a sound file in the format its name ends in."""
    if path.suffix == ".wav":
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, RATE, talk.samples, "NONE", "not compressed"))
            for piece in sound(talk):
                file.writeframesraw(piece)
        return
    import av

    with av.open(str(path), "w") as container:
        codec = container.default_audio_codec if path.suffix != ".flac" else "flac"
        stream: Any = container.add_stream(codec, rate=_rate_for(codec), layout="mono")
        stream.bit_rate = 96_000
        for frame in _frames(talk):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _rate_for(codec: str) -> int:
    return 48_000 if codec in ("opus", "libopus", "vorbis", "libvorbis") else RATE


def _frames(talk: Talk) -> Iterator["av.AudioFrame"]:
    import av

    held, at = bytearray(), 0
    for piece in (*sound(talk), b""):
        held += piece
        while len(held) >= 2 * _FRAME or (not piece and held):
            data = bytes(held[: 2 * _FRAME])
            del held[: 2 * _FRAME]
            frame = av.AudioFrame(format="s16", layout="mono", samples=len(data) // 2)
            frame.planes[0].update(data.ljust(frame.planes[0].buffer_size, b"\0"))
            frame.sample_rate, frame.pts = RATE, at
            at += frame.samples
            yield frame


@cache
def _noise() -> bytes:
    draw = random.Random("noise")
    return array("h", (draw.randint(-_NOISE, _NOISE) for _ in range(RATE))).tobytes()


def _silence(samples: int) -> bytes:
    noise = _noise()
    rounds, rest = divmod(samples, RATE)
    return noise * rounds + noise[: 2 * rest]


@cache
def _tone(peak: int) -> bytes:
    wave_ = [round(peak * math.sin(2 * math.pi * i / PERIOD)) for i in range(PERIOD)]
    return array("h", wave_ * (SYMBOL_SAMPLES // PERIOD)).tobytes()


def _burst(code: int) -> bytes:
    peaks = [MARK, *(LEVELS[digit] for digit in digits_of(code)), MARK]
    return b"".join(map(_tone, peaks))
