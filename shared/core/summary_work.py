"""Where each document of a summary stands: what a step goes on from, as values. Pure.

```
 fresh ─read─▶ notes ──all pieces noted──▶ (next level, or)
   │             └───────────────────────▶ last ─answered─▶ done
   └──────────────fits in one call───────▶ last ─bad JSON─▶ repair ─▶ done
 any of them ──▶ failed
```
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final

COMBINED: Final = -1  # the index of the summary over all
MOST_TRIES: Final = 5
LAST: Final = -1  # the piece that a last call is about
FIRST_PAUSE: Final = 16  # so many children of many end between two steps


class Stage(StrEnum):
    """What is being done about a document."""

    FRESH = "fresh"
    NOTES = "notes"
    LAST = "last"
    REPAIR = "repair"
    DONE = "done"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        """Whether nothing follows."""
        return self in (Stage.DONE, Stage.FAILED)


@dataclass(frozen=True, slots=True)
class Work:
    """One document. `text` names where the text of its `level` is, `ends` its pieces' ends there.

    Ends are in bytes. `given` of the pieces were handed out, `noted` came back, and are in the
    files `notes`. `tokens` and `chunks` are of the document itself; a call reads `chunk_tokens` of
    it. `answer` names where the summary is, or the JSON that is to be repaired.
    """

    index: int
    stage: Stage = Stage.FRESH
    level: int = 0
    text: str = ""
    ends: tuple[int, ...] = ()
    given: int = 0
    noted: int = 0
    notes: tuple[str, ...] = ()
    answer: str = ""
    tokens: int | None = None
    chunks: int = 0
    chunk_tokens: int = 0
    cuts: int = 0  # how often its text was cut anew, each time smaller
    type: str | None = None
    title: str | None = None
    warning: str | None = None
    error: Mapping[str, Any] | None = None

    @property
    def pieces(self) -> int:
        """Of the level that is worked on."""
        return len(self.ends)

    @property
    def waiting(self) -> int:
        """Calls that were not handed out yet."""
        if self.stage is Stage.NOTES:
            return self.pieces - self.given
        return 1 - self.given if self.stage in (Stage.LAST, Stage.REPAIR) else 0


@dataclass(frozen=True, slots=True)
class Call:
    """A child that has been made and was not heard yet: for which piece of which document."""

    id: str
    index: int
    piece: int
    tries: int = 1
    larger: bool = False  # it may write more: the one before wrote nothing


@dataclass(frozen=True, slots=True)
class State:
    """All of a summary. `made` counts children ever made, `models` who answered.

    `again` are calls to be made once more, `stale` names texts that nothing needs any more.
    `failing` is the fence of the step that found nothing left to do but fail.
    """

    works: tuple[Work, ...]
    calls: tuple[Call, ...] = ()
    again: tuple[Call, ...] = ()
    made: int = 0
    models: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    failing: int = 0

    @property
    def busy(self) -> int:
        """Calls that are out, and pieces that could be."""
        return len(self.calls) + len(self.again) + sum(work.waiting for work in self.works)

    def work(self, index: int) -> Work:
        """The document of that index."""
        return next(work for work in self.works if work.index == index)

    def put(self, changed: Work) -> "State":
        """With that document changed. Its calls are waited for no more where its text changed."""
        before = self.work(changed.index)
        works = tuple(changed if work.index == changed.index else work for work in self.works)
        old = {before.text, *before.notes, before.answer}
        gone = sorted(old - {"", changed.text, *changed.notes, changed.answer})
        found = replace(self, works=works, stale=(*self.stale, *gone))
        anew = (before.text, before.cuts, before.level) != (
            changed.text, changed.cuts, changed.level,
        )  # fmt: skip
        return found.dropped(changed.index) if changed.stage.over or anew else found

    def dropped(self, index: int) -> "State":
        """Without the calls of a document."""
        calls = tuple(call for call in self.calls if call.index != index)
        again = tuple(call for call in self.again if call.index != index)
        return replace(self, calls=calls, again=again)

    def heard(self, call: Call, model: str | None = None) -> "State":
        """Without a call that was answered."""
        models = self.models
        if model and model not in models:
            models = (*models, model)[:50]
        calls = tuple(each for each in self.calls if each.id != call.id)
        return replace(self, calls=calls, models=models)


def begin(documents: int) -> State:
    """Before the first step."""
    return State(tuple(Work(index) for index in range(documents)))


def of_json(value: Mapping[str, Any]) -> State:
    """A state that was kept."""
    works = [
        Work(
            **row
            | {
                "stage": Stage(row["stage"]),
                "ends": tuple(row["ends"]),
                "notes": tuple(row["notes"]),
            }
        )
        for row in value["works"]
    ]
    return State(
        works=tuple(works),
        calls=tuple(Call(**row) for row in value["calls"]),
        again=tuple(Call(**row) for row in value["again"]),
        made=value["made"],
        models=tuple(value["models"]),
        stale=tuple(value["stale"]),
        failing=value["failing"],
    )


def fresh(state: State) -> State:
    """As a step begins: what the one before had no more need of is gone."""
    return replace(state, stale=())


def to_json(state: State) -> dict[str, Any]:
    """What is kept of a state."""
    return asdict(state)


def failed(work: Work, error: Mapping[str, Any]) -> Work:
    """A document that is given up."""
    return replace(work, stage=Stage.FAILED, error=error, text="", ends=(), notes=(), answer="")


def revived(state: State) -> State:
    """A summary that had failed and is replayed: what failed is begun anew."""
    works = tuple(
        Work(work.index) if work.stage is Stage.FAILED else work for work in documents(state)
    )
    return replace(state, works=works, failing=0)


def complete(state: State, index: int) -> bool:
    """Whether the pieces of a level are all noted."""
    work = state.work(index)
    return work.stage is Stage.NOTES and work.noted == work.pieces


def documents(state: State) -> Iterable[Work]:
    """The caller's documents, without the summary over all."""
    return (work for work in state.works if work.index != COMBINED)


def all_over(state: State) -> bool:
    """Whether every document has ended."""
    return all(work.stage.over for work in documents(state))


def pause(outstanding: int) -> int:
    """How many children to wait for: few where few are out, a sixteenth where there are many."""
    return max(1, outstanding // FIRST_PAUSE)


def progress(state: State, total: int, *, reading: bool) -> dict[str, Any]:
    """How far it is, for who looks. `total` counts the documents."""
    done = [work for work in documents(state) if work.stage is Stage.DONE]
    lost = [work for work in documents(state) if work.stage is Stage.FAILED]
    combining = all_over(state)
    phase = "combining" if combining else "reading" if reading else "summarising"
    read = sum(_read(work) for work in documents(state))
    return {
        "phase": phase,
        "documents": {"total": total, "completed": len(done), "failed": len(lost)},
        "chunks": {
            "total": sum(work.chunks for work in documents(state)),
            "completed": read,
        },
    }


def _read(work: Work) -> int:
    """The pieces of the document itself that were read."""
    if work.stage is Stage.NOTES and work.level == 0:
        return work.noted
    one_call = work.level == 0 and work.stage is Stage.LAST
    return 0 if one_call or work.stage is Stage.FRESH else work.chunks
