"""From a text to pieces, and from the notes of all pieces to the text of the next level."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import orjson

from shared.core.splitting import Count, clipped, ends
from shared.core.summary import MOST_LEVELS, half, joined, note_tokens
from shared.core.summary_work import COMBINED, Stage, Work, all_over, complete, documents
from shared.errors import Refused
from workers.summaries.draft import MOST_OUT, Draft

READ_AT_ONCE: Final = 4
MOST_CUTS: Final = 8


async def read(draft: Draft) -> None:
    """Reads the next documents, where there is room for their calls."""
    fresh = [work for work in documents(draft.state) if work.stage is Stage.FRESH]
    if draft.state.busy < MOST_OUT:
        await asyncio.gather(*(_read(draft, work) for work in fresh[:READ_AT_ONCE]))


async def _read(draft: Draft, work: Work) -> None:
    asked, index = draft.asked, work.index
    document, title = asked.documents[index], asked.title(index)
    try:
        found = await draft.tools.reader.read(document, draft.claim.tenant, asked.kept(index))
    except Refused as refused:
        called = title or await draft.tools.reader.called(document, draft.claim.tenant)
        draft.fail(replace(work, title=called), refused.message, refused.code or "unreadable")
        return
    work = replace(work, type=found.type, title=title or found.title, warning=found.warning)
    await _begin(draft, work, found.text)


async def _begin(draft: Draft, work: Work, text: str) -> None:
    try:
        chunk_tokens = draft.sizes().chunk_tokens
    except Refused as refused:
        draft.refuse(work, refused)
        return
    tokens = await asyncio.to_thread(draft.tools.count, text)
    await _cut(draft, replace(work, tokens=tokens, chunk_tokens=chunk_tokens), text, tokens)


async def _cut(draft: Draft, work: Work, text: str, tokens: int) -> None:
    """Cuts the text of a level into pieces; the last call reads it where it fits."""
    data = text.encode("utf-8", "replace")
    at: tuple[int, ...] = ()
    stage = Stage.LAST
    if tokens > work.chunk_tokens:
        if work.level >= MOST_LEVELS:
            draft.fail(work, "its notes never became short enough", "too_many_levels")
            return
        stage = Stage.NOTES
        at = await asyncio.to_thread(_byte_ends, text, work.chunk_tokens, draft.tools.count)
    chunks = max(1, len(at)) if work.level == 0 else work.chunks
    name = await draft.keep(data)
    draft.put(
        replace(
            work, stage=stage, text=name, ends=at, chunks=chunks, given=0, noted=0, notes=()
        )
    )  # fmt: skip


async def smaller(draft: Draft, work: Work, message: str) -> None:
    """Cuts a text anew whose pieces were too long after all."""
    less = half(work.chunk_tokens)
    if less is None or work.cuts >= MOST_CUTS or work.stage is Stage.REPAIR:
        draft.fail(work, message, "too_long")
        return
    text = (await draft.kept(work.text)).decode()
    tokens = await asyncio.to_thread(draft.tools.count, text)
    await _cut(draft, replace(work, cuts=work.cuts + 1, chunk_tokens=less), text, tokens)


async def advance(draft: Draft) -> None:
    """Joins the notes of levels that are complete; begins the summary over all."""
    for work in draft.state.works:
        if complete(draft.state, work.index):
            await _climb(draft, work)
    begun = draft.state.works[-1].index == COMBINED
    if not draft.asked.request.combined or begun or not all_over(draft.state):
        return
    done = [work for work in documents(draft.state) if work.stage is Stage.DONE]
    if done:
        draft.state = replace(draft.state, works=(*draft.state.works, Work(COMBINED)))
        await _begin(draft, Work(COMBINED), await _summaries(draft, done))


async def _climb(draft: Draft, work: Work) -> None:
    found: dict[str, str] = {}
    for name in work.notes:
        found |= orjson.loads(await draft.kept(name))
    most, count = note_tokens(work.chunk_tokens), draft.tools.count

    def together() -> tuple[str, int]:
        text = joined([clipped(found[str(n)], most, count) for n in range(work.pieces)])
        return text, count(text)

    text, tokens = await asyncio.to_thread(together)
    await _cut(draft, replace(work, level=work.level + 1), text, tokens)


async def _summaries(draft: Draft, done: Sequence[Work]) -> str:
    """The summaries of all documents, one after another."""
    parts = []
    for work in done:
        answer = orjson.loads(await draft.kept(work.answer))
        said = answer.get("summary") or orjson.dumps(answer.get("json")).decode()
        parts.append(f"# {work.title or f'Document {work.index + 1}'}\n\n{said}")
    return "\n\n".join(parts)


def _byte_ends(text: str, most: int, count: Count) -> tuple[int, ...]:
    """Where its pieces end in its UTF-8."""
    at, start, found = 0, 0, []
    for end in ends(text, most, count):
        at += len(text[start:end].encode("utf-8", "replace"))
        start = end
        found.append(at)
    return tuple(found)
