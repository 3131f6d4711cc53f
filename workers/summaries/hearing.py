"""What children that have ended said, taken into the state."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, assert_never

import orjson

from shared.core.summary_work import LAST, MOST_TRIES, Call, Stage, Work
from workers.summaries.answers import Again, Lost, Said, TooLong, answer_of, value_of
from workers.summaries.cutting import smaller
from workers.summaries.draft import Draft, of_part


async def hear(draft: Draft) -> None:
    """Takes all of it; a document whose call was lost fails alone."""
    out = draft.state.calls
    records = await draft.tools.jobs.many([call.id for call in out])
    notes: dict[int, dict[int, str]] = {}
    for call, record in zip(out, records, strict=True):
        answer = answer_of(record)
        if answer is None or call not in draft.state.calls:  # given up by the one before
            continue
        work = draft.state.work(call.index)
        match answer:
            case Said():
                draft.state = draft.state.heard(call, answer.model)
                if call.piece == LAST:
                    await _take(draft, work, answer.text)
                else:
                    notes.setdefault(call.index, {})[call.piece] = answer.text
            case Again():
                _again(draft, work, call, answer)
            case TooLong():
                notes.pop(call.index, None)
                await smaller(draft, work, answer.message)
            case Lost():
                draft.fail(work, of_part(work, call, answer.message), answer.code)
            case _:
                assert_never(answer)
    for index, said in notes.items():
        await _note(draft, draft.state.work(index), said)


def _again(draft: Draft, work: Work, call: Call, answer: Again) -> None:
    draft.state = draft.state.heard(call)
    if call.tries >= MOST_TRIES:
        draft.fail(work, of_part(work, call, answer.why), "no_answer")
        return
    larger = call.larger or answer.larger
    once_more = replace(call, id="", tries=call.tries + 1, larger=larger)
    draft.state = replace(draft.state, again=(*draft.state.again, once_more))


async def _note(draft: Draft, work: Work, said: Mapping[int, str]) -> None:
    if work.stage is not Stage.NOTES:  # another piece of it was lost
        return
    name = await draft.keep(orjson.dumps({str(piece): text for piece, text in said.items()}))
    draft.put(replace(work, noted=work.noted + len(said), notes=(*work.notes, name)))


async def _take(draft: Draft, work: Work, text: str) -> None:
    """The last answer: the summary, or JSON that must fit its schema, with one repair."""
    shape = draft.asked.shape
    if shape is None:
        await _done(draft, work, {"summary": text})
        return
    value, wrong = value_of(text, shape.schema)
    if wrong is None:
        await _done(draft, work, {"json": value})
    elif work.stage is Stage.REPAIR:
        draft.fail(work, f"the model's JSON does not fit the schema: {wrong}", "invalid_json")
    else:
        name = await draft.keep(text.encode("utf-8", "replace"))
        draft.put(replace(work, stage=Stage.REPAIR, given=0, answer=name))


async def _done(draft: Draft, work: Work, answer: Mapping[str, Any]) -> None:
    name = await draft.keep(orjson.dumps(answer))
    draft.put(replace(work, stage=Stage.DONE, text="", ends=(), notes=(), answer=name))
