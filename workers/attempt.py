"""One attempt: load, build, send, read, decide, report. Every rule is elsewhere.

Cancelling it closes the socket first, so that the provider stops; then the cancellation goes on.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from shared.catalog import Catalog
from shared.core import organisations
from shared.core.decision import Decision, JobFacts, cooldowns, decide
from shared.core.model import Deployment, Kind, Usage, lane_deployment
from shared.core.outcome import Failed, FailureKind, OnBreak, OnUncertain, Outcome, Succeeded
from shared.credentials import Secret
from shared.queue.types import Claim, Report
from shared.quirks import Quirks
from workers import calling, continuing, escape, reporting
from workers.continuing import Seam
from workers.hedging import Gate, Runner, race
from workers.policy import Policy, asked_tokens, policy_of
from workers.providers.base import Call, CountTokens
from workers.providers.parameters import OnUnsupported, refused
from workers.providers.registry import adapter_for
from workers.reporting import Progress
from workers.sounds import NO_SOUNDS, Sounds
from workers.telling import Telling
from workers.transport import Timeouts, Transport

_TIMEOUTS = Timeouts()
_WITH_ONE_LEFT = 2
_TOO_MANY = 429
_OWN_KINDS = (Kind.EMBEDDING, Kind.TRANSCRIPTION)

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
class Hedge:
    """When a second call may start, and who reserves it: the claim it would have, and if free."""

    after_ms: int
    reserve: Callable[[], Awaitable[tuple[Claim, bool] | None]]


@dataclass(frozen=True, slots=True)
class AttemptContext:
    """What an attempt needs from its process: one catalog snapshot, one transport, its hooks.

    `secret` gives a credential's secret, or None. `emit` appends an event to the job's stream.
    `sent` is told the moment the request is written. `history` reads the earlier attempts' records
    and `deltas` what they told the caller; both are asked only where it matters. `now_ms` is the
    store's clock, `draw` even in [0,1). `siblings` counts the other live credentials of the lane
    when an attempt has failed, `streak` is its failures in a row. `free`: the credential is on a
    plan that costs nothing. `hedge`: a second call may be made where the first is slow. `sounds`
    fetches what is to be transcribed.
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
    hedge: Hedge | None = None
    sounds: Sounds = NO_SOUNDS


async def run(claim: Claim, ctx: AttemptContext) -> Report:
    """Make one upstream call for `claim`; raises nothing expected. See `Report`."""
    doc = orjson.loads(claim.doc)
    policy = policy_of(doc.get("policy") or {}, ctx.timeouts, ctx.max_attempts)
    deployment = ctx.catalog.by_id.get(lane_deployment(claim.lane))
    if deployment is None:
        progress = Progress(ctx.now_ms())
        outcome: Outcome = _unsupplied("the catalog here does not have this deployment")
        return await _reported(outcome, claim, ctx, policy, None, progress)
    side = _side(claim, doc, deployment, ctx, policy, free=ctx.free)
    hedge = ctx.hedge
    once = claim.kind is Kind.TRANSCRIPTION  # what is billed by the hour is not sent twice
    if hedge is None or once or claim.streamed or policy.on_uncertain is OnUncertain.FAIL:
        return await _side_reported(await _outcome(side, ctx, policy), side, ctx, policy)
    return await _hedged(side, doc, ctx, policy, hedge)


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One call of an attempt: on whose claim, and what is known of it."""

    claim: Claim
    deployment: Deployment
    call: Call
    progress: Progress
    telling: Telling


def _side(
    claim: Claim,
    doc: Mapping[str, Any],
    deployment: Deployment,
    ctx: AttemptContext,
    policy: Policy,
    *,
    free: bool,
    gate: Gate | None = None,
) -> Side:
    stream = bool(doc.get("stream")) and claim.kind is Kind.CHAT
    progress = Progress(ctx.now_ms(), asked_tokens=asked_tokens(doc["request"]), free=free)
    keep = stream and policy.on_break is OnBreak.CONTINUE
    telling = Telling(ctx.emit, ctx.now_ms, progress, keep=keep, gate=gate)
    call = _call(claim, doc, deployment, stream, ctx, progress)
    return Side(claim, deployment, call, progress, telling)


async def _hedged(
    first: Side, doc: Mapping[str, Any], ctx: AttemptContext, policy: Policy, hedge: Hedge
) -> Report:
    """An attempt that makes a second call elsewhere where the first is slow."""
    gate = first.telling.gate = Gate()
    sides: dict[Runner, Side] = {}

    def runner(side: Side, context: AttemptContext) -> Runner:
        made = Runner(lambda: _outcome(side, context, policy), side.telling)
        sides[made] = side
        return made

    async def second() -> Runner | None:
        found = await hedge.reserve()
        if found is None:
            return None
        claim, free = found
        deployment = ctx.catalog.by_id[lane_deployment(claim.lane)]
        side = _side(claim, doc, deployment, ctx, policy, free=free, gate=gate)
        return runner(side, replace(ctx, sent=_nothing))  # reserved when it is sent: no re-stamp

    counts, other = await race(gate, runner(first, ctx), hedge.after_ms / 1_000, second)
    side = sides[counts]
    assert counts.outcome is not None  # noqa: S101 - it is the one that ended
    report = await _side_reported(counts.outcome, side, ctx, policy)
    if other is None:
        return report
    left = sides[other]
    outcome = None if other.outcome is None else _redacted(other.outcome, left)
    rests = cooldowns(outcome, JobFacts(), ctx.draw()) if isinstance(outcome, Failed) else ()
    seconds = left if side is first else side
    return reporting.hedged(report, left.claim, left.progress, outcome, rests, seconds.claim)


def _redacted(outcome: Outcome, side: Side) -> Outcome:
    return reporting.redacted(outcome, side.progress.secret)


async def _side_reported(
    outcome: Outcome, side: Side, ctx: AttemptContext, policy: Policy
) -> Report:
    outcome = _redacted(outcome, side)
    if side.call.stream and isinstance(outcome, Failed):
        side.telling.broke(side.call, policy.on_break, earlier=side.claim.streamed)
    return await _reported(outcome, side.claim, ctx, policy, side.deployment, side.progress)


async def _reported(
    outcome: Outcome,
    claim: Claim,
    ctx: AttemptContext,
    policy: Policy,
    deployment: Deployment | None,
    progress: Progress,
) -> Report:
    decision = await _decided(outcome, claim, ctx, policy, deployment, progress)
    history: Sequence[Mapping[str, Any]] = ()
    if reporting.names_attempts(decision.action):
        history = await ctx.history()
    return reporting.report(claim, outcome, decision, deployment, progress, ctx.now_ms(), history)


async def _outcome(side: Side, ctx: AttemptContext, policy: Policy) -> Outcome:
    """A first call, or one after deltas of an earlier one have reached the caller."""
    call, claim, progress, telling = side.call, side.claim, side.progress, side.telling
    if not (call.stream and claim.streamed) or policy.on_break is OnBreak.RESTART:
        return await _attempt(call, side, ctx, policy)
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
    outcome = await _attempt(continuing.resumed(call, told), side, ctx, policy)
    return telling.seam.whole(outcome) if isinstance(outcome, Succeeded) else outcome


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
        kind=claim.kind if claim.kind in _OWN_KINDS else Kind.CHAT,
        request=doc["request"],
        deployment=deployment,
        quirks=quirks,
        stream=stream,
        input_tokens=round(claim.need.input_tokens * deployment.token_factor),
        count=ctx.count,
        job_id=claim.job_id,
        created_s=progress.started_ms // 1_000,
    )


async def _attempt(call: Call, side: Side, ctx: AttemptContext, policy: Policy) -> Outcome:
    """Build, send, read. Trouble of the expected kind is a value."""
    claim, progress = side.claim, side.progress
    if not claim.credential:  # see claim_head in claiming.lua: whoever it may have been, it may not
        message = f"no quota window of {call.deployment.id} will ever hold this request"
        return Failed(FailureKind.TOO_LONG, message, sent=False, window="quota")
    secret = ctx.secret(claim.credential)
    if secret is None:
        return _unsupplied("this credential has no secret here")
    progress.secret = secret.reveal() or None
    if call.kind is not Kind.TRANSCRIPTION:
        return await _sent(call, secret, side, ctx, policy)
    async with ctx.sounds.fetched(call) as fetched:
        if isinstance(fetched, Failed):
            return fetched
        return await _sent(fetched, secret, side, ctx, policy)


async def _sent(
    call: Call, secret: Secret | None, side: Side, ctx: AttemptContext, policy: Policy
) -> Outcome:
    progress = side.progress
    adapter = adapter_for(call.deployment.type)
    try:
        request = adapter.build(call, secret)
    except KeyError:
        message = f"this deployment does not offer {call.kind}"
        return Failed(FailureKind.UNSUITED, message, sent=False)
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

    def answered(headers: Mapping[str, str]) -> None:
        progress.organisation = _named(organisations.in_headers(headers))

    tell = side.telling.tell
    line = calling.Line(ctx.transport, policy.timeouts, ctx.now_ms, sent, tell, answered)
    outcome = await calling.exchange(adapter, call, request, line)
    if isinstance(outcome, Failed) and progress.organisation is None:
        progress.organisation = _named(_in_limit(outcome))
    return outcome


def _in_limit(failed: Failed) -> organisations.Told | None:
    """The organisation that the text of a met limit names; no other refusal is asked."""
    limit = failed.kind in (FailureKind.RATE_LIMITED, FailureKind.QUOTA_EXHAUSTED)
    there = limit and failed.status == _TOO_MANY
    return organisations.in_refusal(failed.said) if there else None


def _named(told: organisations.Told | None) -> str | None:
    return None if told is None else str(told)


def _unsupplied(message: str) -> Failed:
    """Ours, not the provider's, nor the key's: others may have what this process has not."""
    return Failed(FailureKind.UNSUPPLIED, message, sent=False)


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
