"""Answers to transcriptions in the formats of each provider (shared/facts/wire-chat.md 7)."""

from dataclasses import dataclass, field
from typing import Any

WORDS = [
    {"word": "It", "start": 0.0, "end": 0.24},
    {"word": "was", "start": 0.24, "end": 0.5},
    {"word": "the", "start": 0.5, "end": 0.62},
    {"word": "best.", "start": 0.62, "end": 1.1},
]
SEGMENT = {
    "id": 0,
    "seek": 0,
    "start": 0.0,
    "end": 1.1,
    "text": " It was the best.",
    "tokens": [50364, 467, 390, 264, 1151, 13, 50414],
    "temperature": 0.0,
    "avg_logprob": -0.21,
    "compression_ratio": 0.76,
    "no_speech_prob": 0.003,
}
TEXT = "It was the best."
VERBOSE = {
    "task": "transcribe",
    "language": "english",
    "duration": 2.4000000953674316,
    "text": TEXT,
    "segments": [SEGMENT],
    "words": WORDS,
}
TIMED = [(w["word"], w["start"], w["end"]) for w in WORDS]


@dataclass(frozen=True)
class Heard:
    """A host's answer and what is to be made of it."""

    host: str
    body: Any
    words: list[tuple[str, float, float]] = field(default_factory=list)
    segments: int = 0
    language: str | None = None
    duration: float = 2.4
    seconds: int = 3
    tokens: tuple[int, int] = (0, 0)
    text: str = TEXT
    able: frozenset[str] | None = None
    kinds: tuple[str, ...] = ("transcription",)


def deepgram(**changes: Any) -> dict[str, Any]:
    words = [
        {
            "word": word["word"].rstrip(".").lower(),
            "punctuated_word": word["word"],
            "start": word["start"],
            "end": word["end"],
            "confidence": 0.99,
        }
        for word in WORDS
    ]
    channel = {
        "detected_language": "en",
        "language_confidence": 0.98,
        "alternatives": [{"transcript": TEXT, "confidence": 0.99, "words": words}],
    }
    utterance = {"start": 0.0, "end": 1.1, "transcript": TEXT, "words": words, "channel": 0}
    return {
        "metadata": {"request_id": "x", "duration": 2.4, "channels": 1, "models": ["m"]},
        "results": {"channels": [channel], "utterances": [utterance]},
    } | changes


def gemini(*parts: dict[str, Any], reason: str = "STOP") -> dict[str, Any]:
    return {
        "candidates": [
            {"content": {"role": "model", "parts": list(parts)}, "finishReason": reason, "index": 0}
        ],
        "usageMetadata": {
            "promptTokenCount": 96,
            "candidatesTokenCount": 6,
            "totalTokenCount": 102,
            "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 77}],
        },
        "modelVersion": "m",
        "responseId": "r1",
    }


SPOKEN = {
    "text": TEXT,
    "audioTranscription": {
        "text": TEXT,
        "languageCode": "en-US",
        "endOffset": "1.100s",
        "words": [
            {"word": w["word"], "endOffset": f"{w['end']}s"}
            | ({"startOffset": f"{w['start']}s"} if w["start"] else {})
            for w in WORDS
        ],
    },
}
MISTRAL_USAGE = {
    "prompt_audio_seconds": 3,
    "prompt_tokens": 4,
    "total_tokens": 40,
    "completion_tokens": 36,
}


def mistral(segments: list[dict[str, Any]], language: str | None = None) -> dict[str, Any]:
    return {
        "model": "voxtral-mini-2602",
        "text": TEXT,
        "language": language,
        "segments": segments,
        "usage": MISTRAL_USAGE,
    }


MISTRAL_SEGMENT = {"text": TEXT, "start": 0.0, "end": 1.1, "type": "transcription_segment"}
MISTRAL_WORDS = [
    {"text": w["word"], "start": w["start"], "end": w["end"], "type": "transcription_segment"}
    for w in WORDS
]
TOKENS = {
    "type": "tokens",
    "input_tokens": 24,
    "input_token_details": {"text_tokens": 0, "audio_tokens": 24},
    "output_tokens": 7,
    "total_tokens": 31,
}
NO_TIMES = frozenset({"transcription", "language_detection"})
SEGMENTS_ONLY = NO_TIMES | {"timestamps"}

SPEAKERS = NO_TIMES | {"diarization", "known_speakers"}

# who speaks, in each host's words: the first says "It was", the second "the best."
TURNS = [(0, "It was"), (1, "the best.")]


def _voiced(word: dict[str, Any], at: int, name: str, labels: tuple[Any, Any]) -> dict[str, Any]:
    return word | {name: labels[0 if at < 2 else 1]}


_DEEPGRAM = deepgram()
_DEEPGRAM_WORDS = [
    _voiced(word, at, "speaker", (0, 1))
    for at, word in enumerate(_DEEPGRAM["results"]["utterances"][0]["words"])
]
_DEEPGRAM["results"]["channels"][0]["alternatives"][0]["words"] = _DEEPGRAM_WORDS
SILENT = {"task": "transcribe", "duration": 2.4, "text": "", "segments": []}
DIARIZED = [
    (
        "openai",
        {
            "task": "transcribe",
            "duration": 2.4,
            "text": TEXT,
            "segments": [
                {"type": "transcript.text.segment", "id": "seg_001", "speaker": speaker,
                 "start": start, "end": end, "text": text}
                for speaker, start, end, text in (
                    ("A", 0.0, 0.5, "It was"), ("B", 0.5, 1.1, " the best."),
                )
            ],
            "usage": {"type": "duration", "seconds": 3},
        },
    ),
    (
        "mistral",
        mistral([
            MISTRAL_SEGMENT | {"text": "It was", "end": 0.5, "speaker_id": "speaker_1"},
            MISTRAL_SEGMENT | {"text": "the best.", "start": 0.5, "speaker_id": "speaker_2"},
        ]),
    ),
    ("deepgram", _DEEPGRAM),
    (
        "gemini",
        gemini(
            {"text": "It was ", "audioTranscription": {
                "text": "It was", "speakerLabel": "spk_1", "endOffset": "0.5s"}},
            {"text": "the best.", "audioTranscription": {
                "text": "the best.", "speakerLabel": "spk_2", "startOffset": "0.5s",
                "endOffset": "1.1s"}},
        ),
    ),
    (
        "gemini",
        gemini({"text": TEXT, "audioTranscription": SPOKEN["audioTranscription"] | {
            "words": [
                _voiced(word, at, "speakerLabel", ("spk_1", "spk_2"))
                for at, word in enumerate(SPOKEN["audioTranscription"]["words"])
            ],
        }}),
    ),
]  # fmt: skip

REPLIES = [
    Heard(
        "openai",
        VERBOSE | {"usage": {"type": "duration", "seconds": 3}},
        words=TIMED,
        segments=1,
        language="english",
    ),
    Heard("openai", {"text": TEXT, "usage": TOKENS}, tokens=(24, 7), able=NO_TIMES),
    Heard("openai", {"text": TEXT, "logprobs": []}, able=NO_TIMES),
    Heard(
        "groq",
        VERBOSE | {"x_groq": {"id": "req_1"}, "language": "English"},
        words=TIMED,
        segments=1,
        language="English",
    ),
    Heard("groq", {"text": f" {TEXT}", "x_groq": {"id": "req_1"}}, able=NO_TIMES),
    Heard("mistral", mistral([MISTRAL_SEGMENT], "en"), segments=1, language="en", tokens=(4, 36)),
    Heard("mistral", mistral(MISTRAL_WORDS), words=TIMED, segments=1, tokens=(4, 36)),
    Heard("mistral", mistral([]), tokens=(4, 36)),
    Heard("cohere", {"text": TEXT}, able=NO_TIMES),
    Heard("gemini", gemini(SPOKEN), TIMED, segments=1, language="en", tokens=(96, 6)),
    Heard("gemini", gemini({"text": TEXT}), tokens=(96, 6)),
    Heard(
        "gemini",
        gemini({"text": "Hm", "thought": True}, {"text": TEXT}),
        tokens=(96, 6),
        able=NO_TIMES,
        kinds=("chat", "transcription"),
    ),
    Heard(
        "gemini",
        gemini({"text": "[silence]"}),
        text="",
        tokens=(96, 6),
        able=NO_TIMES,
        kinds=("chat", "transcription"),
    ),
    Heard("deepgram", deepgram(), words=TIMED, segments=1, language="en"),
    # vLLM and faster-whisper servers: segments without OpenAI's figures, words inside or none
    Heard(
        "vllm",
        {
            "task": "transcribe",
            "language": "en",
            "duration": "2.4",
            "text": TEXT,
            "words": None,
            "segments": [{"id": 1, "start": 0.0, "end": 1.1, "text": TEXT}],
        },
        segments=1,
        language="en",
    ),
    # nobody speaks
    Heard(
        "openai",
        {"task": "transcribe", "language": "english", "duration": 2.4, "text": "", "segments": []},
        language="english",
        text="",
    ),
    # times that are none, or run back, are mended or left out
    Heard(
        "openai",
        VERBOSE
        | {
            "segments": [SEGMENT, {"text": "no time"}, "none", SEGMENT | {"start": "NaN"}],
            "words": [WORDS[1], WORDS[0], {"word": "x", "start": 1.0, "end": None}],
        },
        words=[TIMED[0], TIMED[1]],
        segments=1,
        language="english",
    ),
]

BROKEN = [
    ("openai", b""),
    ("openai", b"<html><body>Bad gateway</body></html>"),
    ("openai", b'{"task": "transcribe", "duration": 2.4}'),
    ("openai", b'{"text": null}'),
    ("openai", b'{"text": ["a"]}'),
    ("openai", b"[]"),
    ("openai", b'"It was the best."'),
    ("openai", b'{"error": {"message": "The server had an error", "type": "server_error"}}'),
    ("groq", b'{"text": "", "x_groq": {"error": {"message": "over capacity"}}}'),
    ("mistral", b'{"model": "m", "segments": []}'),
    ("cohere", b'{"message": "internal"}'),
    ("gemini", b'{"candidates": []}'),
    ("gemini", b'{"promptFeedback": {"blockReason": "SAFETY"}}'),
    ("gemini", b'{"candidates": [{"finishReason": "MAX_TOKENS", "content": {"parts": []}}]}'),
    ("gemini", b'{"candidates": [{"finishReason": "RECITATION"}]}'),
    ("deepgram", b'{"metadata": {}, "results": {"channels": []}}'),
    ("deepgram", b'{"results": null}'),
]

REFUSALS = [
    (
        "openai",
        413,
        {
            "error": {
                "message": "413: Maximum content size limit (26214400) exceeded (27000000 bytes)",
                "type": "server_error",
                "param": None,
                "code": None,
            }
        },
        "unsuited",
    ),
    (
        "openai",
        400,
        {
            "error": {
                "message": "Invalid file format. Supported formats: ['flac', 'mp3']",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
        },
        "unsuited",
    ),
    (
        "openai",
        400,
        {
            "error": {
                "message": "audio duration 1800.5 seconds is longer than 1400 seconds which is the"
                " maximum for this model",
                "type": "invalid_request_error",
                "param": None,
                "code": "invalid_value",
            }
        },
        "unsuited",
    ),
    (
        "openai",
        429,
        {
            "error": {
                "message": "You exceeded your current quota",
                "type": "insufficient_quota",
                "code": "insufficient_quota",
            }
        },
        "quota_exhausted",
    ),
    (
        "groq",
        413,
        {
            "error": {
                "message": "Request Entity Too Large",
                "type": "invalid_request_error",
                "code": "request_too_large",
            }
        },
        "unsuited",
    ),
    (
        "groq",
        429,
        {
            "error": {
                "message": "Rate limit reached for model `whisper-large-v3` in organization `o`"
                " service tier `on_demand` on seconds of audio per hour (ASH): Limit 7200, Used"
                " 7190, Requested 600. Please try again in 4m55s.",
                "type": "seconds",
                "code": "rate_limit_exceeded",
            }
        },
        "rate_limited",
    ),
    (
        "groq",
        429,
        {
            "error": {
                "message": "Rate limit reached for model `whisper-large-v3` in organization `o`"
                " service tier `on_demand` on seconds of audio per day (ASD): Limit 28800, Used"
                " 28700, Requested 600. Please try again in 25m0s.",
                "type": "seconds",
                "code": "rate_limit_exceeded",
            }
        },
        "quota_exhausted",
    ),
    ("mistral", 422, {"detail": [{"loc": ["body", "file"], "msg": "bad audio"}]}, "unsuited"),
    (
        "gemini",
        400,
        {"error": {"code": 400, "message": "Unsupported MIME", "status": "INVALID_ARGUMENT"}},
        "unsuited",
    ),
    (
        "deepgram",
        429,
        {"err_code": "TOO_MANY_REQUESTS", "err_msg": "Too many requests.", "request_id": "x"},
        "rate_limited",
    ),
    (
        "deepgram",
        402,
        {"err_code": "ASR_PAYMENT_REQUIRED", "err_msg": "Project does not have enough credits"},
        "quota_exhausted",
    ),
    (
        "deepgram",
        401,
        {"err_code": "INVALID_AUTH", "err_msg": "Invalid credentials."},
        "unauthorized",
    ),
    (
        "deepgram",
        400,
        {"err_code": "Bad Request", "err_msg": "failed to process audio: corrupt data"},
        "unsuited",
    ),
]
