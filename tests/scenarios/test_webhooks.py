"""Ends are told to the outside: by the whole system, to a receiver on this machine."""

import os
import signal

import orjson
import pytest
from hook_receiver import receiving
from openai.types.webhooks import (
    BatchCompletedWebhookEvent,
    BatchFailedWebhookEvent,
    ResponseCompletedWebhookEvent,
)
from whole import until, whole_system

ALLOWED = {"HEADRACE_ALLOW_PRIVATE_WEBHOOKS": "true"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(scope="module")
def system():
    with whole_system("unlimited", env=ALLOWED) as made:
        yield made


def submit(system, webhook, **more):
    request = {
        "model": "sim-small",
        "messages": [{"role": "user", "content": "tell me"}],
        "max_tokens": 4,
    }
    body = {"kind": "chat", "request": request, "webhook": webhook, **more}
    with system.http() as http:
        answer = http.post("/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]


def deliveries(system, job_id):
    with system.http() as http:
        return http.get(f"/v1/jobs/{job_id}").json().get("deliveries", [])


def told(system, job_id, status="delivered"):
    return until(lambda: [one for one in deliveries(system, job_id) if one["status"] == status])


@pytest.mark.timeout(600)
def test_a_jobs_end_is_told_once_and_the_sdk_unwraps_it(system):
    with receiving() as there:
        job_id = submit(system, {"url": there.url, "secret": SECRET})
        (delivery,) = told(system, job_id)
    ((_, headers, body),) = there.got
    event = system.sdk().webhooks.unwrap(body, headers, secret=SECRET)
    assert (event.type, event.data.id) == ("job.completed", job_id)
    assert event.id == headers["webhook-id"] == delivery["event_id"]
    assert [one["http_status"] for one in delivery["tries"]] == [204]


@pytest.mark.timeout(600)
def test_an_endpoint_hears_of_every_job_and_both_secrets_sign_after_a_rotation(system):
    sdk = system.sdk()
    with receiving() as there:
        made = sdk.webhooks.create(name="all", url=there.url, event_types=["job.completed"])
        new = sdk.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
        job_id = submit(system, None)
        told(system, job_id)
        tried = sdk.webhooks.test(made.id, event_type="response.completed")
        sdk.webhooks.delete(made.id)
    assert tried.status_code == 204
    (_, headers, body), (_, _, sample) = there.got
    for secret in (made.signing_secret, new.signing_secret):
        sdk.webhooks.verify_signature(body, headers, secret=secret)
    assert orjson.loads(sample)["type"] == "response.completed"


@pytest.mark.timeout(600)
def test_a_receiver_that_was_down_is_told_when_it_is_up_again(system):
    with receiving() as there:
        port = there.port
    job_id = submit(system, {"url": f"http://127.0.0.1:{port}/hook", "secret": SECRET})
    until(lambda: [one for one in deliveries(system, job_id) if one["tries"]])
    (waiting,) = deliveries(system, job_id)
    assert waiting["status"] == "pending"
    assert waiting["next_try_at"]
    with receiving(port) as there:
        (delivery,) = told(system, job_id)
    assert [one["outcome"] for one in delivery["tries"]] == ["failed", "delivered"]
    ((_, headers, _),) = there.got
    assert headers["webhook-id"] == waiting["event_id"]


@pytest.mark.timeout(600)
def test_a_410_disables_the_endpoint_until_its_owner_takes_it_back(system):
    sdk = system.sdk()
    with receiving(0, 410) as there:
        first = submit(system, there.url)
        told(system, first, "failed")
        second = submit(system, there.url)
        (refused,) = told(system, second, "failed")
        assert "disabled" in refused["error"]
        assert len(there.got) == 1
        (endpoint,) = [one for one in sdk.webhooks.list() if one.url == there.url]
        assert endpoint.model_extra["disabled"] == "the receiver answered 410"
        sdk.webhooks.update(endpoint.id, extra_body={"disabled": False})
        there.answers[:] = [204]
        with system.http() as http:
            assert http.post(f"/v1/jobs/{second}/redeliver").status_code == 202
        (delivery,) = told(system, second)
        assert delivery["event_id"] == refused["event_id"]
    assert len(there.got) == 2


@pytest.mark.timeout(600)
def test_a_worker_killed_while_it_tells_is_followed_by_another_with_the_same_id(system):
    with receiving(held=True) as there:
        job_id = submit(system, {"url": there.url, "secret": SECRET})
        until(lambda: there.got)
        for pid in system.stack.pids("workers"):
            os.kill(pid, signal.SIGKILL)
        until(lambda: len(there.got) == 2)
        there.gate.set()
        (delivery,) = told(system, job_id)
    assert {headers["webhook-id"] for _, headers, _ in there.got} == {delivery["event_id"]}
    assert len({body for _, _, body in there.got}) == 1


@pytest.mark.timeout(600)
def test_a_response_of_the_background_is_told_as_openai_tells_it(system):
    sdk = system.sdk()
    with receiving() as there:
        made = sdk.webhooks.create(name="r", url=there.url, event_types=["response.completed"])
        response = sdk.responses.create(model="sim-small", input="tell me", background=True)
        until(lambda: there.got)
        sdk.webhooks.delete(made.id)
    ((_, headers, body),) = there.got
    event = sdk.webhooks.unwrap(body, headers, secret=made.signing_secret)
    assert isinstance(event, ResponseCompletedWebhookEvent)
    assert event.data.id == response.id
    assert sdk.responses.retrieve(event.data.id).output_text


@pytest.mark.timeout(600)
def test_a_batchs_end_is_told_as_openai_tells_it(system):
    sdk = system.sdk()
    chat = {"model": "sim-small", "messages": [{"role": "user", "content": "go"}]}
    url = "/v1/chat/completions"
    line = orjson.dumps({"custom_id": "a", "method": "POST", "url": url, "body": chat})
    types = ["batch.completed", "batch.failed"]
    with receiving() as there:
        made = sdk.webhooks.create(name="b", url=there.url, event_types=types)
        batches = []
        for content in (line, b"{"):
            file = sdk.files.create(file=("in.jsonl", content), purpose="batch")
            new = {"endpoint": url, "completion_window": "24h"}
            batches.append(sdk.batches.create(input_file_id=file.id, **new))
        until(lambda: len(there.got) == 2)
        with system.http() as http:
            again = http.post(f"/v1/batches/{batches[0].id}/redeliver")
        assert (again.status_code, len(again.json()["headrace"]["deliveries"])) == (202, 2)
        until(lambda: len(there.got) == 3)
        sdk.webhooks.delete(made.id)
    ids = [headers["webhook-id"] for _, headers, _ in there.got]
    assert ids[2] in ids[:2]
    events = {}
    for _, headers, body in there.got:
        event = sdk.webhooks.unwrap(body, headers, secret=made.signing_secret)
        events[event.data.id] = type(event)
    assert events == {
        batches[0].id: BatchCompletedWebhookEvent,
        batches[1].id: BatchFailedWebhookEvent,
    }
    assert sdk.batches.retrieve(batches[0].id).status == "completed"
