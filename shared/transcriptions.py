"""What was heard in the parts of a recording, told as one: for its last step, and for who looks."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from shared.core.audio_work import Piece, Stage, Work
from shared.core.joining import merged
from shared.core.languages import name_of
from shared.core.speakers import lettered, linked
from shared.core.strands import Heard
from shared.core.transcript import Transcript
from shared.wire.heard import result_of, transcript_of
from shared.wire.transcriptions import DIARIZED, TRANSLATE
from shared.wire.transcripts import rendered


def partial(work: Work, results: Mapping[int, bytes], request: Mapping[str, Any]) -> dict[str, Any]:
    """What was heard so far, as `verbose_json`, and the spans that are missing: why, if for good.

    `results` are those of the parts that were heard, by place.
    """
    grains = request.get("timestamp_granularities") or ()
    kept = orjson.loads(result(work, results, request))
    told = rendered(kept, "verbose_json", words="word" in grains)
    missing = [
        {
            "start": piece.span.from_ms / 1000,
            "end": piece.span.to_ms / 1000,
            "error": None
            if (why := piece.unheard) is None
            else {"message": why.message, "code": why.code},
        }
        for at, piece in enumerate(work.pieces)
        if at not in results and piece.stage is not Stage.SILENT
    ]
    return {**orjson.loads(told.body), "missing": missing}


def result(work: Work, results: Mapping[int, bytes], request: Mapping[str, Any]) -> bytes:
    """The recording's transcript, as it is kept. `results` are those of the parts, by place."""
    heard = [heard_in(piece, results.get(at)) for at, piece in enumerate(work.pieces)]
    if request.get("response_format") == DIARIZED:
        known = request.get("known_speaker_names") or ()
        whole = lettered(merged(linked(heard, known), work.duration_ms), known)
    else:
        whole = merged(heard, work.duration_ms)
    if request.get("task") == TRANSLATE:
        return orjson.dumps(result_of(replace(whole, language="english"), TRANSLATE))
    language = request.get("language")
    if whole.language is None and language is not None:
        whole = replace(whole, language=name_of(language))
    return orjson.dumps(result_of(whole))


def heard_in(piece: Piece, told: bytes | None) -> Heard:
    """A part with what its child said; None: nothing can be heard in it."""
    if told is None:
        return Heard(piece.span, Transcript("", piece.length_ms, segments=(), words=()))
    return Heard(piece.span, transcript_of(orjson.loads(told)))
