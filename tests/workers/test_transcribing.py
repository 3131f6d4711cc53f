"""Attempts that transcribe, against simulated Whispers: each wire, each refusal, each fault."""

import asyncio
import math
from collections.abc import AsyncIterator

import httpx2
import orjson
import pytest
from worker_claims import claim, context, deployment

from shared import objects
from shared.catalog import build
from shared.catalog_schema import Config
from shared.core.model import Audio, Kind, Need
from shared.credentials import Secret
from shared.queue.types import Verdict
from simulator import headrace_config, load_config, running
from simulator.speech import talk_of, write
from workers import attempt
from workers.providers.base import Call
from workers.sounds import Sounds
from workers.transport import AioTransport, Timeouts, Transport

TALK = talk_of(21, 25)
NAMES = ("openai", "groq", "mistral")
QUICK = Timeouts(total_ms=5_000, connect_ms=1_000, first_byte_ms=700, idle_ms=700)
PART = {
    "object": "parts/1",
    "filename": "part-001.flac",
    "content_type": "audio/flac",
    "seconds": TALK.seconds,
    "model": "auto",
    "response_format": "verbose_json",
    "timestamp_granularities": ["segment", "word"],
}


@pytest.fixture(scope="module")
def flac(tmp_path_factory):
    path = tmp_path_factory.mktemp("talk") / "talk.flac"
    write(TALK, path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def simulated():
    models = [
        {"id": "hears", "kinds": ["transcription"]},
        {"id": "both", "kinds": ["chat", "transcription"], "timestamps": False},
        {"id": "plain", "kinds": ["transcription"], "timestamps": False},
        {"id": "small", "kinds": ["transcription"], "max_audio_bytes": 1_000},
        {"id": "hourly", "kinds": ["transcription"], "limits": {"ash": 30}},
        {"id": "tiny", "kinds": ["transcription"], "limits": {"ash": 10}},
    ]
    providers = {
        name: {"personality": name, "models": models, "keys": [{"key": f"sk-{name}"}]}
        for name in (*NAMES, "gemini")
    }
    config = load_config({"providers": providers})
    with running(config) as address:
        ours = headrace_config(config, address)
        for provider in ours["providers"].values():
            small = next(model for model in provider["models"] if model["id"] == "small")
            del small["max_audio_bytes"]  # to hear of it from the provider
        known = build(Config.model_validate(ours), Config())
        yield address, known


@pytest.fixture
async def run(simulated, flac) -> AsyncIterator:
    address, known = simulated
    transport = Transport(AioTransport(proxies={}))
    bucket = objects.memory()
    await bucket.put("parts/1", _parts(flac))
    async with httpx2.AsyncClient(trust_env=False) as admin:
        await admin.post(f"{address.admin_url}/reset")

    async def one(name, model="hears", candidates=(), sounds=None, **request):
        lane = f"{name}/{model}@shared"
        ctx = context(
            transport,
            known,
            secret={"a1": Secret(f"sk-{name}")}.get,
            timeouts=QUICK,
            sounds=sounds or Sounds(bucket, 1 << 24),
        )
        asked = claim(
            lane,
            {name: value for name, value in (PART | request).items() if value is not None},
            kind=Kind.TRANSCRIPTION,
            need=Need(audio_seconds=math.ceil(TALK.seconds)),
            candidates=(lane, *candidates),
        )
        return await attempt.run(asked, ctx)

    yield one
    await transport.aclose()


async def _parts(data):
    yield data


@pytest.mark.parametrize("name", [*NAMES, "gemini"])
async def test_a_part_is_heard_and_told_in_one_form(run, name):
    report = await run(name)
    assert report.verdict is Verdict.COMPLETE, report
    told = orjson.loads(report.result)
    assert (told["task"], told["text"]) == ("transcribe", TALK.text)
    assert told["duration"] == pytest.approx(TALK.seconds, abs=0.01)
    assert " ".join(each["text"].strip() for each in told["segments"]) == TALK.text
    words = [(each["word"].rstrip("."), each["start"], each["end"]) for each in told["words"]]
    for (word, start, end), said in zip(words, TALK.words, strict=True):
        assert word == said.word.rstrip(".")
        assert (start, end) == pytest.approx((said.start_s, said.end_s), abs=0.02)
    assert [each["id"] for each in told["segments"]] == list(range(len(told["segments"])))
    assert report.usage.audio_seconds == math.ceil(TALK.seconds)


async def test_a_gemini_that_chats_tells_the_text(run):
    report = await run("gemini", "both")
    told = orjson.loads(report.result)
    assert told["text"] == TALK.text
    assert not {"segments", "words"} & told.keys()
    assert report.usage.input_tokens == 32 * math.ceil(TALK.seconds)
    assert report.attempt["dropped"] == ["timestamp_granularities"]


@pytest.mark.parametrize("name", ["openai", "groq"])
async def test_a_model_that_tells_no_times_is_asked_for_none(run, name):
    report = await run(name, "plain", prompt="before", temperature=0.2, language="en")
    told = orjson.loads(report.result)
    assert told["text"] == TALK.text
    assert not {"segments", "words"} & told.keys()
    assert told["language"] == "en"
    assert report.attempt["dropped"] == ["timestamp_granularities"]
    assert report.usage.audio_seconds == math.ceil(TALK.seconds)


async def test_mistral_tells_times_rather_than_hear_of_the_language(run):
    report = await run("mistral", language="en", prompt="before", temperature=0)
    assert report.attempt["dropped"] == ["language", "prompt"]
    assert len(orjson.loads(report.result)["words"]) == len(TALK.words)
    report = await run("mistral", language="en", timestamp_granularities=["segment"])
    assert "words" not in orjson.loads(report.result)


@pytest.mark.parametrize("name", NAMES)
async def test_seconds_that_are_used_up_send_the_part_back_until_they_are_there(run, name):
    assert (await run(name, "hourly")).verdict is Verdict.COMPLETE
    report = await run(name, "hourly", candidates=("groq/hears@shared",))
    assert report.verdict is Verdict.REQUEUE
    assert report.attempt["outcome"] == "rate_limited"
    (rest,) = report.cooldowns
    assert rest.scope == "lane"
    if name == "groq":
        assert report.attempt["window"] == "ash"
        assert 3_500_000 < rest.for_ms <= 3_600_000


async def test_more_than_a_whole_window_goes_elsewhere_for_good(run):
    report = await run("groq", "tiny", candidates=("openai/hears@shared",))
    assert report.attempt["outcome"] == "too_long"
    assert report.lane == "openai/hears@shared"


@pytest.mark.parametrize("name", NAMES)
async def test_what_one_host_does_not_take_another_may(run, name):
    there = "openai/plain@shared"
    report = await run(name, "small", candidates=(there,))
    assert (report.attempt["outcome"], report.attempt["status"]) == ("unsuited", 413)
    assert (report.verdict, report.lane, report.cooldowns) == (Verdict.REQUEUE, there, ())
    alone = await run(name, "small")
    assert alone.verdict is Verdict.FAIL
    assert alone.error["status"] == 400
    strange = await run(name, filename="part.xyz", candidates=(there,))
    assert strange.lane == there


FAULTS = [
    ("empty_body", "malformed_reply"),
    ("empty_choices", "malformed_reply"),
    ("error_in_200", "malformed_reply"),
    ("malformed_json", "malformed_reply"),
    ("stall", "timeout"),
    ("drop_after", "unreachable"),
    ("error", "overloaded"),
    ("key_revoked", "unauthorized"),
]


@pytest.mark.parametrize(("kind", "outcome"), FAULTS)
async def test_a_fault_is_taken_for_what_it_is(run, simulated, kind, outcome):
    async with httpx2.AsyncClient(trust_env=False) as admin:
        fault = {"kind": kind, "provider": "groq", "count": 1}
        (await admin.post(f"{simulated[0].admin_url}/faults", json=fault)).raise_for_status()
    report = await run("groq")
    assert report.attempt["outcome"] == outcome
    assert report.result is None


async def test_audio_that_is_gone_or_empty_ends_the_part_with_that_reason(run):
    report = await run("groq", object="parts/none")
    assert report.verdict is Verdict.FAIL
    assert (report.error["code"], report.error["param"]) == ("object_missing", "file")
    assert not report.attempt["sent"]
    bucket = objects.memory()
    await bucket.put("parts/1", _parts(b""))
    report = await run("groq", sounds=Sounds(bucket, 1 << 20))
    assert report.error["code"] == "object_empty"


def sounding(seconds, most=None):
    there = deployment("http://127.0.0.1:9/v1", audio=Audio(max_bytes=most))
    return Call(
        Kind.TRANSCRIPTION,
        PART | {"seconds": seconds},
        there,
        build(Config(), Config()).quirks("x"),
    )


async def test_a_part_larger_than_its_deployment_takes_is_not_read_to_its_end():
    bucket = objects.memory()
    await bucket.put("parts/1", _parts(bytes(5_000)))
    sounds = Sounds(bucket, 1 << 24)
    async with sounds.fetched(sounding(1.0, most=4_999)) as found:
        assert (str(found.kind), found.code) == ("unsuited", "audio_too_large")
    async with sounds.fetched(sounding(1.0, most=5_000)) as found:
        assert len(found.sound.data) == 5_000
    assert sounds.held_bytes == 0


async def test_audio_waits_where_a_process_holds_as_much_as_it_may():
    bucket = objects.memory()
    await bucket.put("parts/1", _parts(bytes(100)))
    sounds = Sounds(bucket, 200_000)
    began, both, release = [], asyncio.Event(), asyncio.Event()

    async def send(seconds):
        async with sounds.fetched(sounding(seconds)):
            began.append(seconds)
            if len(began) == 2:
                both.set()
            await release.wait()

    tasks = [asyncio.create_task(send(seconds)) for seconds in (1.0, 2.0, 3.0)]
    await both.wait()
    assert set(began) == {1.0, 2.0}
    assert sounds.held_bytes == 192_000
    release.set()
    await asyncio.gather(*tasks)
    assert began[2:] == [3.0]
    assert sounds.held_bytes == 0
    async with sounds.fetched(sounding(1_000.0)) as alone:  # larger than all there is
        assert alone.sound.seconds == 1_000.0
