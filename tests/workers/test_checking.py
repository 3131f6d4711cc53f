"""A key is tested by listing models, against a real HTTP server; what cannot be told is said so."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import orjson
import pytest
from aiohttp import web

from shared.catalog import Provider
from shared.credentials import Secret
from shared.quirks import Quirks
from shared.store.tables import DEAD_MS, Rest
from workers.checking import check, listed_again, models_of
from workers.transport import Transport

KEY = Secret("sk-good-0123456789")
MODELS = {"data": [{"id": "a"}, {"id": "b"}, {"id": "a"}]}
GEMINI_REFUSAL = {
    "error": {
        "code": 400,
        "message": "API key not valid. Please pass a valid API key.",
        "status": "INVALID_ARGUMENT",
    }
}


@asynccontextmanager
async def served(answer: Callable[[web.Request], web.Response]) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.Response:
        return answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}/v1"
    finally:
        await runner.cleanup()


def keyed(request: web.Request) -> web.Response:
    if request.headers.get("authorization") == f"Bearer {KEY.reveal()}":
        return web.json_response(MODELS)
    return web.json_response({"error": {"message": f"bad key {KEY.reveal()}"}}, status=401)


def fixed(body: object, status: int = 200) -> Callable[[web.Request], web.Response]:
    return lambda _request: web.json_response(body, status=status)


async def checked(answer, secret=KEY, **quirks):
    transport = Transport()
    try:
        async with served(answer) as url:
            provider = Provider("p", quirks.pop("type", "x"), url, Quirks(**quirks))
            return await check(provider, secret, transport)
    finally:
        await transport.aclose()


async def test_a_good_key_is_valid_and_its_models_are_listed():
    found = await checked(keyed)
    assert (found.valid, found.status, found.models) == (True, "valid", ("a", "b"))


async def test_a_bad_key_is_invalid_and_the_reason_names_no_key():
    found = await checked(keyed, Secret("sk-bad-0123456789ab"))
    assert (found.valid, found.status, found.http_status) == (False, "invalid", 401)
    assert KEY.reveal() not in found.message


async def test_a_refusal_that_names_a_bad_key_with_a_400_is_one():
    found = await checked(fixed(GEMINI_REFUSAL, 400), type="gemini")
    assert (found.valid, found.status) == (False, "invalid")


async def test_a_list_that_needs_no_key_proves_none():
    found = await checked(fixed(MODELS))
    assert (found.valid, found.status, found.models) == (None, "unproven", ("a", "b"))


async def test_a_provider_without_keys_is_valid_where_it_answers():
    found = await checked(fixed(MODELS), None)
    assert (found.valid, found.status) == (True, "valid")


async def test_where_the_list_is_public_another_path_tells_of_the_key():
    def answer(request):
        return keyed(request) if request.path == "/v1/key" else web.json_response(MODELS)

    assert (await checked(answer, check_path="/key")).status == "valid"
    bad = await checked(answer, Secret("sk-bad-0123456789ab"), check_path="/key")
    assert bad.status == "invalid"


@pytest.mark.parametrize(
    ("status", "valid", "said"), [(429, True, "limited"), (500, None, "unexpected")]
)
async def test_a_limit_knows_its_key_and_a_server_error_says_nothing(status, valid, said):
    found = await checked(fixed({"error": {"message": "no"}}, status))
    assert (found.valid, found.status) == (valid, said)


async def test_nobody_there_is_unreachable_and_a_provider_without_a_list_is_not_asked():
    transport = Transport()
    gone = Provider("p", "x", "http://127.0.0.1:9/v1")
    none = Provider("p", "x", "http://127.0.0.1:9/v1", Quirks(models_path=""))
    assert (await check(gone, KEY, transport)).status == "unreachable"
    assert (await check(none, KEY, transport)).status == "not_offered"
    await transport.aclose()


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"data": [{"id": "x"}]}, ("x",)),
        ({"models": [{"name": "models/gemini-3"}, {"name": "command"}]}, ("gemini-3", "command")),
        ([{"id": "y"}, "nonsense", {"id": 7}], ("y",)),
        ({"data": "nonsense"}, ()),
        (7, ()),
    ],
)
def test_lists_of_models_are_read_in_every_shape(body, names):
    assert models_of(orjson.dumps(body)) == names
    assert models_of(b"<html>") == ()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1"])
async def test_a_guarded_provider_is_not_called_at_a_private_address(host):
    asked = []

    def answer(request):
        asked.append(request.path)
        return web.json_response(MODELS)

    transport = Transport()
    async with served(answer) as url:
        there = url.replace("127.0.0.1", host)
        found = await check(Provider("p", "x", there, guarded=True), KEY, transport)
        assert (found.valid, found.status, asked) == (None, "unreachable", [])
        open_ = await check(Provider("p", "x", url), KEY, transport)
        assert open_.models
    await transport.aclose()


def test_a_model_that_was_gone_is_back_where_the_list_names_it_again():
    gone = Rest(DEAD_MS, "model_gone")
    rests = {
        "c:k1": Rest(DEAD_MS, "unauthorized"),
        "l:p/org/a@shared|k1": gone,
        "l:p/b@shared|k1": gone,
        "l:p/org/a@shared|k2": gone,
        "l:p/resting@shared|k1": Rest(1_000, "model_gone"),
        "l:p/no-quota@shared|k1": Rest(DEAD_MS, "model_gone:rpd"),
    }
    listed = ("org/a", "resting", "no-quota")
    assert listed_again("k1", rests, listed) == ("p/org/a@shared",)
    assert listed_again("k1", rests, ("b:latest",)) == ("p/b@shared",)
    assert listed_again("k1", rests, ()) == ()
