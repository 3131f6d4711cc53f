"""/openapi.json is valid and true: schemathesis asks what it promises."""

from typing import Any
from unittest import SkipTest

import orjson
import pytest
import schemathesis
from api_fakes import ADMIN, COMPLETION, FakeStore, application, client_for
from hypothesis import HealthCheck, assume, settings
from openapi_spec_validator import validate
from schemathesis.checks import load_all_checks
from schemathesis.pytest.lazy import get_all_tests

from api import options
from api.openapi import document
from shared.core.model import Kind
from shared.wire.native import JobRequest

EMBEDDING = {"object": "list", "data": [], "model": "m", "usage": {"prompt_tokens": 1}}
RESULTS = {
    Kind.CHAT: COMPLETION,
    Kind.EMBEDDING: EMBEDDING,
    Kind.TRANSCRIPTION: {"text": "Hello.", "duration": 1.0, "segments": []},
}


def served() -> FakeStore:
    store = FakeStore()

    def work(job_id: str) -> None:
        kind = store.rows[job_id].record.kind
        if kind is Kind.TASK:
            return store.test(job_id)
        store.start(job_id)
        return store.complete(job_id, RESULTS[kind])

    store.on_accept = work
    return store


# addresses are not looked up: names are made up by the thousand
APP, _ = application(
    served(),
    allow_private=True,
    private_webhooks=True,
    private_documents=True,
    keepalive_s=0.01,
    max_body_bytes=20_000_000,
)


def asked() -> dict[str, Any]:
    """The document, without the one bound that costs a third of all: 500 models that all differ.

    That the bound holds is told by a test of its own.
    """
    found: dict[str, Any] = orjson.loads(document())
    for name in ("NewProvider", "ProviderChange"):
        del found["components"]["schemas"][name]["properties"]["models"]["maxItems"]
    return found


SCHEMA = schemathesis.openapi.from_dict(asked())
SCHEMA.app = APP
OPERATIONS = [found.ok().label for found in SCHEMA.get_all_operations()]


def test_it_is_a_valid_openapi_document():
    validate(orjson.loads(document()))


def test_every_route_is_documented_and_nothing_else():
    documented = {
        (path, method.upper())
        for path, item in orjson.loads(document())["paths"].items()
        for method in item
    }
    routed = {
        (route.path.replace(":path", ""), method)
        for route in APP.routes
        for method in route.app._handlers
        if method != "HEAD"
    }
    assert documented == routed


def test_every_wish_of_a_job_and_every_header_of_ours_is_documented():
    found = orjson.loads(document())["components"]
    for kind in ("Chat", "Embedding", "Summary", "Transcription"):
        documented = found["schemas"][f"{kind}Job"]["properties"]
        assert documented.keys() == JobRequest.model_fields.keys()
    headers = {one["name"].lower() for one in found["parameters"].values() if one["in"] == "header"}
    assert {name.decode() for name in options._MINE} <= headers


async def test_a_provider_has_as_many_models_as_is_documented_and_no_more():
    app, _ = application(served(), allow_private=True)
    schemas = orjson.loads(document())["components"]["schemas"]
    first = {"id": "gamma", "base_url": "http://127.0.0.1:9/v1"}
    path, method = "/v1/providers", "POST"
    async with client_for(app, ADMIN) as admin:
        for name in ("NewProvider", "ProviderChange"):
            most = schemas[name]["properties"]["models"]["maxItems"]
            models = [{"id": f"model-{n}"} for n in range(most + 1)]
            over = await admin.request(method, path, json={**first, "models": models})
            assert (over.status_code, over.json()["error"]["param"]) == (400, "models")
            whole = await admin.request(method, path, json={**first, "models": models[:-1]})
            assert whole.status_code in (200, 201), whole.text
            assert whole.json()["deployments"] == most
            first, path, method = {}, "/v1/providers/gamma", "PATCH"


@SCHEMA.auth()
class Key:
    def get(self, _case, _context):
        return ADMIN

    def set(self, case, data, _context):
        case.headers["Authorization"] = f"Bearer {data}"


def holds_whole_float(value):
    if isinstance(value, dict):
        return any(map(holds_whole_float, value.values()))
    if isinstance(value, list):
        return any(map(holds_whole_float, value))
    return isinstance(value, float) and value.is_integer()


def names_a_model_twice(body):
    """No schema can say that the ids of a list differ: the description does."""
    models = body.get("models") if isinstance(body, dict) else None
    ids = [one.get("id") for one in models or () if isinstance(one, dict)]
    return any(ids.count(one) > 1 for one in ids[:20])


def goes_on_from_nothing(body):
    """No schema knows which responses there are, nor that the background must store."""
    return isinstance(body, dict) and (
        body.get("previous_response_id") is not None
        or (body.get("background") is True and body.get("store") is False)
    )


def wants_times_of_a_form_without(body):
    """The description says which fields need which format."""
    if not isinstance(body, dict):
        return False
    request = body.get("request")
    if isinstance(request, dict):
        return wants_times_of_a_form_without(request)

    def said(name):
        return body.get(name) or body.get(f"{name}[]")

    form = body.get("response_format", "json")
    times, streamed = said("timestamp_granularities"), body.get("stream") in (True, "true")
    names, samples = said("known_speaker_names") or [], said("known_speaker_references") or []
    english = body.get("task") == "translate"
    return (
        (times and form != "verbose_json")
        or (streamed and form not in ("json", "text", "diarized_json"))
        or ((names or samples) and (form != "diarized_json" or len(names) != len(samples)))
        or (english and (times or streamed or body.get("language") or form == "diarized_json"))
    )


def wants_a_second_call(case):
    """The description says where none is ever made; here it is never."""
    body = case.body if isinstance(case.body, dict) else {}
    return "auto" in (body.get("hedge"), case.headers.get("x-headrace-hedge"))


def is_valid(case):
    return case.meta is not None and case.meta.generation.mode.is_positive


def is_true(case):
    # nobody refuses headers it does not know, and 1.0 is no whole number on OpenAI's wire
    assume("x-schemathesis-unknown-property" not in case.headers)
    assume(not holds_whole_float(case.body))
    assume(not (is_valid(case) and names_a_model_twice(case.body)))
    assume(not (is_valid(case) and wants_a_second_call(case)))
    assume(not (is_valid(case) and goes_on_from_nothing(case.body)))
    assume(not (is_valid(case) and wants_times_of_a_form_without(case.body)))
    assume(not (is_valid(case) and float(case.headers.get("x-headrace-wait-s", 9)) < 1))
    case.call_and_validate()


ASKED = settings(
    max_examples=10, deadline=None, suppress_health_check=list(HealthCheck), database=None
)


@pytest.mark.timeout(
    600
)  # thousands of requests, thought up here, on whatever is left of two cores
@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_document_tells_the_truth(operation):
    # `SCHEMA.parametrize()` would think up all the requests while tests are collected, and so once
    # in each of pytest's processes: half a minute of each, and 400 MB.
    load_all_checks()
    only = SCHEMA.include(name=operation)
    (found,) = get_all_tests(schema=only, test_func=is_true, settings=ASKED, given_kwargs={})
    _, ask = found.ok()
    try:
        ask()
    except SkipTest as nothing:
        pytest.fail(f"nothing could be asked: {nothing}")
