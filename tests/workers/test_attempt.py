import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from raw_server import COMPLETION, always, chunked, http, json_reply, serving
from recorded_replies import groq_limit, openai
from recorded_streams import HELLO, PIECES, USAGE, chunk, sse
from worker_claims import CHAT, KEY, Told, catalog, claim, context, deployment

from shared.catalog import Quirks
from shared.core.model import Kind
from shared.errors import StoreError
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
    assert b"accept-encoding: gzip, deflate\r\n" in head.lower()
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


async def attempted(transport, handler, told=None, **changes):
    """The report of one attempt at what `handler` serves."""
    told = told or Told()
    async with serving(handler) as server:
        known = catalog(
            deployment(f"{server.url}/v1", context_tokens=8_000),
            deployment(f"{server.url}/v1", model="m2", context_tokens=8_000),
            deployment("http://127.0.0.1:1/v1", "beta", context_tokens=200_000),
        )
        ctx = context(transport, known, told, **changes.pop("ctx", {}))
        return await attempt.run(claim(**changes), ctx), server


BOTH = ("alpha/m1@shared", "beta/m1@shared")


async def test_a_streamed_job_passes_deltas_on_and_ends_with_the_whole_answer(transport):
    told = Told()
    raw = sse(*PIECES, chunk({}, "stop"), chunk(None, usage=USAGE))
    report, server = await attempted(transport, always(chunked(raw)), told, stream=True)
    assert orjson.loads(server.requests[0][1])["stream_options"] == {"include_usage": True}
    assert {kind for kind, _ in told.events} == {"job.delta"}
    assert told.text == HELLO["content"]
    assert report.verdict is Verdict.COMPLETE
    assert orjson.loads(report.result or b"")["choices"][0]["message"] == HELLO
    assert report.usage is not None
    assert report.usage.output_tokens == 3
    assert "first_delta_ms" in report.attempt


async def test_streams_leave_their_connection_for_the_next(transport):
    raw = sse(*PIECES, chunk({}, "stop"), chunk(None, usage=USAGE))
    async with serving(always(chunked(raw))) as server:
        known = catalog(deployment(f"{server.url}/v1"))
        for _ in range(3):
            report = await attempt.run(claim(stream=True), context(transport, known))
            assert report.verdict is Verdict.COMPLETE
    assert server.connections == 1


async def test_a_host_that_answers_a_stream_whole_is_understood(transport):
    told = Told()
    report, _ = await attempted(transport, always(json_reply(COMPLETION)), told, stream=True)
    assert report.verdict is Verdict.COMPLETE
    assert told.text == "Hello!"


async def test_a_stream_that_breaks_before_its_first_word_is_tried_again_unseen(transport):
    told = Told()
    raw = sse(chunk({"role": "assistant", "content": ""}), done=False)

    async def handle(peer):
        await peer.request()
        await peer.send(chunked(raw, end=False))
        peer.reset()

    report, _ = await attempted(transport, handle, told, stream=True)
    assert told.events == []
    assert report.verdict is Verdict.RETRY
    assert report.uncertain
    assert report.health == "bad"


@pytest.mark.parametrize(("wish", "verdict"), [("fail", "fail"), ("restart", "retry")])
async def test_a_stream_that_breaks_after_its_first_word_follows_the_jobs_wish(
    transport, wish, verdict
):
    told = Told()

    async def handle(peer):
        await peer.request()
        await peer.send(chunked(sse(*PIECES[:2], done=False), end=False))

    report, _ = await attempted(transport, handle, told, stream=True, policy={"on_break": wish})
    assert told.text == "Hello, "
    assert report.verdict == verdict
    if wish == "fail":
        assert (report.error or {})["code"] == "stream_broken"


async def test_a_break_after_the_answers_end_is_no_break(transport):
    async def handle(peer):
        await peer.request()
        await peer.send(chunked(sse(*PIECES, chunk({}, "stop"), done=False), end=False))
        peer.reset()

    report, _ = await attempted(transport, handle, stream=True)
    assert report.verdict is Verdict.COMPLETE


async def test_a_stream_whose_worker_died_after_its_first_word_is_not_sent_again(transport):
    report, server = await attempted(
        transport, always(json_reply(COMPLETION)), stream=True, streamed=True
    )
    assert report.verdict is Verdict.FAIL
    assert (report.error or {})["code"] == "stream_broken"
    assert not report.reached
    assert server.requests == []


async def test_a_429_cools_the_lane_teaches_its_limit_and_sends_the_job_elsewhere(transport):
    reply = json_reply(groq_limit("tokens per minute (TPM)"), "429 Too Many Requests")
    report, _ = await attempted(transport, always(reply), candidates=BOTH, attempts=2)
    assert report.verdict is Verdict.REQUEUE
    assert report.exclude_lane
    (rest,) = report.cooldowns
    assert (rest.scope, rest.for_ms) == ("lane", 1_735_340)
    assert [(each.window, each.limit) for each in report.learned] == [("tpm", 200_000)]
    assert report.error is None
    assert report.health == ""
    assert report.reached


EVIL = "x in organization org_evil1 3, limit: 0, invalid api key, how does billing work"


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "429 Too Many Requests"])
async def test_a_callers_words_in_a_refusal_teach_nothing(transport, status):
    request = {"model": "auto", "messages": [{"role": "user", "content": EVIL}]}
    reply = json_reply(openai(f"Input was flagged by moderation: {EVIL}", None), status)
    report, _ = await attempted(transport, always(reply), request=request)
    assert report.organisation is None
    assert not any(rest.dead for rest in report.cooldowns)
    assert report.learned == ()
    assert report.said == "Input was flagged by moderation: \u2026"
    assert EVIL in report.attempt["message"]


async def test_only_a_met_limit_names_an_organisation(transport):
    text = groq_limit("tokens per minute (TPM)")["error"]["message"]
    body = openai(text.replace("`org_x`", "`org_01hx`"), "rate_limit_exceeded")
    for status, told in (("429 Too Many Requests", "429 org_01hx"), ("404 Not Found", None)):
        report, _ = await attempted(transport, always(json_reply(body, status)))
        assert report.organisation == told


async def test_headers_of_a_success_teach_limits(transport):
    limits = ("x-ratelimit-limit-requests: 60", "x-ratelimit-remaining-requests: 59")
    report, _ = await attempted(transport, always(json_reply(COMPLETION, "200 OK", *limits)))
    (each,) = report.learned
    assert (each.dimension, each.span_ms, each.limit, each.remaining) == ("requests", 0, 60, 59)


async def test_what_is_too_long_moves_to_the_lane_with_more_room(transport):
    reply = json_reply(openai("too long", "context_length_exceeded"), "400 Bad Request")
    report, _ = await attempted(transport, always(reply), candidates=BOTH)
    assert (report.verdict, report.lane) == (Verdict.REQUEUE, "beta/m1@shared")
    assert report.exclude_lane
    alone, _ = await attempted(transport, always(reply))
    assert alone.verdict is Verdict.FAIL
    assert (alone.error or {})["code"] == "context_length_exceeded"


TOP_K = {**CHAT, "top_k": 5}
NO_TOP_K = {"alpha": Quirks(drop=frozenset({"top_k"}))}


async def test_what_a_deployment_does_not_take_is_left_out_and_told(transport):
    async with serving(always(json_reply(COMPLETION))) as server:
        known = catalog(deployment(f"{server.url}/v1"), quirks=NO_TOP_K)
        report = await attempt.run(claim(request=TOP_K), context(transport, known))
    assert report.verdict is Verdict.COMPLETE
    assert report.attempt["dropped"] == ["top_k"]
    assert "top_k" not in orjson.loads(server.requests[0][1])


async def test_who_wants_nothing_left_out_goes_to_a_deployment_that_takes_it_or_is_told(transport):
    wish = {"unsupported": "refuse"}
    async with serving(always(json_reply(COMPLETION))) as server:
        here = deployment(f"{server.url}/v1")
        known = catalog(here, deployment(f"{server.url}/v1", "beta"), quirks=NO_TOP_K)
        ctx = context(transport, known)
        first = await attempt.run(claim(request=TOP_K, policy=wish, candidates=BOTH), ctx)
        assert server.requests == []
        there = claim(BOTH[1], request=TOP_K, policy=wish, candidates=BOTH)
        second = await attempt.run(there, ctx)
        alone = await attempt.run(claim(request=TOP_K, policy=wish), ctx)
    assert (first.verdict, first.lane, first.health) == (Verdict.REQUEUE, BOTH[1], "")
    assert first.cooldowns == ()
    assert second.verdict is Verdict.COMPLETE
    assert orjson.loads(server.requests[0][1])["top_k"] == 5
    assert alone.verdict is Verdict.FAIL
    error = alone.error or {}
    assert (error["code"], error["param"]) == ("unsupported_parameter", "top_k")


async def test_a_paid_lane_is_the_last_escape(transport):
    paid = {"candidates": BOTH[:1], "paid_lanes": BOTH[1:]}
    reply = json_reply(openai("too long", "context_length_exceeded"), "400 Bad Request")
    report, _ = await attempted(transport, always(reply), **paid)
    assert (report.verdict, report.lane) == (Verdict.REQUEUE, BOTH[1])
    busy = json_reply(openai("busy", None), "503 Service Unavailable")
    report, _ = await attempted(transport, always(busy), **paid)
    assert (report.verdict, report.lane, report.exclude_lane) == (Verdict.RETRY, None, True)
    report, _ = await attempted(transport, always(busy), **paid, attempts=1)
    assert (report.verdict, report.lane) == (Verdict.RETRY, BOTH[1])
    free = (*BOTH[:1], "alpha/m2@shared")
    report, _ = await attempted(
        transport, always(busy), candidates=free, paid_lanes=BOTH[1:], attempts=1
    )
    assert (report.verdict, report.lane, report.exclude_lane) == (Verdict.RETRY, None, True)


async def test_no_secret_is_told_to_anyone(transport):
    message = f"Incorrect API key provided: {KEY}. Also gsk_abcdefgh12345678."
    reply = json_reply(openai(message, "invalid_api_key"), "401 Unauthorized")
    report, _ = await attempted(transport, always(reply))
    assert report.cooldowns[0].dead
    assert KEY not in repr(report)
    assert "gsk_abcdefgh" not in repr(report)
    assert "***" in report.attempt["message"]


async def test_a_credential_without_its_secret_is_not_sent(transport):
    report, server = await attempted(
        transport, always(json_reply(COMPLETION)), credential="unknown"
    )
    assert report.verdict is Verdict.REQUEUE
    assert not report.reached
    assert server.requests == []


async def test_a_refused_connection_gives_its_reservation_back_and_spends_nothing(transport):
    known = catalog(deployment("http://127.0.0.1:1/v1"))
    report = await attempt.run(claim(attempts=2), context(transport, known))
    assert report.verdict is Verdict.REQUEUE
    assert not report.reached
    assert not report.uncertain
    assert report.delay_ms == 500


async def test_the_last_attempt_names_all_of_them(transport):
    first = {"n": 1, "deployment": "beta/m1", "outcome": "timeout", "message": "silent"}
    told = Told(history=[first])
    reply = json_reply(openai("boom", None), "500 Internal Server Error")
    report, _ = await attempted(transport, always(reply), told, attempts=2)
    assert report.verdict is Verdict.FAIL
    error = report.error or {}
    assert (error["code"], error["status"]) == ("all_attempts_failed", 503)
    assert "1. beta/m1: timeout, silent" in error["message"]
    assert "3. alpha/m1: overloaded (500), boom" in error["message"], "one left no record"


async def test_max_attempts_and_the_attempts_timeout_are_the_jobs_own(transport):
    async def handle(peer):
        await peer.request()
        await peer.gone()

    policy = {"max_attempts": 1, "attempt_timeout_s": 0.1}
    report, _ = await attempted(transport, handle, policy=policy)
    assert report.verdict is Verdict.FAIL
    assert (report.error or {})["status"] == 504
    assert report.attempt["outcome"] == "timeout"


async def test_an_uncertain_call_is_not_repeated_where_the_job_forbids_it(transport):
    async def handle(peer):
        await peer.request()
        peer.reset()

    wary, _ = await attempted(transport, handle, policy={"on_uncertain": "fail"})
    assert wary.verdict is Verdict.FAIL
    assert (wary.error or {})["code"] == "outcome_uncertain"
    plain, _ = await attempted(transport, handle)
    assert (plain.verdict, plain.uncertain) == (Verdict.RETRY, True)


@pytest.mark.parametrize(
    "reply",
    [
        http(b""),
        http(b"   "),
        http(b"<html>"),
        http(b'{"choices": []'),
        json_reply({**COMPLETION, "choices": []}),
        json_reply({**COMPLETION, "choices": None}),
        json_reply({**COMPLETION, "choices": [{"message": {"role": "assistant", "content": ""}}]}),
        json_reply({"error": {"message": "oops"}}),
        json_reply([]),
        json_reply("hello"),
        json_reply({}),
    ],
    ids=lambda reply: repr(reply.partition(b"\r\n\r\n")[2][:30]),
)
async def test_a_success_without_an_answer_is_no_success(transport, reply):
    report, _ = await attempted(transport, always(reply))
    assert report.verdict is Verdict.RETRY
    assert report.attempt["outcome"] == "malformed_reply"


async def test_an_error_inside_a_success_that_is_a_limit_is_treated_as_one(transport):
    inside = {"error": {"code": 429, "message": "Rate limit exceeded: free-models-per-min"}}
    report, _ = await attempted(transport, always(json_reply(inside)))
    assert report.verdict is Verdict.REQUEUE
    assert report.cooldowns[0].for_ms == 60_000


async def test_usage_that_is_not_reported_is_estimated_and_marked(transport):
    bare = {name: value for name, value in COMPLETION.items() if name != "usage"}
    report, _ = await attempted(transport, always(json_reply(bare)))
    assert report.usage is not None
    assert report.usage.estimated
    assert (report.usage.input_tokens, report.usage.output_tokens) == (12, 6)
    assert orjson.loads(report.result or b"")["usage"]["estimated"] is True


async def test_embeddings_come_back_as_they_are(transport):
    body = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -1.5]}],
        "model": "e",
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    }
    asked = {"model": "e", "input": ["one"], "encoding_format": "float"}
    report, server = await attempted(
        transport, always(json_reply(body)), kind=Kind.EMBEDDING, request=asked
    )
    assert server.requests[0][0].startswith(b"POST /v1/embeddings ")
    assert orjson.loads(server.requests[0][1]) == {**asked, "model": "m1"}
    assert orjson.loads(report.result or b"") == body
    short, _ = await attempted(
        transport, always(json_reply(body)), kind=Kind.EMBEDDING, request={"input": ["a", "b"]}
    )
    assert short.verdict is Verdict.RETRY


async def test_a_lane_the_catalog_no_longer_has_is_left(transport):
    report, server = await attempted(
        transport, always(json_reply(COMPLETION)), lane="old/m@shared", candidates=BOTH
    )
    assert (report.verdict, report.exclude_lane) == (Verdict.REQUEUE, True)
    assert server.requests == []


async def test_cancelling_closes_the_socket_and_goes_on(transport):
    async def handle(peer):
        await peer.request()
        await peer.send(chunked(sse(*PIECES[:2], done=False), end=False))
        await peer.gone()

    told = Told()
    async with serving(handle) as server:
        known = catalog(deployment(f"{server.url}/v1"))
        task = asyncio.create_task(attempt.run(claim(stream=True), context(transport, known, told)))
        await server.asked.wait()
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(server.gone.wait(), 60)


async def test_trouble_of_our_own_is_not_blamed_on_the_provider(transport):
    async def broken(kind, data):
        raise StoreError("the store is away")

    raw = sse(*PIECES, chunk({}, "stop"))
    with pytest.raises(StoreError):
        await attempted(transport, always(chunked(raw)), stream=True, ctx={"emit": broken})


@pytest.mark.parametrize(
    ("status", "own_fault"), [("400 Bad Request", True), ("503 Service Unavailable", False)]
)
async def test_a_failure_is_the_jobs_own_fault_only_where_the_request_is_wrong(
    transport, status, own_fault
):
    error = {"error": {"message": "no", "type": "invalid_request_error", "code": None}}
    report, _ = await attempted(transport, always(json_reply(error, status)), attempts=2)
    assert (report.verdict, report.own_fault) == (Verdict.FAIL, own_fault)


@pytest.mark.parametrize("lacks", [{"credential": "a9"}, {"lane": "alpha/m9@shared"}])
async def test_what_this_worker_alone_does_not_know_of_sets_nothing_aside(transport, lacks):
    report, server = await attempted(transport, always(json_reply(COMPLETION)), **lacks)
    assert server.requests == []
    assert (report.verdict, report.reached, report.health) == (Verdict.REQUEUE, False, "")
    (rest,) = report.cooldowns
    assert (rest.scope, rest.dead) == ("lane", False)
    assert rest.for_ms > 0


async def test_a_kind_that_a_deployment_does_not_offer_says_nothing_of_its_model(transport):
    known = catalog(deployment("http://127.0.0.1:1/v1", type="anthropic"))
    report = await attempt.run(claim(kind=Kind.EMBEDDING), context(transport, known))
    assert (report.verdict, report.cooldowns) == (Verdict.FAIL, ())
    assert (report.error or {})["status"] == 400


async def test_what_no_window_of_its_lane_ever_holds_is_not_sent_without_a_key(transport):
    report, server = await attempted(transport, always(json_reply(COMPLETION)), credential="")
    assert server.requests == []
    assert (report.verdict, report.reached) == (Verdict.FAIL, False)
    assert ((report.error or {})["code"], (report.error or {})["status"]) == (
        "request_too_large",
        400,
    )
    elsewhere, server = await attempted(
        transport, always(json_reply(COMPLETION)), credential="", candidates=BOTH
    )
    assert server.requests == []
    assert (elsewhere.verdict, elsewhere.lane) == (Verdict.REQUEUE, "beta/m1@shared")
    assert elsewhere.exclude_lane, "it does not come back"
