"""Attempts against the simulator: each fault on the wire, and each dialect's refusal."""

from collections.abc import AsyncIterator, Iterator

import httpx2
import orjson
import pytest
from worker_claims import Told, catalog, claim, context, deployment

import simulator
from shared.core.model import Kind
from shared.credentials import Secret
from shared.queue.types import Report, Verdict
from simulator import Key, LimitSpec, Model, SimulatedProvider, SimulatorConfig, running
from workers import attempt
from workers.transport import AioTransport, Timeouts, Transport

DIALECTS = ("openai", "groq", "mistral", "anthropic-like", "cerebras", "none")
QUICK = Timeouts(total_ms=3_000, connect_ms=1_000, first_byte_ms=400, idle_ms=400)


def provider(name: str, dialect: str) -> SimulatedProvider:
    return SimulatedProvider(
        name,
        models=(Model("m1"), Model("e1", kinds=("embedding",))),
        keys=(Key("a1", "sk-a1"),),
        limits=(LimitSpec("requests", 2, 60_000_000),) if name != "free" else (),
        dialect=dialect,
    )


@pytest.fixture(scope="module")
def address() -> Iterator[simulator.Address]:
    providers = [provider("free", "openai"), *(provider(each, each) for each in DIALECTS)]
    with running(SimulatorConfig(providers=tuple(providers))) as found:
        yield found


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport(AioTransport(proxies={}))
    yield made
    await made.aclose()


async def run(address, transport, name="free", told=None, model="m1", **changes) -> Report:
    known = catalog(deployment(address.base_urls[name], name, model=model))
    secrets = {"a1": Secret("sk-a1")}
    ctx = context(transport, known, told, secret=secrets.get, timeouts=QUICK)
    return await attempt.run(claim(f"{name}/{model}@shared", **changes), ctx)


async def armed(address, **fault) -> None:
    async with httpx2.AsyncClient(trust_env=False) as admin:
        await admin.delete(f"{address.admin_url}/faults")
        answer = await admin.post(f"{address.admin_url}/faults", json={"count": 1, **fault})
        assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("stream", [False, True])
async def test_a_chat_is_answered_and_counted_as_the_provider_counts(address, transport, stream):
    told = Told()
    report = await run(address, transport, told=told, stream=stream)
    assert report.verdict is Verdict.COMPLETE
    body = orjson.loads(report.result or b"")
    if stream:
        assert told.text == body["choices"][0]["message"]["content"]
    assert report.usage is not None
    assert not report.usage.estimated
    assert report.usage.output_tokens == body["usage"]["completion_tokens"]


async def test_an_embedding_is_answered(address, transport):
    report = await run(
        address, transport, model="e1", kind=Kind.EMBEDDING, request={"input": ["a", "b"]}
    )
    assert report.verdict is Verdict.COMPLETE
    assert len(orjson.loads(report.result or b"")["data"]) == 2


FAULTS = [
    ("rate_limited", "rate_limited", Verdict.REQUEUE, False),
    ("error", "overloaded", Verdict.RETRY, False),
    ("stall", "timeout", Verdict.RETRY, True),
    ("stall_midstream", "timeout", Verdict.RETRY, True),
    ("drop_before", "unreachable", Verdict.RETRY, True),
    ("drop_after", "unreachable", Verdict.RETRY, True),
    ("broken_stream", "malformed_reply", Verdict.RETRY, True),
    ("empty_body", "malformed_reply", Verdict.RETRY, True),
    ("empty_choices", "malformed_reply", Verdict.RETRY, True),
    ("empty_stream", "malformed_reply", Verdict.RETRY, True),
    ("error_in_200", "malformed_reply", Verdict.RETRY, False),
    ("malformed_json", "malformed_reply", Verdict.RETRY, True),
    ("key_revoked", "unauthorized", Verdict.REQUEUE, False),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fault", "outcome", "verdict", "uncertain"), FAULTS)
async def test_each_fault_is_taken_for_what_it_is(
    address, transport, fault, outcome, verdict, uncertain, stream
):
    await armed(address, kind=fault, provider="free")
    policy = {"on_break": "restart"}
    report = await run(address, transport, stream=stream, policy=policy)
    assert report.attempt["outcome"] == outcome
    assert report.verdict is verdict
    assert report.uncertain is uncertain
    assert report.result is None


async def test_a_model_that_is_gone_is_a_404_where_there_is_no_other(address, transport):
    await armed(address, kind="model_gone", provider="free")
    report = await run(address, transport)
    assert report.verdict is Verdict.FAIL
    assert (report.error or {})["code"] == "model_not_found"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_each_dialects_limit_sends_the_job_back_and_rests_the_lane(
    address, transport, dialect
):
    reports = [await run(address, transport, dialect) for _ in range(3)]
    assert [report.verdict for report in reports] == [
        Verdict.COMPLETE,
        Verdict.COMPLETE,
        Verdict.REQUEUE,
    ]
    (rest,) = reports[2].cooldowns
    assert rest.scope == "lane"
    assert rest.for_ms > 0
    if dialect != "none":
        assert rest.for_ms > 30_000
