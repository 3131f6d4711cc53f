"""`POST /v1/audio/transcriptions`: forms and JSON, in every format, held as chats are."""

import asyncio
import io
import threading
from dataclasses import replace

import openai
import orjson
import pytest
from api_fakes import ALICE, BOB, FakeStore, application, client_for, until
from api_servers import running
from bulk_fakes import everything
from openai.types.audio import (
    TranscriptionDiarized,
    TranscriptionTextDoneEvent,
    TranslationVerbose,
)

from shared.core.audio_work import Piece, Stage, Unheard, Work, to_json
from shared.core.cutting import Span
from shared.core.model import Kind
from shared.wire.transcripts import rendered

AUDIO = b"RIFF" + b"\0" * 3_000
RESULT = {
    "task": "transcribe",
    "language": "english",
    "duration": 3.2,
    "text": "Hello there. Good bye.",
    "segments": [
        {"id": 0, "start": 0.0, "end": 1.5, "text": " Hello there."},
        {"id": 1, "start": 1.5, "end": 3.2, "text": " Good bye."},
    ],
    "words": [{"word": "Hello", "start": 0.0, "end": 0.5}],
}
PATH = "/v1/audio/transcriptions"


def listening(store):
    """Jobs complete at once; what each found in the objects is in `store.heard`."""
    store.heard = {}

    async def hear(job_id):
        request = store.rows[job_id].record.doc["request"]
        if "object" in request:
            parts = [part async for part in store.bulk.objects.get(request["object"])]
            store.heard[job_id] = b"".join(parts)
        store.start(job_id)
        store.complete(job_id, RESULT)

    store.tasks = []
    store.on_accept = lambda job_id: store.tasks.append(
        asyncio.get_running_loop().create_task(hear(job_id))
    )
    return store


@pytest.fixture
def ears():
    return listening(FakeStore())


@pytest.fixture
async def client(ears):
    app, _ = application(ears, max_audio_bytes=100_000)
    async with client_for(app) as made:
        yield made


async def post(client, audio=AUDIO, name="talk.wav", headers=None, **fields):
    data = {"model": "whisper"} | fields
    return await client.post(PATH, data=data, files={"file": (name, audio)}, headers=headers)


async def test_an_upload_is_transcribed_and_its_bytes_are_gone_afterwards(client, ears):
    answer = await post(client, language="en", prompt="Hanoi", temperature="0.2")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "text": "Hello there. Good bye.", "usage": {"type": "duration", "seconds": 4},
    }  # fmt: skip
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-headrace-attempts"] == "1"
    record = ears.rows[ears.only].record
    assert record.kind is Kind.TRANSCRIPTION
    assert ears.heard[ears.only] == AUDIO
    request = record.doc["request"]
    assert (request["language"], request["prompt"], request["temperature"]) == ("en", "Hanoi", 0.2)
    assert request["filename"] == "talk.wav"
    assert await everything(ears) == []
    assert ears.bulk.files.rows == {}


@pytest.mark.parametrize(
    ("form", "kind", "begins"),
    [
        ("text", "text/plain", "Hello there. Good bye.\n"),
        ("srt", "application/x-subrip", "1\n00:00:00,000 --> 00:00:01,500\nHello there.\n\n2\n"),
        ("vtt", "text/vtt", "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello there.\n\n"),
    ],
)
async def test_what_is_no_json_is_sent_as_what_it_is(client, form, kind, begins):
    answer = await post(client, response_format=form)
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert answer.text.startswith(begins)


async def test_what_is_made_of_a_long_talk_stops_no_other_caller(client, ears, monkeypatch):
    """Subtitles of ten hours take seconds: they are made in threads, wherever they are asked."""
    threads = []

    def noted(*args, **more):
        threads.append(threading.current_thread())
        return rendered(*args, **more)

    monkeypatch.setattr("api.transcriptions.rendered", noted)
    monkeypatch.setattr("shared.wire.transcripts.rendered", noted)
    await post(client, response_format="srt")
    job = (await client.get(f"/v1/jobs/{ears.only}")).json()
    (row,) = (await client.get("/v1/jobs")).json()["data"]
    assert job["result"]["text"] == row["result"]["text"]
    assert len(threads) == 3
    assert threading.current_thread() not in threads


@pytest.mark.parametrize(
    ("granularities", "shown"),
    [([], {"segments"}), (["word"], {"words"}), (["word", "segment"], {"words", "segments"})],
)
async def test_verbose_json_holds_the_times_asked_for(client, granularities, shown):
    many = {"timestamp_granularities[]": granularities} if granularities else {}
    answer = (await post(client, response_format="verbose_json", **many)).json()
    assert {"words", "segments"} & answer.keys() == shown
    assert (answer["language"], answer["duration"]) == ("english", 3.2)


async def test_a_file_or_an_address_is_named_in_json(client, ears):
    body = {"model": "whisper", "url": "https://example.com/a.mp3", "response_format": "text"}
    answer = await client.post(PATH, json=body)
    assert (answer.status_code, answer.text) == (200, "Hello there. Good bye.\n")
    assert ears.rows[ears.only].record.doc["request"]["url"] == "https://example.com/a.mp3"


async def test_a_form_may_name_an_address_instead_of_a_file(client, ears):
    body = {"model": (None, "whisper"), "url": (None, "https://example.com/a.mp3")}
    assert (await client.post(PATH, files=body)).status_code == 200
    assert await everything(ears) == []


async def test_a_stream_is_one_delta_and_its_end(client):
    answer = await post(client, stream="true")
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.splitlines() if line]
    assert [orjson.loads(line[6:])["type"] for line in lines[:-1]] == [
        "transcript.text.delta", "transcript.text.done",
    ]  # fmt: skip
    assert lines[-1] == "data: [DONE]"


TOLD = [(0, "Hello"), (5, " there."), (0, "Hello there."), (12, " Good"), (99, "lost")]


def telling(store):
    """Parts are heard one after the other, and some of it is told twice."""

    def hear(job_id):
        store.start(job_id)
        for offset, delta in TOLD:
            store.delta(job_id, {"type": "transcript.text.delta", "delta": delta, "offset": offset})
        store.complete(job_id, RESULT)

    store.on_accept = hear


def events_of(answer):
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [orjson.loads(line) for line in lines[:-1]]


async def test_a_stream_tells_what_is_heard_as_it_is_heard_and_nothing_twice(client, ears):
    telling(ears)
    answer = await post(client, stream="true")
    *deltas, end = events_of(answer)
    assert [one["delta"] for one in deltas] == ["Hello", " there.", " Good", " bye."]
    assert {one["type"] for one in deltas} == {"transcript.text.delta"}
    assert end == {
        "type": "transcript.text.done",
        "text": "Hello there. Good bye.",
        "usage": {"type": "duration", "seconds": 4},
    }
    assert ears.rows[ears.only].record.doc["stream"] is True
    assert ears.rows[ears.only].job.sharing is not None


async def test_a_stream_that_fails_in_the_middle_ends_with_the_error(client, ears):
    def hear(job_id):
        ears.start(job_id)
        ears.delta(job_id, {"type": "transcript.text.delta", "delta": "Hello", "offset": 0})
        ears.fail(job_id, {"message": "the part from 0:10:00 …", "status": 502})

    ears.on_accept = hear
    answer = await post(client, stream="true")
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert answer.status_code == 200
    assert orjson.loads(lines[0])["delta"] == "Hello"
    assert orjson.loads(lines[-1])["error"]["message"].startswith("the part from")


async def test_a_stream_of_who_speaks_is_its_segments_and_the_end(client, ears):
    answer = await post(client, model="voices", stream="true", response_format="diarized_json")
    *segments, end = events_of(answer)
    assert [(one["type"], one["text"]) for one in segments] == [
        ("transcript.text.segment", "Hello there."), ("transcript.text.segment", "Good bye."),
    ]  # fmt: skip
    assert end["type"] == "transcript.text.done"


async def test_a_job_is_streamed_where_it_says_so(client, ears):
    request = {"model": "whisper", "url": "https://example.com/a.mp3"}
    job = {"kind": "transcription", "request": request, "stream": True}
    answer = await client.post("/v1/jobs", json=job)
    assert (answer.status_code, answer.json()["stream"]) == (202, True)


async def test_respond_async_answers_with_the_job_and_keeps_the_bytes_for_it(client, ears):
    ears.on_accept = None
    answer = await post(client, headers={"Prefer": "respond-async"})
    assert (answer.status_code, answer.json()["kind"]) == (202, "transcription")
    (name,) = await everything(ears)
    (file,) = ears.bulk.files.rows.values()
    assert name == f"files/{file.id}"
    assert file.job == answer.json()["id"] == ears.only
    assert (await client.get("/v1/files")).json()["data"] == []
    assert (await client.get(f"/v1/files/{file.id}")).status_code == 404


async def test_the_same_request_with_the_same_key_is_the_same_job_whatever_it_uploads(client, ears):
    headers = {"Prefer": "respond-async", "Idempotency-Key": "k1"}
    ears.on_accept = None
    first, again = [(await post(client, headers=headers)).json()["id"] for _ in range(2)]
    assert first == again
    assert len(await everything(ears)) == 1
    other = await post(client, audio=AUDIO + b"x", headers=headers)
    assert other.status_code == 409
    assert len(await everything(ears)) == 1


async def test_an_sdk_that_repeats_its_request_joins_its_job(client, ears):
    ears.on_accept = None
    first = asyncio.create_task(post(client))
    await ears.accepted.wait()
    again = asyncio.create_task(post(client, headers={"x-stainless-retry-count": "1"}))
    job_id = ears.only
    await until(lambda: len(ears.watches[job_id]) == 2)
    ears.start(job_id)
    ears.complete(job_id, RESULT)
    assert [(await each).status_code for each in (first, again)] == [200, 200]
    assert len(ears.rows) == 1
    assert await everything(ears) == []


async def test_a_job_that_takes_longer_than_its_caller_may_wait_goes_on(client, ears):
    ears.on_accept = None
    answer = await post(client, headers={"x-headrace-wait-s": "0.05"})
    assert answer.status_code == 504
    assert answer.json()["error"]["job_id"] == ears.only
    assert len(await everything(ears)) == 1


async def test_a_failed_job_is_told_as_such(client, ears):
    ears.on_accept = lambda job_id: ears.fail(job_id, {"message": "no audio in it", "status": 400})
    for more in ({}, {"stream": "true"}):
        answer = await post(client, response_format="text", **more)
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, "no audio in it")
    assert await everything(ears) == []


async def test_an_upload_that_is_not_to_blame_is_kept_for_a_replay(client, ears):
    ears.on_accept = lambda job_id: ears.fail(job_id, {"message": "nobody hears", "status": 502})
    assert (await post(client)).status_code == 502
    assert len(await everything(ears)) == 1


BAD = [
    ({"model": "nope"}, 404, "model"),
    ({"model": "sim"}, 400, "model"),
    ({"response_format": "docx"}, 400, "response_format"),
    ({"temperature": "hot"}, 400, "temperature"),
    ({"temperature": "3"}, 400, "temperature"),
    ({"language": "english"}, 400, "language"),
    ({"stream": "maybe"}, 400, "stream"),
    ({"stream": "true", "response_format": "srt"}, 400, "stream"),
    ({"timestamp_granularities[]": ["word"]}, 400, "timestamp_granularities"),
    ({"timestamp_granularities[]": ["year"]}, 400, "timestamp_granularities"),
    ({"url": "https://example.com/a.mp3"}, 400, None),
    ({"prompt": "x" * 40_000}, 400, "prompt"),
    ({"include[]": ["logprobs"]}, 400, "include"),
    ({"chunking_strategy": "words"}, 400, "chunking_strategy"),
    (
        {"chunking_strategy[type]": "server_vad", "chunking_strategy[threshold]": "x"},
        400,
        "chunking_strategy",
    ),
    (
        {
            "chunking_strategy[type]": "server_vad",
            "chunking_strategy[prefix_padding_ms]": "9" * 5_000,
        },
        400,
        "chunking_strategy.prefix_padding_ms",
    ),
    (
        {
            "chunking_strategy[type]": "server_vad",
            "chunking_strategy[silence_duration_ms]": "9" * 20,
        },
        400,
        "chunking_strategy.silence_duration_ms",
    ),
    ({"chunking_strategy": "{"}, 400, None),
    ({"known_speaker_names[]": ["Ann"]}, 400, "known_speaker_names"),
    (
        {
            "model": "voices",
            "response_format": "diarized_json",
            "known_speaker_names[]": ["Ann"],
            "known_speaker_references[]": ["data:audio/wav;base64," + "A" * 450_000],
        },
        400,
        "known_speaker_references",
    ),
]


@pytest.mark.parametrize(("fields", "status", "param"), BAD)
async def test_a_wrong_field_is_named_and_leaves_nothing(client, ears, fields, status, param):
    answer = await post(client, **fields)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert param is None or str(error["param"]).startswith(param)
    assert ears.rows == {}
    assert await everything(ears) == []


async def test_a_wrong_field_is_told_before_the_audio_comes(ears):
    app, _ = application(ears)
    taken = []

    async def audio():
        head = (
            b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper\r\n'
            b'--b\r\nContent-Disposition: form-data; name="response_format"\r\n\r\ndocx\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        )
        yield head
        for _ in range(200):
            taken.append(1)
            yield b"\0" * 100_000

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    async with client_for(app) as made:
        answer = await made.post(PATH, content=audio(), headers=headers)
    assert answer.json()["error"]["param"] == "response_format"
    assert len(taken) < 120


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([("model", (None, b"whisper"))], "file: is required"),
        ([("model", (None, b"whisper")), ("file", ("a.wav", b""))], "the file is empty"),
        (
            [("model", (None, b"whisper")), ("file", ("a", b"x")), ("file", ("b", b"y"))],
            "only one file",
        ),
    ],
)
async def test_it_takes_exactly_one_file(client, ears, files, said):
    answer = await client.post(PATH, files=files)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file")
    assert said in answer.json()["error"]["message"]
    assert await everything(ears) == []


@pytest.mark.parametrize("order", [("file", "source"), ("source", "file")])
@pytest.mark.parametrize("source", [("file_id", "file-1"), ("url", "https://example.com/a.mp3")])
async def test_a_file_beside_a_file_id_or_a_url_is_named_as_what_is_too_much(
    client, ears, source, order
):
    name, value = source
    given = {"file": ("file", ("a.wav", AUDIO)), "source": (name, (None, value.encode()))}
    form = [("model", (None, b"whisper")), *(given[each] for each in order)]
    answer = await client.post(PATH, files=form)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file")
    assert answer.json()["error"]["message"] == f"file: give only one of file and {name}"
    assert await everything(ears) == []


@pytest.mark.parametrize("path", [PATH, "/v1/files"])
async def test_a_boundary_that_is_too_long_is_a_bad_request(client, path):
    kind = "multipart/form-data; boundary=" + "b" * 300
    answer = await client.post(path, content=b"--b--", headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "Content-Type")


async def test_a_file_without_a_model_is_refused(client, ears):
    answer = await client.post(PATH, files={"file": ("a.wav", AUDIO)})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
    assert await everything(ears) == []


async def test_more_audio_than_is_taken_is_refused(client, ears):
    answer = await post(client, audio=b"\0" * 100_001)
    assert (answer.status_code, answer.json()["error"]["param"]) == (413, "file")
    assert await everything(ears) == []


async def test_nobody_names_an_object_of_the_store_or_anothers_file(client, ears):
    body = {"model": "whisper", "object": "files/file-1", "filename": "x"}
    assert (await client.post(PATH, json=body)).status_code == 400
    answer = await client.post(PATH, json={"kind": "transcription", "request": body})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("source", "status", "param"),
    [
        ({"file_id": "file-0"}, 404, "file_id"),
        ({"url": "http://127.0.0.1/a.mp3"}, 400, "url"),
        ({"url": "http://169.254.169.254/latest"}, 400, "url"),
        ({"url": "http://exam\0ple.com/a.mp3"}, 400, "url"),
        ({"url": "http://example.com:99999/a.mp3"}, 400, "url"),
    ],
)
async def test_what_may_not_be_read_is_refused_on_every_way_in(client, ears, source, status, param):
    request = {"model": "whisper"} | source
    job = {"kind": "transcription", "request": request}
    form = {name: (None, value) for name, value in request.items()}
    for answer, named in (
        (await client.post(PATH, json=request), param),
        (await client.post(PATH, files=form), param),
        (await client.post("/v1/jobs", json=job), f"request.{param}"),
    ):
        assert (answer.status_code, answer.json()["error"]["param"]) == (status, named)
    assert ears.rows == {}


async def test_anothers_file_is_no_file(client, ears):
    made = await client.post(
        "/v1/files", data={"purpose": "user_data"}, files={"file": ("a.mp3", AUDIO)}
    )
    body = {"model": "whisper", "file_id": made.json()["id"]}
    assert (await client.post(PATH, json=body)).status_code == 200
    bob = {"Authorization": f"Bearer {BOB}"}
    assert (await client.post(PATH, json=body, headers=bob)).status_code == 404


async def test_the_upload_is_the_callers_alone(client, ears):
    ears.on_accept = None
    job = (await post(client, headers={"Prefer": "respond-async"})).json()["id"]
    bob = {"Authorization": f"Bearer {BOB}"}
    assert (await client.get(f"/v1/jobs/{job}", headers=bob)).status_code == 404


# -- the official SDK, unmodified


@pytest.fixture
def sdk():
    store = listening(FakeStore())
    with (
        running(store) as server,
        openai.OpenAI(base_url=f"{server.url}/v1", api_key=ALICE, max_retries=0) as made,
    ):
        yield made


def audio():
    file = io.BytesIO(AUDIO)
    file.name = "talk.wav"
    return file


def test_the_sdk_reads_every_format(sdk):
    ask = sdk.audio.transcriptions.create
    assert ask(model="whisper", file=audio()).text == "Hello there. Good bye."
    assert ask(model="whisper", file=audio(), response_format="text").startswith("Hello")
    assert ask(model="whisper", file=audio(), response_format="srt").startswith("1\n00:")
    assert ask(model="whisper", file=audio(), response_format="vtt").startswith("WEBVTT")
    verbose = ask(
        model="whisper", file=audio(), response_format="verbose_json",
        timestamp_granularities=["word", "segment"], language="en", temperature=0,
    )  # fmt: skip
    assert (verbose.segments[1].end, verbose.words[0].word) == (3.2, "Hello")
    assert verbose.duration == 3.2


def test_the_sdk_reads_who_speaks_and_names_whom_it_knows(sdk):
    sample = "data:audio/wav;base64," + "A" * 400_000
    told = sdk.audio.transcriptions.create(
        model="voices", file=audio(), response_format="diarized_json",
        known_speaker_names=["Ann", "Bob", "Cid", "Dee"], known_speaker_references=[sample] * 4,
        chunking_strategy={"type": "server_vad", "threshold": 0.5, "prefix_padding_ms": 300},
    )  # fmt: skip
    assert isinstance(told, TranscriptionDiarized)
    assert [(one.speaker, one.text) for one in told.segments] == [
        ("unknown", "Hello there."), ("unknown", "Good bye."),
    ]  # fmt: skip


async def test_how_long_sound_is_cut_is_read_from_a_form_as_the_sdk_writes_it(client, ears):
    for form in (
        {"chunking_strategy[type]": "server_vad", "chunking_strategy[silence_duration_ms]": "200"},
        {"chunking_strategy": '{"type": "server_vad", "silence_duration_ms": 200}'},
    ):
        ears.rows.clear()
        answer = await post(client, **form)
        assert answer.status_code == 200, answer.text
        request = ears.rows[ears.only].record.doc["request"]
        assert request["chunking_strategy"] == {"type": "server_vad", "silence_duration_ms": 200}


async def test_where_nobody_tells_speakers_that_is_said(client, ears):
    answer = await post(client, response_format="diarized_json")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "capability_missing"
    assert "no diarization" in answer.json()["error"]["message"]
    assert ears.rows == {}


ENGLISH = "/v1/audio/translations"


async def test_a_translation_is_a_transcription_in_english(client, ears):
    data = {"model": "voices", "prompt": "names", "response_format": "verbose_json"}
    answer = await client.post(ENGLISH, data=data, files={"file": ("a.wav", AUDIO)})
    assert answer.status_code == 200, answer.text
    request = ears.rows[ears.only].record.doc["request"]
    assert (request["task"], request["prompt"]) == ("translate", "names")
    named = {"model": "voices", "url": "https://example.com/a.mp3"}
    assert (await client.post(ENGLISH, json=named)).status_code == 200
    assert (await client.post(PATH, json=named | {"task": "translate"})).status_code == 200


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"language": "de"}, "language"),
        ({"stream": "true"}, "stream"),
        ({"timestamp_granularities[]": ["word"], "response_format": "verbose_json"},
         "timestamp_granularities"),
        ({"response_format": "diarized_json"}, "response_format"),
        ({"model": "whisper"}, "model"),
    ],
)  # fmt: skip
async def test_what_no_translation_has_is_refused_by_name(client, ears, fields, param):
    data = {"model": "voices"} | fields
    answer = await client.post(ENGLISH, data=data, files={"file": ("a.wav", AUDIO)})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert ears.rows == {}
    assert await everything(ears) == []


async def test_the_route_says_the_task_not_the_body(client):
    body = {"model": "voices", "url": "https://example.com/a.mp3", "task": "transcribe"}
    answer = await client.post(ENGLISH, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "task")


def test_the_sdk_translates(sdk):
    with pytest.warns(DeprecationWarning, match="deprecated"):
        told = sdk.audio.translations.create(
            model="voices", file=audio(), response_format="verbose_json"
        )
    assert isinstance(told, TranslationVerbose)
    assert told.text == "Hello there. Good bye."


def test_the_sdk_streams(sdk):
    stream = sdk.audio.transcriptions.create(model="whisper", file=audio(), stream=True)
    events = list(stream)
    assert [event.type for event in events] == ["transcript.text.delta", "transcript.text.done"]
    assert events[-1].text == "Hello there. Good bye."
    assert isinstance(events[-1], TranscriptionTextDoneEvent)
    assert events[-1].usage.seconds == 4


def test_the_sdk_raises_what_it_should(sdk):
    with pytest.raises(openai.BadRequestError) as bad:
        sdk.audio.transcriptions.create(
            model="whisper", file=audio(), timestamp_granularities=["word"]
        )
    assert bad.value.param == "timestamp_granularities"
    with pytest.raises(openai.NotFoundError):
        sdk.audio.transcriptions.create(model="nope", file=audio())


async def sharings(store, *answers):
    """What each job may share, by the answer that it was given."""
    for answer in answers:
        assert answer.status_code == 200, answer.text
    ids = [answer.headers["x-headrace-job-id"] for answer in answers]
    return [store.rows[job_id].job.sharing for job_id in ids]


async def test_recordings_are_alike_by_their_bytes_and_kept_as_long_as_their_jobs(client, ears):
    first, again, other, german, fresh = await sharings(
        ears,
        await post(client),
        await post(client, name="copy.wav"),
        await post(client, AUDIO + b"\1"),
        await post(client, language="de"),
        await post(client, headers={"x-headrace-cache-s": "0"}),
    )
    assert first == again
    assert first.likeness not in (other.likeness, german.likeness)
    assert (first.terms.follow, first.terms.cache_ms) == (True, 3 * 86_400_000)
    assert (fresh.likeness, fresh.terms.cache_ms) == (first.likeness, 0)


async def test_a_recording_that_was_uploaded_before_is_alike_too(client, ears):
    ids = []
    for _ in range(2):
        files = {"file": ("talk.wav", AUDIO), "purpose": (None, "user_data")}
        ids.append((await client.post("/v1/files", files=files)).json()["id"])
    asked = [{"model": "whisper", "file_id": file_id} for file_id in ids]
    direct, first, again = await sharings(
        ears,
        await post(client),
        *[await client.post(PATH, json=each) for each in asked],
    )
    assert first == again == direct
    job = {"kind": "transcription", "request": asked[0]}
    made = (await client.post("/v1/jobs", json=job)).json()
    assert ears.rows[made["id"]].job.sharing == first
    elsewhere = {"kind": "transcription", "request": {"model": "whisper", "url": "https://e.org/a"}}
    made = (await client.post("/v1/jobs", json=elsewhere)).json()
    assert ears.rows[made["id"]].job.sharing is None


def parts_of(ears, job_id):
    """A recording of three minutes: one heard, one lost, one on its way."""
    spans = [Span(n * 60_000, n * 60_000 + 60_000, n * 60_000, n * 60_000 + 60_000)
             for n in range(3)]  # fmt: skip
    bad = Unheard("refused by all", "bad_audio", 400)
    pieces = (
        Piece(spans[0], Stage.HEARD, name="p0", child=f"{job_id}-0"),
        Piece(spans[1], Stage.LOST, name="p1", unheard=bad),
        Piece(spans[2], Stage.OUT, name="p2", child=f"{job_id}-2"),
    )
    work = to_json(Work(180_000, "digest", pieces))
    ears.kept_states[job_id] = orjson.loads(orjson.dumps({"work": work}))
    ears.rows[f"{job_id}-0"] = replace(
        ears.rows[job_id],
        record=replace(ears.rows[job_id].record, id=f"{job_id}-0", result=orjson.dumps(RESULT)),
    )


async def asked_for_words(client):
    request = {
        "model": "whisper", "url": "https://example.com/a.mp3", "response_format": "verbose_json",
        "timestamp_granularities": ["word"],
    }  # fmt: skip
    job = {"kind": "transcription", "request": request}
    return (await client.post("/v1/jobs", json=job)).json()["id"]


async def test_what_was_heard_of_a_recording_is_shown_while_it_runs_and_when_it_failed(
    client, ears
):
    ears.on_accept = None
    job_id = await asked_for_words(client)
    fresh = (await client.get(f"/v1/jobs/{job_id}?partial=true")).json()
    assert fresh["partial"] is None
    ears.start(job_id)
    parts_of(ears, job_id)
    running = (await client.get(f"/v1/jobs/{job_id}?partial=true")).json()
    ears.fail(job_id, {"message": "the part from 0:01:00 to 0:02:00 …", "status": 400})
    failed = (await client.get(f"/v1/jobs/{job_id}?partial=true")).json()
    assert (running["status"], failed["status"]) == ("in_progress", "failed")
    assert failed["result"] is None
    for told in (running["partial"], failed["partial"]):
        assert (told["text"], told["duration"]) == ("Hello there. Good bye.", 180.0)
        assert [one["end"] for one in told["segments"]] == [1.5, 3.2]
        assert told["missing"] == [
            {"start": 60.0, "end": 120.0,
             "error": {"message": "refused by all", "code": "bad_audio"}},
            {"start": 120.0, "end": 180.0, "error": None},
        ]  # fmt: skip
    assert "partial" not in (await client.get(f"/v1/jobs/{job_id}")).json()
    app, _ = application(ears)
    async with client_for(app, BOB) as bob:
        assert (await bob.get(f"/v1/jobs/{job_id}?partial=true")).status_code == 404


async def test_a_job_that_is_done_has_its_result_and_no_part_of_it(client, ears):
    job_id = await asked_for_words(client)
    await until(lambda: ears.rows[job_id].record.status.final)
    parts_of(ears, job_id)
    assert (await client.get(f"/v1/jobs/{job_id}?partial=true")).json()["partial"] is None
