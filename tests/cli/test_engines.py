"""The real engines, each started once: what they answer, and what they refuse."""

import io
import json
import wave

import pytest
from local_engines import engine

from cli.demo import speech
from cli.engines import chat as chat_engine
from cli.engines import whisper

ASK = "/v1/audio/transcriptions"


def silence(seconds: float, rate: int = 8_000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(1)
        out.setframerate(rate)
        out.writeframes(b"\x80" * int(seconds * rate))
    return file.getvalue()


@pytest.fixture(scope="session")
def talk():
    with engine("chat") as one, one.http() as http:
        yield http


@pytest.fixture(scope="session")
def hear():
    with engine("speech") as one, one.http() as http:
        yield http


@pytest.fixture
def passage():
    return speech.recordings()[speech.PASSAGE].read_bytes()


def posted(http, audio, **fields):
    fields.setdefault("model", "whisper-tiny.en")
    return http.post(ASK, data=fields, files={"file": ("talk.wav", audio)})


def test_a_passage_of_dickens_is_heard_with_at_most_a_tenth_of_its_words_wrong(hear, passage):
    more = {"response_format": "verbose_json", "language": "en", "temperature": "0"}
    more["timestamp_granularities[]"] = ["segment", "word"]
    body = posted(hear, passage, **more).json()
    wrong = speech.word_error_rate(body["text"], speech.WORDS)
    assert wrong <= speech.MOST_WRONG, body["text"]
    assert body["duration"] == pytest.approx(44.4, abs=0.1)
    assert (body["task"], body["language"]) == ("transcribe", "english")
    for parts in (body["segments"], body["words"]):
        times = [time for part in parts for time in (part["start"], part["end"])]
        assert times == sorted(times)
        assert 0 <= times[0] < times[-1] <= body["duration"]
    assert [each["id"] for each in body["segments"]] == list(range(len(body["segments"])))
    timed = " ".join(each["word"] for each in body["words"])
    assert speech.words(timed) == speech.words(body["text"])


def test_without_wishes_only_the_text_comes_back(hear):
    quiet = silence(1)
    assert posted(hear, quiet).json() == {"text": "", "usage": {"type": "duration", "seconds": 1}}
    assert posted(hear, quiet, response_format="text").text == "\n"
    whole = posted(hear, quiet, response_format="verbose_json").json()
    assert whole["segments"] == []
    assert "words" not in whole


@pytest.mark.parametrize(
    ("fields", "status", "field"),
    [
        ({"model": "whisper-1"}, 404, "model"),
        ({"language": "fr"}, 400, "language"),
        ({"temperature": "hot"}, 400, "temperature"),
        ({"temperature": "2"}, 400, "temperature"),
        ({"response_format": "srt"}, 400, "response_format"),
    ],
)
def test_what_the_engine_cannot_do_is_refused_by_the_field_s_name(hear, fields, status, field):
    answer = posted(hear, silence(0.1), **fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (status, field)
    assert error["message"].startswith(f"{field}: ")
    assert error["type"] == "invalid_request_error"


def test_what_is_no_audio_or_too_long_or_missing_is_refused(hear):
    garbage = posted(hear, b"%PDF-1.7 no sound in here" * 50)
    assert (garbage.status_code, garbage.json()["error"]["code"]) == (400, "invalid_audio")
    long = posted(hear, silence(whisper.MOST_SECONDS + 1, rate=4_000))
    assert (long.status_code, long.json()["error"]["code"]) == (413, "audio_too_long")
    none = hear.post(ASK, data={"model": "whisper-tiny.en"}, files={"other": ("a", b"b")})
    assert (none.status_code, none.json()["error"]["param"]) == (400, "file")
    unsized = hear.post(ASK, content=iter([b"x" * 100]))
    assert unsized.status_code == 413


@pytest.mark.parametrize("path", [ASK, "/v1/models", "/v1/chat/completions"])
def test_who_has_not_the_key_of_this_start_is_refused(hear, talk, path):
    http = talk if "chat" in path else hear
    answer = http.request(
        "GET" if path.endswith("models") else "POST",
        path,
        headers={"Authorization": "Bearer another"},
        json=None if path.endswith("models") else {"messages": []},
    )
    assert answer.status_code == 401
    assert "message" in answer.json()["error"]


def test_the_chat_engine_answers_streams_and_keeps_to_a_schema(talk):
    ask = {"model": "smollm2-135m", "messages": [{"role": "user", "content": "Say hello"}]}
    ask |= {"max_tokens": 8}
    whole = talk.post("/v1/chat/completions", json=ask).json()
    assert whole["choices"][0]["message"]["content"].strip()
    assert 0 < whole["usage"]["completion_tokens"] <= 8
    streamed = talk.post("/v1/chat/completions", json=ask | {"stream": True}).text
    assert streamed.rstrip().endswith("data: [DONE]")
    schema = {"type": "object", "properties": {"yes": {"type": "boolean"}}, "required": ["yes"]}
    schema["additionalProperties"] = False
    shaped = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}
    ask |= {"response_format": shaped, "seed": 1, "max_tokens": 64}
    again = talk.post("/v1/chat/completions", json=ask).json()
    assert set(json.loads(again["choices"][0]["message"]["content"])) == {"yes"}


def test_a_chat_that_is_too_long_is_refused_and_says_by_how_much(talk):
    ask = {"messages": [{"role": "user", "content": "word " * (chat_engine.CONTEXT_TOKENS + 100)}]}
    answer = talk.post("/v1/chat/completions", json=ask)
    assert answer.status_code == 400
    assert answer.json()["error"]["n_ctx"] == chat_engine.CONTEXT_TOKENS
