"""The next calls, made and handed out: as many as may be out at once."""

import asyncio
from dataclasses import replace
from typing import Any

from shared.core import summary_prompts as prompts
from shared.core.summary import most_written, note_tokens
from shared.core.summary_work import COMBINED, LAST, Call, Stage, Work
from shared.errors import Refused
from workers.summaries.answers import TOO_LONG, value_of
from workers.summaries.cutting import smaller
from workers.summaries.draft import MOST_OUT, Draft

WORDS_A_TOKEN = 0.6
LEAST_WORDS = 20


async def hand_out(draft: Draft) -> None:
    """Makes calls until enough are out, none is left, or none can be made now."""
    for call in _next(draft):
        if draft.blocked or len(draft.state.calls) >= MOST_OUT:
            break
        work = draft.state.work(call.index)
        if not _wanted(draft, work, call):
            continue
        child_id = f"{draft.claim.job_id}-{draft.state.made}"
        try:
            request = await _request(draft, work, call)
            job = await asyncio.to_thread(draft.calls.job, child_id, request, anew=call.tries > 1)
        except Refused as refused:
            if refused.code in TOO_LONG:
                await smaller(draft, work, refused.message)
            else:
                draft.refuse(work, refused)
            continue
        draft.jobs.append(job)
        _made(draft, work, call, child_id)


def _next(draft: Draft) -> list[Call]:
    wanted = list(draft.state.again)
    for work in draft.state.works:
        if work.stage is Stage.NOTES:
            room = max(0, MOST_OUT - len(draft.state.calls) - len(wanted))
            last = min(work.pieces, work.given + room)
            wanted += [Call("", work.index, piece) for piece in range(work.given, last)]
        elif work.waiting:
            wanted.append(Call("", work.index, LAST))
    return wanted


def _wanted(draft: Draft, work: Work, call: Call) -> bool:
    """Whether it still is: its text may have been cut anew for the one before."""
    if call.tries > 1:
        return call in draft.state.again
    if call.piece == LAST:
        return work.stage in (Stage.LAST, Stage.REPAIR) and not work.given
    return work.stage is Stage.NOTES and call.piece == work.given


def _made(draft: Draft, work: Work, call: Call, child_id: str) -> None:
    state = draft.state
    state = replace(
        state,
        calls=(*state.calls, replace(call, id=child_id)),
        again=tuple(each for each in state.again if each != call),
        made=state.made + 1,
    )
    if call.tries == 1:
        state = state.put(replace(work, given=work.given + 1))
    draft.state = state


async def _request(draft: Draft, work: Work, call: Call) -> dict[str, Any]:
    """The chat of a call."""
    asked, sizes = draft.asked, draft.sizes()
    chat: dict[str, Any] = {"model": asked.request.model}
    if asked.request.temperature is not None:
        chat["temperature"] = asked.request.temperature
    if call.piece != LAST:
        most = sizes.note_output_tokens
        chat["messages"] = await _notes(draft, work, call)
    else:
        repair = work.stage is Stage.REPAIR
        text = "" if repair else (await draft.kept(work.text)).decode()
        whole = work.level == 0 and work.index != COMBINED
        words = len(text.split()) if whole else None
        most = most_written(sizes, asked.wish, work.tokens, words)
        chat["messages"] = await _last(draft, work, text)
        if asked.shape is not None and not draft.in_words():
            name, strict = asked.shape.name, asked.shape.strict
            chat["response_format"] = prompts.response_format(asked.wish, name, strict)
    if not call.larger:  # it thought all its tokens away: now it may have as many as it likes
        chat["max_completion_tokens"] = most
    return chat


async def _notes(draft: Draft, work: Work, call: Call) -> prompts.Messages:
    start = work.ends[call.piece - 1] if call.piece else 0
    text = (await draft.kept(work.text, start, work.ends[call.piece])).decode("utf-8", "replace")
    words = max(LEAST_WORDS, int(note_tokens(work.chunk_tokens) * WORDS_A_TOKEN))
    part = (call.piece + 1, work.pieces)
    return prompts.notes(draft.asked.wish, work.title, part, text, words)


async def _last(draft: Draft, work: Work, text: str) -> prompts.Messages:
    wish = draft.asked.wish
    if work.stage is Stage.REPAIR:
        bad = (await draft.kept(work.answer)).decode()
        _, wrong = value_of(bad, wish.schema or {})
        return prompts.repair(wish, bad, wrong or "it is not JSON")
    read = "notes" if work.level else "summaries" if work.index == COMBINED else "document"
    return prompts.last(wish, work.title, text, read=read, in_words=draft.in_words())
