"""What a simulated Whisper hears: the words of `simulator.speech` in the sound it was sent.

PyAV is imported with the first sound: it takes 0.12 s of a simulator's start, and most hear none.
"""
# ruff: noqa: PLC0415 - for that reason

import hashlib
import io
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from simulator.speech import (
    BURST_SAMPLES,
    LEVELS,
    MARK,
    PERIOD,
    RATE,
    SYMBOL_SAMPLES,
    SYMBOLS,
    Word,
    check_of,
    word_of,
)

MUMBLED = "mm"
"""What is heard of a word that was cut through and yet mostly there. No vocabulary has it."""
MAX_SECONDS = 4 * 3_600
_TAP = 80
_TAPS = BURST_SAMPLES // _TAP
_SYMBOL_TAPS = SYMBOL_SAMPLES // _TAP
_SMEAR = 2
_BLUR = 12
_HEARD_SHARE = 0.4
_SILENCE = 1_700
_LETTERS = b" 0123M"
_BURST = re.compile(rb"[^ ]+")
_BLOCK = 2 * _TAP * 200 * 60
_KEPT = 256


class NotAudioError(ValueError):
    """There is no sound in these bytes, or more than `MAX_SECONDS` of it."""


@dataclass(frozen=True, slots=True)
class Heard:
    """All words of a sound, in order; `seconds` is how long it is."""

    seconds: float
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        """The words in a row."""
        return " ".join(word.word for word in self.words)


_kept: OrderedDict[bytes, Heard] = OrderedDict()
_keeping = threading.Lock()


def hear(data: bytes) -> Heard:
    """All that is said in a sound file of any kind; the latest are remembered by their bytes.

    Raises:
        NotAudioError: it is no sound.
    """
    mark = hashlib.blake2b(data, digest_size=16).digest()
    with _keeping:
        if mark in _kept:
            _kept.move_to_end(mark)
            return _kept[mark]
    heard = _hear(data)
    with _keeping:
        _kept[mark] = heard
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    return heard


def _hear(data: bytes) -> Heard:
    taps, held, samples = bytearray(), bytearray(), 0
    for piece in _pieces(data):
        held += piece
        samples += len(piece) // 2
        if samples > MAX_SECONDS * RATE:
            raise NotAudioError(f"the sound is longer than {MAX_SECONDS} s")
        while len(held) >= _BLOCK:
            taps += _loudness(bytes(held[:_BLOCK]))
            del held[:_BLOCK]
    taps += _loudness(bytes(held))
    words = (_word(found) for found in _BURST.finditer(bytes(taps)))
    return Heard(samples / RATE, tuple(word for word in words if word is not None))


def _pieces(data: bytes) -> Iterator[bytes]:
    """The sound as 16-bit mono at 16 kHz."""
    import av
    from av.audio.resampler import AudioResampler

    resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
    try:
        with av.open(io.BytesIO(data), "r") as container:
            if not container.streams.audio:
                raise NotAudioError("there is no sound in the file")
            for frame in container.decode(container.streams.audio[0]):
                for part in resampler.resample(frame):
                    yield bytes(part.planes[0])[: 2 * part.samples]
            for part in resampler.resample(None):
                yield bytes(part.planes[0])[: 2 * part.samples]
    except (av.FFmpegError, ValueError) as exc:
        if isinstance(exc, NotAudioError):
            raise
        raise NotAudioError(f"this is no sound: {exc}") from exc


def _letter(high: int) -> int:
    """How loud a sample is, as a letter, from its high byte: silence, a digit, the mark."""
    peak = (high if high < 128 else 255 - high) * 256 + 128  # noqa: PLR2004 - two's complement
    edges = (*LEVELS, MARK)
    bounds = [_SILENCE, *((low * high) ** 0.5 for low, high in pairwise(edges))]
    return int(_LETTERS[sum(peak * 1.04 >= bound for bound in bounds)])


_RANK = bytes(_LETTERS.index(_letter(high)) for high in range(256))
_SHOWN = bytes.maketrans(bytes(range(len(_LETTERS))), _LETTERS)


def _loudness(pcm: bytes) -> bytes:
    """A letter for every 80 samples: the loudest of four looks, an eighth of a period apart."""
    step, eighth = 2 * _TAP, 2 * PERIOD // 8
    looks = [pcm[1 + i * eighth :: step].translate(_RANK) for i in range(4)]
    count = min(map(len, looks))
    return bytes(map(max, *(look[:count] for look in looks))).translate(_SHOWN)


def _word(found: re.Match[bytes]) -> Word | None:
    """The word of a burst; None where too little of it is left."""
    taps = found[0]
    first, last = taps.find(b"M"), taps.rfind(b"M") + 1
    if 0 <= first <= _BLUR and len(taps) - last <= _BLUR and abs(last - first - _TAPS) <= _SMEAR:
        at = found.start() + first
        word = _said(taps[first:last])
        return Word(word or MUMBLED, at * _TAP / RATE, (at + last - first) * _TAP / RATE)
    if len(taps) < _HEARD_SHARE * _TAPS:
        return None
    return Word(MUMBLED, found.start() * _TAP / RATE, found.end() * _TAP / RATE)


def _said(taps: bytes) -> str | None:
    """The word between the edges of two marks; None where its check is wrong."""
    for look in (2, 1):
        middles = taps[_SYMBOL_TAPS + look :: _SYMBOL_TAPS][: SYMBOLS - 2]
        if len(middles) == SYMBOLS - 2 and not middles.strip(b"0123"):
            digits = [middle - ord("0") for middle in middles]
            if check_of(digits[:-1]) == digits[-1]:
                return word_of(int(middles[:-1], 4))
    return None
