"""One attempt: load, build, send, read, decide, report. Every rule is elsewhere.

Cancelling it closes the socket first, so that the provider stops; then the cancellation goes on.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from shared.catalog import Catalog, Quirks
from shared.core.decision import Decision, JobFacts, decide
from shared.core.model import Deployment, Kind, Usage, lane_deployment
from shared.core.outcome import Failed, FailureKind, OnBreak, OnUncertain, Outcome, Succeeded
from shared.credentials import Secret
from shared.queue.types import Claim, Report
from workers import calling, continuing, escape, reporting
from workers.continuing import Seam
from workers.providers.base import Call, CountTokens
from workers.providers.parameters import OnUnsupported, refused
from workers.providers.registry import adapter_for
from workers.reporting import Progress
from workers.telling import Telling
from workers.transport import Timeouts, Transport

_TIMEOUTS = Timeouts()
_WITH_ONE_LEFT = 2

Emit = Callable[[str, bytes], Awaitable[None]]
History = Callable[[], Awaitable[Sequence[Mapping[str, Any]]]]


def _nothing() -> None:
    """Nobody wants to know."""


async def _no_history() -> Sequence[Mapping[str, Any]]:
    return ()


async def _no_deltas() -> Sequence[bytes]:
    return ()


async def _none() -> int:
    return 0


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """What an attempt needs from its process: one catalog snapshot, one transport, its hooks.

    `secret` gives a credential's secret, or None. `emit` appends an event to the job's stream.
    `sent` is told the moment the request is written. `history` reads the earlier attempts' records
    and `deltas` what they told the caller; both are asked only where it matters. `now_ms` is the
    store's clock, `draw` even in [0,1). `siblings` counts the other live credentials of the lane
    when an attempt has failed, `streak` is its failures in a row. `free`: the credential is on a
    plan that costs nothing.
    """

    catalog: Catalog
    transport: Transport
    secret: Callable[[str], Secret | None]
    emit: Emit
    now_ms: Callable[[], int]
    draw: Callable[[], float]
    sent: Callable[[], None] = _nothing
    history: History = _no_history
    deltas: Callable[[], Awaitable[Sequence[bytes]]] = _no_deltas
    count: CountTokens = len
    timeouts: Timeouts = _TIMEOUTS
    siblings: Callable[[], Awaitable[int]] = _none
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
        decision = await _decided(outcome, claim, ctx, policy, None, progress)
    else:
        call = _call(claim, doc, deployment, stream, ctx, progress)
        keep = stream and policy.on_break is OnBreak.CONTINUE
        telling = Telling(ctx.emit, ctx.now_ms, progress, keep=keep)
        outcome = await _outcome(call, claim, ctx, policy, progress, telling)
        outcome = reporting.redacted(outcome, progress.secret)
        if stream and isinstance(outcome, Failed):
            telling.broke(call, policy.on_break, earlier=claim.streamed)
        decision = await _decided(outcome, claim, ctx, policy, deployment, progress)
    history: Sequence[Mapping[str, Any]] = ()
    if reporting.names_attempts(decision.action):
        history = await ctx.history()
    return reporting.report(claim, outcome, decision, deployment, progress, ctx.now_ms(), history)


async def _outcome(
    call: Call,
    claim: Claim,
    ctx: AttemptContext,
    policy: Policy,
    progress: Progress,
    telling: Telling,
) -> Outcome:
    """A first call, or one after deltas of an earlier one have reached the caller."""
    if not (call.stream and claim.streamed) or policy.on_break is OnBreak.RESTART:
        return await _attempt(call, claim, ctx, policy, progress, telling)
    lost = Failed(
        FailureKind.UNREACHABLE, "the stream broke with its worker", sent=False, uncertain=True
    )
    if policy.on_break is OnBreak.FAIL:
        return lost
    told = telling.before = continuing.told_of(await ctx.deltas(), call.request)
    if told.obstacle:
        return lost
    before = continuing.spent(await ctx.history(), told, call.input_tokens, call.count)
    prefilled = continuing.takes_prefill(call)
    telling.seam = Seam(told, before, prefilled=prefilled)
    progress.continued_from = len(told.text)
    if told.finish_reason is not None:  # it was whole, and only its end was lost
        return telling.seam.whole(Succeeded(b"", Usage()))
    call = continuing.resumed(call, told)
    outcome = await _attempt(call, claim, ctx, policy, progress, telling)
    return telling.seam.whole(outcome) if isinstance(outcome, Succeeded) else outcome


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


async def _attempt(
    call: Call,
    claim: Claim,
    ctx: AttemptContext,
    policy: Policy,
    progress: Progress,
    telling: Telling,
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

    line = calling.Line(ctx.transport, policy.timeouts, ctx.now_ms, sent, telling.tell)
    return await calling.exchange(adapter, call, request, line)


def _unserved(message: str) -> Failed:
    return Failed(FailureKind.MODEL_GONE, message, sent=False)


async def _decided(
    outcome: Outcome,
    claim: Claim,
    ctx: AttemptContext,
    policy: Policy,
    deployment: Deployment | None,
    progress: Progress,
) -> Decision:
    """What follows; the store is asked for what only a failure needs to know."""
    facts = JobFacts()
    if isinstance(outcome, Failed):
        others, paid = escape.others(claim, ctx.catalog), escape.paid(claim, ctx.catalog)
        untried = True
        if paid and policy.max_attempts - claim.attempts == _WITH_ONE_LEFT:
            untried = escape.untried(claim, others, await ctx.history())
        facts = JobFacts(
            attempts=claim.attempts,
            max_attempts=policy.max_attempts,
            requeues=claim.requeues,
            deadline_ms=claim.deadline_ms,
            others=others,
            paid=paid,
            untried=untried,
            context_tokens=deployment.context_tokens if deployment else None,
            siblings=await ctx.siblings(),
            on_uncertain=policy.on_uncertain,
            on_break=policy.on_break,
            streamed=progress.streamed,
            obstacle=progress.obstacle,
            continued=progress.continued_from is not None,
            streak=ctx.streak,
        )
    return decide(outcome, facts, ctx.now_ms(), ctx.draw())
