"""Files and batches on the whole system, driven by the official SDK, unmodified."""

import collections

import httpx2
import openai
import orjson
import pytest
from openai.types.responses import Response
from whole import until, whole_system

LINES = 2_000
CHAT = "/v1/chat/completions"


def request(custom_id, *, model="sim-small", url=CHAT, **body):
    asked = {"model": model, "messages": [{"role": "user", "content": f"[[id:{custom_id}]] go"}]}
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": url,
        "body": asked | {"max_tokens": 8} | body,
    }


def upload(sdk, lines):
    content = b"\n".join(one if isinstance(one, bytes) else orjson.dumps(one) for one in lines)
    return sdk.files.create(file=("in.jsonl", content), purpose="batch")


def batch(sdk, lines, endpoint=CHAT, **more):
    made = upload(sdk, lines)
    return sdk.batches.create(
        input_file_id=made.id, endpoint=endpoint, completion_window="24h", **more
    )


FINAL = {"completed", "failed", "expired", "cancelled"}


def ended(sdk, batch_id, most_s=240):
    def look():
        try:
            found = sdk.batches.retrieve(batch_id)
        except (openai.APIConnectionError, openai.InternalServerError):
            return None
        return found if found.status in FINAL else None

    return until(look, most_s=most_s)


def read(sdk, file_id):
    if file_id is None:
        return []
    return [orjson.loads(line) for line in sdk.files.content(file_id).content.splitlines()]


def test_the_sdk_uploads_reads_lists_and_deletes_files(plain, tmp_path):
    sdk = plain.sdk(max_retries=0)
    path = tmp_path / "notes.txt"
    path.write_bytes(b"some words " * 500_000)
    with path.open("rb") as file:
        made = sdk.files.create(
            file=file,
            purpose="user_data",
            expires_after={"anchor": "created_at", "seconds": 3600},
        )
    assert (made.filename, made.bytes, made.purpose) == ("notes.txt", 5_500_000, "user_data")
    assert made.expires_at - made.created_at == 3600
    assert sdk.files.retrieve(made.id) == made
    assert sdk.files.content(made.id).content == path.read_bytes()
    assert made.id in [one.id for one in sdk.files.list(purpose="user_data")]
    assert sdk.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        sdk.files.content(made.id)


def test_the_sdk_runs_a_batch_of_chats(plain):
    sdk = plain.sdk(max_retries=0)
    lines = [request(f"s{n}") for n in range(25)]
    lines[7] = request("s7", temperature=9)
    made = batch(sdk, lines, metadata={"run": "one"})
    assert (made.status, made.metadata) == ("validating", {"run": "one"})
    done = ended(sdk, made.id)
    counts = done.request_counts
    assert (done.status, counts.total, counts.completed, counts.failed) == ("completed", 25, 24, 1)
    good, (bad,) = read(sdk, done.output_file_id), read(sdk, done.error_file_id)
    assert {one["custom_id"] for one in good} == {f"s{n}" for n in range(25)} - {"s7"}
    assert all(one["response"]["body"]["choices"] for one in good)
    assert (bad["custom_id"], bad["response"]["status_code"]) == ("s7", 400)
    assert done.usage.output_tokens > 0
    assert sdk.files.retrieve(done.output_file_id).purpose == "batch_output"
    assert sdk.batches.list(limit=1).data[0].id == made.id
    with plain.http() as http:
        jobs = http.get(f"/v1/jobs?batch={made.id}&limit=100").json()["data"]
    assert len(jobs) == 24
    assert {(job["batch"], job["priority"]) for job in jobs} == {(made.id, "bulk")}


def test_the_sdk_runs_a_batch_of_embeddings(plain):
    sdk = plain.sdk(max_retries=0)
    url = "/v1/embeddings"
    lines = [
        {"custom_id": f"e{n}", "method": "POST", "url": url,
         "body": {"model": "sim-embed", "input": f"text {n}"}}
        for n in range(5)
    ]  # fmt: skip
    done = ended(sdk, batch(sdk, lines, endpoint=url).id)
    assert (done.status, done.request_counts.completed) == ("completed", 5)
    assert all(one["response"]["body"]["data"] for one in read(sdk, done.output_file_id))


def test_the_sdk_runs_a_batch_of_responses(plain):
    sdk = plain.sdk(max_retries=0)
    url = "/v1/responses"
    bodies = [{"input": f"say {n}", "instructions": "be short"} for n in range(4)]
    bodies += [{"input": "x", "background": True}, {"input": [], "metadata": {}}]
    lines = [
        {"custom_id": f"r{n}", "method": "POST", "url": url, "body": {"model": "sim-small"} | body}
        for n, body in enumerate(bodies)
    ]
    done = ended(sdk, batch(sdk, lines, endpoint=url).id)
    counts = done.request_counts
    assert (done.status, counts.completed, counts.failed) == ("completed", 4, 2)
    for one in read(sdk, done.output_file_id):
        body = Response.model_validate(one["response"]["body"])
        assert body.output_text
        assert (body.status, body.instructions) == ("completed", "be short")
        assert body == sdk.responses.retrieve(body.id)
    wrong = {one["custom_id"]: one["response"] for one in read(sdk, done.error_file_id)}
    assert {id_: each["status_code"] for id_, each in wrong.items()} == {"r4": 400, "r5": 400}
    assert wrong["r4"]["body"]["error"]["param"] == "background"
    assert wrong["r5"]["body"]["error"]["param"] == "input"


BAD_FILES = [
    ([request("a"), b"{broken"], "invalid_json_line", 2),
    ([request("a"), request("b"), request("a")], "duplicate_custom_id", 3),
    ([request("a", url="/v1/embeddings")], "invalid_url", 1),
    ([request("a", model="nothing-like-it")], "model_not_found", 1),
    ([b" "], "empty_file", None),
]


@pytest.mark.parametrize(("lines", "code", "number"), BAD_FILES)
def test_a_bad_file_fails_with_the_line_named(plain, lines, code, number):
    sdk = plain.sdk(max_retries=0)
    done = ended(sdk, batch(sdk, lines).id)
    assert done.status == "failed"
    assert done.failed_at
    assert (done.errors.data[0].code, done.errors.data[0].line) == (code, number)


def slow(mapping):
    for provider in mapping["providers"].values():
        provider["latency"] = {"median_ms": 800, "sigma": 0.2, "seed": 7}
        provider.pop("output", None)


def bounded(ours):
    for provider in ours["providers"].values():
        for model in provider["models"]:
            model["limits"] = {"free": {"concurrency": 60}}


@pytest.fixture(scope="module")
def slowly():
    with whole_system("unlimited", change=slow, configure=bounded) as system:
        yield system


def test_the_sdk_cancels_a_batch_and_what_is_done_is_kept(slowly):
    system = slowly
    sdk = system.sdk(max_retries=0)
    made = batch(sdk, [request(f"c{n}") for n in range(900)])
    until(lambda: sdk.batches.retrieve(made.id).request_counts.completed > 100)
    assert sdk.batches.cancel(made.id).status == "cancelling"
    done = ended(sdk, made.id)
    counts = done.request_counts
    assert (done.status, counts.total, counts.failed) == ("cancelled", 900, 0)
    good, bad = read(sdk, done.output_file_id), read(sdk, done.error_file_id)
    assert len(good) == counts.completed > 100
    assert {one["error"]["code"] for one in bad} == {"batch_cancelled"}
    assert {one["custom_id"] for one in good + bad} == {f"c{n}" for n in range(900)}
    assert len(good) + len(bad) == 900
    with pytest.raises(openai.ConflictError):
        sdk.batches.cancel(ended(sdk, batch(sdk, [request("x")]).id).id)


@pytest.mark.timeout(600)
def test_no_kill_loses_or_doubles_a_line_of_a_batch(slowly):
    """Workers, API and scheduler are killed in the middle, twice each."""
    system = slowly
    sdk = system.sdk(max_retries=0)
    made = batch(sdk, [request(f"k{n}") for n in range(LINES)])

    def completed():
        try:
            return sdk.batches.retrieve(made.id).request_counts.completed
        except (openai.APIConnectionError, openai.InternalServerError, httpx2.HTTPError):
            return 0

    for share, role in enumerate(("scheduler", "workers", "api", "workers", "scheduler", "api"), 1):
        until(lambda at=share: completed() >= at * LINES // 8)
        killed = system.kill(role)
        until(lambda gone=killed, of=role: set(system.stack.pids(of)) - set(gone))
    done = ended(sdk, made.id, most_s=240)
    counts = done.request_counts
    assert (done.status, counts.total) == ("completed", LINES)
    assert (counts.completed, counts.failed, done.error_file_id) == (LINES, 0, None)
    seen = collections.Counter(one["custom_id"] for one in read(sdk, done.output_file_id))
    assert seen == {f"k{n}": 1 for n in range(LINES)}
    store = system.stack.store()
    until(lambda: not store.zcard("{hr}:batches:done"))
    assert int(store.get("{hr}:alive") or 0) == 0
    store.close()
