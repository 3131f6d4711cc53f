"""A small stand-in for our HTTP API: jobs end when the test says so, events come from a script."""

import asyncio
import contextlib
import itertools
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

KEY = "hr_test_0123456789abcdef"


def event(number: int, name: str, data: dict[str, Any]) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, name.encode(), orjson.dumps(data))


def chunk(text: str) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [{"delta": {"content": text}}]}


@dataclass
class FakeApi:
    """`outcome` says how each new job ends: by the prompt's text, else completed."""

    outcomes: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, list[list[bytes]]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    last_event_ids: list[str | None] = field(default_factory=list)
    overfull: int = 0
    url: str = ""
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    polled: threading.Event = field(default_factory=threading.Event)

    def app(self) -> Starlette:
        routes = [
            Route("/healthz", lambda _r: JSONResponse({"ok": True})),
            Route("/readyz", lambda _r: JSONResponse({"ok": True})),
            Route("/v1/models", self.models),
            Route("/v1/jobs", self.accept, methods=["POST"]),
            Route("/v1/jobs", self.listing, methods=["GET"]),
            Route("/v1/jobs/{id}", self.one),
            Route("/v1/jobs/{id}/events", self.events),
            Route("/v1/jobs/{id}/{verb}", self.act, methods=["POST"]),
            Route("/v1/chat/completions", self.chat, methods=["POST"]),
        ]
        return Starlette(routes=routes)

    def refused(self, request: Request) -> Response | None:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return error(401, "unknown API key")
        return None

    async def models(self, request: Request) -> Response:
        listed = [{"id": "m1", "deployments": ["sim/m1"]}]
        return self.refused(request) or JSONResponse({"data": listed})

    async def accept(self, request: Request) -> Response:
        if bad := self.refused(request):
            return bad
        if self.overfull:
            self.overfull -= 1
            return error(503, "overfull", {"retry-after": "0"})
        body = orjson.loads(await request.body())
        self.bodies.append(body)
        self.keys.append(request.headers.get("idempotency-key"))
        inner = body["request"]
        text = inner["messages"][-1]["content"] if "messages" in inner else inner["input"]
        outcome = self.outcomes.get(text, "completed")
        if outcome == "refused":
            return error(400, "no such model", param="request.model")
        job = make_job(f"job_{next(self.numbers)}", text)
        job["_outcome"] = outcome
        self.jobs[job["id"]] = job
        return JSONResponse(shown(job), 202)

    async def one(self, request: Request) -> Response:
        if bad := self.refused(request):
            return bad
        job = self.jobs.get(request.path_params["id"])
        if job is None:
            return error(404, "no such job")
        if request.query_params.get("wait"):
            self.polled.set()
        while request.query_params.get("wait") and job["_outcome"] == "hang":
            if await request.is_disconnected():
                break
            await asyncio.sleep(0.01)
        end(job)
        return JSONResponse(shown(job))

    async def listing(self, request: Request) -> Response:
        after, limit = request.query_params.get("after"), int(request.query_params["limit"])
        status = request.query_params.get("status")
        jobs = [j for j in reversed(self.jobs.values()) if status in (None, j["status"])]
        ids = [job["id"] for job in jobs]
        start = ids.index(after) + 1 if after else 0
        page = jobs[start : start + limit]
        more = start + limit < len(jobs)
        body = {"object": "list", "data": [shown(j) for j in page], "has_more": more}
        return JSONResponse(body | ({"last_id": page[-1]["id"]} if page else {}))

    async def act(self, request: Request) -> Response:
        job = self.jobs.get(request.path_params["id"])
        if job is None:
            return error(404, "no such job")
        job["status"] = {"cancel": "cancelled", "replay": "queued"}[request.path_params["verb"]]
        return JSONResponse(shown(job))

    async def events(self, request: Request) -> Response:
        """Each connection gets the next part of the script, then is cut off."""
        self.last_event_ids.append(request.headers.get("last-event-id"))
        parts = self.scripts.get(request.path_params["id"])
        if parts is None:
            return error(404, "no such job")
        part = parts.pop(0)

        async def stream():
            for piece in part:
                yield piece

        return StreamingResponse(stream(), media_type="text/event-stream")

    async def chat(self, request: Request) -> Response:
        body = orjson.loads(await request.body())
        self.bodies.append(body)

        async def stream():
            yield b": keep-alive\n\n"
            for text in ("Hello ", "the", "re"):
                yield b"data: " + orjson.dumps(chunk(text)) + b"\n\n"
            if body["messages"][-1]["content"] == "break":
                yield b'data: {"error": {"message": "the stream broke"}}\n\n'
            yield b"data: [DONE]\n\n"

        headers = {"x-headrace-deployment": "alpha/m1"}
        return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)


def make_job(job_id: str, text: str) -> dict[str, Any]:
    return {
        "id": job_id,
        "object": "job",
        "kind": "chat",
        "status": "queued",
        "created_at": 1_790_000_000,
        "attempts": [],
        "route": {
            "chosen": "alpha/m1",
            "candidates": [
                {"deployment": "alpha/m1", "kept": True, "reason": "free"},
                {"deployment": "beta/m2", "kept": False, "reason": "context too small"},
            ],
        },
        "waiting": {
            "reason": "quota",
            "window": "rpm",
            "until": None,
            "position": 3,
            "eta": None,
            "before": {"interactive": 1, "normal": 2, "bulk": 0, "own": 2, "running": 0},
            "message": "the provider's limit (rpm) is used up; 3 jobs are before it",
        },
        "_text": text,
        "_outcome": "completed",
    }


def end(job: dict[str, Any]) -> None:
    match job["_outcome"]:
        case "completed":
            message = {"role": "assistant", "content": f"answer to {job['_text']}"}
            job["result"] = {"choices": [{"message": message}]}
        case "failed":
            job["error"] = {"message": "nobody could"}
        case _:
            return
    job["status"], job["waiting"] = job["_outcome"], None
    job["attempts"] = [{"deployment": "alpha/m1", "outcome": "ok"}]


def shown(job: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in job.items() if not name.startswith("_")}


def error(
    status: int, message: str, headers: dict[str, str] | None = None, param: str | None = None
) -> Response:
    body = {"error": {"message": message, "type": "x", "param": param, "code": None}}
    return JSONResponse(body, status, headers=headers)


@contextlib.contextmanager
def serving(fake: FakeApi) -> Iterator[FakeApi]:
    listener = socket.create_server(("127.0.0.1", 0))
    fake.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        fake.app(), log_level="error", lifespan="off", timeout_graceful_shutdown=1, ws="none"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
