"""Transcription by Gemini: audio in generateContent, inline.

A model that only transcribes has options of its own and tells words with their times; one that
chats is asked in words, and tells none. Sources: shared/facts/wire-chat.md 7.5; the fields of
`audioTranscription` are those of google-genai 3.6.
"""

import base64
from collections.abc import Mapping
from typing import Any

from shared.core.model import Kind
from shared.core.outcome import Failed, FailureKind
from shared.credentials import Secret
from workers.providers import normalise, transcription
from workers.providers.base import Call, HttpRequest
from workers.providers.gemini_reply import usage_of
from workers.providers.openai_compatible import post
from workers.providers.transcripts import Heard

INLINE_BYTES = 14_000_000
"""Of audio: 20 MB is the most of a request, in which every three bytes are four letters."""
_ASKED = (
    "Transcribe this recording word for word, in the language that is spoken. Answer with what is"
    " said and nothing else: no title, no speakers, no times, no remarks. If nobody speaks, answer"
    f" with {(SILENCE := '[silence]')}."
)
_ENDED = frozenset({None, "", "STOP", "FINISH_REASON_UNSPECIFIED"})


def build(call: Call, credential: Secret | None) -> HttpRequest | Failed:
    """The request to send, or why it cannot be; KeyError where this kind is not offered."""
    path, sound = call.quirks.transcription_path, call.sound
    if not path or sound is None or transcription.translated(call):
        raise KeyError(call.kind)
    if len(sound.data) > INLINE_BYTES:
        return Failed(
            FailureKind.UNSUITED,
            f"{len(sound.data)} bytes of audio are more than fit into a request: {INLINE_BYTES}",
            code="audio_too_large",
            sent=False,
        )
    data = base64.b64encode(sound.data).decode()
    parts: list[dict[str, Any]] = [
        {"inlineData": {"mimeType": sound.content_type, "data": data}},
    ]
    config, dropped = _options(call)
    if _chats(call):
        parts.append({"text": _asked(call)})
    body: dict[str, Any] = {"contents": [{"role": "user", "parts": parts}]}
    if config:
        body["generationConfig"] = config
    return post(call, credential, path, body, dropped)


def _chats(call: Call) -> bool:
    return Kind.CHAT in call.deployment.kinds


def _options(call: Call) -> tuple[dict[str, Any], tuple[str, ...]]:
    """generationConfig, and what was asked for that it cannot say."""
    asked, dropped = call.request, set[str]()
    if transcription.untold(call):
        dropped.add("timestamp_granularities")
    if _chats(call):
        config: dict[str, Any] = {"temperature": asked.get("temperature") or 0}
        if call.deployment.max_output_tokens:
            config["maxOutputTokens"] = call.deployment.max_output_tokens
        return config, tuple(sorted(dropped))
    for name in ("prompt", "temperature"):
        if asked.get(name):
            dropped.add(name)
    options: dict[str, Any] = {}
    if asked.get("language"):
        options["languageCodes"] = [asked["language"]]
    if transcription.times(call):
        options["wordTimestamp"] = True
    if transcription.diarized(call):
        options["diarization"] = True
    return {"audioTranscriptionConfig": options} if options else {}, tuple(sorted(dropped))


def _asked(call: Call) -> str:
    text = _ASKED
    if language := call.request.get("language"):
        text += f" The language is {language}."
    if prompt := call.request.get("prompt"):
        text += f" What was said just before: {transcription.ending(prompt, call)!r}."
    return text


def heard(call: Call, value: Mapping[str, Any]) -> Heard | None:
    """What the candidate says; None where there is none. Raises Malformed for half an answer."""
    if isinstance(value.get("promptFeedback"), dict) and "candidates" not in value:
        raise normalise.Malformed(f"the recording was refused: {value['promptFeedback']}")
    found = value.get("candidates")
    if not isinstance(found, list) or not found or not isinstance(found[0], dict):
        return None
    reason, content = found[0].get("finishReason"), found[0].get("content")
    if reason not in _ENDED:
        raise normalise.Malformed(f"the transcript is not whole: {reason}")
    parts = content.get("parts") if isinstance(content, dict) else None
    told = [each for each in parts or () if isinstance(each, dict) and not each.get("thought")]
    spoken = [each["audioTranscription"] for each in told if _is_spoken(each)]
    text = "".join(str(each["text"]) for each in told if isinstance(each.get("text"), str))
    if not text and spoken:
        text = " ".join(str(each.get("text") or "") for each in spoken)
    if _chats(call) and not text.strip():
        raise normalise.Malformed("the answer is empty")
    usage = usage_of(value.get("usageMetadata"))
    languages = [each["languageCode"] for each in spoken if each.get("languageCode")]
    words = [_timed(word, "word") for each in spoken for word in each.get("words") or ()]
    segments = [_timed(each, "text") for each in spoken]
    if any(word.get("speaker") is not None for word in words):
        segments = transcription.grouped(words)
    return Heard(
        text="" if text.strip() == SILENCE and _chats(call) else text,
        language=str(languages[0]).partition("-")[0] if languages else None,
        segments=segments,
        words=words,
        usage=usage,
    )


def _is_spoken(part: Mapping[str, Any]) -> bool:
    return isinstance(part.get("audioTranscription"), dict)


def _timed(told: Any, name: str) -> dict[str, Any]:
    """A word or segment under OpenAI's names; an offset that is left out is the very start."""
    if not isinstance(told, dict):
        return {}
    start, end = told.get("startOffset", "0s"), told.get("endOffset")
    return {name: told.get(name), "start": start, "end": end, "speaker": told.get("speakerLabel")}
