"""`POST /v1/audio/transcriptions`: held, streamed, or answered with a job; and `translations`.

The audio is streamed into the objects and never whole in memory here. What was uploaded is the
job's alone: it is removed when the job is completed or cancelled, by this process where it waited
for that, else by the scheduler. A job that failed for no fault of the audio may be replayed: its
upload is kept as long as it.
"""

import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
import structlog

from api import hold, options, transcript_stream
from api.admit import new_id
from api.body import parse
from api.call import Call, Header
from api.jobs import respond_async
from api.multipart import Upload
from api.sources import check_sources
from api.wiring import Service
from shared.errors import Refused, StoreError
from shared.store.files import File, object_name
from shared.submission import transcription as submission
from shared.wire.transcriptions import (
    MAX_PROMPT,
    MAX_REFERENCE,
    TRANSLATE,
    transcription_request,
)
from shared.wire.transcripts import rendered

log = structlog.get_logger(__name__)

LOOK_AFTER_MS: Final = 300_000  # a job that was never accepted leaves its upload so long
STREAMED: Final = ("json", "text", "diarized_json")  # all that OpenAI streams
NUMBERS: Final = ("temperature",)
TRUTHS: Final = {"true": True, "false": False, "1": True, "0": False}
LISTS: Final = (
    *("timestamp_granularities", "include", "known_speaker_names", "known_speaker_references"),
    *("keywords", "languages"),
)
CHUNKING: Final = ("type", "prefix_padding_ms", "silence_duration_ms", "threshold")
FIELDS: Final = (
    *("model", "file_id", "url", "language", "prompt", "response_format", "temperature", "stream"),
    *("chunking_strategy", *(f"chunking_strategy[{name}]" for name in CHUNKING)),
    *(*LISTS, *(f"{name}[]" for name in LISTS)),
)
SAMPLES: Final = dict.fromkeys(
    ("known_speaker_references", "known_speaker_references[]"), MAX_REFERENCE
)
_WHOLE: Final = re.compile(r"[0-9]{1,9}")


Task = dict[str, Any]
"""What the route adds to the request."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the request asks for. `raw` tells it from others; `file` is what it brought along.

    `content` is the digest of its bytes, or of those of the file that the request names.
    """

    request: dict[str, Any]
    raw: bytes
    stream: bool
    job_id: str
    file: File | None = None
    content: str | None = None


async def create(service: Service, call: Call) -> None:
    """Answers as OpenAI does."""
    await _create(service, call, {})


async def translate(service: Service, call: Call) -> None:
    """`POST /v1/audio/translations`: what is said, in English."""
    await _create(service, call, {"task": TRANSLATE})


async def _create(service: Service, call: Call, task: Task) -> None:
    service.admit()
    wishes = options.read(call)
    key = options.idempotency_key(call)
    async with _read(service, call, task) as asked:
        made = submission(asked.request, asked.raw, stream=asked.stream)
        job = replace(made, job_id=asked.job_id)
        job = replace(job, content=asked.content or job.content)
        if wishes.asynchronous:
            await respond_async(service, call, job, wishes, key)
        elif asked.stream:
            await transcript_stream.answer(service, call, job, wishes, key)
        else:
            render = _render(asked.request)
            await hold.answer(service, call, job, wishes, key, render=render)


@asynccontextmanager
async def _read(service: Service, call: Call, task: Task) -> AsyncIterator[Asked]:
    """The request, checked; what it brought along is removed if it is of no use any more."""
    kind = call.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"multipart/form-data":
        raw = await call.body(service.bounds.max_body_bytes)
        request, streamed = _checked(_told(parse(raw), task))
        content = await check_sources(service, call.key.tenant, request)
        yield Asked(request, raw, streamed, new_id(), content=content)
        return
    asked = await _uploaded(service, call, task)
    content = await check_sources(service, call.key.tenant, asked.request)
    asked = replace(asked, content=asked.content or content)
    try:
        yield asked
    finally:
        if asked.file is not None:
            await _settle(service, asked.file)


async def _uploaded(service: Service, call: Call, task: Task) -> Asked:
    """What a form asks for, its file in the objects. Refused names the field."""
    bounds = service.bounds

    def check(fields: Mapping[str, str]) -> int:
        _alone(fields)
        if "model" in fields:  # what is wrong is told before the audio comes
            _checked(_body(fields, upload.lists) | task | {"file_id": "file-1"}, early=True)
        return bounds.max_audio_bytes

    upload = Upload(
        call.receive, call.headers, FIELDS, check, field_bytes=4 * MAX_PROMPT, larger=SAMPLES
    )

    file_id = f"upload-{os.urandom(12).hex()}"
    name = object_name(file_id)
    try:
        await service.bulk.objects.put(name, upload.parts())
    except Refused:
        await upload.drain()
        raise
    try:
        asked = _asked(upload, name, task)
        file = await _noted(service, call, upload, file_id, asked.job_id)
    except BaseException:
        await service.bulk.objects.delete(name)
        raise
    return replace(asked, file=file)


def _asked(upload: Upload, name: str, task: Task) -> Asked:
    body = _body(upload.fields, upload.lists) | task
    told = orjson.dumps(body, option=orjson.OPT_SORT_KEYS) + b"\n"
    if upload.filename is not None:
        _alone(body)
        if upload.size == 0:
            raise Refused("file: the file is empty", param="file", code="invalid_value")
        brought = {"object": name, "filename": upload.filename}
        request, streamed = _checked(body | brought, internal=True)
        raw = told + upload.digest.digest()
        return Asked(request, raw, streamed, new_id(), content=upload.digest.hexdigest())
    if "file_id" not in body and "url" not in body:
        raise Refused(
            "file: is required (or file_id, or url)",
            param="file",
            code="missing_required_parameter",
        )
    request, streamed = _checked(body)
    return Asked(request, told, streamed, new_id())


def _told(body: Any, task: Task) -> Any:
    """The body with the task of its route; Refused where it names one itself there."""
    if not task or not isinstance(body, dict):
        return body
    if "task" in body:
        raise Refused("task: is told by the route: leave it out", param="task")
    return body | task


def _alone(fields: Mapping[str, Any]) -> None:
    """Refused where audio is named beside a file that is sent."""
    for name in ("file_id", "url"):
        if fields.get(name):
            raise Refused(
                f"file: give only one of file and {name}", param="file", code="invalid_value"
            )


async def _noted(
    service: Service, call: Call, upload: Upload, file_id: str, job_id: str
) -> File | None:
    """The upload, known to the store so that it is removed whatever becomes of us."""
    if upload.filename is None:
        await service.bulk.objects.delete(object_name(file_id))
        return None
    now_ms = await service.bulk.files.now_ms()
    file = File(
        id=file_id,
        tenant=call.key.tenant,
        purpose="transcription",
        filename=upload.filename,
        size=upload.size,
        created_ms=now_ms,
        expires_ms=now_ms + LOOK_AFTER_MS,
        job=job_id,
    )
    await service.bulk.files.put(file)
    return file


async def _settle(service: Service, file: File) -> None:
    """Removes an upload that nobody needs any more; the scheduler looks at the others."""
    try:
        record = None if file.job is None else await service.jobs.get(file.job, file.tenant)
        if record is None or not record.may_run:
            await service.bulk.objects.delete(object_name(file.id))
            await service.bulk.files.forget(file)
    except StoreError as problem:
        log.warning("upload_not_removed", job_id=file.job, error=str(problem)[:200])


def _body(fields: Mapping[str, str], lists: Mapping[str, list[str]]) -> dict[str, Any]:
    """A form as the JSON that asks for the same. Refused: a field that is no such value."""
    body: dict[str, Any] = {name: value for name, value in fields.items() if value != ""}
    for name in NUMBERS:
        if name in body:
            body[name] = _number(name, body[name])
    if "stream" in body:
        if body["stream"].lower() not in TRUTHS:
            raise Refused("stream: should be true or false", param="stream")
        body["stream"] = TRUTHS[body["stream"].lower()]
    for name in LISTS:
        if name in body:
            body[name] = [body[name]]
    return _chunked(body) | {name: list(values) for name, values in lists.items()}


def _chunked(body: dict[str, Any]) -> dict[str, Any]:
    """With `chunking_strategy` as it is in JSON: a form has it as JSON, or a field for each part.

    As the official SDK does.
    """
    told = body.get("chunking_strategy")
    if isinstance(told, str) and told.startswith("{"):
        body["chunking_strategy"] = parse(told.encode())
    parts = {
        name: body.pop(f"chunking_strategy[{name}]")
        for name in CHUNKING
        if f"chunking_strategy[{name}]" in body
    }
    if not parts:
        return body
    for name in ("prefix_padding_ms", "silence_duration_ms"):
        if _WHOLE.fullmatch(str(parts.get(name))):  # else it is refused as the text that it is
            parts[name] = int(parts[name])
    if "threshold" in parts:
        parts["threshold"] = _number("chunking_strategy[threshold]", parts["threshold"])
    return body | {"chunking_strategy": parts}


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise Refused(f"{name}: should be a number", param=name, code="invalid_value") from None


def _checked(
    body: dict[str, Any], *, internal: bool = False, early: bool = False
) -> tuple[dict[str, Any], bool]:
    """The request, and whether it is to be streamed. Refused names the field.

    `early`: more fields may come, so that nothing is missing yet.
    """
    body = dict(body)
    streamed = body.pop("stream", None)
    if streamed is not None and not isinstance(streamed, bool):
        raise Refused("stream: should be true or false", param="stream", code="invalid_type")
    transcription_request(body, internal=internal, early=early)
    form = body.get("response_format", "json")
    if streamed and body.get("task") == TRANSLATE:
        raise Refused(
            "stream: a translation is told whole: leave it out",
            param="stream",
            code="invalid_value",
        )
    if streamed and form not in STREAMED and not early:
        raise Refused(
            f"stream: a {form} is told whole; stream json, text or diarized_json, or leave stream"
            " out",
            param="stream",
            code="invalid_value",
        )
    return body, bool(streamed)


def _render(request: Mapping[str, Any]) -> hold.Render:
    """What makes the answer of a job's result, in the form asked for."""
    form = request.get("response_format", "json")
    granularities = request.get("timestamp_granularities") or ["segment"]

    def render(result: bytes) -> tuple[bytes, Header]:
        made = rendered(
            orjson.loads(result),
            form,
            words="word" in granularities,
            segments="segment" in granularities,
        )
        return made.body, (b"content-type", made.kind.encode())

    return render
