"""A stand-in API for bulk verbs: files, and jobs that end as the name of their file says."""

import itertools
import threading

import orjson
from fake_api import FakeApi, error, shown
from starlette.responses import JSONResponse
from starlette.routing import Route

SEGMENTS = [
    {"id": 0, "start": 0.0, "end": 1.5, "text": " Hello there."},
    {"id": 1, "start": 1.5, "end": 3.0, "text": " Good bye."},
]
WORDS = [{"word": "Hello", "start": 0.0, "end": 0.5}]


class BulkApi(FakeApi):
    """`ends` says how the job of a file of that name ends; `hold` keeps all jobs from ending.

    A name that holds "slow" never ends; `most_live` counts jobs accepted and not yet done.
    """

    def __init__(self):
        super().__init__()
        self.ends: dict[str, str] = {}
        self.hold = False
        self.files: dict[str, tuple[str, bytes]] = {}
        self.removed: list[str] = []
        self.uploads: list[str] = []
        self.forms: list[dict[str, str]] = []
        self.keyed: dict[str, str] = {}
        self.file_ids = itertools.count(1)
        self.busy = threading.Event()
        self.most_live = 0
        self.looks = 1  # at a job, until it ends
        self.text = "Hello there. Good bye."
        self.drop_uploads = 0
        self.lost = 0  # answers to accepted jobs that never arrive

    def app(self):
        app = super().app()
        app.router.routes[:0] = [
            Route("/v1/files", self.upload, methods=["POST"]),
            Route("/v1/files/{id}", self.remove, methods=["DELETE"]),
        ]
        return app

    async def upload(self, request):
        if bad := self.refused(request):
            return bad
        if self.drop_uploads:
            self.drop_uploads -= 1
            return error(503, "overfull", {"retry-after": "0"})
        async with request.form() as form:
            name, content = form["file"].filename, await form["file"].read()
            self.forms.append({key: value for key, value in form.items() if key != "file"})
        file_id = f"file-{next(self.file_ids)}"
        self.files[file_id] = (name, content)
        self.uploads.append(name)
        return JSONResponse({"id": file_id})

    async def remove(self, request):
        self.removed.append(request.path_params["id"])
        return JSONResponse({"deleted": True})

    async def accept(self, request):
        if bad := self.refused(request):
            return bad
        body, key = orjson.loads(await request.body()), request.headers["idempotency-key"]
        if key not in self.keyed:
            self.bodies.append(body)
            names = self.names(body["request"])
            if any(self.ends.get(name) == "refused" for name in names):
                return error(400, "no such model", param="request.model")
            job_id = f"job_{next(self.numbers)}"
            self.keyed[key] = job_id
            self.jobs[job_id] = {
                "id": job_id, "kind": body["kind"], "status": "queued", "attempts": [],
                "route": {}, "_names": names, "_request": body["request"],
            }  # fmt: skip
            live = sum(job["status"] == "queued" for job in self.jobs.values())
            self.most_live = max(self.most_live, live)
        self.busy.set()
        if self.lost:
            self.lost -= 1
            return error(500, "a fault of ours")
        return JSONResponse(shown(self.jobs[self.keyed[key]]), 202)

    def names(self, request):
        found = request.get("documents", [request])
        return [self.files[one["file_id"]][0] if "file_id" in one else one["url"] for one in found]

    async def one(self, request):
        job = self.jobs.get(request.path_params["id"])
        if job is None:
            return error(404, "no such job")
        self.polled.set()
        job["_looks"] = job.get("_looks", 0) + 1
        if job["status"] == "queued" and not self.hold and job["_looks"] >= self.looks:
            self.end_job(job)
        return JSONResponse(shown(job))

    def end_job(self, job):
        ends = {self.ends.get(name, "completed") for name in job["_names"]}
        combined = len(job["_names"]) > 1
        if "failed" in ends and not combined:
            job |= {"status": "failed", "error": {"message": "nobody could"}}
        else:
            result = self.summary(job) if job["kind"] == "summary" else self.transcript(job)
            job |= {"status": "completed", "result": result, "cost": 0.25}
            job["usage"] = {"total_tokens": 40, "audio_seconds": 3}

    def transcript(self, job):
        if job["_request"].get("response_format") == "diarized_json":
            segments = [one | {"speaker": who} for one, who in zip(SEGMENTS, "AB", strict=True)]
            segments.append({"speaker": "B", "start": 3.0, "end": 3.5, "text": "Or not."})
            text = "Hello there. Good bye. Or not."
            return {"task": "transcribe", "duration": 3.5, "text": text, "segments": segments}
        return {
            "task": "transcribe", "language": "english", "duration": 3.0, "text": self.text,
            "segments": SEGMENTS, "words": WORDS,
        }  # fmt: skip

    def summary(self, job):
        documents = [
            {"index": i, "title": name, "summary": None, "error": {"message": "no text"}}
            if self.ends.get(name) == "failed"
            else {"index": i, "title": name, "summary": f"about {name}", "json": None}
            | ({"warnings": ["its middle was left out"]} if "long" in name else {})
            for i, name in enumerate(job["_names"])
        ]
        if "json_schema" in job["_request"]:
            documents = [one | {"summary": None, "json": {"n": 1}} for one in documents]
        combined = {"summary": "about all"} if job["_request"].get("combined") else None
        return {"object": "summary", "documents": documents, "combined": combined}
