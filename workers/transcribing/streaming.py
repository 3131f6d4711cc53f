"""The text of a streamed transcription, told part by part, in order, as parts are heard.

An event says where in the text it stands (`offset`, in characters): a step that is taken again
after its worker died says the same again, and who follows leaves out what he has.
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from shared.core import audio_work
from shared.core.audio_work import Stage, Work
from shared.core.joining import texts
from shared.core.transcript import joined
from shared.queue.hand import Hand
from shared.store.jobs import Jobs
from shared.transcriptions import heard_in
from shared.wire.transcripts import DELTA

EVENT: Final = "job.delta"
NEIGHBOUR: Final = 1  # parts beside those that are told, which they are joined to


@dataclass(frozen=True, slots=True)
class Told:
    """How far the text was told: the number of parts, of characters, and the last of these."""

    parts: int = 0
    chars: int = 0
    last: str = ""

    @classmethod
    def of_json(cls, value: dict[str, Any] | None) -> "Told":
        """As it was kept."""
        return cls(**value) if value else cls()


async def tell(hand: Hand, jobs: Jobs, work: Work, told: Told) -> Told:
    """Tells what is known for good by now, and returns how far that is. StoreError."""
    end = audio_work.settled(work, told.parts)
    if end == told.parts:
        return told
    first, beyond = max(0, told.parts - NEIGHBOUR), min(len(work.pieces), end + NEIGHBOUR)
    window = {
        at: work.pieces[at]
        for at in range(first, beyond)
        if work.pieces[at].stage in (Stage.HEARD, Stage.SILENT)
    }
    children = {at: piece.child or "" for at, piece in window.items() if piece.child}
    records = await jobs.many(list(children.values()))
    results = {}
    for at, record in zip(children, records, strict=True):
        if record is None or record.result is None:
            return told  # it is heard anew when all is joined
        results[at] = record.result
    parts = [heard_in(piece, results.get(at)) for at, piece in window.items()]
    for text in texts(parts)[told.parts - first : end - first]:
        told = await _one(hand, told, text)
    return Told(end, told.chars, told.last)


async def _one(hand: Hand, told: Told, text: str) -> Told:
    """Tells the text of one part as it goes on from the one before."""
    delta = joined((told.last, text))[len(told.last) :]
    if not delta:
        return told
    event = {"type": DELTA, "delta": delta, "offset": told.chars}
    await hand.emit(EVENT, orjson.dumps(event))
    return Told(told.parts, told.chars + len(delta), delta[-1])
