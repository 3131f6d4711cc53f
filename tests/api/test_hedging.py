"""A job may wish for a second call where the first is slow, or for none; policy may forbid it."""

import orjson
import pytest
from api_fakes import FakeStore, application, client_for

CHAT = {"model": "sim", "messages": [{"role": "user", "content": "hello"}]}
JOB = {"kind": "chat", "request": CHAT}


def policy_of(store: FakeStore, job_id: str) -> dict:
    return orjson.loads(store.rows[job_id].job.doc).get("policy", {})


async def post(store, path, body, headers=None, **bounds):
    app, _ = application(store, **bounds)
    async with client_for(app) as client:
        return await client.post(path, json=body, headers=headers or {})


@pytest.mark.parametrize("wish", ["never", "auto"])
async def test_a_wish_in_a_job_or_a_header_is_kept_with_the_job(store: FakeStore, wish) -> None:
    answer = await post(store, "/v1/jobs", {**JOB, "hedge": wish}, hedging=True)
    assert answer.status_code == 202
    assert policy_of(store, answer.json()["id"]) == {"hedge": wish}
    headers = {"x-headrace-hedge": wish, "prefer": "respond-async"}
    answer = await post(store, "/v1/chat/completions", CHAT, headers, hedging=True)
    assert answer.status_code == 202
    assert policy_of(store, answer.json()["id"]) == {"hedge": wish}


async def test_a_summary_may_wish_for_its_calls_and_a_transcription_may_not(
    store: FakeStore,
) -> None:
    summary = {"kind": "summary", "request": {"model": "sim", "input": "Long ago."}}
    answer = await post(store, "/v1/jobs", {**summary, "hedge": "auto"}, hedging=True)
    assert answer.status_code == 202, answer.text
    assert policy_of(store, answer.json()["id"]) == {"hedge": "auto"}
    heard = {
        "kind": "transcription",
        "request": {"model": "whisper", "url": "https://example.com/a"},
    }
    answer = await post(store, "/v1/jobs", {**heard, "hedge": "auto"}, hedging=True)
    assert answer.json()["error"]["code"] == "hedge_not_allowed"
    assert "a transcription is never made twice" in answer.json()["error"]["message"]


async def test_it_stands_beside_the_other_wishes(store: FakeStore) -> None:
    body = {**JOB, "hedge": "never", "on_uncertain": "fail", "max_attempts": 2}
    answer = await post(store, "/v1/jobs", body, hedging=True)
    wishes = {"hedge": "never", "on_uncertain": "fail", "max_attempts": 2}
    assert policy_of(store, answer.json()["id"]) == wishes


@pytest.mark.parametrize(
    ("more", "bounds", "why"),
    [
        ({}, {"hedging": False}, "HEADRACE_HEDGE_SHARE is 0"),
        ({"priority": "bulk"}, {"hedging": True}, "bulk work"),
        ({"on_uncertain": "fail"}, {"hedging": True}, "on_uncertain: fail"),
    ],
)
async def test_what_no_policy_allows_is_refused_by_the_field(
    store: FakeStore, more, bounds, why
) -> None:
    answer = await post(store, "/v1/jobs", {**JOB, "hedge": "auto", **more}, **bounds)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == ("hedge", "hedge_not_allowed")
    assert why in error["message"]


async def test_a_header_is_refused_by_its_name(store: FakeStore) -> None:
    for wish, code in (("auto", "hedge_not_allowed"), ("maybe", None)):
        headers = {"x-headrace-hedge": wish}
        answer = await post(store, "/v1/chat/completions", CHAT, headers, hedging=False)
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "x-headrace-hedge"
        assert code is None or answer.json()["error"]["code"] == code


async def test_who_wishes_for_none_where_none_is_made_is_not_refused(store: FakeStore) -> None:
    answer = await post(store, "/v1/jobs", {**JOB, "hedge": "never"}, hedging=False)
    assert answer.status_code == 202
