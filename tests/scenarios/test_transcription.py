"""Transcription on the whole system: long speech over simulated Whisper providers."""

import httpx2
import orjson
import pytest
from sounds import SILENCE, decoded, record, samples
from whole import until, whole_system

from simulator.speech import talk_of, write

PART_S = 60
ADDRESS = "https://example.com/a.mp3"
MODEL = "whisper-sim"
ONE_BY_ONE = "whisper-one"
FINAL = {"completed", "failed", "cancelled", "expired"}


def hearing(mapping):
    """Three providers that hear what was really spoken, parts of a minute at most."""
    wanted = {"id": MODEL, "kinds": ["transcription"], "max_audio_seconds": PART_S}
    names = (("groq", "groq"), ("openai", "openai"), ("mistral", "mistral"))
    mapping["providers"] = {
        name: {
            "personality": personality,
            "models": [wanted, "sim-small"],
            "keys": [{"key": f"sk-{name}"}],
            "latency": {"median_ms": 100, "sigma": 0.0, "seed": 1},
        }
        for name, personality in names
    }
    alone = wanted | {"id": ONE_BY_ONE, "limits": [{"concurrency": 1}]}
    mapping["providers"]["openai"]["models"].append(alone)


@pytest.fixture(scope="module")
def talk():
    return talk_of(3, 230)


@pytest.fixture(scope="module")
def speech(talk, tmp_path_factory):
    path = tmp_path_factory.mktemp("speech") / "talk.flac"
    write(talk, path)
    return path


@pytest.fixture(scope="module")
def hears():
    with whole_system("unlimited", change=hearing) as system:
        yield system


def file_of(system, path):
    return system.sdk().files.create(file=path, purpose="user_data").id


def handed_in(system, path, cached=False, **fields):
    """A job about a file that was uploaded, of whom no earlier answer is taken unless `cached`."""
    request = {"model": MODEL, "file_id": file_of(system, path)} | fields
    body = {"kind": "transcription", "request": request}
    with system.http() as http:
        answer = http.post("/v1/jobs", json=body if cached else body | {"cache_s": 0})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def job(system, job_id):
    with system.http() as http:
        answer = http.get(f"/v1/jobs/{job_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def ended(system, job_id, most_s=240):
    def look():
        try:
            found = job(system, job_id)
        except httpx2.TransportError:
            return None
        return found if found["status"] in FINAL else None

    return until(look, most_s=most_s)


def children(system, job_id):
    with system.http() as http:
        return http.get("/v1/jobs", params={"parent": job_id, "limit": 100}).json()["data"]


def attempts_of_the_done(system, job_id):
    """Of each part that was heard: the calls that were made for it."""
    return {
        one["id"]: one["attempts"]
        for one in children(system, job_id)
        if one["status"] == "completed"
    }


def parts_kept(system):
    """The parts of recordings that are in the object store."""
    return list((system.stack.config_path.parent / "data" / "objects").rglob("part-*"))


def heard_by(system):
    """How many calls each provider has answered."""
    return {
        name: provider["total"]["answered_200"]
        for name, provider in system.simulated()["providers"].items()
    }


def slowed(system, *names, kind="slow", **more):
    for name in names:
        system.fault(kind=kind, provider=name, **more)


def well_again(system):
    httpx2.delete(f"{system.address.admin_url}/faults", timeout=30).raise_for_status()


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
    assert "".join(one["text"] for one in result["segments"]).strip() == talk.text
    parts = children(hears, job_id)
    assert len(parts) > talk.seconds / PART_S
    assert {one["status"] for one in parts} == {"completed"}
    assert found["progress"]["children"]["completed"] == len(parts)
    assert found["usage"]["audio_seconds"] == pytest.approx(talk.seconds, abs=2 * len(parts))
    assert not parts_kept(hears)


def test_a_stream_tells_each_part_when_it_is_heard_and_not_at_the_end_of_all(hears, speech, talk):
    slowed(hears, "openai", kind="stall", after_requests=1)
    with hears.sdk().audio.transcriptions.create(
        model=ONE_BY_ONE, file=speech, stream=True, prompt="streamed"
    ) as stream:
        first = next(iter(stream))  # all parts but the first are never heard
    well_again(hears)
    assert (first.type, talk.text.startswith(first.delta)) == ("transcript.text.delta", True)
    assert len(first.delta) < len(talk.text)
    events = list(
        hears.sdk().audio.transcriptions.create(
            model=ONE_BY_ONE, file=speech, stream=True, prompt="streamed to its end"
        )
    )
    *deltas, end = events
    assert len(deltas) > talk.seconds / PART_S
    assert "".join(one.delta for one in deltas) == end.text == talk.text
    assert end.usage.seconds == pytest.approx(talk.seconds, abs=1)


def test_the_same_sound_in_another_file_is_not_heard_twice(hears, speech, talk, tmp_path):
    other = tmp_path / "other.wav"
    record(other, decoded(speech), codec="pcm_s16le")
    first = ended(hears, handed_in(hears, speech, cached=True, prompt="twice"))
    calls = sum(heard_by(hears).values())
    again = {"prompt": "twice", "response_format": "srt"}
    second = ended(hears, handed_in(hears, other, cached=True, **again))
    assert (first["status"], second["status"]) == ("completed", "completed")
    assert first["result"]["text"] == talk.text
    assert sum(heard_by(hears).values()) == calls
    assert (second["cost"], len(children(hears, second["id"]))) == (
        0.0, len(children(hears, first["id"])),
    )  # fmt: skip
    with hears.http() as http:
        request = {"model": MODEL, "prompt": "twice", "file_id": file_of(hears, other)}
        body = {"kind": "transcription", "request": request, "share": "never", "cache_s": 0}
        third = ended(hears, http.post("/v1/jobs", json=body).json()["id"])
    assert third["status"] == "completed"
    assert sum(heard_by(hears).values()) > calls


def test_a_short_recording_is_told_in_the_form_asked_for(hears, tmp_path):
    said = talk_of(4, 8)
    path = tmp_path / "short.mp3"
    write(said, path)
    found = ended(hears, handed_in(hears, path, response_format="srt", language="en"))
    assert found["status"] == "completed", found["error"]
    assert found["result"]["text"].startswith("1\n00:00:00,")
    lines = found["result"]["text"].split("\n")
    assert " ".join(" ".join(lines[at::4]) for at in (2,)).split() == said.text.split()
    (child,) = children(hears, found["id"])
    assert child["parent"] == found["id"]


def test_silence_is_an_empty_text_and_costs_no_call(hears, tmp_path):
    path = record(tmp_path / "silence.wav", samples((SILENCE, 90.0)), codec="pcm_s16le")
    found = ended(hears, handed_in(hears, path))
    assert (found["status"], found["result"]["text"]) == ("completed", "")
    assert children(hears, found["id"]) == []


@pytest.mark.parametrize(
    ("data", "code", "word"),
    [
        (b"%PDF-1.7 " * 200, "unsupported_audio", "speech.mp3: it is a PDF document"),
        (b"RIFF\0\0\0\0WAVEfmt ", "unsupported_audio", "speech.mp3: it is no sound"),
    ],
)
def test_what_is_no_sound_fails_with_its_name(hears, tmp_path, data, code, word):
    path = tmp_path / "speech.mp3"
    path.write_bytes(data)
    found = ended(hears, handed_in(hears, path))
    assert (found["status"], found["error"]["code"]) == ("failed", code)
    assert word in found["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"url": ADDRESS, "file_id": "file-nobodys"}, "request.url"),
        ({"url": ADDRESS, "language": "klingon"}, "request.language"),
        ({"url": ADDRESS, "model": "sim-small"}, "request.model"),
        ({"url": ADDRESS, "model": "whisper-nobodys"}, "request.model"),
        ({"file_id": "file-nobodys"}, "request.file_id"),
        ({"url": "http://127.0.0.1:1/a.mp3"}, "request.url"),
    ],
)
def test_what_can_never_be_done_is_refused_at_once(hears, fields, param):
    request = {"model": MODEL} | fields
    with hears.http() as http:
        answer = http.post("/v1/jobs", json={"kind": "transcription", "request": request})
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["param"] == param


def test_a_part_that_nobody_takes_fails_the_job_and_a_replay_goes_on_from_there(
    hears, speech, talk
):
    for name in ("groq", "openai", "mistral"):
        hears.fault(kind="error", provider=name, status=400, after_requests=1)
    job_id = handed_in(hears, speech, prompt="a part that nobody takes")
    found = ended(hears, job_id)
    assert found["status"] == "failed"
    assert "the part from 0:0" in found["error"]["message"]
    assert " could not be transcribed: " in found["error"]["message"]
    done = [one["id"] for one in children(hears, job_id) if one["status"] == "completed"]
    assert done
    with hears.http() as http:
        told = http.get(f"/v1/jobs/{job_id}?partial=true").json()["partial"]
    said = told["text"].split()
    assert 0 < len(said) < len(talk.words)
    assert set(said) <= {word.word for word in talk.words}
    lost = sum(one["end"] - one["start"] for one in told["missing"])
    assert any(one["error"] for one in told["missing"])
    completed = found["progress"]["step"]["seconds"]["completed"]
    assert lost == pytest.approx(told["duration"] - completed)
    well_again(hears)
    calls = sum(heard_by(hears).values())
    with hears.http() as http:
        assert http.post(f"/v1/jobs/{job_id}/replay").status_code == 202
    found = ended(hears, job_id)
    assert found["status"] == "completed", found["error"]
    assert found["result"]["text"] == talk.text
    parts = found["progress"]["step"]["parts"]["total"]
    assert sum(heard_by(hears).values()) - calls == parts - len(done)


def test_a_cancelled_transcription_takes_its_parts_with_it(hears, speech):
    slowed(hears, "groq", "openai", "mistral", kind="stall")
    job_id = handed_in(hears, speech, prompt="cancelled")
    until(lambda: any(one["status"] == "in_progress" for one in children(hears, job_id)))
    with hears.http() as http:
        assert http.post(f"/v1/jobs/{job_id}/cancel").json()["status"] == "cancelled"
    until(lambda: {one["status"] for one in children(hears, job_id)} == {"cancelled"})
    well_again(hears)


@pytest.mark.timeout(600)
def test_kill_9_of_the_worker_in_the_middle_loses_no_part_and_does_none_again(hears, speech, talk):
    slowed(hears, "openai", "mistral", factor=100)
    job_id = handed_in(hears, speech, prompt="killed")

    def some_done():
        found = children(hears, job_id)
        return any(one["status"] == "completed" for one in found) and found

    parts = until(some_done)
    done = attempts_of_the_done(hears, job_id)
    hears.kill("workers")
    well_again(hears)
    found = ended(hears, job_id)
    assert found["status"] == "completed", found["error"]
    assert found["result"]["text"] == talk.text
    assert len(children(hears, job_id)) == len(parts)
    # what was in flight may be asked for once more; what was done is not
    assert done
    assert done.items() <= attempts_of_the_done(hears, job_id).items()


def test_a_batch_of_recordings_is_heard_line_by_line(hears, speech, talk):
    sdk, url = hears.sdk(), "/v1/audio/transcriptions"
    recording = sdk.files.create(file=speech, purpose="user_data")
    bodies = {
        "json": {"file_id": recording.id},
        "verbose": {"file_id": recording.id, "response_format": "verbose_json"},
        "text": {"file_id": recording.id, "response_format": "text"},
        "gone": {"file_id": "file-" + "0" * 24},
        "wrong": {"file_id": recording.id, "language": "klingon"},
    }
    lines = [
        orjson.dumps({"custom_id": n, "method": "POST", "url": url, "body": {"model": MODEL} | b})
        for n, b in bodies.items()
    ]
    file = sdk.files.create(file=("in.jsonl", b"\n".join(lines)), purpose="batch")
    made = sdk.batches.create(input_file_id=file.id, endpoint=url, completion_window="24h")
    done = until(lambda: (b := sdk.batches.retrieve(made.id)).status in FINAL and b)
    counts = done.request_counts
    assert (done.status, counts.completed, counts.failed) == ("completed", 3, 2)
    told = {}
    for file_id in (done.output_file_id, done.error_file_id):
        for line in sdk.files.content(file_id).content.splitlines():
            one = orjson.loads(line)
            told[one["custom_id"]] = one["response"]["body"]
    assert told["json"]["text"] == told["verbose"]["text"] == talk.text
    assert told["text"] == {"text": talk.text + "\n"}
    assert told["verbose"]["segments"]
    assert told["gone"]["error"]["param"] == "file_id"
    assert told["wrong"]["error"]["param"] == "language"


def test_what_was_heard_of_the_same_bytes_is_told_again_without_a_call(hears, tmp_path):
    path = tmp_path / "again.flac"
    spoken = talk_of(11, 6)
    write(spoken, path)

    def heard():
        answer = hears.sdk().audio.transcriptions.with_raw_response.create(
            model=MODEL, file=path, response_format="json"
        )
        return answer.parse().text, answer.headers.get("x-headrace-cache")

    assert heard() == (spoken.text, None)
    before = heard_by(hears)
    assert heard() == (spoken.text, "hit")
    assert heard_by(hears) == before
