"""What was heard, by whomever, in one form: OpenAI's `verbose_json`.

`segments` and `words` are there where the provider told any, with times in seconds from the start
of what it was sent. An empty text is an answer (nobody spoke); no text is none.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from shared.core.model import Kind, Usage
from shared.core.outcome import Failed, FailureKind, Outcome, Succeeded
from shared.wire.transcriptions import DIARIZED, TRANSLATE
from workers.providers import normalise
from workers.providers.base import Call, HttpReply
from workers.providers.classify import inside, malformed, read_object
from workers.providers.errors import error_of

_KEPT = (
    *("seek", "tokens", "temperature", "avg_logprob", "compression_ratio", "no_speech_prob"),
    "speaker",
)
_BEGUN_S, _LONGEST_S = 60.0, 86_400.0
_NO_ROUTE = (404, 405, 501)
_ELSEWHERE = frozenset({FailureKind.INVALID_REQUEST, FailureKind.TOO_LONG, FailureKind.FILTERED})


@dataclass(frozen=True, slots=True)
class Heard:
    """What a provider told. `segments` and `words` are mappings with `start` and `end` in seconds.

    `seconds` is how much it says to have heard; `usage` is what it says of tokens.
    """

    text: str
    language: str | None = None
    segments: Sequence[Any] = ()
    words: Sequence[Any] = ()
    seconds: float | None = None
    usage: Mapping[str, Any] | None = None


Translate = Callable[[Call, dict[str, Any]], Heard | None]
"""Reads a provider's answer; None where it is none. Raises `Malformed`."""


def read(call: Call, reply: HttpReply, translate: Translate) -> Outcome:
    """What a whole answer with a 2xx status came to."""
    value = read_object(reply)
    if isinstance(value, Failed):
        return value
    try:
        error = normalise.error_in(value)
        heard = None if error else translate(call, value)
    except normalise.Malformed as exc:
        return malformed(str(exc), reply.status)
    if heard is None:
        said = error_of({"error": error} if error else value)
        return unsuited(call, inside(call, reply.status, reply.headers, said))
    if call.request.get("response_format") == DIARIZED and not _tells_speakers(heard):
        return Failed(
            FailureKind.UNSUITED,
            f"{call.deployment.id} does not tell who speaks",
            code="no_speakers",
            status=reply.status,
        )
    return Succeeded(orjson.dumps(_shown(call, heard)), _usage(call, heard))


def _tells_speakers(heard: Heard) -> bool:
    """Whether something that was said is somebody's; of silence there is nothing to tell."""
    if not heard.text.strip():
        return True
    return any(each.get("speaker") is not None for *_, each in _timed(heard.segments, "text"))


def unsuited(call: Call, failed: Failed) -> Failed:
    """A part of audio that one host does not take, another may: it was made by us.

    A host that translates nothing has no such route: its model is there all the same.
    """
    if call.kind is not Kind.TRANSCRIPTION or failed.window is not None:
        return failed
    if call.request.get("task") == TRANSLATE and failed.status in _NO_ROUTE:
        return replace(failed, kind=FailureKind.UNSUITED, dead=False)
    return replace(failed, kind=FailureKind.UNSUITED) if failed.kind in _ELSEWHERE else failed


def _shown(call: Call, heard: Heard) -> dict[str, Any]:
    told = heard.seconds if heard.seconds is not None else _length_s(call)
    shown: dict[str, Any] = {
        "task": call.request.get("task") or "transcribe",
        "language": heard.language or call.request.get("language"),
        "duration": told,
        "text": heard.text.strip(),
    }
    segments = _timed(heard.segments, "text")
    if segments:
        shown["segments"] = [
            {
                "id": number,
                "start": start,
                "end": end,
                "text": text,
                **{name: each[name] for name in _KEPT if each.get(name) is not None},
            }
            for number, (start, end, text, each) in enumerate(segments)
        ]
    words = _timed(heard.words, "word")
    if words:
        shown["words"] = [
            {"word": word.strip(), "start": start, "end": end} for start, end, word, _ in words
        ]
    return shown


def _timed(listed: Sequence[Any], name: str) -> list[tuple[float, float, str, Mapping[str, Any]]]:
    """Those of a list that have times and a text, in order; a time that runs back is mended."""
    found: list[tuple[float, float, str, Mapping[str, Any]]] = []
    for each in listed:
        if not isinstance(each, Mapping) or not isinstance(each.get(name), str):
            continue
        start, end = seconds_of(each.get("start")), seconds_of(each.get("end"))
        if start is None or end is None or not each[name].strip():
            continue
        found.append((start, max(start, end), each[name], each))
    found.sort(key=lambda one: one[0])
    return found


def seconds_of(value: Any) -> float | None:
    """A moment in seconds: a number, or as protobuf writes a duration (`1.5s`)."""
    if isinstance(value, str):
        try:
            value = float(value.removesuffix("s"))
        except ValueError:
            return None
    good = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if good and math.isfinite(value) and value >= 0 else None


def _length_s(call: Call) -> float:
    return call.sound.seconds if call.sound else 0.0


def _usage(call: Call, heard: Heard) -> Usage:
    """Seconds as the provider counts them, and tokens where it told any."""
    seconds = call.deployment.audio.counted_s(math.ceil(_counted_s(call, heard.usage or {})))
    reported = normalise.read_usage({"usage": heard.usage}) if heard.usage else None
    tokens = normalise.usage_of(reported) if reported else Usage()
    return replace(tokens, audio_seconds=seconds)


def _counted_s(call: Call, usage: Mapping[str, Any]) -> float:
    """What the provider says it counts, within what can be: a minute begun, or twice the length.

    Where we do not know the length, what it says is believed up to a day.
    """
    length = _length_s(call)
    most = max(2 * length, length + _BEGUN_S) if call.sound else _LONGEST_S
    for name in ("seconds", "prompt_audio_seconds"):
        told = seconds_of(usage.get(name))
        if told is not None:
            return min(told, most)
    return length
