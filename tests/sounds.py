"""Recordings made of tones and silences, in any container, without a file of anybody else's."""

import math
from array import array
from fractions import Fraction
from itertools import repeat

import av

RATE = 16_000
SILENCE, TONE = "silence", "tone"


def samples(*spans, hertz=440, rate=RATE, loudness=8_000):
    """16-bit samples of ("tone" or "silence", seconds) one after the other."""
    period = rate // math.gcd(hertz, rate)
    wave = array(
        "h", (round(loudness * math.sin(2 * math.pi * hertz * n / rate)) for n in range(period))
    )
    whole = array("h")
    for what, seconds in spans:
        count = round(seconds * rate)
        if what == TONE:
            whole.extend((wave * (count // period + 1))[:count])
        else:
            whole.extend(repeat(0, count))
    return whole


def record(path, heard, *, codec, format_=None, rate=RATE, layout="mono", film=False):
    """Writes samples of one channel to a container; `film` adds a track of pictures."""
    with av.open(str(path), "w", format=format_) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        pictures = container.add_stream("mpeg4", rate=5) if film else None
        if pictures is not None:
            pictures.width = pictures.height = 32
            pictures.pix_fmt = "yuv420p"
            for number in range(max(1, len(heard) // rate * 5)):
                picture = av.VideoFrame(32, 32, "yuv420p")
                for plane in picture.planes:
                    plane.update(bytes(plane.buffer_size))
                picture.pts, picture.time_base = number, Fraction(1, 5)
                container.mux(pictures.encode(picture))
            container.mux(pictures.encode(None))
        for at in range(0, len(heard), rate):
            piece = heard[at : at + rate].tobytes()
            frame = av.AudioFrame(format="s16", layout="mono", samples=len(piece) // 2)
            frame.planes[0].update(piece.ljust(frame.planes[0].buffer_size, b"\0"))
            frame.sample_rate, frame.pts = rate, at
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def decoded(path):
    """The samples of a FLAC part."""
    whole = array("h")
    with av.open(str(path)) as container:
        assert (container.streams.audio[0].rate, container.streams.audio[0].channels) == (RATE, 1)
        for frame in container.decode(audio=0):
            whole.frombytes(bytes(frame.planes[0])[: frame.samples * 2])
    return whole
