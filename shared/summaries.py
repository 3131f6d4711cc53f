"""What has come of the documents of a summary so far: for its last step, and for who looks."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from shared.core.summary_results import entry
from shared.core.summary_work import COMBINED, Stage, State, Work
from shared.kept import Kept

_SOURCES = ("text", "file_id", "url")


async def entries(
    kept: Kept, job_id: str, doc: Mapping[str, Any], state: State, most: int | None = None
) -> list[dict[str, Any]]:
    """The entries of documents that have ended, in order; that of the summary over all is last.

    At most `most` of them. NoSuchObject where a text is not kept any more.
    """
    over = [work for work in state.works if work.stage.over][:most]
    return [await _entry(kept, job_id, doc["request"]["documents"], work) for work in over]


async def _entry(
    kept: Kept, job_id: str, asked: Sequence[Mapping[str, Any]], work: Work
) -> dict[str, Any]:
    answer: Mapping[str, Any] = {}
    if work.stage is Stage.DONE:
        answer = orjson.loads(await kept.get(job_id, work.answer))
    if work.index == COMBINED:
        return entry(work, None, None, answer)
    document = asked[work.index]
    source = {name: document[name] for name in _SOURCES if name in document}
    if "text" in source:
        source["text"] = True
    return entry(work, source, document.get("title") or work.title, answer)
