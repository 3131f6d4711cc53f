"""A transcription's result as it is kept, OpenAI's `verbose_json`, and as the core knows it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from shared.core.transcript import Segment, Transcript, Word

MEASURES: Final = ("temperature", "avg_logprob", "compression_ratio", "no_speech_prob")
SEEK_MS: Final = 10


def transcript_of(result: Mapping[str, Any]) -> Transcript:
    """What a stored result says; a segment or word without times is left out with all its like."""
    words = _timed(result.get("words"), "word")
    segments = _timed(result.get("segments"), "text")
    return Transcript(
        text=str(result.get("text") or ""),
        duration_ms=_ms(result.get("duration")) or 0,
        language=result.get("language") or None,
        segments=None if segments is None else tuple(_segment(*one) for one in segments),
        words=None if words is None else tuple(Word(*one[:3]) for one in words),
    )


def result_of(heard: Transcript, task: str = "transcribe") -> dict[str, Any]:
    """The result to keep. What a model does not tell of a segment is null."""
    result: dict[str, Any] = {
        "task": task,
        "language": heard.language,
        "duration": heard.duration_ms / 1000,
        "text": heard.text,
    }
    if heard.segments is not None:
        result["segments"] = [_told(at, one) for at, one in enumerate(heard.segments)]
    if heard.words is not None:
        result["words"] = [
            {"word": one.text, "start": one.start_ms / 1000, "end": one.end_ms / 1000}
            for one in heard.words
        ]
    return result


def _told(number: int, one: Segment) -> dict[str, Any]:
    return {
        "id": number,
        "seek": one.start_ms // SEEK_MS,
        "start": one.start_ms / 1000,
        "end": one.end_ms / 1000,
        "text": one.text,
        "tokens": [],
        **dict.fromkeys(MEASURES),
        **dict(one.measures),
        **({} if one.speaker is None else {"speaker": one.speaker}),
    }


def _segment(text: str, start_ms: int, end_ms: int, told: Mapping[str, Any]) -> Segment:
    measures = tuple(
        (name, float(told[name])) for name in MEASURES if isinstance(told.get(name), int | float)
    )
    speaker = told.get("speaker")
    return Segment(text, start_ms, end_ms, measures, None if speaker is None else str(speaker))


def _timed(
    rows: Sequence[Any] | None, name: str
) -> list[tuple[str, int, int, Mapping[str, Any]]] | None:
    """The text and times of each row; None where some have none."""
    if not isinstance(rows, list):
        return None
    found = []
    for row in rows:
        start, end = (_ms(row.get(edge)) for edge in ("start", "end"))
        if start is None or end is None:
            return None
        found.append((str(row.get(name) or ""), start, max(start, end), row))
    return found


def _ms(seconds: object) -> int | None:
    return round(seconds * 1000) if isinstance(seconds, int | float) and seconds >= 0 else None
