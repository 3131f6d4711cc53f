"""Gemini hears: audio inline in generateContent, as wire-chat.md 7.5 tells."""

import base64
import binascii
import math
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from simulator.config import Model
from simulator.forms import Upload
from simulator.requests import BadRequestError
from simulator.speech import Word
from simulator.transcripts import (
    Segment,
    TranscriptionCall,
    heard_of,
    labelled,
    segments_of,
)

TOKENS_PER_S = 32
_TYPES = ("wav", "mp3", "aiff", "aac", "ogg", "flac", "mpeg", "x-wav")


def parse_audio(model: str, given: Mapping[str, Any]) -> TranscriptionCall | None:
    """What is to be heard of a request; None where there is no sound in it.

    Raises:
        BadRequestError: the sound is none, or of a type that is not taken.
    """
    found = list(_sounds(given.get("contents")))
    if not found:
        return None
    kind, data = found[0]
    if kind.removeprefix("audio/") not in _TYPES:
        raise BadRequestError(f"Unsupported MIME type: {kind}")
    config = _either(given, "generationConfig", "generation_config")
    options = _either(config, "audioTranscriptionConfig", "audio_transcription_config")
    try:
        sound = base64.b64decode(
            data, altchars="-_" if set("-_") & set(data) else None, validate=True
        )
    except (binascii.Error, ValueError) as exc:
        raise BadRequestError("Base64 decoding failed for inline data") from exc
    heard = heard_of(Upload("inlineData", "", kind, sound))
    languages = _either(options, "languageCodes", "language_codes") or ()
    return TranscriptionCall(
        model=model,
        heard=heard,
        size=len(sound),
        language=languages[0] if languages else None,
        words=bool(_either(options, "wordTimestamp", "word_timestamp")),
        response_format="diarized_json" if _either(options, "diarization") else "json",
        cut=True,
        prompt_tokens=TOKENS_PER_S * math.ceil(heard.seconds),
    )


def _sounds(contents: Any) -> Iterator[tuple[str, str]]:
    for content in contents if isinstance(contents, list) else [contents]:
        parts = content.get("parts") if isinstance(content, Mapping) else None
        for part in parts if isinstance(parts, list) else ():
            inline = _either(part, "inlineData", "inline_data")
            kind = _either(inline, "mimeType", "mime_type")
            if isinstance(kind, str) and kind.startswith("audio/"):
                yield kind, str(inline.get("data"))


def _either(value: Any, *names: str) -> Any:
    """The value under the first of these names that is there, as proto3 JSON allows."""
    found = value if isinstance(value, Mapping) else {}
    return next((found[name] for name in names if name in found), None)


def transcript(call: TranscriptionCall, model: Model, number: int) -> bytes:
    """The answer: words with offsets from a model that only hears, else the text alone."""
    heard, output = call.heard, max(1, len(call.heard.words))
    parts: list[dict[str, Any]] = [{"text": heard.text or "[silence]"}]
    if call.response_format == "diarized_json":
        parts = [
            _spoken(call, segment, {"speakerLabel": speaker})
            for speaker, segment in labelled(call, ["spk_1", "spk_2", "spk_3", "spk_4"])
        ]
    elif "chat" not in model.kinds:
        parts = [_spoken(call, segment, {}) for segment in segments_of(heard)]
    return orjson.dumps(
        {
            "candidates": [
                {
                    "index": 0,
                    "content": {"role": "model", "parts": parts},
                    "finishReason": "STOP",
                }
            ],
            "usageMetadata": {
                "promptTokenCount": call.prompt_tokens,
                "candidatesTokenCount": output,
                "totalTokenCount": call.prompt_tokens + output,
                "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": call.prompt_tokens}],
            },
            "modelVersion": call.model,
            "responseId": f"sim{number}",
        }
    )


def _spoken(call: TranscriptionCall, segment: Segment, more: dict[str, str]) -> dict[str, Any]:
    words = [_word(word) for word in segment.words] if call.words else None
    return {
        "text": f"{segment.text} ",
        "audioTranscription": {
            "text": segment.text,
            "languageCode": call.language or "en-US",
            **_offsets(segment.start_s, segment.end_s),
            **more,
            **({} if words is None else {"words": words}),
        },
    }


def _offsets(start_s: float, end_s: float) -> dict[str, str]:
    return {"startOffset": f"{start_s:.3f}s", "endOffset": f"{end_s:.3f}s"}


def _word(word: Word) -> dict[str, str]:
    return {"word": word.word, **_offsets(word.start_s, word.end_s)}
