"""One exchange with a provider: sends, reads the answer, tells its deltas as they come."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace

from shared.core.outcome import Failed, Outcome, Succeeded
from workers import assemble
from workers.failures import TransportFailure
from workers.providers.base import Adapter, Call, HttpReply, HttpRequest
from workers.providers.classify import announced
from workers.transport import Exchange, Timeouts, Transport

_OK_FROM, _OK_BELOW = 200, 300
_MAX_REFUSAL_BYTES = 1 << 20

Tell = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Line:
    """What an exchange goes over.

    `sent` hears when the request is written, `answered` the headers, `tell` every chunk.
    """

    transport: Transport
    timeouts: Timeouts
    now_ms: Callable[[], int]
    sent: Callable[[], None]
    tell: Tell
    answered: Callable[[Mapping[str, str]], None] = lambda _headers: None


async def exchange(adapter: Adapter, call: Call, request: HttpRequest, line: Line) -> Outcome:
    """What the call came to; trouble of the network is a `Failed` too."""
    try:
        return await _exchange(adapter, call, request, line)
    except TransportFailure as exc:
        return Failed(exc.kind, exc.message, sent=exc.sent, uncertain=exc.sent)


async def _exchange(adapter: Adapter, call: Call, request: HttpRequest, line: Line) -> Outcome:
    async with line.transport.open(request, line.timeouts, line.sent) as reply:
        status, headers = reply.status, reply.headers
        line.answered(headers)
        if not _OK_FROM <= status < _OK_BELOW:
            body = await _refusal_body(reply)
            return adapter.classify(call, status, headers, body, line.now_ms())
        if call.stream and "json" not in headers.get("content-type", ""):
            outcome = await _read_stream(adapter, call, reply, line.tell)
        else:
            body = await reply.read()
            outcome = adapter.parse(call, HttpReply(status, headers, body))
            if call.stream and isinstance(outcome, Succeeded):
                await line.tell(assemble.as_chunk(outcome.body))
    if isinstance(outcome, Succeeded):
        learned = announced(call, headers, line.now_ms())
        return replace(outcome, learned=learned) if learned else outcome
    return outcome


async def _refusal_body(reply: Exchange) -> bytes:
    """What was said, as far as it came: the status alone is an answer."""
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in reply.chunks():
            pieces.append(piece)
            size += len(piece)
            if size > _MAX_REFUSAL_BYTES:
                break
    except TransportFailure:
        pass
    return b"".join(pieces)


async def _read_stream(adapter: Adapter, call: Call, reply: Exchange, tell: Tell) -> Outcome:
    """Pass chunks on as they come. A break after the answer's end is no break."""
    reader = adapter.parse_stream(call, reply.status, reply.headers)
    broke: TransportFailure | None = None
    try:
        async with aclosing(reply.chunks()) as pieces:
            async for data in pieces:
                for chunk in reader.feed(data):
                    await tell(chunk)
                if reader.done:
                    break
    except TransportFailure as exc:
        broke = exc
    chunks, outcome = reader.finish()
    if broke is None and isinstance(outcome, Succeeded):
        await reply.drain()  # one that failed is closed at once: nobody reads or pays the rest
    if isinstance(outcome, Failed) and broke is not None and not reader.done:
        raise broke
    for chunk in chunks:
        await tell(chunk)
    return outcome
