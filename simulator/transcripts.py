"""Requests to transcribe, checked, and the words of `simulator.hearing` in OpenAI's formats."""

import base64
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from simulator.config import Model
from simulator.forms import Form, Upload
from simulator.hearing import MUMBLED, Heard, NotAudioError, hear
from simulator.requests import BadRequestError
from simulator.speech import Word, voice_of

SUFFIXES = ("flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm")
FORMATS = ("json", "text", "srt", "verbose_json", "vtt", "diarized_json")
TRANSLATED = ("model", "prompt", "response_format", "temperature")
UNCUT_S = 30.0
"""A model that tells speakers must be told how to cut what is longer."""
_PAUSE_S = 0.35
_SEGMENT_S = 30.0
_SEEK_PER_S = 100


@dataclass(frozen=True, slots=True)
class TranscriptionCall:
    """A valid request to transcribe, and what was heard.

    `cut`: it says how to cut long sound. `known` are names and their voices (`speech.voice_of`).
    """

    model: str
    heard: Heard
    size: int
    language: str | None = None
    response_format: str = "json"
    words: bool = False
    segments: bool = True
    cut: bool = False
    task: str = "transcribe"
    known: tuple[tuple[str, int], ...] = ()
    prompt_tokens: int = 0
    images: int = field(default=0, init=False)
    stream: bool = field(default=False, init=False)
    max_tokens: int | None = field(default=None, init=False)


@dataclass(frozen=True, slots=True)
class Segment:
    """Words that belong together."""

    words: tuple[Word, ...]

    @property
    def start_s(self) -> float:
        """When the first begins."""
        return self.words[0].start_s

    @property
    def end_s(self) -> float:
        """When the last ends."""
        return self.words[-1].end_s

    @property
    def text(self) -> str:
        """The words in a row."""
        return " ".join(word.word for word in self.words)


def parse_transcription(
    form: Form, formats: Sequence[str] = FORMATS, task: str = ""
) -> TranscriptionCall:
    """Check a multipart request as OpenAI shapes it; raises `BadRequestError`.

    `task` is `translate`, or nothing in particular.
    """
    for name in form.fields if task == "translate" else ():
        if name not in TRANSLATED:
            raise BadRequestError(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    model = form.first("model")
    if not model:
        raise BadRequestError("you must provide a model parameter", "model")
    wanted = form.first("response_format") or "json"
    if wanted not in formats:
        raise BadRequestError(
            f"Invalid value for 'response_format': {wanted!r}; use one of {', '.join(formats)}.",
            "response_format",
        )
    grains = form.fields.get("timestamp_granularities[]", [])
    if any(grain not in ("word", "segment") for grain in grains):
        raise BadRequestError("must be word or segment", "timestamp_granularities[]")
    if grains and wanted != "verbose_json":
        raise BadRequestError(
            "'timestamp_granularities' needs 'response_format' verbose_json.",
            "timestamp_granularities[]",
        )
    check_temperature(form)
    upload = upload_of(form)
    heard = heard_of(upload)
    return TranscriptionCall(
        model=model,
        heard=_in_english(heard) if task == "translate" else heard,
        task=task or "transcribe",
        size=len(upload.data),
        language=form.first("language"),
        response_format=wanted,
        words="word" in grains,
        segments=not grains or "segment" in grains,
        cut=any(name.startswith("chunking_strategy") for name in form.fields),
        known=known_speakers(form) if wanted == "diarized_json" else (),
    )


def _in_english(heard: Heard) -> Heard:
    words = tuple(replace(word, word=word.word.upper()) for word in heard.words)
    return replace(heard, words=words)


def known_speakers(form: Form) -> tuple[tuple[str, int], ...]:
    """The names that are given, and whose voice each is; raises `BadRequestError`."""
    names = form.fields.get("known_speaker_names[]", [])
    samples = form.fields.get("known_speaker_references[]", [])
    if len(names) != len(samples):
        raise BadRequestError(
            "'known_speaker_names' and 'known_speaker_references' must be of the same length.",
            "known_speaker_references[]",
        )
    return tuple((name, _voice_in(sample)) for name, sample in zip(names, samples, strict=True))


def _voice_in(sample: str) -> int:
    """Whose voice is in a data URL; raises `BadRequestError`."""
    _, _, data = sample.partition(";base64,")
    try:
        heard = hear(base64.b64decode(data, validate=True))
    except ValueError as exc:
        raise BadRequestError("A reference cannot be read.", "known_speaker_references[]") from exc
    voices = Counter(voice_of(word.word) for word in heard.words if word.word != MUMBLED)
    if not voices:
        raise BadRequestError("Nobody speaks in a reference.", "known_speaker_references[]")
    return voices.most_common(1)[0][0]


def check_temperature(form: Form) -> None:
    """Raise `BadRequestError` where a temperature is given that is none from 0 to 1."""
    told = form.first("temperature")
    try:
        good = told is None or 0 <= float(told) <= 1
    except ValueError:
        good = False
    if not good:
        raise BadRequestError("'temperature' must be a number from 0 to 1.", "temperature")


def upload_of(form: Form) -> Upload:
    """The one file, with an ending that is known; raises `BadRequestError`."""
    if len(form.files) != 1 or form.files[0].field != "file":
        raise BadRequestError("'file' is missing.", "file")
    upload = form.files[0]
    if upload.filename.rpartition(".")[2].lower() not in SUFFIXES:
        shown = ", ".join(f"'{suffix}'" for suffix in SUFFIXES)
        raise BadRequestError(f"Invalid file format. Supported formats: [{shown}]", "file")
    return upload


def heard_of(upload: Upload) -> Heard:
    """What is said in a file; raises `BadRequestError` where it is no sound."""
    try:
        return hear(upload.data)
    except NotAudioError as exc:
        raise BadRequestError(
            "Audio file might be corrupted or unsupported", "file", "invalid_value"
        ) from exc


def check_audio(call: TranscriptionCall, model: Model) -> None:
    """Raise `BadRequestError` where the model does not take such a file, or gives no times."""
    if call.size > model.max_audio_bytes:
        raise BadRequestError(
            f"Maximum content size limit ({model.max_audio_bytes}) exceeded "
            f"({call.size} bytes read)",
            "file",
            "audio_too_large",
        )
    if model.max_audio_seconds is not None and call.heard.seconds > model.max_audio_seconds:
        raise BadRequestError(
            f"audio duration {call.heard.seconds} seconds is longer than "
            f"{model.max_audio_seconds} seconds which is the maximum for this model",
            "file",
            "invalid_value",
        )
    if call.task == "translate" and not model.translates:
        raise BadRequestError(f"The model `{call.model}` does not support translation.", "model")
    diarized = call.response_format == "diarized_json"
    if diarized and model.speakers != "none":
        if call.heard.seconds > UNCUT_S and not call.cut:
            raise BadRequestError(
                "chunking_strategy is required for diarization of audio longer than 30 seconds",
                "chunking_strategy",
            )
        return
    if diarized or (not model.timestamps and call.response_format not in ("json", "text")):
        raise BadRequestError(
            f"response_format '{call.response_format}' is not compatible with model "
            f"'{call.model}'. Use 'json' or 'text' instead.",
            "response_format",
            "unsupported_value",
        )


def billed_seconds(call: TranscriptionCall, model: Model) -> int:
    """What the windows count: whole seconds, at least the model's least."""
    return max(model.min_billed_seconds, math.ceil(call.heard.seconds))


def segments_of(heard: Heard) -> Iterator[Segment]:
    """The words, cut at the ends of sentences, at pauses, and after half a minute."""
    held: list[Word] = []
    for word in heard.words:
        if held and (
            held[-1].word.endswith(".")
            or word.start_s - held[-1].end_s > _PAUSE_S
            or word.end_s - held[0].start_s > _SEGMENT_S
        ):
            yield Segment(tuple(held))
            held = []
        held.append(word)
    if held:
        yield Segment(tuple(held))


def turns_of(heard: Heard) -> Iterator[tuple[int, Segment]]:
    """Segments of one voice each. A word that was mumbled is of whom spoke before."""
    for segment in segments_of(heard):
        held: list[Word] = []
        voice = -1
        for word in segment.words:
            own = voice if word.word == MUMBLED else voice_of(word.word)
            if held and own not in (voice, -1) and voice != -1:
                yield voice, Segment(tuple(held))
                held = []
            voice = own
            held.append(word)
        yield max(voice, 0), Segment(tuple(held))


def labelled(call: TranscriptionCall, labels: Sequence[str] = "ABCD") -> list[tuple[str, Segment]]:
    """Who says what: those that are known by name, others in the order in which they begin."""
    names = {voice: name for name, voice in call.known}
    rest = iter(labels)
    found = []
    for voice, segment in turns_of(call.heard):
        if voice not in names:
            names[voice] = next(rest)
        found.append((names[voice], segment))
    return found


def diarized(call: TranscriptionCall) -> dict[str, Any]:
    """The body of diarized_json."""
    return {
        "task": "transcribe",
        "duration": call.heard.seconds,
        "text": call.heard.text,
        "segments": [
            {
                "type": "transcript.text.segment",
                "id": f"seg_{number:03d}",
                "speaker": speaker,
                "start": segment.start_s,
                "end": segment.end_s,
                "text": segment.text,
            }
            for number, (speaker, segment) in enumerate(labelled(call))
        ],
    }


def usage_of(call: TranscriptionCall, model: Model) -> dict[str, Any]:
    """What OpenAI tells of the use: tokens of the models that give no times, else seconds."""
    seconds = math.ceil(call.heard.seconds)
    if model.timestamps:
        return {"type": "duration", "seconds": seconds}
    output = max(1, len(call.heard.words))
    return {
        "type": "tokens",
        "input_tokens": 10 * seconds,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 10 * seconds},
        "output_tokens": output,
        "total_tokens": 10 * seconds + output,
    }


def verbose(call: TranscriptionCall) -> dict[str, Any]:
    """The body of verbose_json."""
    body: dict[str, Any] = {
        "task": call.task,
        "language": call.language or "english",
        "duration": call.heard.seconds,
        "text": call.heard.text,
    }
    if call.segments:
        body["segments"] = [
            _segment(number, segment) for number, segment in enumerate(segments_of(call.heard))
        ]
    if call.words:
        body["words"] = [
            {"word": word.word.rstrip("."), "start": word.start_s, "end": word.end_s}
            for word in call.heard.words
        ]
    return body


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": number,
        "seek": int(segment.start_s * _SEEK_PER_S),
        "start": segment.start_s,
        "end": segment.end_s,
        "text": f" {segment.text}",
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": -0.1,
        "compression_ratio": 1.5,
        "no_speech_prob": 0.01,
    }


def written(call: TranscriptionCall, model: Model) -> bytes:
    """The body OpenAI answers with, in the format asked for."""
    match call.response_format:
        case "json":
            return orjson.dumps({"text": call.heard.text, "usage": usage_of(call, model)})
        case "verbose_json":
            return orjson.dumps(verbose(call) | {"usage": usage_of(call, model)})
        case "diarized_json":
            return orjson.dumps(diarized(call) | {"usage": usage_of(call, model)})
        case "text":
            return f"{call.heard.text}\n".encode()
        case "srt":
            return _subtitles(call.heard, ",", numbered=True)
        case _:
            return b"WEBVTT\n\n" + _subtitles(call.heard, ".", numbered=False)


def _subtitles(heard: Heard, point: str, *, numbered: bool) -> bytes:
    parts = []
    for number, segment in enumerate(segments_of(heard), 1):
        head = f"{number}\n" if numbered else ""
        start, end = _clock(segment.start_s, point), _clock(segment.end_s, point)
        parts.append(f"{head}{start} --> {end}\n{segment.text}\n\n")
    return "".join(parts).encode()


def _clock(seconds: float, point: str) -> str:
    total_ms = round(seconds * 1_000)
    minutes, rest_ms = divmod(total_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, rest_ms = divmod(rest_ms, 1_000)
    return f"{hours:02}:{minutes:02}:{whole:02}{point}{rest_ms:03}"
