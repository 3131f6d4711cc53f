"""Where the transcription of one recording stands: which of its parts are heard, out, or to do.

It is kept between the steps of the job, so that nothing that was heard is heard again.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final

from shared.core.cutting import Span

MOST_LOST: Final = 3  # parts, and the others are not waited for
MOST_TRIES: Final = 3  # children of one part; each has attempts of its own
SERVER_ERROR: Final = 500
SETS: Final = ("tried", "troubled")


class Stage(StrEnum):
    """What is to be done with a part."""

    TO_DO = "to_do"
    OUT = "out"  # a child works on it
    HEARD = "heard"  # its child has a result
    SILENT = "silent"  # nothing can be heard in it
    LOST = "lost"  # it could not be heard, for good


@dataclass(frozen=True, slots=True)
class Piece:
    """A part: `name` of its object, `digest` of its samples, its `child`, if it has one.

    `left_out` are deployments that it was tried on in vain, `again` those of them that were only in
    trouble: others come first, but where these wait too it may go back. `unheard` says why it is
    lost.
    """

    span: Span
    stage: Stage
    name: str | None = None
    size: int = 0
    digest: str | None = None
    child: str | None = None
    tries: int = 0
    left_out: tuple[str, ...] = ()
    again: tuple[str, ...] = ()
    unheard: "Unheard | None" = None

    @property
    def length_ms(self) -> int:
        """How long its sound is."""
        return self.span.end_ms - self.span.start_ms

    @property
    def own_ms(self) -> int:
        """How much of the recording it answers for."""
        return self.span.to_ms - self.span.from_ms


@dataclass(frozen=True, slots=True)
class Work:
    """A recording. `made` counts the children there were."""

    duration_ms: int
    digest: str
    pieces: tuple[Piece, ...]
    made: int = 0

    def put(self, at: int, piece: Piece) -> "Work":
        """With one piece changed."""
        return replace(self, pieces=(*self.pieces[:at], piece, *self.pieces[at + 1 :]))

    def of(self, stage: Stage) -> "dict[int, Piece]":
        """The pieces at a stage, by their place."""
        return {at: one for at, one in enumerate(self.pieces) if one.stage is stage}

    @property
    def whole(self) -> bool:
        """Whether nothing is left to be heard."""
        return not (self.of(Stage.TO_DO) or self.of(Stage.OUT))


@dataclass(frozen=True, slots=True)
class Unheard:
    """A child ended without a result: its error, and the deployments that it was tried on.

    `troubled` are those that refused nothing: they were overloaded, away, or at a limit.
    """

    message: str
    code: str
    status: int
    tried: frozenset[str] = frozenset()
    troubled: frozenset[str] = frozenset()


def taken(work: Work, ended: Mapping[str, Unheard | None]) -> tuple[Work, dict[int, Unheard]]:
    """What has become of the children that have ended; None is one with a result.

    What failed, the second value, is to be done again.
    """
    failed = {}
    for at, piece in work.of(Stage.OUT).items():
        if piece.child is None or piece.child not in ended:
            continue
        unheard = ended[piece.child]
        if unheard is None:
            work = work.put(at, replace(piece, stage=Stage.HEARD))
            continue
        failed[at] = unheard
        tried = {*piece.left_out, *unheard.tried}
        refused = {*piece.left_out} - {*piece.again} | unheard.tried - unheard.troubled
        left_out, again_ = tuple(sorted(tried)), tuple(sorted(tried - refused))
        back = replace(piece, stage=Stage.TO_DO, child=None, left_out=left_out, again=again_)
        work = work.put(at, back)
    return work, failed


def hopeless(piece: Piece, unheard: Unheard, *, elsewhere: bool) -> bool:
    """Whether it is no use to try a part again that has failed so.

    Where it was refused everywhere it will be again; a provider's trouble passes.
    """
    if piece.tries >= MOST_TRIES:
        return True
    return unheard.status < SERVER_ERROR and not elsewhere


def kept(new: Work, old: Work) -> Work:
    """A recording that was cut anew, with what had been heard of the same parts."""
    heard = {
        (one.span, one.digest): one
        for one in old.pieces
        if one.stage in (Stage.HEARD, Stage.OUT, Stage.LOST)
    }
    pieces = tuple(heard.get((one.span, one.digest), one) for one in new.pieces)
    return replace(new, pieces=pieces, made=old.made)


def lost(work: Work, at: int, unheard: Unheard) -> Work:
    """With a piece given up."""
    return work.put(at, replace(work.pieces[at], stage=Stage.LOST, child=None, unheard=unheard))


def given_up(work: Work, *, busy: bool) -> bool:
    """Whether the job has failed: some is lost, and nobody is busy with the rest of it.

    One part that nobody takes does not keep others from being heard, while they are; several mean
    trouble that is not the part's.
    """
    gone = len(work.of(Stage.LOST))
    return gone >= MOST_LOST or (gone > 0 and not busy)


def again(work: Work, at: int) -> Work:
    """With a piece to be done that was heard, or out: what it had is no longer there."""
    return work.put(at, replace(work.pieces[at], stage=Stage.TO_DO, child=None))


def out(work: Work, at: int, child: str) -> Work:
    """With a child made for a piece."""
    piece = work.pieces[at]
    piece = replace(piece, stage=Stage.OUT, child=child, tries=piece.tries + 1)
    return replace(work.put(at, piece), made=work.made + 1)


def revived(work: Work) -> Work:
    """For a job that is begun again after it had failed: every try counts anew."""
    pieces = tuple(
        one if one.stage in (Stage.HEARD, Stage.SILENT) else _fresh(one) for one in work.pieces
    )
    return replace(work, pieces=pieces)


def _fresh(piece: Piece) -> Piece:
    stage = Stage.TO_DO if piece.stage is Stage.LOST else piece.stage
    return replace(piece, stage=stage, tries=0, left_out=(), again=(), unheard=None)


def awaited(work: Work, ended: int) -> int:
    """How many children must have ended before it is worth looking: half of those that live."""
    living = len(work.of(Stage.OUT))
    return ended + max(1, -(-living // 2))


def settled(work: Work, first: int) -> int:
    """Up to which part, from `first` on, the text is known for good: the number of those parts.

    A part that shares sound with the next one is joined to it only when that is heard too.
    """
    done = [one.stage in (Stage.HEARD, Stage.SILENT) for one in work.pieces]
    at = first
    while at < len(work.pieces) and done[at]:
        alone = (
            at + 1 == len(work.pieces)
            or work.pieces[at].span.end_ms <= work.pieces[at + 1].span.start_ms
        )
        if not (alone or done[at + 1]):
            break
        at += 1
    return at


def progress(work: Work) -> dict[str, Any]:
    """How far it is, as the job shows it."""
    done = [one for one in work.pieces if one.stage in (Stage.HEARD, Stage.SILENT)]
    heard_ms = sum(one.own_ms for one in done)
    return {
        "phase": "transcribing",
        "seconds": {"total": work.duration_ms / 1000, "completed": heard_ms / 1000},
        "parts": {
            "total": len(work.pieces),
            "completed": len(done),
            "failed": len(work.of(Stage.LOST)),
        },
    }


def span_named(span: Span) -> str:
    """The part in words: `the part from 0:10:00 to 0:20:00`."""
    return f"the part from {_clock(span.from_ms)} to {_clock(span.to_ms)}"


def _clock(ms: int) -> str:
    minutes, seconds = divmod(round(ms / 1000), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def _unheard(told: Mapping[str, Any] | None) -> Unheard | None:
    if told is None:
        return None
    sets = {name: frozenset(told.get(name) or ()) for name in SETS}
    return Unheard(**{**told, **sets})


def to_json(work: Work) -> dict[str, Any]:
    """As it is kept."""
    kept_as = asdict(work)
    for piece in kept_as["pieces"]:
        if piece["unheard"] is not None:
            for name in SETS:
                piece["unheard"][name] = sorted(piece["unheard"][name])
    return kept_as


def of_json(value: Mapping[str, Any]) -> Work:
    """As it was kept."""
    pieces = tuple(
        Piece(
            **{
                **one,
                "span": Span(**one["span"]),
                "stage": Stage(one["stage"]),
                "left_out": tuple(one["left_out"]),
                "again": tuple(one.get("again") or ()),
                "unheard": _unheard(one.get("unheard")),
            }
        )
        for one in value["pieces"]
    )
    return Work(value["duration_ms"], value["digest"], pieces, value["made"])
