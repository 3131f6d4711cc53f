import orjson
import pytest

from shared.batch_answers import outcome_line, refusal
from shared.batch_endpoints import ENDPOINTS
from shared.core.batch import Mark
from shared.errors import Refused
from shared.store.batches import Ended

CHATS = ENDPOINTS["/v1/chat/completions"]
RESPONSES = ENDPOINTS["/v1/responses"]
AUDIO = ENDPOINTS["/v1/audio/transcriptions"]


def test_a_providers_429_is_never_a_callers():
    text = "E" + orjson.dumps({"message": "slow", "status": 429}).decode()
    good, line = outcome_line(Ended("Fjob_1_2", "a", text.encode()), CHATS)
    told = orjson.loads(line)
    assert (good, told["response"]["status_code"], told["custom_id"]) == (False, 500, "a")


def test_a_refused_line_tells_what_the_endpoint_would_have():
    why = Refused("temperature: too hot", param="temperature", code="invalid_value")
    good, line = outcome_line(Ended(refusal(Mark.REFUSED, "job_1_2", "a", why)), CHATS)
    told = orjson.loads(line)
    assert (good, told["id"], told["custom_id"]) == (False, "batch_req_1_2", "a")
    assert told["response"] == {
        "status_code": 400,
        "request_id": "job_1_2",
        "body": {
            "error": {
                "message": "temperature: too hot",
                "type": "invalid_request_error",
                "param": "temperature",
                "code": "invalid_value",
            }
        },
    }


@pytest.mark.parametrize(
    ("mark", "outcome", "code"),
    [
        ("Xjob_1_2", None, "batch_expired"),
        ("Kjob_1_2", None, "batch_cancelled"),
        ("Fjob_1_2", None, "request_cancelled"),
        ("Cjob_1_2", None, "result_expired"),
        (refusal(Mark.EXPIRED, "job_1_2", "a", Refused("away", status=503)), None, "batch_expired"),
    ],
)
def test_a_line_without_an_answer_says_why(mark, outcome, code):
    good, line = outcome_line(Ended(mark, "a", outcome), CHATS)
    told = orjson.loads(line)
    assert (good, told["response"], told["error"]["code"]) == (False, None, code)
    assert (told["id"], told["custom_id"]) == ("batch_req_1_2", "a")


CHAT = {
    "choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}


def submitted(body):
    return RESPONSES.read({"model": "m", "input": "hi"} | body)


def test_a_line_of_responses_is_answered_as_the_endpoint_itself_does():
    doc = orjson.dumps(submitted({"metadata": {"k": "v"}, "max_output_tokens": 9}).extra)
    result = b"R" + orjson.dumps(CHAT)
    good, line = outcome_line(Ended("Cjob_1_2", "a", result, None, 5_000, 8_999, doc), RESPONSES)
    body = orjson.loads(line)["response"]["body"]
    assert good
    assert (body["id"], body["object"], body["status"]) == ("resp_1_2", "response", "completed")
    assert (body["created_at"], body["completed_at"]) == (5, 8)
    assert (body["metadata"], body["max_output_tokens"]) == ({"k": "v"}, 9)
    assert body["output"][0]["content"][0]["text"] == "hello"
    assert body["usage"]["total_tokens"] == 5


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"background": True}, "background"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": []}, "input"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"messages": [], "input": None}, "input"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    ],
)
def test_a_line_of_responses_that_cannot_be_served_names_the_field(body, param):
    with pytest.raises(Refused) as refused:
        submitted(body)
    assert refused.value.param == param


HEARD = {
    "task": "transcribe", "language": "english", "duration": 2.5, "text": "hello there",
    "segments": [{"id": 0, "start": 0.0, "end": 2.5, "text": "hello there"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("form", "told"),
    [
        (None, {"text": "hello there"}),
        ("text", {"text": "hello there\n"}),
        ("verbose_json", {"duration": 2.5, "segments": HEARD["segments"]}),
    ],
)
def test_a_line_of_audio_is_answered_in_the_form_it_asked_for(form, told):
    body = {"model": "whisper", "url": "https://example.com/a.mp3"}
    submitted = AUDIO.read(body | ({"response_format": form} if form else {}))
    doc, result = orjson.dumps({"request": submitted.request}), b"R" + orjson.dumps(HEARD)
    good, line = outcome_line(Ended("Cjob_1_2", "a", result, doc=doc), AUDIO)
    answer = orjson.loads(line)["response"]["body"]
    assert good
    assert answer | told == answer


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "file_id"),
        ({"file_id": "file-1", "url": "https://example.com/a"}, "url"),
        ({"url": "ftp://example.com/a"}, "url"),
        ({"object": "files/file-1"}, "object"),
        ({"file_id": "file-1", "response_format": "yaml"}, "response_format"),
    ],
)
def test_a_line_of_audio_that_is_wrong_names_the_field(body, param):
    with pytest.raises(Refused) as refused:
        AUDIO.read({"model": "whisper"} | body)
    assert refused.value.param == param
