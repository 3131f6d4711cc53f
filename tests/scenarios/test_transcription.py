"""Transcription on the whole system: long speech over simulated Whisper providers."""

import asyncio
import threading
import time

import httpx2
import orjson
import pytest
from whole import until

from simulator.speech import talk_of, write

PART_S = 60
MODEL = "whisper-sim"
MINUTES = 4
FINAL = {"completed", "failed", "cancelled", "expired"}


def hearing(mapping, *, latency_ms=0, **model):
    """Three providers that hear what was really spoken, parts of a minute at most."""
    wanted = {"id": MODEL, "kinds": ["transcription"], "max_audio_seconds": PART_S} | model
    names = (("groq", "groq"), ("openai", "openai"), ("mistral", "mistral"))
    mapping["providers"] = {
        name: {
            "personality": personality,
            "models": [wanted, "sim-small"],
            "keys": [{"key": f"sk-{name}"}],
            "latency": {"median_ms": latency_ms, "sigma": 0.0, "seed": 1},
        }
        for name, personality in names
    }


@pytest.fixture(scope="module")
def talk():
    return talk_of(3, 600)


@pytest.fixture(scope="module")
def speech(talk, tmp_path_factory):
    path = tmp_path_factory.mktemp("speech") / "talk.flac"
    write(talk, path)
    return path


@pytest.fixture(scope="module")
def hears():
    from whole import whole_system

    with whole_system("unlimited", change=hearing) as system:
        yield system


def handed_in(system, path, **fields):
    """A job about a file that was uploaded."""
    made = system.sdk().files.create(file=path, purpose="user_data")
    request = {"model": MODEL, "file_id": made.id} | fields
    with system.http() as http:
        answer = http.post("/v1/jobs", json={"kind": "transcription", "request": request})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def job(system, job_id):
    with system.http() as http:
        answer = http.get(f"/v1/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def ended(system, job_id, most_s=90.0):
    def look():
        try:
            found = job(system, job_id)
        except httpx2.TransportError:
            return None
        return found if found["status"] in FINAL else None

    return until(look, most_s=most_s)


def test_long_speech_is_heard_in_parts_and_told_as_one(hears, speech, talk):
    job_id = handed_in(
        hears, speech, response_format="verbose_json", timestamp_granularities=["word", "segment"]
    )
    found = ended(hears, job_id)
    assert found["status"] == "completed", found["error"]
    result = found["result"]
    assert result["text"] == talk.text
    assert result["duration"] == pytest.approx(talk.seconds, abs=0.01)
    assert len(result["words"]) == len(talk.words)
    for said, word in zip(talk.words, result["words"], strict=True):
        assert word["start"] == pytest.approx(said.start_s, abs=0.05)
    assert "".join(one["text"] for one in result["segments"]).split() == talk.text.split()
    print(found["progress"], found["usage"], found["cost"])
