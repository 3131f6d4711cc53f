"""`/v1/files` as OpenAI's: uploads are streamed to the objects, and read back as streams."""

import os
import re
from collections.abc import Mapping
from typing import Any, Final

from api.auth import scope_of
from api.call import Call
from api.errors import not_found
from api.multipart import Upload
from api.wiring import Service
from shared.errors import Refused
from shared.objects import NoSuchObject
from shared.store.files import MONTH_S, OUTPUT, PURPOSES, File, object_name

FILE_ID: Final = re.compile(r"file-[A-Za-z0-9]{1,60}")
BINARY: Final = (b"content-type", b"application/octet-stream")
MOST: Final = 10_000
EXPIRY_S: Final = range(3_600, 30 * 86_400 + 1)
ANCHOR: Final = "expires_after[anchor]"
SECONDS: Final = "expires_after[seconds]"
FIELDS: Final = ("purpose", ANCHOR, SECONDS)
WHOLE: Final = re.compile(r"\d{1,9}")


def file_view(file: File) -> dict[str, Any]:
    """OpenAI's file object."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": file.created_ms // 1000,
        "expires_at": None if file.expires_ms is None else file.expires_ms // 1000,
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
    }


def no_such_file(given: str) -> Refused:
    """The 404 for a file that is not there, or not this caller's: the same for both."""
    return not_found(f"No such File object: {given[:64]}", param="id", code="file_not_found")


async def create(service: Service, call: Call) -> None:
    """Takes a file; it is durable when this answers."""
    service.admit()
    bounds = service.bounds

    def check(fields: Mapping[str, str]) -> int:
        if "purpose" not in fields:  # it may come after the file, as may all others
            return bounds.max_file_bytes
        _purpose(fields)
        return bounds.file_bytes(fields["purpose"])

    upload = Upload(call.receive, call.headers, FIELDS, check)
    file_id = f"file-{os.urandom(12).hex()}"
    name = object_name(file_id)
    await service.bulk.objects.put(name, upload.parts())
    try:
        file = _checked(service, call, upload, file_id, await service.bulk.files.now_ms())
        await service.bulk.files.put(file)
    except BaseException:
        await service.bulk.objects.delete(name)
        raise
    await call.json(200, file_view(file))


def _checked(service: Service, call: Call, upload: Upload, file_id: str, now_ms: int) -> File:
    """What was uploaded, if all of it is right. Refused names the field."""
    if upload.filename is None:
        raise Refused("file: is required", param="file", code="missing_required_parameter")
    purpose, lives_s = _purpose(upload.fields), _expiry_s(upload.fields)
    most = service.bounds.file_bytes(purpose)
    if upload.size > most:
        raise Refused(
            f"a file of purpose {purpose} has at most {most} bytes",
            status=413, param="file", code="file_too_large",
        )  # fmt: skip
    if lives_s is None and purpose == "batch":
        lives_s = MONTH_S
    expires_ms = None if lives_s is None else now_ms + lives_s * 1000
    return File(
        id=file_id,
        tenant=call.key.tenant,
        purpose=purpose,
        filename=upload.filename,
        size=upload.size,
        created_ms=now_ms,
        expires_ms=expires_ms,
        digest=upload.digest.hexdigest(),
    )


def _purpose(fields: Mapping[str, str]) -> str:
    purpose = fields.get("purpose")
    if purpose is None:
        raise Refused("purpose: is required", param="purpose", code="missing_required_parameter")
    if purpose not in PURPOSES:
        raise Refused(f"purpose: must be one of {', '.join(PURPOSES)}", param="purpose")
    return purpose


def _expiry_s(fields: Mapping[str, str]) -> int | None:
    anchor, text = fields.get(ANCHOR), fields.get(SECONDS)
    if anchor is None and text is None:
        return None
    if anchor != "created_at":
        raise Refused(f"{ANCHOR}: must be created_at", param=ANCHOR)
    if text is None or not WHOLE.fullmatch(text) or int(text) not in EXPIRY_S:
        raise Refused(
            f"{SECONDS}: must be a whole number from {EXPIRY_S[0]} to {EXPIRY_S[-1]}", param=SECONDS
        )
    return int(text)


async def _found(service: Service, call: Call) -> File:
    given = call.param("id")
    file = None
    if FILE_ID.fullmatch(given):
        file = await service.bulk.files.get(given, scope_of(call.key))
    if file is None:
        raise no_such_file(given)
    return file


async def get(service: Service, call: Call) -> None:
    """What is known of a file."""
    call.query(())
    await call.json(200, file_view(await _found(service, call)))


async def content(service: Service, call: Call) -> None:
    """A file's bytes, as they were written."""
    call.query(())
    file = await _found(service, call)
    length = (b"content-length", b"%d" % file.size)
    if call.scope["method"] == "HEAD":
        await call.start(200, [BINARY, length])
        await call.end()
        return
    parts = service.bulk.objects.get(object_name(file.id))
    try:
        first = await anext(parts, b"")
    except NoSuchObject:
        raise no_such_file(file.id) from None
    await call.start(200, [BINARY, length])
    await call.chunk(first)
    async for part in parts:
        await call.chunk(part)
    await call.end()


async def index(service: Service, call: Call) -> None:
    """A page of the caller's files."""
    asked = call.query(("purpose", "limit", "order", "after"))
    purpose, order = asked.get("purpose"), asked.get("order", "desc")
    if purpose is not None and purpose not in (*PURPOSES, OUTPUT):
        known = ", ".join((*PURPOSES, OUTPUT))
        raise Refused(f"purpose must be one of {known}", param="purpose")
    if order not in ("asc", "desc"):
        raise Refused("order must be asc or desc", param="order")
    limit = page_size(asked.get("limit"), MOST, MOST)
    page = await service.bulk.files.list(
        call.key.tenant,
        purpose=purpose,
        after=cursor(asked.get("after"), FILE_ID),
        limit=limit,
        ascending=order == "asc",
    )
    await call.json(200, listed([file_view(file) for file in page.files], more=page.more))


async def delete(service: Service, call: Call) -> None:
    """Removes a file, bytes first. Refused (409) while a batch reads it."""
    file = await _found(service, call)
    batch = await service.bulk.batches.using(file.id)
    if batch is not None:
        raise Refused(
            f"{file.id} is the input of {batch}, which is not done: cancel that first",
            status=409,
            param="id",
            code="file_in_use",
        )
    await service.bulk.objects.delete(object_name(file.id))
    await service.bulk.files.forget(file)
    await call.json(200, {"id": file.id, "object": "file", "deleted": True})


def page_size(text: str | None, default: int, most: int) -> int:
    """A page's size. Refused names it."""
    if text is None:
        return default
    if not WHOLE.fullmatch(text) or not 1 <= int(text) <= most:
        raise Refused(f"limit must be a whole number from 1 to {most}", param="limit")
    return int(text)


def cursor(text: str | None, form: "re.Pattern[str]") -> str | None:
    """Where a page begins. Refused: 404 where it can be nobody's id."""
    if text is not None and not form.fullmatch(text):
        raise not_found("after must be the id of one of yours", param="after")
    return text


def listed(data: list[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """OpenAI's list."""
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": more,
    }
