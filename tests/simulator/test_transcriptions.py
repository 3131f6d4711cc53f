"""Transcription as OpenAI's, Groq's and Mistral's SDKs ask the simulator for it."""

import re

import groq
import httpx2
import mistralai.client as mistral
import openai
import pytest
from google import genai
from google.genai import types as gemini

from simulator import load_config, running
from simulator.speech import talk_of, write

TALK = talk_of(11, 30)
MODELS = [
    {"id": "both", "kinds": ["chat", "transcription"]},
    {"id": "hears", "kinds": ["transcription"], "min_billed_seconds": 10},
    {"id": "plain", "kinds": ["transcription"], "timestamps": False},
    {"id": "small", "kinds": ["transcription"], "max_audio_bytes": 1_000},
    {"id": "short", "kinds": ["transcription"], "max_audio_seconds": 20},
    {"id": "hourly", "kinds": ["transcription"], "limits": {"ash": 40}},
    "chats",
]
NAMES = ("openai", "groq", "mistral")
ALL = (*NAMES, "gemini")
BOTH = ("openai", "groq")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    path = tmp_path_factory.mktemp("talk") / "talk.flac"
    write(TALK, path)
    return path


@pytest.fixture(scope="module")
def address():
    providers = {
        name: {"personality": name, "models": MODELS, "keys": [{"key": f"sk-{name}"}]}
        for name in ALL
    }
    with running(load_config({"providers": providers})) as found:
        yield found


@pytest.fixture
def hears(address, sound):
    httpx2.post(f"{address.admin_url}/reset").raise_for_status()

    def ask(name, model="hears", *, path=sound, **more):
        if name == "mistral":
            with mistral.Mistral(api_key="sk-mistral", server_url=address.roots[name]) as sdk:
                file = {"file_name": path.name, "content": path.read_bytes()}
                return sdk.audio.transcriptions.complete(model=model, file=file, **more)
        make = groq.Groq if name == "groq" else openai.OpenAI
        place = address.roots if name == "groq" else address.base_urls
        with make(base_url=place[name], api_key=f"sk-{name}", max_retries=0) as sdk:
            return sdk.audio.transcriptions.create(model=model, file=path, **more)

    return ask


@pytest.mark.parametrize("name", NAMES)
def test_the_words_that_were_spoken_are_told(hears, name):
    assert hears(name).text == TALK.text


@pytest.mark.parametrize("name", BOTH)
def test_words_and_segments_have_their_times(hears, name):
    told = hears(
        name, response_format="verbose_json", timestamp_granularities=["word", "segment"]
    ).model_dump()
    assert told["duration"] == pytest.approx(TALK.seconds, abs=0.01)
    assert [word["word"] for word in told["words"]] == [w.word.rstrip(".") for w in TALK.words]
    for said, word in zip(TALK.words, told["words"], strict=True):
        assert word["start"] == pytest.approx(said.start_s, abs=0.01)
    assert "".join(segment["text"] for segment in told["segments"]).strip() == TALK.text
    assert len(told["segments"]) >= TALK.text.count(".")


def test_mistral_tells_segments_or_words_and_never_with_a_language(hears):
    told = hears("mistral", timestamp_granularities=["segment"])
    assert " ".join(each.text for each in told.segments) == TALK.text
    told = hears("mistral", timestamp_granularities=["word"])
    assert [each.text for each in told.segments] == [word.word for word in TALK.words]
    assert told.usage.prompt_audio_seconds in (30, 31)
    with pytest.raises(mistral.errors.SDKError, match="cannot be given together"):
        hears("mistral", timestamp_granularities=["word"], language="en")


def test_openai_writes_text_and_subtitles(hears):
    assert hears("openai", response_format="text") == TALK.text + "\n"
    srt = hears("openai", response_format="srt")
    assert re.match(r"1\n00:00:0\d,\d{3} --> 00:00:\d\d,\d{3}\n[A-Z]", srt)
    assert hears("openai", response_format="vtt").startswith("WEBVTT\n\n00:00:0")


def test_groq_writes_no_subtitles(hears):
    with pytest.raises(groq.BadRequestError):
        hears("groq", response_format="srt")


def test_a_model_without_times_refuses_to_tell_them_and_counts_tokens(hears):
    with pytest.raises(openai.BadRequestError) as caught:
        hears("openai", "plain", response_format="verbose_json")
    assert (caught.value.param, caught.value.code) == ("response_format", "unsupported_value")
    assert hears("openai", "plain").usage.type == "tokens"
    assert hears("openai").usage.seconds in (30, 31)


@pytest.mark.parametrize("name", BOTH)
def test_what_is_too_large_too_long_or_no_sound_is_refused(hears, name, tmp_path):
    errors = groq if name == "groq" else openai
    with pytest.raises(errors.APIStatusError) as caught:
        hears(name, "small")
    assert caught.value.status_code == 413
    with pytest.raises(errors.BadRequestError, match="longer than 20"):
        hears(name, "short")
    with pytest.raises(errors.BadRequestError, match="does not support"):
        hears(name, "chats")
    noise = tmp_path / "picture.mp3"
    noise.write_bytes(b"\x89PNG\r\n" + bytes(2_000))
    with pytest.raises(errors.BadRequestError, match="corrupted"):
        hears(name, path=noise)
    renamed = tmp_path / "notes.txt"
    renamed.write_bytes(b"hello")
    with pytest.raises(errors.BadRequestError, match="Invalid file format"):
        hears(name, path=renamed)


def test_seconds_of_audio_are_counted_and_groq_says_what_is_over(hears, address):
    hears("groq", "hourly")
    with pytest.raises(groq.RateLimitError, match=r"seconds of audio per hour \(ASH\): Limit 40"):
        hears("groq", "hourly")
    with pytest.raises(openai.RateLimitError):
        [hears("openai", "hourly") for _ in range(2)]
    with pytest.raises(mistral.errors.SDKError, match="Rate limit exceeded"):
        [hears("mistral", "hourly") for _ in range(2)]
    state = httpx2.get(f"{address.admin_url}/state").json()["providers"]
    for name in NAMES:
        (window,) = state[name]["models"]["hourly"][f"{name}-1"]["windows"]
        assert (window["dimension"], window["refused"]) == ("audio_seconds", 1)
        assert window["used"] == state[name]["total"]["audio_seconds"] in (30, 31)


def test_a_short_sound_counts_as_the_least_that_is_billed(hears, address, tmp_path):
    path = tmp_path / "short.wav"
    write(talk_of(2, 3), path)
    hears("groq", path=path)
    state = httpx2.get(f"{address.admin_url}/state").json()["providers"]
    assert state["groq"]["total"]["audio_seconds"] == 10


async def test_a_body_that_is_no_form_is_refused(stage):
    sim = stage(models=[{"id": "m", "kinds": ["transcription"]}])
    for kind, body in (
        ("application/json", b"{}"),
        ("multipart/form-data; boundary=x", b"--x\r\nnothing"),
        ("multipart/form-data; boundary=x", b"--x--\r\n"),
    ):
        answer = await sim.client.post(
            "/alpha/v1/audio/transcriptions",
            content=body,
            headers={"authorization": "Bearer sk-sim-alpha-1", "content-type": kind},
        )
        assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("kind", ["empty_body", "empty_choices", "empty_stream", "error_in_200"])
def test_broken_answers_break_here_too(hears, address, kind):
    fault = {"kind": kind, "provider": "openai", "count": 1}
    httpx2.post(f"{address.admin_url}/faults", json=fault).raise_for_status()
    try:
        told = hears("openai")
    except (openai.APIError, ValueError):
        return
    assert not getattr(told, "text", None)


@pytest.mark.parametrize(("model", "words"), [("hears", True), ("both", False)])
def test_gemini_hears_what_is_inline(address, sound, model, words):
    options = gemini.HttpOptions(base_url=address.roots["gemini"], api_version="v1beta")
    config = gemini.GenerateContentConfig(
        audio_transcription_config=gemini.AudioTranscriptionConfig(word_timestamp=True)
    )
    with genai.Client(api_key="sk-gemini", http_options=options) as sdk:
        part = gemini.Part.from_bytes(data=sound.read_bytes(), mime_type="audio/flac")
        told = sdk.models.generate_content(model=model, contents=[part], config=config)
        with pytest.raises(genai.errors.ClientError, match="corrupted"):
            sdk.models.generate_content(
                model=model, contents=[gemini.Part.from_bytes(data=b"x", mime_type="audio/wav")]
            )
    assert told.text.strip() == TALK.text
    spoken = [p.audio_transcription for p in told.candidates[0].content.parts]
    heard = [word.word for each in spoken if each for word in each.words or ()]
    assert heard == ([word.word for word in TALK.words] if words else [])
    assert told.usage_metadata.prompt_token_count in (960, 992)
