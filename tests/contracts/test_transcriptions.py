"""Transcriptions: what each host is sent, as its SDK would send it, and what its answers become."""

import base64
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import groq
import mistralai.client as mistral
import openai
import orjson
import pytest
from google.genai import types as gemini_types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.audio import TranscriptionVerbose
from recorded_transcripts import (
    BROKEN,
    DIARIZED,
    NO_TIMES,
    REFUSALS,
    REPLIES,
    SEGMENTS_ONLY,
    SILENT,
    SPEAKERS,
    TIMED,
    TURNS,
)
from worker_claims import deployment

from shared.catalog import build
from shared.catalog_schema import Config
from shared.core.model import Audio, Kind
from shared.core.outcome import Failed, FailureKind, Succeeded
from shared.credentials import Secret
from shared.quirks import Quirks
from shared.wires import NATIVE
from simulator.forms import Form, parse_form
from workers.providers import transcription
from workers.providers.base import Call, HttpReply, Sound
from workers.providers.registry import adapter_for

SOUND = Sound(b"fLaC" + bytes(range(256)), 'part "1".flac', "audio/flac", 2.4)
ASKED = {
    "object": "parts/1",
    "seconds": 2.4,
    "model": "auto",
    "language": "en",
    "prompt": "Before that.",
    "temperature": 0.2,
    "response_format": "verbose_json",
    "timestamp_granularities": ["segment", "word"],
}
MINE = frozenset({"object", "seconds", "filename", "content_type", "model"})


def quirks(host: str) -> Quirks:
    type_ = host if host in NATIVE else "openai-compatible"
    models = [{"id": "m1"}]
    provider = {"type": type_, "base_url": "http://127.0.0.1:9", "models": models}
    if type_ not in NATIVE:
        provider["quirks"] = {"like": host}
    known = build(Config.model_validate({"providers": {"x": provider}}), Config())
    return known.quirks("x")


def call(host: str, asked=None, *, able=None, kinds=("transcription",), model="m1", **changes):
    there = deployment(
        "http://127.0.0.1:9/v1",
        host,
        type=host if host in NATIVE else "openai-compatible",
        model=model,
        capabilities=able,
        audio=Audio(**changes),
    )
    object.__setattr__(there, "kinds", frozenset(map(Kind, kinds)))
    request = ASKED if asked is None else asked
    return Call(Kind.TRANSCRIPTION, request, there, quirks(host), sound=SOUND)


def built(asked: Call):
    return adapter_for(asked.deployment.type).build(asked, Secret("sk-test"))


def form_of(request) -> Form:
    return parse_form(request.headers["content-type"], request.body)


@pytest.fixture(scope="module")
def catcher() -> Iterator[tuple[str, list]]:
    """A server that keeps what SDKs send to it."""
    caught: list = []

    class Catch(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            caught.append((self.path, {n.lower(): v for n, v in self.headers.items()}, body))
            answer = orjson.dumps(
                {"text": "x", "model": "m", "language": "en", "duration": 1, "usage": {}}
            )
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Catch)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", caught
    server.shutdown()
    thread.join()
    server.server_close()


def official(host: str, url: str, model: str, **asked) -> None:
    """The same call, as the host's own SDK makes it."""
    file = (SOUND.filename, SOUND.data, SOUND.content_type)
    if host == "mistral":
        upload = {"file_name": file[0], "content": file[1], "content_type": file[2]}
        with mistral.Mistral(api_key="sk-test", server_url=url) as sdk:
            sdk.audio.transcriptions.complete(model=model, file=upload, **asked)
        return
    make = groq.Groq if host == "groq" else openai.OpenAI
    with make(base_url=url, api_key="sk-test", max_retries=0) as sdk:
        sdk.audio.transcriptions.create(model=model, file=file, **asked)


PLAIN = {name: value for name, value in ASKED.items() if name not in MINE}
SAMPLE = "data:audio/wav;base64,UklGRg=="
VAD = {"type": "server_vad", "threshold": 0.4}
VOICES = {
    "response_format": "diarized_json",
    "known_speaker_names": ["Ann", "Bob"],
    "known_speaker_references": [SAMPLE, SAMPLE],
    "chunking_strategy": VAD,
}
SENT = [
    ("openai", PLAIN, None, PLAIN),
    ("openai", PLAIN | {"timestamp_granularities": ["word"]}, None, None),
    ("openai", PLAIN, NO_TIMES, {"response_format": "json", "timestamp_granularities": None}),
    ("groq", PLAIN, None, PLAIN),
    ("groq", PLAIN, SEGMENTS_ONLY, {"timestamp_granularities": ["segment"]}),
    (
        "mistral",
        {"temperature": 0.2, "timestamp_granularities": ["segment", "word"]},
        None,
        {"temperature": 0.2, "timestamp_granularities": ["word"]},
    ),
    ("mistral", {"language": "en"}, NO_TIMES, {"language": "en"}),
    ("openai", VOICES, SPEAKERS, VOICES | {"chunking_strategy": VAD}),
    ("openai", {"response_format": "diarized_json"}, SPEAKERS, {"chunking_strategy": "auto"}),
    (
        "mistral",
        {"response_format": "diarized_json"},
        SPEAKERS,
        {"diarize": True, "timestamp_granularities": ["segment"], "response_format": None},
    ),
]


@pytest.mark.parametrize(("host", "asked", "able", "meant"), SENT)
def test_a_host_is_sent_what_its_sdk_sends(catcher, host, asked, able, meant):
    url, caught = catcher
    wanted = {name: value for name, value in (asked | (meant or {})).items() if value is not None}
    model = "m1-diarize" if able is SPEAKERS else "m1"
    official(host, url, model, **wanted)
    path, headers, body = caught.pop()
    theirs, ours = (
        parse_form(headers["content-type"], body),
        form_of(built(call(host, asked, able=able, model=model))),
    )
    fields = {n: v for n, v in theirs.fields.items() if v not in (["false"], ["False"])}
    fields = {n: ["true"] if v == ["True"] else v for n, v in fields.items()}
    assert ours.fields == fields
    (file,), (their_file,) = ours.files, theirs.files
    assert (file.field, file.data, file.content_type) == ("file", SOUND.data, "audio/flac")
    assert file == their_file
    assert path.endswith("/audio/transcriptions")
    assert headers["authorization"] == "Bearer sk-test"


@pytest.mark.parametrize("host", ["openai", "groq"])
@pytest.mark.parametrize("able", [None, NO_TIMES])
def test_a_translation_is_asked_for_as_the_sdk_does(catcher, host, able):
    url, caught = catcher
    form = "json" if able else "verbose_json"
    file = (SOUND.filename, SOUND.data, SOUND.content_type)
    make, old = groq.Groq, nullcontext()
    if host == "openai":
        make, old = openai.OpenAI, pytest.warns(DeprecationWarning, match="deprecated")
    with make(base_url=url, api_key="sk-test", max_retries=0) as sdk, old:
        sdk.audio.translations.create(
            model="m1", file=file, prompt="Before that.", response_format=form
        )
    path, headers, body = caught.pop()
    request = built(call(host, {"task": "translate", "prompt": "Before that."}, able=able))
    theirs = parse_form(headers["content-type"], body)
    assert form_of(request) == theirs
    assert path.endswith("/audio/translations")
    assert request.url.endswith("/audio/translations")


@pytest.mark.parametrize("host", ["mistral", "cohere", "gemini", "deepgram"])
def test_who_does_not_translate_is_not_asked_to(host):
    with pytest.raises(KeyError):
        built(call(host, {"task": "translate"}))


@pytest.mark.parametrize(("task", "kind"), [("translate", "unsuited"), (None, "model_gone")])
def test_a_host_without_that_route_has_its_model_all_the_same(task, kind):
    asked = call("vllm", {"task": task} if task else {})
    body = orjson.dumps({"error": {"message": "The model `m1` does not exist", "code": 404}})
    found = adapter_for(asked.deployment.type).classify(asked, 404, {}, body, 1_000)
    assert found.kind.value == kind
    assert not (task and found.dead)


DROPPED = [
    ("openai", ASKED, None, ()),
    ("openai", ASKED, NO_TIMES, ("timestamp_granularities",)),
    ("groq", ASKED, SEGMENTS_ONLY, ("timestamp_granularities",)),
    ("mistral", ASKED, None, ("language", "prompt")),
    ("mistral", ASKED | {"temperature": 0, "prompt": None}, NO_TIMES, ("timestamp_granularities",)),
    ("cohere", ASKED, NO_TIMES, ("prompt", "timestamp_granularities")),
    ("gemini", ASKED, None, ("prompt", "temperature")),
    ("deepgram", ASKED, None, ("prompt", "temperature")),
    ("deepgram", ASKED | {"temperature": 0}, None, ("prompt",)),
    ("groq", {"chunking_strategy": {"type": "server_vad"}}, None, ("chunking_strategy",)),
    ("mistral", {"response_format": "diarized_json", "prompt": "x"}, SPEAKERS, ("prompt",)),
]


@pytest.mark.parametrize(("host", "asked", "able", "dropped"), DROPPED)
def test_what_a_host_does_not_take_is_left_out_and_told(host, asked, able, dropped):
    request = built(call(host, asked, able=able))
    assert request.dropped == dropped


def test_a_model_that_must_be_told_how_to_cut_is_told():
    fields = form_of(built(call("openai", model="gpt-4o-transcribe-diarize", able=NO_TIMES))).fields
    assert fields["chunking_strategy"] == ["auto"]
    assert "chunking_strategy" not in form_of(built(call("openai"))).fields


def test_a_long_prompt_is_cut_to_the_end_that_is_looked_at():
    long = " ".join(f"word{number}" for number in range(2_000))
    asked = call("groq", ASKED | {"prompt": long})
    found = transcription.ending(long, asked)
    assert 0 < asked.count(found) <= transcription.PROMPT_TOKENS
    assert long.endswith(found)
    assert found.startswith("word")


def test_cohere_is_sent_the_language_and_no_format():
    fields = form_of(built(call("cohere", able=NO_TIMES))).fields
    assert fields == {"model": ["m1"], "language": ["en"], "temperature": ["0.2"]}


def test_gemini_is_sent_the_audio_inline_with_its_own_options():
    request = built(call("gemini"))
    body = orjson.loads(request.body)
    assert request.url.endswith("/models/m1:generateContent")
    (content,) = body["contents"]
    (part,) = content["parts"]
    gemini_types.Part.model_validate(part)
    assert base64.b64decode(part["inlineData"]["data"]) == SOUND.data
    options = body["generationConfig"]["audioTranscriptionConfig"]
    gemini_types.AudioTranscriptionConfig.model_validate(options)
    assert options == {"languageCodes": ["en"], "wordTimestamp": True}


def test_a_gemini_that_chats_is_asked_in_words():
    asked = call("gemini", able=NO_TIMES, kinds=("chat", "transcription"))
    request = built(asked)
    body = orjson.loads(request.body)
    words = body["contents"][0]["parts"][1]["text"]
    assert "word for word" in words
    assert "Before that." in words
    assert body["generationConfig"] == {"temperature": 0.2}
    assert request.dropped == ("timestamp_granularities",)


def test_gemini_takes_no_more_than_fits_into_a_request():
    asked = call("gemini")
    large = Call(
        asked.kind,
        asked.request,
        asked.deployment,
        asked.quirks,
        sound=Sound(bytes(14_000_001), "a.flac", "audio/flac", 900.0),
    )
    refused = built(large)
    assert isinstance(refused, Failed)
    assert (refused.kind, refused.sent) == (FailureKind.UNSUITED, False)


def test_deepgram_is_sent_the_bare_audio():
    request = built(call("deepgram"))
    split = urlsplit(request.url)
    assert split.path == "/v1/listen"
    assert parse_qs(split.query) == {
        "model": ["m1"],
        "smart_format": ["true"],
        "utterances": ["true"],
        "language": ["en"],
    }
    assert request.body == SOUND.data
    assert request.headers["content-type"] == "audio/flac"
    assert request.headers["Authorization"] == "Token sk-test"
    unknown = built(call("deepgram", ASKED | {"language": None}))
    assert parse_qs(urlsplit(unknown.url).query)["detect_language"] == ["true"]


def test_a_kind_that_is_not_offered_is_none_of_the_adapters():
    for host in ("anthropic", "assemblyai"):
        assert not quirks(host).transcription_path
    asked = call("deepgram")
    chat = Call(Kind.CHAT, {}, asked.deployment, asked.quirks)
    with pytest.raises(KeyError):
        built(chat)


@pytest.mark.parametrize("told", REPLIES, ids=lambda told: told.host)
def test_every_answer_becomes_one_form(told):
    request = {"seconds": 2.4, "timestamp_granularities": ["segment", "word"]}
    asked = call(told.host, request, able=told.able, kinds=told.kinds)
    adapter = adapter_for(asked.deployment.type)
    outcome = adapter.parse(asked, HttpReply(200, {}, orjson.dumps(told.body)))
    assert isinstance(outcome, Succeeded), outcome
    shown = orjson.loads(outcome.body)
    assert (shown["task"], shown["text"], shown["language"]) == (
        "transcribe",
        told.text,
        told.language,
    )
    assert shown["duration"] == pytest.approx(told.duration)
    assert [(w["word"], w["start"], w["end"]) for w in shown.get("words", [])] == told.words
    assert len(shown.get("segments", [])) == told.segments
    usage = outcome.usage
    assert usage.audio_seconds == told.seconds
    assert (usage.input_tokens, usage.output_tokens) == told.tokens
    openai_shape = shown | {"language": shown["language"] or ""}
    for number, segment in enumerate(openai_shape.get("segments", [])):
        assert segment["id"] == number
        assert segment["text"].strip()
    TranscriptionVerbose.construct(**openai_shape)
    assert all(w["start"] <= w["end"] for w in shown.get("words", []))


def diarizing(host: str):
    return call(host, {"response_format": "diarized_json", "seconds": 2.4}, able=SPEAKERS)


@pytest.mark.parametrize(("host", "body"), DIARIZED, ids=[host for host, _ in DIARIZED])
def test_whoever_tells_speakers_tells_them_in_one_form(host, body):
    asked = diarizing(host)
    reply = HttpReply(200, {}, orjson.dumps(body))
    outcome = adapter_for(asked.deployment.type).parse(asked, reply)
    assert isinstance(outcome, Succeeded), outcome
    told = orjson.loads(outcome.body)["segments"]
    names = list(dict.fromkeys(one["speaker"] for one in told))
    assert [(names.index(one["speaker"]), one["text"].strip()) for one in told] == TURNS
    assert all(one["start"] < one["end"] for one in told)


@pytest.mark.parametrize("host", ["openai", "mistral", "deepgram", "gemini"])
def test_a_transcript_without_speakers_is_no_answer_where_they_were_asked_for(host):
    asked = diarizing(host)
    (body,) = [r.body for r in REPLIES if r.host == host and r.segments and r.text][:1]
    reply = HttpReply(200, {}, orjson.dumps(body))
    outcome = adapter_for(asked.deployment.type).parse(asked, reply)
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.code) == (FailureKind.UNSUITED, "no_speakers")


def test_where_nobody_speaks_no_speaker_is_missed():
    asked = diarizing("openai")
    reply = HttpReply(200, {}, orjson.dumps(SILENT))
    assert isinstance(adapter_for("openai-compatible").parse(asked, reply), Succeeded)


def test_deepgram_and_gemini_are_asked_who_speaks():
    query = parse_qs(urlsplit(built(diarizing("deepgram")).url).query)
    assert query["diarize"] == ["true"]
    body = orjson.loads(built(diarizing("gemini")).body)
    options = body["generationConfig"]["audioTranscriptionConfig"]
    gemini_types.AudioTranscriptionConfig.model_validate(options)
    assert options["diarization"] is True


def test_the_whole_of_openais_answer_is_kept():
    first = REPLIES[0]
    outcome = adapter_for("openai-compatible").parse(
        call("openai"), HttpReply(200, {}, orjson.dumps(first.body))
    )
    shown = orjson.loads(outcome.body)
    assert shown["segments"] == first.body["segments"]
    TranscriptionVerbose.model_validate(shown, strict=True)
    assert [tuple(each.values()) for each in shown["words"]] == TIMED


@pytest.mark.parametrize(("host", "body"), BROKEN)
def test_what_is_no_transcript_is_never_taken_for_one(host, body):
    asked = call(host)
    outcome = adapter_for(asked.deployment.type).parse(asked, HttpReply(200, {}, body))
    assert isinstance(outcome, Failed), outcome
    assert outcome.kind in (FailureKind.MALFORMED_REPLY, FailureKind.OVERLOADED)


@pytest.mark.parametrize(("host", "status", "body", "kind"), REFUSALS)
def test_a_refusal_is_taken_for_what_it_is(host, status, body, kind):
    asked = call(host)
    found = adapter_for(asked.deployment.type).classify(
        asked, status, {}, orjson.dumps(body), 1_000
    )
    assert found.kind.value == kind
    if "ASH" in str(body):
        assert (found.window, found.limit, found.retry_after_ms) == ("ash", 7_200, 295_000)
    if "ASD" in str(body):
        assert (found.window, found.limit, found.retry_after_ms) == ("asd", 28_800, 1_500_000)


@pytest.mark.parametrize("host", ["openai", "mistral", "cohere", "gemini", "deepgram"])
def test_no_answer_whatever_makes_an_adapter_fall(host):
    asked = call(host)
    adapter = adapter_for(asked.deployment.type)

    names = st.sampled_from(
        [
            *("text", "segments", "words", "start", "end", "word", "usage", "language", "duration"),
            *("candidates", "content", "parts", "audioTranscription", "finishReason"),
            *("results", "channels", "alternatives", "transcript", "utterances", "metadata"),
        ]
    )
    leaves = st.none() | st.booleans() | st.floats() | st.sampled_from(["1s", "x", "", "STOP"])
    answers = st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=5),
        max_leaves=12,
    )

    @settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(answers)
    def check(value):
        outcome = adapter.parse(asked, HttpReply(200, {}, orjson.dumps(value)))
        assert isinstance(outcome, Succeeded | Failed)
        if isinstance(outcome, Succeeded):
            assert isinstance(orjson.loads(outcome.body)["text"], str)

    check()


def test_a_short_call_counts_as_the_least_that_is_billed():
    asked = call("groq", least_seconds=10)
    body = orjson.dumps({"text": "x"})
    outcome = adapter_for("openai-compatible").parse(asked, HttpReply(200, {}, body))
    assert outcome.usage.audio_seconds == 10


@pytest.mark.parametrize("usage", [{"seconds": 1e300}, {"prompt_audio_seconds": 1e17}], ids=str)
def test_no_more_is_counted_than_the_recording_may_be_billed_as(usage):
    asked = call("openai")
    body = orjson.dumps({"text": "x", "usage": {**usage, "prompt_tokens": 1e18}})
    outcome = adapter_for("openai-compatible").parse(asked, HttpReply(200, {}, body))
    assert isinstance(outcome, Succeeded)
    assert SOUND.seconds <= outcome.usage.audio_seconds <= 2 * SOUND.seconds + 60
    assert outcome.usage.input_tokens == 0
