from collections.abc import AsyncIterator

import orjson
import pytest
from raw_server import COMPLETION, always, json_reply, serving
from worker_claims import KEY, Told, catalog, claim, context, deployment

from shared.queue.types import Verdict
from workers import attempt
from workers.transport import AioTransport, Transport


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport(AioTransport(proxies={}))
    yield made
    await made.aclose()


async def test_a_chat_is_sent_as_the_deployments_model_and_its_answer_completes_the_job(transport):
    told = Told()
    async with serving(always(json_reply(COMPLETION))) as server:
        known = catalog(deployment(f"{server.url}/v1"))
        report = await attempt.run(claim(), context(transport, known, told))
    head, body = server.requests[0]
    assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
    assert f"authorization: bearer {KEY}".encode() in head.lower()
    assert orjson.loads(body) == {
        "model": "m1",
        "messages": [{"role": "user", "content": "Say hello."}],
    }
    assert report.verdict is Verdict.COMPLETE
    assert orjson.loads(report.result or b"") == COMPLETION
    assert report.usage is not None
    assert (report.usage.input_tokens, report.usage.output_tokens) == (9, 3)
    assert report.cost_microusd == 2
    assert report.reached
    assert report.health == "ok"
    assert told.sent == 1
    assert report.attempt["outcome"] == "succeeded"
