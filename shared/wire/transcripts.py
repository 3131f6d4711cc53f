"""A transcription's answer in the form that was asked for: OpenAI's five.

Headrace keeps one form, `verbose_json` with all that is known (`segments`, `words`); what a caller
gets is made of it here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from math import ceil
from typing import Any, Final

import orjson

MOST_CUE_CHARS: Final = 84  # two lines, as subtitles are read
MOST_CUE_S: Final = 7.0
TEXT: Final = "text/plain; charset=utf-8"
VTT: Final = "text/vtt; charset=utf-8"
JSON: Final = "application/json"
SRT: Final = "application/x-subrip; charset=utf-8"
KINDS: Final = {"json": JSON, "verbose_json": JSON, "text": TEXT, "srt": SRT, "vtt": VTT}


@dataclass(frozen=True, slots=True)
class Rendered:
    """A body and its content type."""

    body: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown from one moment, in seconds, to another."""

    start: float
    end: float
    text: str


def rendered(
    result: Mapping[str, Any], form: str, *, words: bool = False, segments: bool = True
) -> Rendered:
    """The answer in one of OpenAI's forms; `words` and `segments` say what verbose_json holds."""
    match form:
        case "text":
            body = (_text(result) + "\n").encode()
        case "srt":
            body = srt(cues(result)).encode()
        case "vtt":
            body = vtt(cues(result)).encode()
        case "verbose_json":
            body = orjson.dumps(_verbose(result, words=words, segments=segments))
        case _:
            form, body = "json", orjson.dumps({"text": _text(result), "usage": _usage(result)})
    return Rendered(body, KINDS[form])


def cues(result: Mapping[str, Any]) -> list[Cue]:
    """What subtitles are made of: the segments, else lines of words, else the whole text at once.

    Cues without a text are left out; none ends before it begins.
    """
    segments = result.get("segments")
    if segments:
        found = [_cue(one["start"], one["end"], one["text"]) for one in segments]
    elif result.get("words"):
        found = list(_of_words(result["words"]))
    else:
        found = [_cue(0.0, result.get("duration") or 0.0, _text(result))]
    return [cue for cue in found if cue.text]


def srt(found: list[Cue]) -> str:
    """SubRip."""
    return "".join(
        f"{number}\n{_moment(cue.start, ',')} --> {_moment(cue.end, ',')}\n{cue.text}\n\n"
        for number, cue in enumerate(found, 1)
    )


def vtt(found: list[Cue]) -> str:
    """WebVTT (https://www.w3.org/TR/webvtt1/): markup in a text is escaped."""
    shown = ((cue, escape(cue.text, quote=False)) for cue in found)
    return "WEBVTT\n\n" + "".join(
        f"{_moment(cue.start, '.')} --> {_moment(cue.end, '.')}\n{text}\n\n" for cue, text in shown
    )


def _of_words(words: list[Mapping[str, Any]]) -> Iterator[Cue]:
    line: list[str] = []
    start = end = 0.0
    for one in words:
        text, began = str(one["word"]).strip(), float(one["start"])
        full = (
            len(" ".join([*line, text])) > MOST_CUE_CHARS or float(one["end"]) - start > MOST_CUE_S
        )
        if line and full:
            yield _cue(start, end, " ".join(line))
            line = []
        start = start if line else began
        line.append(text)
        end = float(one["end"])
    if line:
        yield _cue(start, end, " ".join(line))


def _cue(start: Any, end: Any, text: Any) -> Cue:
    began = max(0.0, float(start))
    return Cue(began, max(began, float(end)), " ".join(str(text).split()))


def _moment(seconds: float, point: str) -> str:
    whole_ms = round(seconds * 1000)
    minutes, ms = divmod(whole_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{ms // 1000:02d}{point}{ms % 1000:03d}"


def _text(result: Mapping[str, Any]) -> str:
    return str(result.get("text") or "").strip()


def _usage(result: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "duration", "seconds": ceil(float(result.get("duration") or 0.0))}


def _verbose(result: Mapping[str, Any], *, words: bool, segments: bool) -> dict[str, Any]:
    left_out = {name for name, wanted in (("words", words), ("segments", segments)) if not wanted}
    shown = {name: value for name, value in result.items() if name not in left_out}
    return {"task": "transcribe", **shown, "usage": _usage(result)}
