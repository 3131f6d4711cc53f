"""The order of escape on the wired system, and streams that break before and after a word."""

from collections.abc import Iterator

import httpx2
import openai
import orjson
import pytest
from whole import Whole, until, whole_system

from simulator import expected_answer

FAMILY = "escape"
PRICES = {"price_input_usd_per_1m": 1.0, "price_output_usd_per_1m": 2.0}


def world(mapping):
    """alpha has two keys and is asked first; beta, then gamma (Mistral's wire); gold is paid."""

    def provider(names, **more):
        return {"models": [{"id": name, "max_output_tokens": 4_096} for name in names], **more}

    keys = [{"id": f"alpha-{n}", "key": f"sk-alpha-{n}"} for n in (1, 2)]
    gold = provider([], keys=[{"id": "gold-1", "key": "sk-gold", "plan": "paid"}])
    gold["models"] = [{"id": "dear", **PRICES}]
    talks = ["told", "prefilled"]
    mapping["providers"] = {
        "alpha": provider(["keyed", "gone", "spare", "down", "dear", *talks], keys=keys),
        "beta": provider(["keyed", "gone", "down", "told"]),
        "gamma": provider(["prefilled"], personality="mistral"),
        "gold": gold,
    }


def ordered(ours):
    ours["providers"]["alpha"]["priority"] = 10
    for name in ("alpha", "beta"):
        for model in ours["providers"][name]["models"]:
            if model["id"] in ("gone", "spare"):
                model["family"] = FAMILY
                model["priority"] = int(model["id"] == "gone")


@pytest.fixture(scope="module")
def system() -> Iterator[Whole]:
    with whole_system("unlimited", change=world, configure=ordered) as found:
        yield found


@pytest.fixture(autouse=True)
def _mended(system):
    yield
    httpx2.delete(f"{system.address.admin_url}/faults", timeout=30).raise_for_status()


def asked(text):
    return [{"role": "user", "content": text}]


def ended(system, model, text="Who turns the wheel?", stream=False, **wishes):
    """A job's end: the job as it is shown then."""
    body = {"kind": "chat", "request": {"model": model, "messages": asked(text)}, **wishes}
    with system.http() as http:
        made = http.post("/v1/jobs", json=body | {"stream": stream})
        assert made.status_code == 202, made.text
        return until(lambda: final(http, made.json()["id"]))


def final(http, job_id):
    job = http.get(f"/v1/jobs/{job_id}?wait=20").json()
    return job["status"] not in ("queued", "in_progress") and job


def events(system, job):
    """Every event of a job: (type, data)."""
    with system.http() as http:
        text = http.get(f"/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": "0"}).text
    blocks = [
        dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        for block in text.split("\n\n")
    ]
    return [(b["event"], orjson.loads(b["data"])) for b in blocks if "event" in b]


def way(job):
    return [(each["deployment"], each["outcome"]) for each in job["attempts"]]


def words(chunks):
    return "".join(c["delta"].get("content") or "" for each in chunks for c in each["choices"])


def told(system, job):
    """The deltas of a job, and what its job.requeued says of them."""
    found = events(system, job)
    requeued = [data for kind, data in found if kind == "job.requeued"]
    return [data for kind, data in found if kind == "job.delta"], requeued


def test_a_dead_key_gives_way_to_the_other_key(system):
    system.fault(kind="key_revoked", provider="alpha", key="alpha-1")
    jobs = [ended(system, "keyed") for _ in range(3)]
    assert {job["status"] for job in jobs} == {"completed"}
    assert {job["attempts"][-1]["credential"] for job in jobs} == {"alpha-2"}
    refused = [each for job in jobs for each in job["attempts"] if each["outcome"] != "succeeded"]
    assert [(each["credential"], each["outcome"]) for each in refused] == [
        ("alpha-1", "unauthorized")
    ]


def test_a_model_that_is_gone_leaves_routing_and_its_provider_serves_another(system):
    system.fault(kind="model_gone", provider="alpha", model="gone")
    job = ended(system, FAMILY)
    assert job["status"] == "completed"
    assert {outcome for _, outcome in way(job)[:-1]} == {"model_gone"}
    assert way(job)[-1] == ("alpha/spare", "succeeded")
    assert way(ended(system, FAMILY)) == [("alpha/spare", "succeeded")]
    body = {"kind": "chat", "request": {"model": FAMILY, "messages": asked("?")}}

    def set_aside() -> bool:
        found = http.post("/v1/route/explain", json=body).json()["candidates"]
        (gone,) = [each for each in found if each["deployment"] == "alpha/gone"]
        return not gone["kept"]

    with system.http() as http:
        until(set_aside)  # what selection reads of the lanes may be 100 ms old


def test_an_outage_gives_way_to_another_provider(system):
    system.fault(kind="outage", provider="alpha")
    assert way(ended(system, "down")) == [("alpha/down", "overloaded"), ("beta/down", "succeeded")]


def test_where_all_fail_the_error_names_every_attempt(system):
    system.fault(kind="error", provider="alpha", model="down")
    system.fault(kind="error", provider="beta", model="down")
    with system.sdk(max_retries=0) as sdk, pytest.raises(openai.InternalServerError) as caught:
        sdk.chat.completions.create(model="down", messages=asked("Why?"))
    assert caught.value.status_code == 503
    assert caught.value.code == "all_attempts_failed"
    for line in ("1. alpha/down", "2. beta/down", "3. alpha/down"):
        assert f"{line}: overloaded (503)" in str(caught.value)


def test_a_stream_that_breaks_before_its_first_word_is_made_good_unseen(system):
    system.fault(kind="drop_after", provider="alpha", model="told", count=1)
    with system.sdk() as sdk:
        stream = sdk.chat.completions.create(model="told", messages=asked("Unseen?"), stream=True)
        text = "".join(c.choices[0].delta.content or "" for c in stream if c.choices)
    assert text.startswith(expected_answer(asked("Unseen?")))
    assert text.count("Unseen?") == 1


@pytest.mark.parametrize("wish", ["fail", "restart"])
def test_a_stream_that_breaks_in_the_middle_follows_the_jobs_wish(system, wish):
    system.fault(kind="broken_stream", provider="alpha", model="told", count=1)
    job = ended(system, "told", stream=True, on_break=wish)
    chunks, requeued = told(system, job)
    if wish == "fail":
        assert (job["status"], job["error"]["code"]) == ("failed", "stream_broken")
        assert requeued == []
        return
    assert job["status"] == "completed"
    assert [(each["on_break"], each["streamed"]) for each in requeued] == [("restart", True)]
    assert words(chunks).count("sim-") == 2
    assert job["result"]["choices"][0]["message"]["content"].count("sim-") == 1


def test_a_stream_goes_on_elsewhere_as_one_stream_and_one_answer(system):
    system.fault(kind="broken_stream", provider="alpha", model="told", count=1, after_chunks=4)
    asking = {
        "model": "told",
        "messages": asked("Go on? [[tokens:40]]"),
        "stream": True,
        "stream_options": {"include_usage": True},
        "extra_headers": {"x-headrace-on-break": "continue"},
    }
    with (
        system.sdk() as sdk,
        sdk.chat.completions.with_streaming_response.create(**asking) as answer,
    ):
        job_id = answer.headers["x-headrace-job-id"]
        chunks = [
            orjson.loads(line[6:])
            for line in answer.iter_lines()
            if line.startswith("data: ") and "[DONE]" not in line
        ]
    with system.http() as http:
        job = final(http, job_id)
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert way(job) == [("alpha/told", "malformed_reply"), ("beta/told", "succeeded")]
    text = words(chunks)
    assert text == job["result"]["choices"][0]["message"]["content"]
    first, second = job["attempts"]
    assert text.startswith(expected_answer(asked("Go on? [[tokens:40]]")))
    assert text[second["continued_from"] :].startswith("sim-")
    _, (requeued,) = told(system, job)
    assert (requeued["on_break"], requeued["lane"]) == ("continue", "beta/told@shared")
    assert requeued["continued_from"] == second["continued_from"]
    for name in ("input_tokens", "output_tokens"):
        assert job["usage"][name] == first["usage"][name] + second["usage"][name]
    used = job["result"]["usage"]
    assert (used["prompt_tokens"], used["completion_tokens"], used["estimated"]) == (
        job["usage"]["input_tokens"],
        job["usage"]["output_tokens"],
        True,
    )
    assert [chunk["usage"] for chunk in chunks if chunk.get("usage")] == [used]


def test_where_a_provider_takes_a_beginning_nothing_is_said_twice(system):
    text = "Go on with it. [[tokens:40]]"
    system.fault(kind="broken_stream", provider="alpha", model="prefilled", count=1, after_chunks=4)
    job = ended(system, "prefilled", text, stream=True, on_break="continue")
    assert way(job)[1] == ("gamma/prefilled", "succeeded")
    whole = words(told(system, job)[0])
    assert whole == job["result"]["choices"][0]["message"]["content"]
    assert whole.count("sim-") == 1
    assert len(whole[len(expected_answer(asked(text))) :].split()) == 39


def test_the_paid_lane_is_the_last_to_be_tried(system):
    system.fault(kind="error", provider="alpha", model="dear")
    job = ended(system, "dear", deadline_s=600)
    assert way(job) == [
        ("alpha/dear", "overloaded"),
        ("alpha/dear", "overloaded"),
        ("gold/dear", "succeeded"),
    ]
    assert job["cost"] > 0


def test_a_model_that_is_gone_everywhere_fails_at_once_and_names_its_attempts(system):
    system.fault(kind="model_gone", provider="gold")
    system.fault(kind="model_gone", provider="alpha", model="dear")
    job = ended(system, "dear", deadline_s=600)
    assert job["status"] == "failed"
    assert job["error"]["code"] == "model_not_found"
    assert way(job)[-1] == ("gold/dear", "model_gone")
    assert "1. alpha/dear: model_gone" in job["error"]["message"]
    assert "gold/dear: model_gone" in job["error"]["message"]
