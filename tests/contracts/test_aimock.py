"""Attempts over aimock, a simulator from npm that nobody here wrote: what it adds to llmock.

It keeps to fixtures, so the same words must come back over every wire, and it plays what llmock
does not: OpenRouter's and Azure's shapes, several calls in one turn and their results, embeddings,
replies that are not JSON, connections hung up. `scripts/install-aimock` fetches it.
"""

import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from worker_claims import Told, catalog, claim, context, deployment

from shared.catalog import build
from shared.catalog_schema import Config
from shared.core.model import Kind
from shared.queue.types import Report, Verdict
from shared.quirks import Quirks
from workers import attempt
from workers.transport import AioTransport, Transport

HOME = Path(os.environ.get("AIMOCK") or Path(sys.prefix) / "aimock")
CLI = HOME / "dist" / "cli.js"
NODES = (Path(sys.prefix) / "bin" / "node", Path("/usr/bin/node"), Path("/usr/local/bin/node"))
START_S = 20
# A provider of the catalog, its type, and where aimock plays it.
WIRES = {
    "openai": ("openai-compatible", "/v1"),
    "groq": ("openai-compatible", "/openai/v1"),
    "mistral": ("openai-compatible", "/v1"),
    "openrouter": ("openai-compatible", "/api/v1"),
    "azure": ("openai-compatible", "/openai/deployments/m1"),
    "gemini": ("gemini", "/v1beta"),
    "cohere": ("cohere", "/v2"),
    "anthropic": ("anthropic", "/v1"),
}
ASKED = "What turns the wheel?"
SAID = "The wheel turns with the water, and the water with the rain."
CALLS = [
    {"name": "turn_wheel", "arguments": {"wheel": "first"}},
    {"name": "turn_wheel", "arguments": {"wheel": "second"}},
]
TOOL = {
    "type": "function",
    "function": {
        "name": "turn_wheel",
        "description": "Turns a wheel.",
        "parameters": {"type": "object", "properties": {"wheel": {"type": "string"}}},
    },
}


def told(text: str, response: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"match": {"userMessage": text}, "response": dict(response), **more}


FIXTURES = [
    {"match": {"userMessage": "Turn both", "hasToolResult": True}, "response": {"content": SAID}},
    told("Turn both", {"toolCalls": CALLS}),
    told(ASKED, {"content": SAID, "usage": {"prompt_tokens": 21, "completion_tokens": 13}}),
    told("cut short", {"content": SAID, "finishReason": "length"}),
    {"match": {"inputText": ASKED}, "response": {"embedding": [0.5, -0.25, 0.125]}},
    told("too many", {"error": {"message": "Rate limit reached"}, "status": 429, "retryAfter": 7}),
    told("overloaded", {"error": {"message": "Overloaded"}, "status": 503}),
    told("a key", {"error": {"message": "Incorrect API key provided"}, "status": 401}),
    told("broken off", {"content": SAID * 4}, truncateAfterChunks=2),
    told("not JSON", {"content": SAID}, chaos={"malformedRate": 1.0}),
    told("hung up", {"content": SAID}, chaos={"disconnectRate": 1.0}),
]


def node() -> str:
    found = next((str(each) for each in NODES if each.exists()), None)
    if found is None or not CLI.exists():
        pytest.fail(f"{CLI} or Node.js is missing: run scripts/install-aimock", pytrace=False)
    return found


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    fixtures = folder / "fixtures.json"
    fixtures.write_bytes(orjson.dumps({"fixtures": FIXTURES}))
    words = [node(), str(CLI), "-p", "0", "-f", str(fixtures), "--strict", "--log-level", "info"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    reader: threading.Thread | None = None
    late = threading.Timer(START_S, child.kill)
    late.start()
    try:
        assert child.stdout is not None
        heard = next((line for line in child.stdout if "listening on" in line), "")
        late.cancel()
        assert heard, "aimock did not start"
        reader = threading.Thread(target=child.stdout.read, daemon=True)
        reader.start()
        yield heard.rpartition(" ")[2].strip()
    finally:
        late.cancel()
        child.terminate()
        child.wait()
        if reader is not None:
            reader.join()
        if child.stdout is not None:
            child.stdout.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("aimock")) as url:
        yield url


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport(AioTransport(proxies={}))
    yield made
    await made.aclose()


@pytest.fixture(scope="module")
def quirks() -> dict[str, Quirks]:
    """The differences of each provider's wire, as the catalog has them."""
    known = build(Config(), env={})
    return {name: known.quirks(name if name != "azure" else "openai") for name in WIRES}


@pytest.fixture
def ask(address, transport, quirks):
    async def made(provider: str, text: str = ASKED, heard: Told | None = None, **more) -> Report:
        type_, path = WIRES[provider]
        known = catalog(
            deployment(address + path, provider, type=type_, context_tokens=8_192), quirks=quirks
        )
        kind = more.pop("kind", Kind.CHAT)
        stream = more.pop("stream", False)
        asked = {"model": "m1", "messages": [{"role": "user", "content": text}], **more}
        if kind is Kind.EMBEDDING:
            asked = {"model": "m1", "input": [text, text]}
        job = claim(
            f"{provider}/m1@shared", asked, {"on_break": "restart"}, stream=stream, kind=kind
        )
        return await attempt.run(job, context(transport, known, heard))

    return made


def result(report: Report) -> dict[str, Any]:
    assert report.verdict is Verdict.COMPLETE, report.attempt
    return dict(orjson.loads(report.result or b""))


@pytest.mark.parametrize("provider", WIRES)
@pytest.mark.parametrize("stream", [False, True])
async def test_the_same_words_come_back_over_every_wire(ask, provider, stream):
    heard = Told()
    (choice,) = result(await ask(provider, heard=heard, stream=stream))["choices"]
    assert choice["message"]["content"] == SAID
    assert choice["finish_reason"] == "stop"
    if stream:
        assert heard.text == SAID


@pytest.mark.parametrize("provider", WIRES)
@pytest.mark.parametrize("stream", [False, True])
async def test_two_calls_in_one_turn_and_their_results(ask, provider, stream):
    (choice,) = result(await ask(provider, "Turn both", tools=[TOOL], stream=stream))["choices"]
    assert choice["finish_reason"] == "tool_calls"
    calls = choice["message"]["tool_calls"]
    assert [orjson.loads(one["function"]["arguments"]) for one in calls] == [
        one["arguments"] for one in CALLS
    ]
    assert len({one["id"] for one in calls}) == len(CALLS)
    turns = [
        {"role": "user", "content": "Turn both"},
        {"role": "assistant", "content": None, "tool_calls": calls},
        *({"role": "tool", "tool_call_id": one["id"], "content": "turned"} for one in calls),
    ]
    (last,) = result(await ask(provider, messages=turns, tools=[TOOL], stream=stream))["choices"]
    assert last["message"]["content"] == SAID


@pytest.mark.parametrize("provider", WIRES)
async def test_an_answer_cut_at_its_limit_says_so(ask, provider):
    (choice,) = result(await ask(provider, "cut short"))["choices"]
    assert choice["finish_reason"] == "length"


REFUSALS = {
    "too many": ("rate_limited", Verdict.REQUEUE),
    "overloaded": ("overloaded", Verdict.RETRY),
    "a key": ("unauthorized", Verdict.REQUEUE),
    "hung up": ("unreachable", Verdict.RETRY),
    "not JSON": ("malformed_reply", Verdict.RETRY),
}


@pytest.mark.parametrize("provider", WIRES)
@pytest.mark.parametrize("text", REFUSALS)
async def test_each_refusal_is_taken_for_what_it_is(ask, provider, text):
    report = await ask(provider, text)
    assert (report.attempt["outcome"], report.verdict) == REFUSALS[text]
    assert report.result is None


@pytest.mark.parametrize("provider", WIRES)
async def test_a_stream_broken_off_is_no_answer(ask, provider):
    report = await ask(provider, "broken off", stream=True)
    assert report.verdict is Verdict.RETRY
    assert report.result is None


@pytest.mark.parametrize("provider", ["openai", "openrouter", "mistral"])
async def test_embeddings_are_read(ask, provider):
    found = result(await ask(provider, kind=Kind.EMBEDDING))["data"]
    assert [one["index"] for one in found] == [0, 1]
    assert found[0]["embedding"] == found[1]["embedding"] == [0.5, -0.25, 0.125]


async def test_what_it_refuses_to_understand_would_be_seen(address):
    async with httpx2.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{address}/v1/chat/completions", json={"model": "m1"})
    assert answer.status_code >= 400
