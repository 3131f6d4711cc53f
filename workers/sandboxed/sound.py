"""Sound of any usual container, decoded to 16 kHz mono: as a stream, whatever its length.

ffmpeg may open nothing but the one file: playlists and the like, which name others, are not read.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError

from shared.errors import Refused
from workers.sandboxed import watchdog
from workers.sandboxed.watchdog import CPU_S, HEARD_PER_CPU_S, TOO_LONG

RATE: Final = 16_000
PER_MS: Final = RATE // 1000  # samples
LEAST_RATE: Final = 1_000  # no speech is in less, and a few bytes of it would be hours
SAMPLE_BYTES: Final = 2
CONTAINERS: Final = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,gsm,loas,matroska,webm,"
    "mov,mp4,m4a,3gp,3g2,mj2,mp3,mpc,mpc8,mpeg,mpegts,mxf,ogg,rm,tak,tta,voc,w64,wav,wv,xwma"
)
EXACT: Final = ("mov", "matroska", "flac", "wav", "w64", "aiff", "caf")  # they tell their length
HEAD_BYTES: Final = 512
DAMAGED_PACKETS: Final = 20  # more, and more than a tenth: the file is broken
MISSING_SHARE: Final = 0.9
MISSING_MS: Final = 5_000  # and so much; of a short recording as its share, and a little
MISSING_LEAST_MS: Final = 200
SPARE_S: Final = 3.0  # until a packet that does not end is ended from outside
OTHERS: Final = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a zip archive or an Office document"),
    (b"\xd0\xcf\x11\xe0", "an old Office document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"SQLite format 3", "a database"),
    (b"#EXTM3U", "a playlist"),
    (b"ffconcat", "a playlist"),
)


@dataclass(slots=True)
class Sound:
    """The first track of sound in a file, opened; `samples` decodes it, once."""

    container: InputContainer
    track: AudioStream
    most_ms: int
    packets: int = 0
    damaged: int = 0
    decoded: int = 0  # samples
    began_s: float = field(default_factory=time.process_time)

    @property
    def facts(self) -> dict[str, Any]:
        """What the file says of itself. `told_ms` None: it does not say how long it is."""
        return {
            "container": self.container.format.name,
            "codec": self.track.codec_context.name,
            "told_ms": self._told_ms(),
        }

    def samples(self) -> Iterator[bytes]:
        """The sound, 16-bit, 16 kHz, mono, in pieces of any length.

        Refused: it is broken, is longer than `most_ms`, or takes too long to decode.
        """
        resampler = _resampler()
        for frame in self._frames():
            _check_rate(frame.sample_rate)
            try:
                made = resampler.resample(frame)
            except ValueError:  # the sound changes its rate or channels on the way
                yield from self._counted(resampler.resample(None))
                resampler = _resampler()
                made = resampler.resample(frame)
            yield from self._counted(made)
        if self.packets:
            yield from self._counted(resampler.resample(None))
        watchdog.rest()
        self._check_whole()

    def _frames(self) -> Iterator[AudioFrame]:
        packets = self.container.demux(self.track)
        while True:
            try:
                packet = next(packets, None)
            except FFmpegError:  # the file ends in the middle of something
                packet = None
                self.damaged += 1
            if packet is None:
                return
            self.packets += 1
            self._check_time()
            try:
                yield from packet.decode()
            except FFmpegError:
                self.damaged += 1
                self._check_damage()

    def _counted(self, frames: Sequence[AudioFrame]) -> Iterator[bytes]:
        for frame in frames:
            self.decoded += frame.samples
            if self.decoded > self.most_ms * PER_MS:
                raise self._too_long()
            self._check_time()
            yield bytes(frame.planes[0])[: frame.samples * SAMPLE_BYTES]

    def check_told(self) -> None:
        """Refused: by its own words it is longer than `most_ms`, or has a rate of no speech."""
        _check_rate(self.track.codec_context.sample_rate)
        told_ms = self._told_ms()
        if told_ms is not None and _least_ms(told_ms) > self.most_ms:
            raise self._too_long()

    def _too_long(self) -> Refused:
        return Refused(
            f"it is longer than {self.most_ms // 1000} s; HEADRACE_MAX_AUDIO_S says how"
            " long audio may be",
            code="audio_too_long",
        )

    def _check_time(self) -> None:
        until_s = self.began_s + CPU_S + self.decoded / RATE / HEARD_PER_CPU_S
        if time.process_time() > until_s:
            raise Refused(TOO_LONG, code="time_bound")
        watchdog.allow(until_s + SPARE_S)

    def _told_ms(self) -> int | None:
        if not self.container.format.name.startswith(EXACT):
            return None
        track, whole_us = self.track, self.container.duration
        if track.duration is not None and track.time_base is not None:
            return round(track.duration * track.time_base * 1000)
        alone = len(self.container.streams) == 1  # pictures may go on longer
        return None if whole_us is None or not alone else whole_us // 1000

    def _check_damage(self) -> None:
        if self.damaged > max(DAMAGED_PACKETS, self.packets // 10):
            raise Refused(
                f"its sound is damaged: {self.damaged} of {self.packets} pieces cannot be decoded",
                code="audio_damaged",
            )

    def _check_whole(self) -> None:
        told_ms, found_ms = self._told_ms(), self.decoded // PER_MS
        if self.damaged and not self.decoded:
            raise Refused(
                "its sound is damaged: nothing of it can be decoded", code="audio_damaged"
            )
        if told_ms is None or found_ms >= _least_ms(told_ms):
            return
        raise Refused(
            f"it breaks off after {found_ms / 1000:.1f} s of the {told_ms / 1000:.1f} s that it"
            " should hold: it is damaged, or was not wholly uploaded",
            code="audio_damaged",
        )


@contextmanager
def opened(path: Path, most_ms: int) -> Iterator[Sound]:
    """A file's sound.

    Refused: it is empty, is no sound or film, has no track of sound, or says it is too long.
    """
    if path.stat().st_size == 0:
        raise Refused("the file is empty", code="empty_file")
    watchdog.allow(time.process_time() + CPU_S)
    options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
    try:
        container = av.open(str(path), options=options, metadata_errors="replace")
    except (FFmpegError, ValueError) as problem:
        raise Refused(f"it is {_what(path)}", code="unsupported_audio") from problem
    with container:
        tracks = container.streams.audio
        if not tracks:
            kinds = sorted(str(stream.type) for stream in container.streams) or ["nothing"]
            raise Refused(
                f"it has no sound: the {container.format.name} file holds {' and '.join(kinds)}"
                " only",
                code="no_audio",
            )
        if tracks[0].codec_context is None:
            raise Refused("its sound is in a format that nothing here decodes", code="no_decoder")
        sound = Sound(container, tracks[0], most_ms)
        sound.check_told()
        yield sound


def _check_rate(rate: int) -> None:
    if 0 < rate < LEAST_RATE:  # 0: the file does not say
        raise Refused(
            f"its sample rate is {rate} Hz; less than {LEAST_RATE} Hz is no speech",
            code="unsupported_audio",
        )


def _least_ms(told_ms: int) -> float:
    """What of a recording must be there for it to be whole."""
    missing_ms = min(MISSING_MS, told_ms * (1 - MISSING_SHARE) + MISSING_LEAST_MS)
    return told_ms * MISSING_SHARE - missing_ms


def _resampler() -> AudioResampler:
    return AudioResampler(format="s16", layout="mono", rate=RATE)


def _what(path: Path) -> str:
    """What a file that is no sound seems to be, in words."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    for magic, name in OTHERS:
        if head.startswith(magic):
            return f"{name}, not sound or film"
    start = head.lstrip()[:16].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page, not sound or film"
    if _is_text(head):
        return "text, not sound or film"
    return "no sound or film that can be read: it is damaged, or something else"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode()
    except UnicodeDecodeError as problem:  # the last character may be cut
        if problem.start < len(head) - 4:
            return False
        text = head[: problem.start].decode()
    return all(each.isprintable() or each in "\r\n\t" for each in text)
