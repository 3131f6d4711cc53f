"""One attempt: load, build, send, read, decide, report. Every rule is elsewhere.

Cancelling it closes the socket first, so that the provider stops; then the cancellation goes on.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import orjson

from shared.catalog import Catalog, Quirks
from shared.core.decision import Candidate, Fail, JobFacts, decide
from shared.core.model import Deployment, Kind, lane_deployment
from shared.core.outcome import Failed, FailureKind, OnBreak, OnUncertain, Outcome, Succeeded
from shared.core.ratelimits import learned_from_headers
from shared.credentials import Secret
from shared.queue.types import Claim, Report
from workers import assemble, reporting
from workers.failures import TransportFailure
from workers.providers.base import (
    Adapter,
    Call,
    CountTokens,
    HttpReply,
    HttpRequest,
)
from workers.providers.parameters import OnUnsupported, refused
from workers.providers.registry import adapter_for
from workers.reporting import Progress
from workers.transport import Exchange, Timeouts, Transport

DELTA_EVENT = "job.delta"
_OK_FROM, _OK_BELOW = 200, 300
_MAX_REFUSAL_BYTES = 1 << 20
_TIMEOUTS = Timeouts()

Emit = Callable[[str, bytes], Awaitable[None]]
History = Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]


def _nothing() -> None:
    """Nobody wants to know."""


async def _no_history() -> Sequence[Mapping[str, Any]]:
    return ()


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """What an attempt needs from its process: one catalog snapshot, one transport, its hooks.

    `secret` gives a credential's secret, or None. `emit` appends an event to the job's stream.
    `sent` is told the moment the request is written. `history` reads the earlier attempts' records;
    it is asked only when a job fails for good. `now_ms` is the store's clock, `draw` even in [0,1).
    `siblings` counts other live credentials of a lane, `streak` its failures in a row. `free`: the
    credential is on a plan that costs nothing.
    """

    catalog: Catalog
    transport: Transport
    secret: Callable[[str], Secret | None]
    emit: Emit
    now_ms: Callable[[], int]
    draw: Callable[[], float]
    sent: Callable[[], None] = _nothing
    history: History = _no_history
    count: CountTokens = len
    timeouts: Timeouts = _TIMEOUTS
    siblings: int = 0
    streak: int = 0
    max_attempts: int = 3
    free: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """The job's own wishes, from its document."""

    max_attempts: int
    on_uncertain: OnUncertain
    on_break: OnBreak
    timeouts: Timeouts
    unsupported: OnUnsupported


async def run(claim: Claim, ctx: AttemptContext) -> Report:
    """Make one upstream call for `claim`; raises nothing expected. See `Report`."""
    doc = orjson.loads(claim.doc)
    policy = _policy(doc.get("policy") or {}, ctx)
    progress = Progress(ctx.now_ms(), asked_tokens=_asked(doc["request"]), free=ctx.free)
    deployment = ctx.catalog.by_id.get(lane_deployment(claim.lane))
    stream = bool(doc.get("stream")) and claim.kind is not Kind.EMBEDDING
    if deployment is None:
        outcome: Outcome = _unserved("the catalog no longer has this deployment")
    elif stream and claim.streamed and policy.on_break is OnBreak.FAIL:
        outcome = Failed(
            FailureKind.UNREACHABLE, "the stream broke with its worker", sent=False, uncertain=True
        )
    else:
        call = _call(claim, doc, deployment, stream, ctx, progress)
        outcome = await _attempt(call, claim, ctx, policy, progress)
        outcome = reporting.redacted(outcome, progress.secret)
    facts = _facts(claim, ctx, policy, deployment, streamed=stream and _streamed(claim, progress))
    decision = decide(outcome, facts, ctx.now_ms(), ctx.draw())
    history: Sequence[Mapping[str, Any]] = ()
    if isinstance(decision.action, Fail) and reporting.names_attempts(decision.action.error):
        history = await ctx.history()
    return reporting.report(claim, outcome, decision, deployment, progress, ctx.now_ms(), history)


def _asked(request: Mapping[str, Any]) -> int | None:
    """The output limit that the caller named, over all choices."""
    asked = request.get("max_completion_tokens") or request.get("max_tokens")
    return int(asked) * int(request.get("n") or 1) if asked else None


def _policy(wishes: Mapping[str, Any], ctx: AttemptContext) -> Policy:
    timeouts = ctx.timeouts
    if wishes.get("attempt_timeout_s"):
        total_ms = max(1, int(float(wishes["attempt_timeout_s"]) * 1_000))
        timeouts = replace(
            timeouts, total_ms=total_ms, first_byte_ms=min(timeouts.first_byte_ms, total_ms)
        )
    return Policy(
        max_attempts=int(wishes.get("max_attempts") or ctx.max_attempts),
        on_uncertain=OnUncertain(wishes.get("on_uncertain") or "retry"),
        on_break=OnBreak(wishes.get("on_break") or "fail"),
        timeouts=timeouts,
        unsupported=OnUnsupported(wishes.get("unsupported") or "drop"),
    )


def _call(
    claim: Claim,
    doc: Mapping[str, Any],
    deployment: Deployment,
    stream: bool,
    ctx: AttemptContext,
    progress: Progress,
) -> Call:
    quirks: Quirks = ctx.catalog.quirks(deployment.provider, deployment.model)
    return Call(
        kind=Kind.EMBEDDING if claim.kind is Kind.EMBEDDING else Kind.CHAT,
        request=doc["request"],
        deployment=deployment,
        quirks=quirks,
        stream=stream,
        input_tokens=round(claim.need.input_tokens * deployment.token_factor),
        count=ctx.count,
        job_id=claim.job_id,
        created_s=progress.started_ms // 1_000,
    )


def _streamed(claim: Claim, progress: Progress) -> bool:
    return claim.streamed or progress.first_delta_ms is not None


async def _attempt(
    call: Call, claim: Claim, ctx: AttemptContext, policy: Policy, progress: Progress
) -> Outcome:
    """Build, send, read. Trouble of the expected kind is a value."""
    secret = ctx.secret(claim.credential) if claim.credential else None
    if claim.credential and secret is None:
        return Failed(FailureKind.UNAUTHORIZED, "this credential has no secret here", sent=False)
    progress.secret = secret.reveal() if secret else None
    adapter = adapter_for(call.deployment.type)
    try:
        request = adapter.build(call, secret)
    except KeyError:
        return _unserved(f"this deployment does not offer {call.kind}")
    if isinstance(request, Failed):
        return request
    progress.dropped = request.dropped
    provider = ctx.catalog.provider(call.deployment.provider)
    if provider is not None and provider.guarded:
        request = replace(request, guarded=True)
    if request.dropped and policy.unsupported is OnUnsupported.REFUSE:
        return refused(request.dropped, call.deployment.id)

    def sent() -> None:
        progress.sent_ms = ctx.now_ms()
        ctx.sent()

    try:
        return await _exchange(adapter, call, request, ctx, policy.timeouts, sent, progress)
    except TransportFailure as exc:
        return Failed(exc.kind, exc.message, sent=exc.sent, uncertain=exc.sent)


async def _exchange(
    adapter: Adapter,
    call: Call,
    request: HttpRequest,
    ctx: AttemptContext,
    timeouts: Timeouts,
    sent: Callable[[], None],
    progress: Progress,
) -> Outcome:
    async with ctx.transport.open(request, timeouts, sent) as exchange:
        status, headers = exchange.status, exchange.headers
        if not _OK_FROM <= status < _OK_BELOW:
            body = await _refusal_body(exchange)
            return adapter.classify(call, status, headers, body, ctx.now_ms())
        if call.stream and "json" not in headers.get("content-type", ""):
            outcome = await _read_stream(adapter, call, exchange, ctx, progress)
        else:
            body = await exchange.read()
            outcome = adapter.parse(call, HttpReply(status, headers, body))
            if call.stream and isinstance(outcome, Succeeded):
                await _emit(ctx, progress, assemble.as_chunk(outcome.body))
    if isinstance(outcome, Succeeded):
        learned = learned_from_headers(headers, call.quirks.rate_dialect, ctx.now_ms())
        return replace(outcome, learned=learned) if learned else outcome
    return outcome


async def _refusal_body(exchange: Exchange) -> bytes:
    """What was said, as far as it came: the status alone is an answer."""
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in exchange.chunks():
            pieces.append(piece)
            size += len(piece)
            if size > _MAX_REFUSAL_BYTES:
                break
    except TransportFailure:
        pass
    return b"".join(pieces)


async def _read_stream(
    adapter: Adapter, call: Call, exchange: Exchange, ctx: AttemptContext, progress: Progress
) -> Outcome:
    """Pass chunks on as they come. A break after the answer's end is no break."""
    reader = adapter.parse_stream(call, exchange.status, exchange.headers)
    broke: TransportFailure | None = None
    try:
        async with aclosing(exchange.chunks()) as pieces:
            async for data in pieces:
                for chunk in reader.feed(data):
                    await _emit(ctx, progress, chunk)
                if reader.done:
                    break
        await exchange.drain()
    except TransportFailure as exc:
        broke = exc
    chunks, outcome = reader.finish()
    if isinstance(outcome, Failed) and broke is not None and not reader.done:
        raise broke
    for chunk in chunks:
        await _emit(ctx, progress, chunk)
    return outcome


async def _emit(ctx: AttemptContext, progress: Progress, chunk: bytes) -> None:
    if progress.first_delta_ms is None:
        progress.first_delta_ms = ctx.now_ms()
    await ctx.emit(DELTA_EVENT, chunk)


def _unserved(message: str) -> Failed:
    return Failed(FailureKind.MODEL_GONE, message, sent=False)


def _facts(
    claim: Claim,
    ctx: AttemptContext,
    policy: Policy,
    deployment: Deployment | None,
    *,
    streamed: bool,
) -> JobFacts:
    return JobFacts(
        attempts=claim.attempts,
        max_attempts=policy.max_attempts,
        requeues=claim.requeues,
        deadline_ms=claim.deadline_ms,
        others=_others(claim, ctx.catalog),
        context_tokens=deployment.context_tokens if deployment else None,
        siblings=ctx.siblings,
        on_uncertain=policy.on_uncertain,
        on_break=policy.on_break,
        streamed=streamed,
        streak=ctx.streak,
    )


def _others(claim: Claim, catalog: Catalog) -> tuple[Candidate, ...]:
    """The other lanes, those after this one first; paid ones only where it is on one already."""
    lanes = claim.candidates
    place = lanes.index(claim.lane) + 1 if claim.lane in lanes else 0
    paid = frozenset() if claim.lane in claim.paid_lanes else frozenset(claim.paid_lanes)
    found = []
    for lane in (*lanes[place:], *lanes[:place]):
        there = catalog.by_id.get(lane_deployment(lane))
        if lane != claim.lane and lane not in paid and there is not None:
            found.append(Candidate(lane, there.context_tokens))
    return tuple(found)
