"""What a summary needs at the door: its files and addresses looked at, its long texts put away."""

import asyncio
import hashlib
import os
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from api.call import Call
from api.wiring import Service
from shared.addresses import private_host
from shared.core.model import Kind
from shared.core.summary_work import COMBINED, of_json
from shared.errors import Refused, StoreError
from shared.kept import Kept
from shared.store.types import JobRecord
from shared.submission import Submission
from shared.summaries import entries

LOOK_S: Final = 5.0
MOST_PARTIAL: Final = 100


async def prepared(service: Service, call: Call, asked: Submission) -> Submission:
    """The submission with its long texts as objects: the store keeps what a step must read.

    Refused names the file that is not the caller's, or the address that is private.
    """
    documents = asked.request["documents"]
    fields = [f"request.documents[{n}]." for n in range(len(documents))]
    await _look_at_files(service, call, documents, fields)
    if not service.bounds.private_documents:
        await _look_at_addresses(documents, fields)
    return await _put_away(service, asked)


async def _look_at_files(
    service: Service, call: Call, documents: list[dict[str, Any]], fields: list[str]
) -> None:
    for document, field in zip(documents, fields, strict=True):
        file_id = document.get("file_id")
        if file_id is None:
            continue
        file = await service.bulk.files.get(file_id, call.key.tenant)
        if file is None:
            raise Refused(
                f"{field}file_id: No such File object: {file_id}",
                status=404,
                param=f"{field}file_id",
                code="file_not_found",
            )
        if file.size > service.bounds.max_document_bytes:
            raise Refused(
                f"{field}file_id: it has {file.size} bytes;"
                f" {service.bounds.max_document_bytes} are read of one document",
                param=f"{field}file_id",
                code="document_too_large",
            )


async def _look_at_addresses(documents: list[dict[str, Any]], fields: list[str]) -> None:
    """Names that do not resolve in time are let through: the worker looks again at each call."""
    looks = {
        asyncio.ensure_future(private_host(document["url"])): field
        for document, field in zip(documents, fields, strict=True)
        if "url" in document
    }
    if not looks:
        return
    done, late = await asyncio.wait(looks, timeout=LOOK_S)
    for look in late:
        look.cancel()
    for look in sorted(done, key=lambda each: looks[each]):
        host = look.result()
        if host is not None:
            raise Refused(
                f"{looks[look]}url: {host} is at a private address;"
                " HEADRACE_ALLOW_PRIVATE_URLS allows those",
                param=f"{looks[look]}url",
                code="private_address",
            )


async def _put_away(service: Service, asked: Submission) -> Submission:
    kept = Kept(service.bulk.files, service.bulk.objects)
    home, names, documents = f"text_{os.urandom(12).hex()}", {}, []
    digest = hashlib.sha256()
    for index, document in enumerate(asked.request["documents"]):
        data = document.get("text", "").encode("utf-8", "replace")
        if len(data) > service.bounds.inline_body_bytes:
            await kept.put(home, str(index), data)
            digest.update(f"{index} {len(data)} ".encode() + data)
            names[str(index)] = str(index)
            documents.append(document | {"text": "(kept)"})
        else:
            documents.append(document)
    if not names:
        return asked
    extra = asked.extra | {"kept": names, "kept_as": home}
    request = asked.request | {"documents": documents}
    return replace(asked, request=request, extra=extra, content=digest.hexdigest())


async def not_needed(service: Service, asked: Submission) -> None:
    """What was put away for a summary that was refused is removed soon, not when it would end."""
    names = asked.extra.get("kept")
    if names:
        with suppress(StoreError):  # then it is removed when its time is over
            kept = Kept(service.bulk.files, service.bulk.objects)
            await kept.done_with(asked.extra["kept_as"], names.values())


async def partial(service: Service, record: JobRecord) -> dict[str, Any] | None:
    """The entries of the documents that have ended so far; None where there can be none."""
    if record.kind is not Kind.SUMMARY or record.status.final:
        return None
    family = await service.jobs.family(record.id)
    if family.state is None:
        return {"documents": []}
    state = of_json(family.state)
    works = tuple(work for work in state.works if work.index != COMBINED)
    kept = Kept(service.bulk.files, service.bulk.objects)
    return {
        "documents": await entries(
            kept, record.id, record.doc, replace(state, works=works), MOST_PARTIAL
        )
    }
