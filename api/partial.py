"""What is done of a job of several parts that has no result, or none yet."""

import asyncio
from typing import Any

from api import summaries
from api.wiring import Service
from shared.core.audio_work import of_json
from shared.core.model import Kind, Status
from shared.store.types import JobRecord
from shared.transcriptions import partial as heard_so_far


async def partial(service: Service, record: JobRecord) -> dict[str, Any] | None:
    """What is done so far; None where there is nothing of the kind, or `result` tells."""
    if record.kind is Kind.SUMMARY:
        return await summaries.partial(service, record)
    if record.kind is Kind.TRANSCRIPTION and record.status is not Status.COMPLETED:
        return await _heard(service, record)
    return None


async def _heard(service: Service, record: JobRecord) -> dict[str, Any] | None:
    """The transcript with gaps: also of a job that has failed, as long as it is kept."""
    family = await service.jobs.family(record.id)
    if family.state is None:
        return None
    work = of_json(family.state["work"])
    children = {at: one.child for at, one in enumerate(work.pieces) if one.child is not None}
    found = await service.jobs.many(list(children.values()))
    results = {
        at: one.result
        for at, one in zip(children, found, strict=True)
        if one is not None and one.result is not None
    }
    return await asyncio.to_thread(heard_so_far, work, results, record.doc.get("request") or {})
