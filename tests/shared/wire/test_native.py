"""The body of POST /v1/jobs."""

import pytest

from shared.errors import Refused
from shared.wire.native import job_request

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def body(**fields):
    return {"kind": "chat", "request": CHAT, **fields}


def hook(**fields):
    return {"url": "https://x/y", **fields}


def test_a_job_keeps_the_callers_request_and_leaves_the_rest_to_settings():
    given = body()
    job = job_request(given)
    assert job.request == CHAT
    assert (job.priority, job.deadline_s, job.paid, job.max_attempts) == (None,) * 4
    assert (job.stream, job.on_uncertain, job.on_break) == (False, "retry", "fail")


def test_every_documented_field_passes():
    job = job_request(
        body(
            stream=True,
            priority="bulk",
            deadline_s=60,
            max_wait_s=1.5,
            webhook="https://x/y",
            metadata={"a": "b"},
            paid="never",
            max_attempts=1,
            max_cost_usd=0.5,
            on_uncertain="fail",
            on_break="continue",
        )
    )
    assert (job.deadline_s, job.max_wait_s, job.max_cost_usd) == (60, 1.5, 0.5)


@pytest.mark.parametrize(
    ("given", "param", "word"),
    [
        ({"request": CHAT}, "kind", "required"),
        ({"kind": "chat"}, "request", "required"),
        (body(kind="chta"), "kind", "'chat'"),
        (body(prioritty="bulk"), "prioritty", "did you mean 'priority'?"),
        (body(zzz=1), "zzz", "known: cache_s, deadline_s"),
        (body(priority="urgent"), "priority", "'interactive'"),
        (body(stream="yes"), "stream", "boolean"),
        (body(deadline_s=0), "deadline_s", "greater than 0"),
        (body(deadline_s="60"), "deadline_s", "number"),
        (body(max_wait_s=float("inf")), "max_wait_s", "finite"),
        (body(webhook="ftp://x"), "webhook", "https address"),
        (body(webhook="https://"), "webhook", "https address"),
        (body(webhook="https://x:0/"), "webhook", "port"),
        (body(webhook="https://x:99999/"), "webhook", "valid address"),
        (body(webhook="https://x/ü"), "webhook", "percent-encoded"),
        (body(webhook="https://x/#a"), "webhook", "fragment"),
        (body(webhook=7), "webhook", "url, secret and events"),
        (body(webhook={}), "webhook.url", "required"),
        (body(webhook={"url": "https://u:p@x/"}), "webhook.url", "no user"),
        (body(webhook=hook(secrets="x")), "webhook.secrets", "did you mean 'secret'?"),
        (body(webhook=hook(secret="short")), "webhook.secret", "16 characters"),
        (body(webhook=hook(secret="whsec_%%")), "webhook.secret", "base64"),
        (body(webhook=hook(secret="whsec_YWJj")), "webhook.secret", "24 to 64 bytes"),
        (body(webhook=hook(secret=["s" * 16] * 5)), "webhook.secret", "4 items"),
        (body(webhook=hook(secret=["s"])), "webhook.secret[0]", "16 characters"),
        (body(webhook=hook(events=[])), "webhook.events", "at least 1"),
        (body(webhook=hook(events=["job.done"])), "webhook.events[0]", "'job.completed'"),
        (body(metadata={"a" * 65: "b"}), "metadata." + "a" * 64 + "…", "64 characters"),
        (body(metadata={"a": "b" * 513}), "metadata.a", "512 characters"),
        (body(metadata={str(i): "" for i in range(17)}), "metadata", "16 items"),
        (body(max_attempts=0), "max_attempts", "greater than or equal to 1"),
        (body(max_cost_usd=0), "max_cost_usd", "greater than 0"),
        (body(on_break="shrug"), "on_break", "'restart'"),
        (body(request=[]), "request", "mapping"),
        (body(request={"model": "m", "messages": []}), "request.messages", "at least 1"),
        (body(kind="embedding"), "request.input", "required"),
    ],
)
def test_a_wrong_field_is_a_400_that_names_it(given, param, word):
    with pytest.raises(Refused) as caught:
        job_request(given)
    assert (caught.value.status, caught.value.param) == (400, param)
    assert word in caught.value.message


def test_an_unknown_field_has_openais_code_for_it():
    with pytest.raises(Refused) as caught:
        job_request(body(priorty="bulk"))
    assert caught.value.code == "unknown_parameter"


def test_a_summary_is_checked_as_such_and_its_fields_are_named_where_they_stand():
    assert job_request({"kind": "summary", "request": {"input": "x"}}).kind == "summary"
    with pytest.raises(Refused) as caught:
        job_request({"kind": "summary", "request": {"text": "x"}})
    assert caught.value.param == "request.text"


def test_a_transcription_is_checked_as_such_and_its_fields_are_named_where_they_stand():
    request = {"file_id": "file-1", "model": "whisper-1", "temperature": 2}
    with pytest.raises(Refused) as caught:
        job_request({"kind": "transcription", "request": request})
    assert caught.value.param == "request.temperature"


@pytest.mark.parametrize("given", [None, [], 5, "x"])
def test_a_body_that_is_no_object_is_refused(given):
    with pytest.raises(Refused, match="the request body should be a"):
        job_request(given)
