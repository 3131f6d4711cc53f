"""A transcription's answer in the form that was asked for: OpenAI's six.

Headrace keeps one form, `verbose_json` with all that is known (`segments` with whose they are,
`words`); what a caller gets is made of it here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil
from typing import Any, Final

import orjson

from shared.core.subtitles import Cue, cues
from shared.wire.heard import transcript_of

TEXT: Final = "text/plain; charset=utf-8"
VTT: Final = "text/vtt; charset=utf-8"
JSON: Final = "application/json"
SRT: Final = "application/x-subrip; charset=utf-8"
KINDS: Final = {
    **dict.fromkeys(("json", "verbose_json", "diarized_json"), JSON),
    "text": TEXT,
    "srt": SRT,
    "vtt": VTT,
}
SEGMENT: Final = "transcript.text.segment"
DELTA: Final = "transcript.text.delta"
DONE: Final = "transcript.text.done"
NOBODY: Final = "unknown"  # whose a segment is that nobody told of


@dataclass(frozen=True, slots=True)
class Rendered:
    """A body and its content type."""

    body: bytes
    kind: str


def rendered(
    result: Mapping[str, Any], form: str, *, words: bool = False, segments: bool = True
) -> Rendered:
    """The answer in one of OpenAI's forms; `words` and `segments` say what verbose_json holds."""
    match form:
        case "text":
            body = (_text(result) + "\n").encode()
        case "srt":
            body = srt(cues(transcript_of(result))).encode()
        case "vtt":
            body = vtt(cues(transcript_of(result))).encode()
        case "verbose_json":
            body = orjson.dumps(_verbose(result, words=words, segments=segments))
        case "diarized_json":
            body = orjson.dumps(_diarized(result))
        case _:
            form, body = "json", orjson.dumps({"text": _text(result), "usage": _usage(result)})
    return Rendered(body, KINDS[form])


def shown(result: bytes, request: Mapping[str, Any]) -> bytes:
    """What a job's view and a batch's line hold as JSON: the body in the form asked for.

    A form that is no JSON (text, srt, vtt) is the `text` of an object.
    """
    form = request.get("response_format") or "json"
    grains = request.get("timestamp_granularities") or ["segment"]
    kept = orjson.loads(result)
    made = rendered(kept, form, words="word" in grains, segments="segment" in grains)
    return made.body if made.kind == JSON else orjson.dumps({"text": made.body.decode()})


def srt(found: Sequence[Cue]) -> str:
    """SubRip: it knows no escaping, so that what looks like its arrow becomes another."""
    return "".join(
        f"{number}\n{_times(cue, ',')}\n{cue.text.replace('-->', '->')}\n\n"
        for number, cue in enumerate(found, 1)
    )


def vtt(found: Sequence[Cue]) -> str:
    """WebVTT (https://www.w3.org/TR/webvtt1/): markup in a text is escaped."""
    lines = (f"{_times(cue, '.')}\n{escape(cue.text, quote=False)}\n\n" for cue in found)
    return "WEBVTT\n\n" + "".join(lines)


def _times(cue: Cue, point: str) -> str:
    return f"{_moment(cue.start_ms, point)} --> {_moment(cue.end_ms, point)}"


def _moment(whole_ms: int, point: str) -> str:
    minutes, ms = divmod(whole_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{ms // 1000:02d}{point}{ms % 1000:03d}"


def _text(result: Mapping[str, Any]) -> str:
    return str(result.get("text") or "").strip()


def _usage(result: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "duration", "seconds": ceil(float(result.get("duration") or 0.0))}


def done(result: Mapping[str, Any]) -> dict[str, Any]:
    """The event that ends a stream, with the whole text."""
    return {"type": DONE, "text": _text(result), "usage": _usage(result)}


def turns(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Who says what, as `TranscriptionDiarizedSegment` of OpenAI's SDK."""
    return [
        {
            "type": SEGMENT,
            "id": f"seg_{number}",
            "speaker": one.get("speaker") or NOBODY,
            "start": one["start"],
            "end": one["end"],
            "text": str(one["text"]).strip(),
        }
        for number, one in enumerate(result.get("segments") or ())
    ]


def _diarized(result: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "task": "transcribe",
        "duration": result.get("duration") or 0.0,
        "text": _text(result),
        "segments": turns(result),
        "usage": _usage(result),
    }


def _verbose(result: Mapping[str, Any], *, words: bool, segments: bool) -> dict[str, Any]:
    left_out = {name for name, wanted in (("words", words), ("segments", segments)) if not wanted}
    shown = {name: value for name, value in result.items() if name not in left_out}
    return {"task": "transcribe", **shown, "usage": _usage(result)}
