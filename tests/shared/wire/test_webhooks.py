"""What is sent is what the openai SDK takes, and a receiver by the book."""

import base64
import hashlib
import hmac
import time

import pytest
from openai import InvalidWebhookSignatureError, OpenAI
from openai.types.webhooks import BatchCompletedWebhookEvent, ResponseCompletedWebhookEvent

from shared.wire.webhooks import event_body, headers, key_of, new_secret, signature

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PLAIN = "a plain text of some length"
CLIENT = OpenAI(api_key="none", webhook_secret=None)


def event(kind="response.completed", data_id="resp_1"):
    return {"id": "evt_1", "type": kind, "created_at": 1_790_000_000, "data": {"id": data_id}}


def sent(*secrets, at=None, **more):
    body = event_body(event(**more))
    return body, headers("evt_1", int(time.time()) if at is None else at, body, secrets)


def test_the_signature_is_that_of_the_specification():
    """The example of the Standard Webhooks specification's libraries."""
    body = b'{"test": 2432232314}'
    found = signature(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body)
    assert found == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_signature_is_an_hmac_of_id_time_and_body():
    body, given = sent(SECRET, at=7)
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    right = hmac.new(key, b"evt_1.7." + body, hashlib.sha256).digest()
    assert given["webhook-signature"] == "v1," + base64.b64encode(right).decode()
    assert (given["webhook-id"], given["webhook-timestamp"]) == ("evt_1", "7")


@pytest.mark.parametrize(
    ("kind", "type_"),
    [
        ("response.completed", ResponseCompletedWebhookEvent),
        ("batch.completed", BatchCompletedWebhookEvent),
    ],
)
@pytest.mark.parametrize("secret", [SECRET, PLAIN])
def test_the_sdk_unwraps_what_is_sent(kind, type_, secret):
    body, given = sent(secret, kind=kind, data_id="x_1")
    found = CLIENT.webhooks.unwrap(body, given, secret=secret)
    assert isinstance(found, type_)
    assert (found.id, found.object, found.type) == ("evt_1", "event", kind)
    assert (found.created_at, found.data.id) == (1_790_000_000, "x_1")


def test_the_sdk_unwraps_a_jobs_event_too():
    body, given = sent(SECRET, kind="job.completed", data_id="job_1")
    found = CLIENT.webhooks.unwrap(body, given, secret=SECRET)
    assert (found.type, found.data.id) == ("job.completed", "job_1")


OPENAI_EVENTS = (
    "batch.completed", "batch.failed", "batch.expired", "batch.cancelled",
    "response.completed", "response.failed", "response.cancelled", "response.incomplete",
)  # fmt: skip


@pytest.mark.parametrize("kind", OPENAI_EVENTS)
def test_every_type_of_openais_is_one_the_sdk_knows(kind):
    body, given = sent(SECRET, kind=kind)
    found = CLIENT.webhooks.unwrap(body, given, secret=SECRET)
    assert type(found).__name__ == kind.title().replace(".", "") + "WebhookEvent"


def test_each_of_several_secrets_opens_what_all_have_signed():
    old, new = new_secret(), new_secret()
    body, given = sent(new, old)
    for secret in (old, new):
        CLIENT.webhooks.verify_signature(body, given, secret=secret)
    with pytest.raises(InvalidWebhookSignatureError):
        CLIENT.webhooks.verify_signature(body, given, secret=new_secret())


def test_what_was_altered_or_is_old_does_not_verify():
    body, given = sent(SECRET)
    with pytest.raises(InvalidWebhookSignatureError):
        CLIENT.webhooks.verify_signature(body + b" ", given, secret=SECRET)
    body, given = sent(SECRET, at=int(time.time()) - 400)
    with pytest.raises(InvalidWebhookSignatureError):
        CLIENT.webhooks.verify_signature(body, given, secret=SECRET)


def test_a_fresh_secret_is_of_32_random_bytes():
    first, second = new_secret(), new_secret()
    assert len(key_of(first)) == 32
    assert first != second
