"""Equal requests share one upstream call on the wired system, whatever becomes of it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx2
import openai
import orjson
import pytest
from whole import Whole, until, whole_system

MANY = 12
TERMINAL = {"job.completed", "job.failed", "job.cancelled", "job.expired"}


def slow(mapping):
    for provider in mapping["providers"].values():
        provider["latency"] = {"median_ms": 1_500, "sigma": 0.1, "seed": 3}


@pytest.fixture(scope="module")
def system() -> Iterator[Whole]:
    with whole_system("unlimited", change=slow) as found:
        yield found


@pytest.fixture(autouse=True)
def _mended(system):
    yield
    httpx2.delete(f"{system.address.admin_url}/faults", timeout=30).raise_for_status()


def text(name):
    return f"[[id:{name}]] Who turns the wheel of {name}?"


def calls(system, name):
    """How many calls of that name were worked on upstream."""
    return int(system.simulated(f"requests/{name}")["admitted"])


def received(system, name):
    found = httpx2.get(f"{system.address.admin_url}/requests/{name}", timeout=30)
    return found.status_code == 200 and found.json()["received"] > 0


def chat(name, **more):
    message = {"role": "user", "content": text(name)}
    return {"model": "sim-small", "temperature": 0, "messages": [message], **more}


def submit(http, name, **wishes):
    made = http.post("/v1/jobs", json={"kind": "chat", "request": chat(name), **wishes})
    assert made.status_code in (200, 202), made.text
    return made.json()


def ended(http, job_id):
    job = http.get(f"/v1/jobs/{job_id}?wait=20").json()
    return job["status"] not in ("queued", "in_progress") and job


def ends(http, job_id):
    told = http.get(f"/v1/jobs/{job_id}/events", headers={"Last-Event-ID": "0"}).text
    kinds = [line.removeprefix("event: ") for line in told.splitlines() if line[:6] == "event:"]
    return [kind for kind in kinds if kind in TERMINAL]


def test_the_sdks_equal_embeddings_at_once_are_one_call(system):
    def embed(_):
        answer = system.sdk().embeddings.with_raw_response.create(
            model="sim-embed", input=[text("embedded")]
        )
        return answer.parse().data[0].embedding, answer.headers.get("x-headrace-shared-with")

    with ThreadPoolExecutor(MANY) as pool:
        found = list(pool.map(embed, range(MANY)))
    assert calls(system, "embedded") == 1
    assert len({tuple(vector) for vector, _ in found}) == 1
    leaders = {leader for _, leader in found if leader}
    assert sum(leader is None for _, leader in found) == 1
    assert len(leaders) == 1


def test_who_samples_has_a_call_for_each(system):
    with system.http() as http:
        wishes = chat("sampled", temperature=1)
        jobs = [http.post("/v1/jobs", json={"kind": "chat", "request": wishes}) for _ in range(3)]
        for job in jobs:
            until(lambda each=job: ended(http, each.json()["id"]))
    assert calls(system, "sampled") == 3


def test_a_cancelled_leader_leaves_its_followers_one_call(system):
    with system.http() as http:
        jobs = [submit(http, "cancelled") for _ in range(4)]
        until(lambda: received(system, "cancelled"))
        assert http.get(f"/v1/jobs/{jobs[1]['id']}").json()["status"] == "in_progress"
        http.post(f"/v1/jobs/{jobs[0]['id']}/cancel")
        found = [until(lambda each=job: ended(http, each["id"])) for job in jobs]
    assert [job["status"] for job in found] == ["cancelled", *["completed"] * 3]
    assert [job["shared_with"] for job in found[1:]] == [None, *[jobs[1]["id"]] * 2]
    assert calls(system, "cancelled") == 2


def test_a_leader_that_is_refused_takes_its_followers_with_it(system):
    system.fault(kind="error", status=400)
    with system.http() as http:
        jobs = [submit(http, "refused") for _ in range(3)]
        found = [until(lambda each=job: ended(http, each["id"])) for job in jobs]
        assert [job["status"] for job in found] == ["failed"] * 3
        assert len({orjson.dumps(job["error"]) for job in found}) == 1
        assert [ends(http, job["id"]) for job in jobs] == [["job.failed"]] * 3


def test_a_kept_answer_is_given_without_a_call_and_counted(system):
    with system.http() as http:
        first = submit(http, "kept", cache_s=600)
        until(lambda: ended(http, first["id"]))
        again = submit(http, "kept", cache_s=600)
        assert (again["status"], again["cached_from"]) == ("completed", first["id"])
        fresh = submit(http, "kept", cache_s=0)
        assert until(lambda: ended(http, fresh["id"]))["cached_from"] is None
        total = http.get("/v1/usage").json()["total"]
    assert calls(system, "kept") == 2
    assert (total["from_cache"], total["shared"] > 0) == (1, True)


def test_the_equal_lines_of_a_batch_are_one_call_and_each_is_answered(system):
    sdk = system.sdk()
    lines = [
        {"custom_id": f"l{n}", "method": "POST", "url": "/v1/embeddings",
         "body": {"model": "sim-embed", "input": text(f"line{n % 2}")}}
        for n in range(20)
    ]  # fmt: skip
    content = b"\n".join(map(orjson.dumps, lines))
    file = sdk.files.create(file=("in.jsonl", content), purpose="batch")
    made = sdk.batches.create(
        input_file_id=file.id, endpoint="/v1/embeddings", completion_window="24h"
    )

    def completed():
        found = sdk.batches.retrieve(made.id)
        return found if found.status == "completed" else None

    found = until(completed)
    assert (found.request_counts.completed, found.request_counts.failed) == (20, 0)
    answers = [orjson.loads(line) for line in sdk.files.content(found.output_file_id).iter_lines()]
    assert {line["custom_id"] for line in answers} == {line["custom_id"] for line in lines}
    assert (calls(system, "line0"), calls(system, "line1")) == (1, 1)


@pytest.mark.parametrize("role", ["workers", "api", "scheduler", "valkey-server"])
def test_no_kill_loses_a_follower_or_ends_it_twice(system, role):
    with system.http() as http:
        jobs = [submit(http, f"{role}{n % 3}") for n in range(30)]
        until(lambda: all(received(system, f"{role}{n}") for n in range(3)))
    killed = system.kill(role)
    until(lambda: set(system.stack.pids(role)) - set(killed))

    def all_ended():
        with system.http() as http:
            try:
                return [job for each in jobs if (job := ended(http, each["id"]))]
            except (httpx2.HTTPError, KeyError, openai.OpenAIError):
                return []

    found = until(lambda: len(all_ended()) == 30 and all_ended())
    assert {job["status"] for job in found} == {"completed"}
    with system.http() as http:
        assert [ends(http, job["id"]) for job in jobs] == [["job.completed"]] * 30
    assert all(calls(system, f"{role}{n}") <= 2 for n in range(3)), "its own, and once more"
