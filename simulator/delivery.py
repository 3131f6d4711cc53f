"""How an admitted call is answered: at the provider's pace, whole, streamed, or broken."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson

from simulator.dialects import Headers, limit_headers
from simulator.refusals import server_error
from simulator.replies import DONE, Reply, chat_body, embedding_body, stream_frames
from simulator.requests import ChatCall, EmbeddingCall

if TYPE_CHECKING:
    from simulator.exchange import Exchange
    from simulator.faults import FaultSpec
    from simulator.ledger import Account
    from simulator.provider import Provider

_TICK_S = 0.004


async def deliver(
    provider: Provider,
    exchange: Exchange,
    account: Account,
    call: ChatCall | EmbeddingCall,
    reply: Reply,
    fault: FaultSpec | None,
) -> str:
    """Answer it and say how it ended: `ok`, `aborted` (the client left) or `fault:KIND`."""
    if fault is not None and fault.kind == "stall":
        await exchange.until_gone()
        return "fault:stall"
    slow = fault.factor if fault is not None and fault.kind == "slow" else 1.0
    rate = provider.tokens_per_real_s()
    rate = rate / slow if rate else None
    wait_s = provider.latency_s() * slow
    if not call.stream and rate:
        wait_s += reply.tokens / rate
    if wait_s > 0:
        await asyncio.sleep(wait_s)
    if exchange.client_gone:
        return "aborted"
    number, now_us = next(provider.numbers), provider.now_us()
    headers = limit_headers(account, now_us)
    headers.append((b"x-request-id", b"req_sim%d" % number))
    created_s = now_us // 1_000_000
    if isinstance(call, EmbeddingCall):
        body = embedding_body(call, account.model)
        return await _whole(provider, exchange, body, headers, fault)
    if call.stream:
        frames = stream_frames(call, reply, number, created_s)
        return await _stream(provider, exchange, frames, headers, fault, rate)
    return await _whole(
        provider, exchange, chat_body(call, reply, number, created_s), headers, fault
    )


async def _whole(
    provider: Provider,
    exchange: Exchange,
    body: bytes,
    headers: Headers,
    fault: FaultSpec | None,
) -> str:
    if fault is None or fault.kind == "slow":
        await exchange.answer(200, body, headers)
        return "ok"
    match fault.kind:
        case "drop_after":
            await exchange.drop()
        case "broken_stream":
            await exchange.answer_part(200, body, headers)
            await exchange.cut()
        case "stall_midstream":
            await exchange.answer_part(200, body, headers)
            await exchange.until_gone()
        case "empty_body":
            await exchange.answer(200, b"", headers)
        case "empty_choices":
            await exchange.answer(200, _emptied(body), headers)
        case "empty_stream":
            await exchange.answer(200, _silenced(body), headers)
        case "malformed_json":
            await exchange.answer(200, body[: len(body) // 2], headers)
        case _:
            await exchange.answer(200, server_error(provider.spec.dialect, fault), headers)
    return _named(fault)


async def _stream(
    provider: Provider,
    exchange: Exchange,
    frames: list[bytes],
    headers: Headers,
    fault: FaultSpec | None,
    rate: float | None,
) -> str:
    if fault is not None and fault.kind == "drop_after":
        await exchange.drop()
        return _named(fault)
    await exchange.start_stream(headers)
    if fault is None or fault.kind == "slow":
        return await _paced(exchange, frames, rate)
    sent = min(1 + fault.after_chunks, len(frames) - 2)
    match fault.kind:
        case "broken_stream":
            await exchange.write(b"".join(frames[:sent]) + frames[sent][: len(frames[sent]) // 2])
            await exchange.cut()
        case "stall_midstream":
            await exchange.write(b"".join(frames[:sent]))
            await exchange.until_gone()
        case "empty_body":
            await exchange.end()
        case "empty_choices":
            await exchange.end(DONE)
        case "empty_stream":
            await exchange.end(frames[0] + b"".join(f for f in frames if b'"delta":{}' in f) + DONE)
        case "malformed_json":
            half = frames[sent][: len(frames[sent]) // 2]
            await exchange.end(b"".join(frames[:sent]) + half + b"\n\n" + DONE)
        case _:
            error = b"data: " + server_error(provider.spec.dialect, fault) + b"\n\n"
            await exchange.end(b"".join(frames[:sent]) + error)
    return _named(fault)


async def _paced(exchange: Exchange, frames: list[bytes], rate: float | None) -> str:
    """Send the frames, one a token at this rate; those due within one tick go together."""
    if rate is None:
        await exchange.end(b"".join(frames))
        return "ok"
    now = asyncio.get_running_loop().time
    start, sent = now(), 0
    while sent < len(frames):
        due = min(len(frames), 1 + int((now() - start) * rate))
        if due > sent:
            await exchange.write(b"".join(frames[sent:due]))
            sent = due
        if sent < len(frames):
            await asyncio.sleep(max(_TICK_S, start + sent / rate - now()))
        if exchange.client_gone:
            return "aborted"
    await exchange.end()
    return "ok"


def _named(fault: FaultSpec | None) -> str:
    return f"fault:{fault.kind}" if fault is not None else "ok"


def _emptied(body: bytes) -> bytes:
    value = orjson.loads(body)
    return orjson.dumps({**value, ("choices" if "choices" in value else "data"): []})


def _silenced(body: bytes) -> bytes:
    value = orjson.loads(body)
    for choice in value.get("choices", []):
        choice["message"] = {"role": "assistant", "content": ""}
    return orjson.dumps(value)
