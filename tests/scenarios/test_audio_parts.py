"""Parts of audio over Whisper providers whose seconds of audio run out: nobody sees a refusal."""

import asyncio
import math

import orjson
import pytest
from whole import until

from shared import objects
from shared.core.model import Kind, Need, Priority, Status
from shared.queue.types import NewJob
from shared.store import connect
from shared.store.jobs import Jobs
from simulator.speech import talk_of, write

PARTS = 9
FEW = PARTS // 2  # what leaves late, on a busy machine, is counted late
LANES = tuple(f"sim-{name}/sim-whisper@shared" for name in ("groq", "openai", "mistral"))


def few_seconds(mapping):
    """Each hears four or five parts of half a minute at once, then two or so a simulated hour."""
    mapping["speed"] = 360
    for provider in mapping["providers"].values():
        provider["limits"] = [{"audio_seconds": 150, "per": "1h", "kind": "bucket"}]


def part_of(number, talk, lane):
    request = {
        "object": f"parts/{number}",
        "filename": f"part-{number:03d}.flac",
        "content_type": "audio/flac",
        "seconds": talk.seconds,
        "model": "sim-whisper",
        "response_format": "verbose_json",
        "timestamp_granularities": ["segment", "word"],
    }
    doc = {"endpoint": "/v1/audio/transcriptions", "model": "sim-whisper", "request": request}
    return NewJob(
        id=f"job_part{number}",
        tenant="bench",
        kind=Kind.TRANSCRIPTION,
        priority=Priority.NORMAL,
        lane=lane,
        need=Need(audio_seconds=math.ceil(talk.seconds)),
        doc=orjson.dumps(doc),
        candidates=LANES,
    )


async def whole(path):
    yield path.read_bytes()


async def handed_in(system, talks, folder, lane):
    bucket = objects.folder(system.stack._data / "objects")
    client = connect.commands(system.stack.store_url())
    try:
        jobs = Jobs(client, client)
        for number, talk in enumerate(talks):
            path = folder / f"{number}.flac"
            write(talk, path)

            await bucket.put(f"parts/{number}", whole(path))
            await jobs.accept(part_of(number, talk, lane))
    finally:
        await client.aclose()


async def records(system):
    client = connect.commands(system.stack.store_url())
    try:
        jobs = Jobs(client, client)
        return [await jobs.get(f"job_part{number}", None) for number in range(PARTS)]
    finally:
        await client.aclose()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("declared", [False, True])
def test_parts_are_heard_by_whoever_has_seconds_left(start, tmp_path, declared):
    talks = [talk_of(number, 30) for number in range(PARTS)]
    system = start("whispers", change=few_seconds, declare={"declare_limits": declared})
    asyncio.run(handed_in(system, talks, tmp_path, LANES[0]))

    def ended():
        found = asyncio.run(records(system))
        return found if all(one.status.final for one in found) else None

    found = until(ended, most_s=240)
    assert {one.status for one in found} == {Status.COMPLETED}, [one.error for one in found]
    for record, talk in zip(found, talks, strict=True):
        told = orjson.loads(record.result)
        assert told["text"] == talk.text
        assert len(told["words"]) == len(talk.words)
        assert record.usage.audio_seconds == math.ceil(talk.seconds)
    seen = system.simulated()["providers"]
    heard = {name: one["total"]["audio_seconds"] for name, one in seen.items()}
    assert sum(heard.values()) == sum(math.ceil(talk.seconds) for talk in talks)
    assert sum(bool(seconds) for seconds in heard.values()) >= 2, heard
    refused = sum(one["total"]["answered_429"] for one in seen.values())
    outcomes = {attempt["outcome"] for one in found for attempt in one.attempts}
    if declared:
        assert refused <= FEW
        assert outcomes <= {"succeeded", "rate_limited"}
    else:
        assert refused >= 1  # upstream's own; no caller sees one
        assert outcomes == {"succeeded", "rate_limited"}
