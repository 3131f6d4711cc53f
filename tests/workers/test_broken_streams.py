"""Attempts at a job whose caller has the beginning of an answer already."""

from collections.abc import AsyncIterator

import orjson
import pytest
from raw_server import always, chunked, json_reply, serving
from recorded_replies import openai
from recorded_streams import PIECES, USAGE, chunk, sse
from worker_claims import Told, catalog, claim, context, deployment

from shared.core.decision import Candidate
from shared.core.model import Usage
from shared.queue.types import Verdict
from workers import attempt, escape
from workers.continuing import GO_ON
from workers.transport import AioTransport, Transport

CONTINUE = {"on_break": "continue"}
CALLED = {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}]}


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport(AioTransport(proxies={}))
    yield made
    await made.aclose()


async def attempted(transport, raw, before=(), records=(), **changes):
    """One attempt at a server that sends `raw`, after these chunks and records."""
    told = Told(history=list(records))

    async def deltas():
        return [orjson.dumps(each) for each in before]

    handler = raw if callable(raw) else always(raw)
    async with serving(handler) as server:
        known = catalog(deployment(f"{server.url}/v1"))
        ctx = context(transport, known, told, deltas=deltas)
        given = {"stream": True, "streamed": bool(before), "policy": CONTINUE, **changes}
        return await attempt.run(claim(**given), ctx), server, told


def cut(*chunks):
    async def handle(peer):
        await peer.request()
        await peer.send(chunked(sse(*chunks, done=False), end=False))

    return handle


async def test_a_break_tells_how_far_the_answer_had_come_and_what_it_cost(transport):
    report, _, _ = await attempted(transport, cut(*PIECES[:2]))
    assert report.verdict is Verdict.RETRY
    assert report.resume == {"on_break": "continue", "continued_from": len("Hello, ")}
    assert report.attempt["usage"] == {"input_tokens": 12, "output_tokens": 7, "estimated": True}
    assert report.cost_microusd == report.attempt["cost_microusd"] > 0
    assert report.usage is None


async def test_the_next_attempt_asks_for_the_rest_and_ends_with_the_whole(transport):
    rest = sse(chunk({"role": "assistant", "content": "mill."}), chunk({}, "stop", usage=USAGE))
    records = [{"usage": {"input_tokens": 12, "output_tokens": 7}}]
    report, server, told = await attempted(transport, chunked(rest), PIECES[:2], records)
    messages = orjson.loads(server.requests[0][1])["messages"]
    assert [each["content"] for each in messages[1:]] == ["Hello, ", GO_ON]
    assert told.text == "mill."
    assert report.verdict is Verdict.COMPLETE
    body = orjson.loads(report.result or b"")
    assert body["choices"][0]["message"]["content"] == "Hello, mill."
    assert (report.usage, report.total) == (Usage(9, 3), Usage(21, 10, estimated=True))
    assert body["usage"]["total_tokens"] == 31
    assert report.attempt["continued_from"] == len("Hello, ")


async def test_an_answer_whose_end_alone_was_lost_is_not_asked_for_again(transport):
    ended = (*PIECES, chunk({}, "stop"))
    report, server, told = await attempted(transport, chunked(sse()), ended)
    assert server.requests == []
    assert told.events == []
    assert (report.verdict, report.reached) == (Verdict.COMPLETE, False)
    assert orjson.loads(report.result or b"")["choices"][0]["finish_reason"] == "stop"
    assert report.total == Usage(12, len("Hello, wörld \U0001f44b!"), estimated=True)


async def test_a_tool_call_that_had_begun_is_not_gone_on_with(transport):
    report, _, _ = await attempted(transport, cut(chunk(CALLED)))
    assert (report.verdict, (report.error or {})["code"]) == (Verdict.FAIL, "stream_broken")
    assert "a tool call had begun" in (report.error or {})["message"]
    lost, server, _ = await attempted(transport, chunked(sse()), [chunk(CALLED)])
    assert (lost.verdict, (lost.error or {})["code"]) == (Verdict.FAIL, "stream_broken")
    assert server.requests == []


async def test_a_host_that_refuses_to_go_on_is_not_the_callers_fault(transport):
    refusal = json_reply(openai("no prefill", "invalid_value"), "400 Bad Request")
    report, _, _ = await attempted(transport, refusal, PIECES[:2])
    assert report.verdict is Verdict.RETRY
    first, _, _ = await attempted(transport, refusal)
    assert first.verdict is Verdict.FAIL


async def test_a_second_break_goes_on_from_both_beginnings(transport):
    more = cut(chunk({"content": "wide "}), chunk({"content": "wor"}))
    report, _, told = await attempted(transport, more, PIECES[:2])
    assert told.text == "wide wor"
    assert report.resume == {"on_break": "continue", "continued_from": len("Hello, wide wor")}
    assert report.attempt["usage"]["output_tokens"] == len("wide wor")


LANES = ("beta/m1@shared", "alpha/m1@shared", "gamma/m1@shared", "alpha/m2@shared")
KNOWN = catalog(
    *(
        deployment("http://127.0.0.1:1/v1", provider, model=model)
        for provider in ("alpha", "beta", "gamma", "gold")
        for model in ("m1", "m2")
    )
)
GOLD = ("gold/m1@shared",)


def lanes_of(found):
    return [each.lane for each in found]


def test_other_models_of_the_provider_come_first_then_others_as_they_were_chosen():
    mine = claim("alpha/m1@shared", candidates=LANES, paid_lanes=GOLD)
    assert lanes_of(escape.others(mine, KNOWN)) == [
        "alpha/m2@shared",
        "gamma/m1@shared",
        "beta/m1@shared",
    ]
    assert lanes_of(escape.paid(mine, KNOWN)) == list(GOLD)


def test_from_a_paid_lane_there_is_no_last_resort_but_the_free_ones():
    mine = claim(GOLD[0], candidates=LANES, paid_lanes=GOLD)
    assert set(lanes_of(escape.others(mine, KNOWN))) == set(LANES)
    assert escape.paid(mine, KNOWN) == ()


def test_a_lane_is_untried_until_it_failed_the_job():
    mine = claim("alpha/m1@shared", candidates=LANES)
    others = [Candidate("beta/m1@shared"), Candidate("alpha/m1@shared")]
    assert escape.untried(mine, others, ())
    assert not escape.untried(mine, others, [{"deployment": "beta/m1"}])
