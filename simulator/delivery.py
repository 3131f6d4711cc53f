"""How an admitted call is answered: at the provider's pace, whole, streamed, or broken."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

from simulator.dialects import Headers
from simulator.exchange import Exchange
from simulator.faults import FaultSpec
from simulator.ledger import Account
from simulator.personalities import Stream, Turn
from simulator.replies import Reply
from simulator.requests import ChatCall, EmbeddingCall
from simulator.transcripts import TranscriptionCall
from simulator.voice import Voice

_TICK_S = 0.004
_HARMLESS = frozenset({"slow", "filtered"})


async def deliver(
    voice: Voice,
    exchange: Exchange,
    account: Account,
    call: ChatCall | EmbeddingCall | TranscriptionCall,
    reply: Reply,
    fault: FaultSpec | None,
) -> str:
    """Answer it and say how it ended: `ok`, `aborted` (the client left) or `fault:KIND`."""
    if fault is not None and fault.kind == "stall":
        await exchange.until_gone()
        return "fault:stall"
    slow = fault.factor if fault is not None and fault.kind == "slow" else 1.0
    rate = voice.tokens_per_real_s()
    rate = rate / slow if rate else None
    wait_s = voice.latency_s() * slow
    if isinstance(call, TranscriptionCall):
        wait_s += call.heard.seconds * voice.s_per_audio_s() * slow
    elif not call.stream and rate:
        wait_s += reply.tokens / rate
    if wait_s > 0:
        await asyncio.sleep(wait_s)
    if exchange.client_gone:
        return "aborted"
    number, now_us = next(voice.numbers), voice.now_us()
    speaks, model = voice.personality, account.model
    headers = speaks.limit_headers(account, now_us) + speaks.own_headers(account, number)
    if isinstance(call, EmbeddingCall):
        body = speaks.embeddings(call, model)
        return await _whole(voice, exchange, account, body, headers, fault)
    if isinstance(call, TranscriptionCall):
        body = speaks.transcript(call, model, number)
        plain = call.response_format not in ("json", "verbose_json", "diarized_json")
        return await _whole(voice, exchange, account, body, headers, fault, text=plain)
    turn = Turn(call, reply, model, number, created_s=now_us // 1_000_000)
    if call.stream:
        stream = speaks.stream(turn)
        return await _stream(voice, exchange, account, stream, headers, fault, rate)
    body = speaks.whole(turn)
    return await _whole(voice, exchange, account, body, headers, fault)


async def _whole(
    voice: Voice,
    exchange: Exchange,
    account: Account,
    body: bytes,
    headers: Headers,
    fault: FaultSpec | None,
    *,
    text: bool = False,
) -> str:
    if fault is None or fault.kind in _HARMLESS:
        await exchange.answer(200, body, headers, text=text)
        return _named(fault)
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
            emptied = b"" if text else _changed(voice.personality.emptied, body)
            await exchange.answer(200, emptied, headers)
        case "empty_stream":
            silenced = b"" if text else _changed(voice.personality.silenced, body)
            await exchange.answer(200, silenced, headers)
        case "malformed_json":
            await exchange.answer(200, body[: len(body) // 2], headers)
        case _:
            await exchange.answer(200, voice.error_of(fault, account)[1], headers)
    return _named(fault)


def _changed(change: Callable[[dict[str, Any]], dict[str, Any]], body: bytes) -> bytes:
    return orjson.dumps(change(orjson.loads(body)))


async def _stream(
    voice: Voice,
    exchange: Exchange,
    account: Account,
    stream: Stream,
    headers: Headers,
    fault: FaultSpec | None,
    rate: float | None,
) -> str:
    if fault is not None and fault.kind == "drop_after":
        await exchange.drop()
        return _named(fault)
    await exchange.start_stream(headers, json=stream.json)
    frames = stream.frames
    if fault is None or fault.kind in _HARMLESS:
        paced = await _paced(exchange, frames, rate)
        return paced if paced != "ok" else _named(fault)
    sent = max(0, min(stream.opening + fault.after_chunks, len(frames) - 2))
    begun = b"".join(frames[:sent])
    half = frames[sent][: len(frames[sent]) // 2]
    match fault.kind:
        case "broken_stream":
            await exchange.write(begun + half)
            await exchange.cut()
        case "stall_midstream":
            await exchange.write(begun)
            await exchange.until_gone()
        case "empty_body":
            await exchange.end()
        case "empty_choices":
            await exchange.end(stream.end)
        case "empty_stream":
            silent = frames[: stream.opening] + frames[-stream.closing :]
            await exchange.end(b"".join(silent))
        case "malformed_json":
            await exchange.end(begun + half + b"\n\n" + stream.end)
        case _:
            body = voice.error_of(fault, account)[1]
            await exchange.end(begun + voice.personality.stream_error(body))
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
    """How it ended: what is only slow is right."""
    return "ok" if fault is None or fault.kind == "slow" else f"fault:{fault.kind}"
