"""Summaries on the whole system: long ones, bad ones, and what is killed in the middle."""

import made_documents as made
import pytest
from whole import until, whole_system

FINAL = ("completed", "failed", "cancelled", "expired")
PAGES = 300


def narrow(mapping):
    """Small models that answer at length, and take their time."""
    for provider in mapping["providers"].values():
        provider["models"] = [
            {"id": "sim-small", "context_window": 4_096, "max_output_tokens": 512}
        ]
        provider["latency"] = {"median_ms": 150, "sigma": 0.2, "seed": 3}
        provider["output"] = {"median_tokens": 160, "sigma": 0.1, "tokens_per_s": 5_000}


@pytest.fixture(scope="module")
def system():
    with whole_system("unlimited", change=narrow) as started:
        yield started


def book(pages=PAGES):
    words = "the water runs down the channel and turns one wheel after another until the evening"
    return "\n\n".join(
        f"# Page {page}\n\n" + " ".join(f"{word}{page}" for word in (words.split() * 14))
        for page in range(pages)
    )


def submit(http, **request):
    body = {"kind": "summary", "request": {"model": "sim-small"} | request}
    answer = http.post("/v1/jobs", json=body)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def ended(http, job_id):
    def look():
        job = http.get(f"/v1/jobs/{job_id}").json()
        return job if job["status"] in FINAL else None

    return until(look, most_s=240)


def children(http, job_id):
    found, after = [], None
    while True:
        query = {"parent": job_id, "limit": 100} | ({"after": after} if after else {})
        page = http.get("/v1/jobs", params=query).json()
        found += page["data"]
        after = page["next_after"]
        if not page["data"] or after is None:
            return found


def halfway(http, job_id, least=20):
    """Once so many of its calls have ended."""

    def look():
        progress = http.get(f"/v1/jobs/{job_id}").json()["progress"]
        return progress and progress["children"]["completed"] >= least

    until(look, most_s=240)


@pytest.mark.timeout(600)
def test_a_book_is_summarised_though_workers_are_killed_in_the_middle(system):
    with system.http() as http:
        job_id = submit(http, input=book(), title="The Book", length="short")
        halfway(http, job_id)
        system.kill("workers")
        halfway(http, job_id, 45)
        system.kill("workers")
        job = ended(http, job_id)
        assert job["status"] == "completed", job["error"]
        (entry,) = job["result"]["documents"]
        assert entry["status"] == "completed"
        assert entry["levels"] >= 2
        assert entry["tokens"] > 60_000
        parts = children(http, job_id)
        assert {one["status"] for one in parts} == {"completed"}
        assert len(parts) > entry["chunks"] > 30
        assert job["progress"]["children"]["total"] == len(parts)
        used = sum(one["usage"]["input_tokens"] for one in parts)
        assert job["usage"]["input_tokens"] == job["result"]["usage"]["input_tokens"] == used
        assert set(job["result"]["models"]) <= {"alpha/sim-small", "beta/sim-small"}
        assert job_id in [one["id"] for one in http.get("/v1/jobs?kind=summary").json()["data"]]
        events = http.get(f"/v1/jobs/{job_id}/events").text
        assert events.count("event: job.completed") == 1
        assert "event: job.progress" in events


@pytest.mark.timeout(600)
def test_a_summary_that_is_cancelled_ends_with_all_its_calls(system):
    with system.http() as http:
        job_id = submit(http, input=book())
        halfway(http, job_id, 5)
        assert http.post(f"/v1/jobs/{job_id}/cancel").json()["status"] == "cancelled"
        assert all(one["status"] in FINAL for one in children(http, job_id))
        other = submit(http, input="The mill stands still.")
        assert ended(http, other)["status"] == "completed"
        assert http.get(f"/v1/jobs/{job_id}").json()["status"] == "cancelled"


@pytest.mark.timeout(600)
def test_bad_documents_are_told_of_and_the_good_ones_summarised(system):
    sdk = system.sdk()

    def upload(name, content):
        return sdk.files.create(file=(name, content), purpose="user_data").id

    documents = [
        {"file_id": upload("scan.pdf", made.pdf(["", ""]))},
        {"file_id": upload("bomb.docx", made.docx_bomb())},
        {"file_id": upload("bomb.pdf", made.pdf_bomb())},
        {"file_id": upload("music.txt", b"ID3" + bytes(2_000))},
        {"file_id": upload("mill.pdf", made.pdf(["The mill stands at the race."]))},
        {"file_id": upload("mill.html", b"<html><title>Mill</title><p>It turns.</p></html>")},
        {"text": "Seven wheels turn."},
    ]
    with system.http() as http:
        job = ended(http, submit(http, documents=documents, combined=True))
        assert job["status"] == "completed", job["error"]
        entries = job["result"]["documents"]
        assert [entry["status"] for entry in entries] == ["failed"] * 4 + ["completed"] * 3
        assert all(entry["error"]["message"] for entry in entries[:4])
        assert [entry["type"] for entry in entries[4:]] == ["pdf", "html", "text"]
        assert entries[5]["title"] == "Mill"
        assert job["result"]["combined"]["summary"]


def test_a_private_address_is_refused_at_the_door(system):
    with system.http() as http:
        request = {"documents": [{"text": "x"}, {"url": f"{system.url}/v1/keys"}]}
        answer = http.post("/v1/jobs", json={"kind": "summary", "request": request})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "request.documents[1].url"
        assert answer.json()["error"]["code"] == "private_address"


@pytest.mark.timeout(600)
def test_json_of_a_schema_is_asked_for_and_checked(system):
    schema = {
        "type": "object",
        "properties": {"gist": {"type": "string"}, "wheels": {"type": "integer"}},
        "required": ["gist", "wheels"],
        "additionalProperties": False,
    }
    with system.http() as http:
        job = ended(http, submit(http, input="Seven wheels turn.", json_schema=schema))
        assert job["status"] == "completed", job["error"]
        (entry,) = job["result"]["documents"]
        assert entry["json"].keys() == {"gist", "wheels"}
