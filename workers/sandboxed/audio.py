"""A recording of any length as parts that models take: looked at once, then cut.

Twice it is decoded, and never held: what is kept of the first time is a level for each frame.
"""

import hashlib
import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from operator import mul
from pathlib import Path
from typing import Any, Final

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream

from shared.core.cutting import FULL, SILENT, Rules, inaudible, silences, spans
from workers.sandboxed.sound import PER_MS, RATE, SAMPLE_BYTES, opened

FRAME_MS: Final = 40
FRAME_BYTES: Final = FRAME_MS * PER_MS * SAMPLE_BYTES
STRIDE: Final = 7  # samples; no round frequency has all of these at its zeros
FULL_SCALE_DB: Final = 20 * math.log10(32_768)
WRITE_BYTES: Final = 256 * 1024


def cut(request: Mapping[str, Any], files: Mapping[str, Path], out: Path) -> dict[str, Any]:
    """The file `audio` as FLAC files, 16 kHz, mono, in `out`, and what was found of it.

    `request`: `most_ms` of a part, `overlap_ms` (`always`: at every cut), `longest_ms` of the
    whole. Returns `container`, `codec`, `duration_ms`, `digest` (SHA-256 of the decoded samples),
    and `parts`: the fields of a `Span`, and `file`, `bytes`, `digest`: none for a part in which
    nothing can be heard.
    """
    path = files["audio"]
    facts, levels, digest, duration_ms = _looked_at(path, request["longest_ms"])
    rules = Rules(request["most_ms"], request["overlap_ms"], bool(request.get("always")))
    found = spans(duration_ms, silences(levels, FRAME_MS), rules)
    told = [
        {**asdict(span), "file": None, "bytes": 0, "digest": None}
        if inaudible(levels[span.start_ms // FRAME_MS : -(-span.end_ms // FRAME_MS)])
        else {**asdict(span), "file": f"part-{number:04d}.flac"}
        for number, span in enumerate(found)
    ]
    _write(path, out, [one for one in told if one["file"]], request["longest_ms"])
    return {**facts, "duration_ms": duration_ms, "digest": digest, "parts": told}


def _looked_at(path: Path, longest_ms: int) -> tuple[dict[str, Any], bytes, str, int]:
    """What the file says of itself, a level for each frame, the digest, the length."""
    levels, digest, rest = bytearray(), hashlib.sha256(), bytearray()
    with opened(path, longest_ms) as sound:
        for piece in sound.samples():
            digest.update(piece)
            rest += piece
            whole = len(rest) // FRAME_BYTES * FRAME_BYTES
            levels += bytes(
                level(rest[at : at + FRAME_BYTES]) for at in range(0, whole, FRAME_BYTES)
            )
            del rest[:whole]
        if rest:
            levels.append(level(rest))
        # the last fraction of a ms is no one's: rounded up, the end of the last part reaches it
        duration_ms = -(-sound.decoded // PER_MS)
        return sound.facts, bytes(levels), digest.hexdigest(), duration_ms


def level(frame: bytes | bytearray) -> int:
    """How loud a frame is: see `core.cutting`."""
    heard = array("h", bytes(frame))[::STRIDE]
    energy = sum(map(mul, heard, heard))
    if energy == 0:
        return SILENT
    told = FULL - FULL_SCALE_DB + 10 * math.log10(energy / len(heard))
    return min(FULL, max(SILENT, round(told)))


def _write(path: Path, out: Path, parts: Sequence[dict[str, Any]], longest_ms: int) -> None:
    """Writes each part's file, and says in `parts` how large it is."""
    waiting, writing, at = list(parts), list[_Part](), 0
    with opened(path, longest_ms) as sound:
        for piece in sound.samples():
            end = at + len(piece) // SAMPLE_BYTES
            while waiting and waiting[0]["start_ms"] * PER_MS < end:
                writing.append(_Part(out, waiting.pop(0)))
            for one in writing:
                one.take(piece, at)
            for one in [one for one in writing if one.end <= end]:
                one.close()
                writing.remove(one)
            if not (waiting or writing):
                return
            at = end
    for one in writing:
        one.close()


class _Part:
    """The file of one part, as it is written."""

    def __init__(self, out: Path, told: dict[str, Any]) -> None:
        self._told = told
        self._path = out / told["file"]
        self._start = told["start_ms"] * PER_MS
        self.end = told["end_ms"] * PER_MS
        self._digest = hashlib.sha256()
        self._rest = bytearray()
        self._written = 0
        self._file = av.open(str(self._path), "w", format="flac")
        stream = self._file.add_stream("flac", rate=RATE)
        assert isinstance(stream, AudioStream)  # noqa: S101 - flac is sound
        stream.codec_context.layout = "mono"
        stream.codec_context.format = "s16"
        self._stream = stream

    def take(self, piece: bytes, at: int) -> None:
        """What of a piece that begins at a sample of the recording is this part's."""
        first, last = max(self._start - at, 0), self.end - at
        self._rest += piece[first * SAMPLE_BYTES : last * SAMPLE_BYTES]
        if len(self._rest) >= WRITE_BYTES:
            self._flush()

    def close(self) -> None:
        """Ends the file."""
        self._flush()
        for packet in self._stream.encode(None):
            self._file.mux(packet)
        self._file.close()
        self._told |= {"bytes": self._path.stat().st_size, "digest": self._digest.hexdigest()}

    def _flush(self) -> None:
        if not self._rest:
            return
        data, self._rest = bytes(self._rest), bytearray()
        self._digest.update(data)
        frame = AudioFrame(format="s16", layout="mono", samples=len(data) // SAMPLE_BYTES)
        plane = frame.planes[0]
        plane.update(data.ljust(plane.buffer_size, b"\0"))
        frame.sample_rate = RATE
        frame.pts = self._written
        self._written += frame.samples
        for packet in self._stream.encode(frame):
            self._file.mux(packet)
