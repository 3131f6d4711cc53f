"""The speech engine: Whisper behind `/v1/audio/transcriptions`, one recording at a time."""

import asyncio
import hmac
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from cli.engines import found, limits
from cli.engines.whisper import MOST_BYTES, Asked, Stopped, Whisper
from shared.errors import Refused

FRAME_BYTES = 256 * 1024  # of a form, around its file
MOST_WAITING = 4
MOST_FIELDS = 16
FIELD_BYTES = 16_384
MODEL = found.SPEECH.model
ENGLISH = frozenset({"en", "english"})
FORMATS = ("json", "text", "verbose_json")

Serve = Callable[[bytes, Asked, Callable[[], bool]], dict[str, Any]]


class Busy:
    """Lets one recording at a time through, and four wait."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def __aenter__(self) -> None:
        if self._waiting >= MOST_WAITING:
            raise Refused(
                "this engine hears one recording at a time, and four wait already",
                status=503,
                type_="server_error",
                code="overloaded",
                retry_after_s=5,
            )
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._turn.release()


def app(hear: Serve, key: str) -> Starlette:
    """The engine as an application; `hear` turns a recording into `verbose_json`."""
    busy = Busy()

    async def transcriptions(request: Request) -> Response:
        size = int(request.headers.get("content-length") or 0)
        if not 0 < size <= MOST_BYTES + FRAME_BYTES:
            message = f"file: has at most {MOST_BYTES} bytes, and a request a content-length"
            raise Refused(message, status=413, param="file")
        async with request.form(
            max_files=1, max_fields=MOST_FIELDS, max_part_size=FIELD_BYTES
        ) as form:
            asked, shape = read(form)
            audio = await _file(form).read()
        async with busy:
            body = await _heard(request, lambda stopped: hear(audio, asked, stopped))
        return answer(body, shape)

    async def models(_request: Request) -> Response:
        one = {"id": MODEL, "object": "model", "created": 0, "owned_by": "local"}
        return JSONResponse({"object": "list", "data": [one]})

    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    def closed(handler: Callable[[Request], Awaitable[Response]]) -> Any:
        async def guarded(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, f"Bearer {key}".encode()):
                raise Refused("this engine serves its own Headrace only", status=401)
            return await handler(request)

        return guarded

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/v1/models", closed(models)),
            Route("/v1/audio/transcriptions", closed(transcriptions), methods=["POST"]),
        ],
        exception_handlers={Refused: _refused, HTTPException: _http, Stopped: _gone},
    )


def read(form: FormData) -> tuple[Asked, str]:
    """What is asked, and in which shape. Refused names the field."""
    model = _text(form, "model", MODEL)
    if model != MODEL:
        message = f"model: there is no {model[:80]!r} here, only {MODEL!r}"
        raise Refused(message, status=404, param="model", code="model_not_found")
    language = _text(form, "language", "en")
    if language.lower() not in ENGLISH:
        message = f"language: {language[:40]!r} is not English, all that {MODEL} knows"
        raise Refused(message, param="language", code="unsupported_value")
    shape = _text(form, "response_format", "json")
    if shape not in FORMATS:
        message = f"response_format: {shape[:40]!r} is none of {', '.join(FORMATS)}"
        raise Refused(message, param="response_format", code="unsupported_value")
    return Asked(_text(form, "prompt", ""), _temperature(form), _words(form)), shape


def _words(form: FormData) -> bool:
    named = [*form.getlist("timestamp_granularities[]"), *form.getlist("timestamp_granularities")]
    return "word" in named


def _temperature(form: FormData) -> float:
    given = _text(form, "temperature", "0")
    try:
        value = float(given)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= 1.0:
        message = f"temperature: {given[:40]!r} is no number from 0 to 1"
        raise Refused(message, param="temperature")
    return value


def _text(form: FormData, name: str, default: str) -> str:
    value = form.get(name, default)
    if not isinstance(value, str):
        raise Refused(f"{name}: should be a text, not a file", param=name)
    return value or default


def _file(form: FormData) -> UploadFile:
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise Refused("file: is required, as a file", param="file")
    return file


async def _heard(
    request: Request, work: Callable[[Callable[[], bool]], dict[str, Any]]
) -> dict[str, Any]:
    """The work's result, from a thread; a caller that goes away ends it at its next segment."""
    gone = threading.Event()
    doing = asyncio.ensure_future(asyncio.to_thread(work, gone.is_set))
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            gone.set()
        return await doing
    finally:
        gone.set()
        leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def answer(body: dict[str, Any], shape: str) -> Response:
    """The text in the shape that was asked for."""
    if shape == "text":
        return PlainTextResponse(body["text"] + "\n")
    if shape == "json":
        return JSONResponse({"text": body["text"], "usage": body["usage"]})
    return JSONResponse(body)


async def _refused(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, Refused)  # noqa: S101 - registered for it
    error = {"message": exc.message, "type": exc.type, "param": exc.param, "code": exc.code}
    headers = {"retry-after": str(exc.retry_after_s)} if exc.retry_after_s else None
    return JSONResponse({"error": error}, status_code=exc.status, headers=headers)


async def _http(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)  # noqa: S101 - registered for it
    return await _refused(request, Refused(exc.detail, status=exc.status_code))


async def _gone(_request: Request, _exc: Exception) -> Response:
    return Response(status_code=499)


def serve(port: int, key: str) -> None:
    """Serves the model on that loopback port until SIGTERM, to callers with the key.

    ConfigError if it is not installed. OSError if the port is another's.
    """
    limits.bound_memory()
    whisper = Whisper()
    config = uvicorn.Config(
        app(whisper.transcribe, key),
        host="127.0.0.1",
        port=port,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        at = f"http://127.0.0.1:{listener.getsockname()[1]}"
        print(f"serving {found.SPEECH.title} at {at}", flush=True)
        uvicorn.Server(config).run([listener])
