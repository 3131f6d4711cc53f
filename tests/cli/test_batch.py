"""`headrace batch` against a stand-in API: results beside the file, resumable, exit codes."""

import itertools
import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from fake_api import KEY, FakeApi, error, serving
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cli import client
from cli.codes import Unreachable

ENDPOINT = "/v1/chat/completions"


class BatchApi(FakeApi):
    """`script`: the statuses that a batch shows, one a look; the last one stays."""

    def __init__(self):
        super().__init__()
        self.script = ["validating", "in_progress", "completed"]
        self.counts = {"total": 2, "completed": 2, "failed": 0}
        self.errors = None
        self.outputs = {"output_file_id": b'{"custom_id":"a"}\n', "error_file_id": None}
        self.uploads, self.created, self.keyed = [], [], {}
        self.looked = threading.Event()
        self.ids = itertools.count(1)

    def app(self):
        app = super().app()
        app.router.routes[:0] = [
            Route("/v1/files", self.upload, methods=["POST"]),
            Route("/v1/files/{id}/content", self.content),
            Route("/v1/batches", self.create, methods=["POST"]),
            Route("/v1/batches/{id}", self.retrieve),
        ]
        return app

    async def upload(self, request):
        if bad := self.refused(request):
            return bad
        async with request.form() as form:
            assert form["purpose"] == "batch"
            self.uploads.append((form["file"].filename, await form["file"].read()))
        return JSONResponse({"id": f"file-{len(self.uploads)}"})

    async def create(self, request):
        body, key = await request.json(), request.headers["idempotency-key"]
        self.created.append(body)
        if body["endpoint"] != ENDPOINT:
            return error(400, "batches are not served for it", param="endpoint")
        return JSONResponse(self.shown(self.keyed.setdefault(key, f"batch_{next(self.ids)}")))

    async def retrieve(self, request):
        batch_id = request.path_params["id"]
        if batch_id not in self.keyed.values():
            return error(404, "No batch found")
        self.looked.set()
        if len(self.script) > 1:
            self.script.pop(0)
        return JSONResponse(self.shown(batch_id))

    async def content(self, request):
        return Response(self.outputs[request.path_params["id"]])

    def shown(self, batch_id):
        status = self.script[0]
        ended = status in ("completed", "expired", "cancelled")
        files = {n: n if ended and v is not None else None for n, v in self.outputs.items()}
        return {
            "id": batch_id, "status": status, "request_counts": self.counts,
            "errors": self.errors, **files,
        }  # fmt: skip


@pytest.fixture
def fake(monkeypatch, tmp_path):
    with serving(BatchApi()) as api:
        monkeypatch.setenv("HEADRACE_URL", api.url)
        monkeypatch.setenv("HEADRACE_API_KEY", KEY)
        monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path / "data"))
        yield api


@pytest.fixture
def file(tmp_path):
    made = tmp_path / "work.jsonl"
    lines = [{"custom_id": name, "method": "POST", "url": ENDPOINT, "body": {}} for name in "ab"]
    made.write_text("\n".join(map(json.dumps, lines)))
    return made


def test_the_results_are_written_beside_the_file(fake, headrace, file):
    ran = headrace("batch", str(file))
    assert ran.code == 0, ran.err
    output = file.with_name("work.output.jsonl")
    assert ran.out.split() == [str(output)]
    assert output.read_bytes() == b'{"custom_id":"a"}\n'
    assert fake.uploads == [("work.jsonl", file.read_bytes())]
    assert (fake.created[0]["endpoint"], fake.created[0]["completion_window"]) == (ENDPOINT, "24h")
    assert sorted(path.name for path in file.parent.iterdir()) == [
        "data", "work.jsonl", "work.output.jsonl",
    ]  # fmt: skip


def test_out_is_a_folder_for_them(fake, headrace, file, tmp_path):
    ran = headrace("batch", str(file), "--out", str(tmp_path / "to" / "here"), "--window", "1h")
    assert ran.code == 0, ran.err
    assert (tmp_path / "to" / "here" / "work.output.jsonl").exists()
    assert fake.created[0]["completion_window"] == "1h"


def test_failed_lines_are_exit_code_1_and_a_file_of_their_own(fake, headrace, file):
    fake.counts = {"total": 2, "completed": 1, "failed": 1}
    fake.outputs["error_file_id"] = b'{"custom_id":"b"}\n'
    ran = headrace("batch", str(file))
    assert ran.code == 1
    assert "1 of 2 completed, 1 failed" in ran.err
    assert file.with_name("work.errors.jsonl").read_bytes() == b'{"custom_id":"b"}\n'


def test_a_batch_that_failed_names_its_lines(fake, headrace, file):
    fake.script, fake.counts = ["failed"], {"total": 0, "completed": 0, "failed": 0}
    problem = {"code": "invalid_json_line", "message": "not JSON", "param": None, "line": 2}
    fake.errors = {"object": "list", "data": [problem]}
    ran = headrace("batch", str(file))
    assert ran.code == 1
    assert "line 2: not JSON (invalid_json_line)" in ran.err


def test_results_of_something_else_are_replaced_with_force_alone(fake, headrace, file):
    file.with_name("work.errors.jsonl").write_text("old")
    ran = headrace("batch", str(file))
    assert (ran.code, fake.uploads) == (2, [])
    assert "work.errors.jsonl is there, not known to be its own: --force replaces it" in ran.err
    assert file.with_name("work.errors.jsonl").read_text() == "old"
    assert headrace("batch", str(file), "--force").code == 0
    assert not file.with_name("work.errors.jsonl").exists()


def test_what_is_done_is_run_again_with_force_alone(fake, headrace, file):
    headrace("batch", str(file))
    file.touch()
    ran = headrace("batch", str(file), "--window", "1h")
    assert ran.code == 0
    assert f"done: {file.with_name('work.output.jsonl')}; --force runs it again" in ran.err
    assert json.loads(headrace("batch", str(file), "--json").out)["status"] == "skipped"
    assert len(fake.created) == 1
    assert headrace("batch", str(file), "--force").code == 0
    assert len(fake.keyed) == 2


def test_lines_that_failed_are_told_by_the_exit_code_again(fake, headrace, file):
    fake.outputs["error_file_id"] = b'{"custom_id":"b"}\n'
    fake.counts = {"total": 2, "completed": 1, "failed": 1}
    assert [headrace("batch", str(file)).code for _ in range(2)] == [1, 1]
    assert len(fake.created) == 1


def test_results_of_a_changed_file_are_not_replaced_without_force(fake, headrace, file):
    headrace("batch", str(file))
    file.write_text(file.read_text() + "\n")
    ran = headrace("batch", str(file))
    assert (ran.code, len(fake.created)) == (2, 1)
    assert "made of another input" in ran.err


def test_results_that_were_taken_away_are_written_again_from_the_same_batch(fake, headrace, file):
    headrace("batch", str(file))
    file.with_name("work.output.jsonl").unlink()
    assert headrace("batch", str(file)).code == 0
    assert file.with_name("work.output.jsonl").exists()
    assert len(fake.created) == 1


def test_a_batch_that_did_not_complete_is_not_taken_for_done(fake, headrace, file):
    fake.script = ["expired"]
    assert headrace("batch", str(file)).code == 1
    assert headrace("batch", str(file)).code == 2  # what it wrote is not replaced
    fake.script = ["completed"]
    assert headrace("batch", str(file), "--force").code == 0


@pytest.mark.parametrize("out", ["/dev/null/x", "work.jsonl"])
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_sent(
    fake, headrace, file, monkeypatch, out
):
    monkeypatch.chdir(file.parent)
    ran = headrace("batch", str(file), "--out", out)
    assert (ran.code, fake.uploads) == (2, [])
    assert f"{out}: results cannot be written there (Not a directory)" in ran.err


def test_json_prints_the_batch_and_where_its_files_are(fake, headrace, file):
    said = json.loads(headrace("batch", str(file), "--json").out)
    assert (said["id"], said["status"]) == ("batch_1", "completed")
    assert said["files"] == {"output": str(file.with_name("work.output.jsonl")), "errors": None}


def test_no_wait_prints_the_id_and_the_same_command_goes_on(fake, headrace, file):
    ran = headrace("batch", str(file), "--no-wait")
    assert (ran.code, ran.out.split()) == (0, ["batch_1"])
    ran = headrace("batch", str(file))
    assert ran.code == 0
    assert "goes on with batch_1" in ran.err
    assert (len(fake.uploads), len(fake.created)) == (1, 1)


def test_a_changed_file_is_another_batch(fake, headrace, file):
    headrace("batch", str(file), "--no-wait")
    file.write_text(file.read_text() + "\n")
    headrace("batch", str(file), "--no-wait")
    assert len(fake.keyed) == 2


def test_a_batch_that_is_no_longer_known_is_handed_in_anew(fake, headrace, file):
    headrace("batch", str(file), "--no-wait")
    fake.keyed.clear()
    assert headrace("batch", str(file)).code == 0
    assert len(fake.uploads) == 2


def test_without_a_terminal_a_log_has_a_line_for_each_change(fake, headrace, file):
    fake.script = ["validating", "in_progress", "in_progress", "finalizing", "completed"]
    told = [line.partition(",")[0] for line in headrace("batch", str(file)).err.splitlines()]
    assert told == [
        "2 of 2: in_progress",
        "2 of 2: finalizing",
        "2 of 2: completed",
        "batch_1 completed: 2 of 2 completed",
    ]


def test_with_json_stderr_has_events_and_stdout_the_batch(fake, headrace, file):
    fake.script = ["validating", "in_progress", "completed"]
    ran = headrace("batch", str(file), "--json")
    events = [json.loads(line) for line in ran.err.splitlines()]
    assert [(one["event"], one["why"], one["state"]) for one in events] == [
        ("progress", "begins", "in_progress"),
        ("progress", "state", "completed"),
    ]
    assert json.loads(ran.out)["status"] == "completed"


def test_an_interrupt_leaves_the_batch_running_and_the_same_command_waits_for_it(
    fake, headrace, file
):
    fake.script = ["in_progress"]
    process = subprocess.Popen(
        [sys.executable, "-m", "cli.main", "batch", str(file)],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ.copy(),
    )  # fmt: skip
    assert fake.looked.wait(120)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "the same command waits for it" in err
    assert "Traceback" not in err
    fake.script = ["completed"]
    assert headrace("batch", str(file)).code == 0
    assert len(fake.created) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--window", "2h"], "--window"),
        (["--endpoint", "/v1/nothing"], "endpoint: batches are not served"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(fake, headrace, file, words, said):
    ran = headrace("batch", str(file), *words)
    assert ran.code == 2
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "said"), [("", "is empty"), ("{nope", "line 1"), ('{"a": 1}', "line 1")]
)
def test_a_first_line_without_a_url_is_named(fake, headrace, tmp_path, content, said):
    (tmp_path / "bad.jsonl").write_text(content)
    ran = headrace("batch", str(tmp_path / "bad.jsonl"))
    assert (ran.code, fake.uploads) == (2, [])
    assert said in ran.err
    assert headrace("batch", str(tmp_path / "none.jsonl")).code == 2


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\n \r\n"])
def test_what_the_server_passes_over_is_passed_over_here_too(fake, headrace, file, before):
    file.write_bytes(before + file.read_bytes())
    ran = headrace("batch", str(file))
    assert ran.code == 0, ran.err
    assert fake.created[0]["endpoint"] == ENDPOINT


def test_a_long_first_line_is_read_to_its_end(fake, headrace, file):
    line = {"custom_id": "a", "method": "POST", "body": {"x": "x" * 2_000_000}, "url": ENDPOINT}
    file.write_text(json.dumps(line))
    assert headrace("batch", str(file)).code == 0


def test_a_server_that_stays_away_leaves_what_the_same_command_goes_on_with(
    fake, headrace, file, monkeypatch
):
    get, gone = client.Api.get, [True]

    async def nobody(api, path, **params):
        if gone[0] and path.startswith("/v1/batches/"):
            raise Unreachable("no Headrace answers")
        return await get(api, path, **params)

    monkeypatch.setattr(client.Api, "get", nobody)
    ran = headrace("batch", str(file))
    assert ran.code == 3
    assert "what was handed in is kept: the same command goes on with it" in ran.err
    gone[0] = False
    assert headrace("batch", str(file)).code == 0
    assert (len(fake.uploads), len(fake.created)) == (1, 1)
