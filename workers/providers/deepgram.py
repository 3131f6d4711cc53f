"""The adapter for Deepgram's `/listen`: the audio itself is the body, all else is in the query.

Source: shared/facts/wire-chat.md 7.6, wire-facts.md 9.
"""

from collections.abc import Mapping
from typing import Any, NoReturn
from urllib.parse import urlencode

from shared.core.model import Kind
from shared.core.outcome import Failed, Outcome
from shared.credentials import Secret
from workers.providers import transcription, transcripts
from workers.providers.base import Call, HttpReply, HttpRequest, StreamReader
from workers.providers.classify import refusal
from workers.providers.errors import read_error
from workers.providers.requests import sent
from workers.providers.transcripts import Heard


class Deepgram:
    """See `base.Adapter`. Holds nothing: one serves all calls."""

    def build(self, call: Call, credential: Secret | None) -> HttpRequest:
        """The request to send; KeyError for all but a transcription."""
        path, sound = call.quirks.transcription_path, call.sound
        offered = call.kind is Kind.TRANSCRIPTION and not transcription.translated(call)
        if not (offered and path) or sound is None:
            raise KeyError(call.kind)
        fields, dropped = transcription.form_of(call)
        asked = {"model": call.deployment.model, "smart_format": "true", "utterances": "true"}
        language = dict(fields).get("language")
        asked |= {"language": language} if language else {"detect_language": "true"}
        if transcription.diarized(call):
            asked |= dict(call.quirks.audio_speakers)
        kind = sound.content_type
        return sent(call, credential, f"{path}?{urlencode(asked)}", kind, sound.data, dropped)

    def parse(self, call: Call, reply: HttpReply) -> Outcome:
        """What a whole answer with a 2xx status came to."""
        return transcripts.read(call, reply, heard)

    def parse_stream(self, call: Call, status: int, headers: Mapping[str, str]) -> StreamReader:
        """Nothing of it is streamed."""
        _never(call, status, headers)

    def classify(
        self, call: Call, status: int, headers: Mapping[str, str], body: bytes, now_ms: int
    ) -> Failed:
        """What an answer that is not 2xx means."""
        return transcripts.unsuited(call, refusal(call, status, headers, read_error(body), now_ms))


def _never(*args: Any) -> NoReturn:
    raise TypeError(f"Deepgram does not stream: {args[0]}")


def heard(call: Call, value: Mapping[str, Any]) -> Heard | None:  # noqa: ARG001 - one of a family
    """What was heard on the first channel; None where there is none."""
    results, metadata = _mapping(value.get("results")), _mapping(value.get("metadata"))
    channel = _first(results.get("channels"))
    told = _first(channel.get("alternatives"))
    text = told.get("transcript")
    if not isinstance(text, str):
        return None
    words = [
        {**word, "word": word.get("punctuated_word") or word.get("word")}
        for word in _listed(told.get("words"))
    ]
    segments = [
        {**each, "text": each.get("transcript")} for each in _listed(results.get("utterances"))
    ]
    if any(word.get("speaker") is not None for word in words):
        segments = []  # an utterance may be more than one's
    return Heard(
        text=text,
        language=channel.get("detected_language"),
        segments=segments or transcription.grouped(words),
        words=words,
        seconds=transcripts.seconds_of(metadata.get("duration")),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _first(value: Any) -> Mapping[str, Any]:
    return next(iter(_listed(value)), {})
