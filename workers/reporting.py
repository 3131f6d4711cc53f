"""What the engine and the caller are told of an attempt: the report, its record, its error."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

from shared.core.cost import cost_microusd
from shared.core.decision import (
    Action,
    Complete,
    Decision,
    Expire,
    Fail,
    JobError,
    Move,
    Requeue,
    Retry,
    aggregate,
)
from shared.core.model import Deployment, Usage
from shared.core.outcome import TABLE, Blame, Failed, Outcome, Succeeded
from shared.queue.types import Claim, Cooldown, Hedged, Measured, Report, Verdict

_MAX_MESSAGE_CHARS = 1_000
_MAX_LINE_CHARS = 200
_MASK = "***"
_KEY_SHAPES = re.compile(
    r"\b(?:sk|gsk|csk|rk|pk|xai|hf|nvapi|pplx)[-_][\w*.-]{6,}|\bAIza[\w*-]{6,}|\bBearer +\S{6,}"
)
_AGGREGATED = frozenset(
    {
        "all_attempts_failed",
        "no_capacity",
        "no_credential",
        "model_not_found",
        "stream_broken",
        "deadline_exceeded",
    }
)


@dataclass(slots=True)
class Progress:
    """What is known of an attempt while it runs. `secret` is kept to be masked, never shown.

    `dropped` names the caller's parameters that were not sent: the deployment does not take them.
    `asked_tokens` is the output limit the caller named; `free`: the call is on a free plan.
    `continued_from`: it went on with an answer after so many characters. Where it failed,
    `streamed`: the caller has deltas of the job, `resume` tells what becomes of them, `obstacle`
    why they cannot be gone on with, and `spent` what they cost. `organisation` is whose key it is,
    as the answer told.
    """

    started_ms: int
    sent_ms: int | None = None
    first_delta_ms: int | None = None
    secret: str | None = None
    dropped: tuple[str, ...] = ()
    asked_tokens: int | None = None
    free: bool = False
    continued_from: int | None = None
    streamed: bool = False
    obstacle: str = ""
    resume: dict[str, Any] | None = None
    spent: Usage | None = None
    organisation: str | None = None


def redact(text: str, secret: str | None) -> str:
    """`text` without the secret and without anything that looks like a key, bounded in length."""
    if secret:
        text = text.replace(secret, _MASK)
    return _KEY_SHAPES.sub(_MASK, text)[:_MAX_MESSAGE_CHARS]


def record(
    claim: Claim, outcome: Outcome, deployment: str, progress: Progress, ended_ms: int
) -> dict[str, Any]:
    """The JSON record of one attempt, as `GET /v1/jobs/{id}` shows it."""
    shown: dict[str, Any] = {
        "n": claim.attempts + claim.requeues + 1,
        "deployment": deployment,
        "credential": claim.credential,
        "started_ms": progress.started_ms,
        "ended_ms": ended_ms,
        "sent": progress.sent_ms is not None,
    }
    if progress.sent_ms is not None:
        shown["sent_ms"] = progress.sent_ms
    if progress.first_delta_ms is not None:
        shown["first_delta_ms"] = progress.first_delta_ms
    if progress.dropped:
        shown["dropped"] = list(progress.dropped)
    if progress.continued_from is not None:
        shown["continued_from"] = progress.continued_from
    match outcome:
        case Succeeded(usage=usage):
            shown["outcome"] = "succeeded"
            shown["usage"] = _shown_usage(usage)
        case Failed():
            shown |= _shown_failure(outcome, progress)
        case _:
            assert_never(outcome)
    return shown


def _shown_failure(outcome: Failed, progress: Progress) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "outcome": str(outcome.kind),
        "status": outcome.status,
        "message": outcome.message,
    }
    for name in ("code", "window", "limit", "retry_after_ms"):
        value = getattr(outcome, name)
        if value is not None:
            shown[name] = value
    if outcome.uncertain:
        shown["uncertain"] = True
    if progress.spent is not None:
        shown["usage"] = _shown_usage(progress.spent)
    return shown


def _shown_usage(usage: Usage) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.cached_tokens:
        shown["cached_tokens"] = usage.cached_tokens
    if usage.estimated:
        shown["estimated"] = True
    return shown


def line(shown: Mapping[str, Any]) -> str:
    """One attempt's record in a few words: `groq/llama: overloaded (503), over capacity`."""
    status = f" ({shown['status']})" if shown.get("status") else ""
    message = str(shown.get("message") or "")[:_MAX_LINE_CHARS]
    tail = f", {message}" if message else ""
    return f"{shown.get('deployment', '?')}: {shown.get('outcome', '?')}{status}{tail}"


def names_attempts(action: Action) -> bool:
    """Whether the job ends with an error that should tell of the earlier attempts too."""
    return isinstance(action, Fail | Expire) and action.error.code in _AGGREGATED


def health(outcome: Outcome) -> str:
    """What the deployment's breaker counts; "" where the outcome says nothing of it."""
    match outcome:
        case Succeeded():
            return "ok"
        case Failed(kind=kind):
            return "bad" if TABLE[kind].blame in (Blame.DEPLOYMENT, Blame.PROVIDER) else ""
        case _:
            assert_never(outcome)


def report(
    claim: Claim,
    outcome: Outcome,
    decision: Decision,
    deployment: Deployment | None,
    progress: Progress,
    ended_ms: int,
    history: Sequence[Mapping[str, Any]] = (),
) -> Report:
    """The engine's orders. `outcome`'s message must be redacted already."""
    name = deployment.id if deployment else claim.lane.rpartition("@")[0]
    shown = record(claim, outcome, name, progress, ended_ms)
    common: dict[str, Any] = {
        "attempt": shown,
        "reached": progress.sent_ms is not None,
        "cooldowns": decision.cooldowns,
        "learned": decision.learned,
        "health": health(outcome),
        "uncertain": decision.uncertain,
        "measured": _measured(claim, outcome, deployment, progress, ended_ms),
        "organisation": progress.organisation,
    }
    if isinstance(outcome, Failed):
        common["said"], common["marks"] = outcome.said, outcome.marks
        common["reason"] = f"{outcome.kind}:{outcome.window}" if outcome.window else outcome.kind
        common["blame_provider"] = TABLE[outcome.kind].blame is Blame.PROVIDER
        common["own_fault"] = TABLE[outcome.kind].blame is Blame.JOB
        common["resume"] = progress.resume
        common["cost_microusd"] = _lost_cost(deployment, progress, shown)
    match decision.action:
        case Complete():
            return _completed(outcome, deployment, shown, common)
        case Retry(delay_ms=delay_ms, elsewhere=elsewhere, lane=lane):
            away = elsewhere and lane is None
            return Report(Verdict.RETRY, delay_ms=delay_ms, exclude_lane=away, lane=lane, **common)
        case Requeue(delay_ms=delay_ms, elsewhere=elsewhere):
            return Report(Verdict.REQUEUE, delay_ms=delay_ms, exclude_lane=elsewhere, **common)
        case Move(lane=lane):
            return Report(Verdict.REQUEUE, lane=lane, exclude_lane=True, **common)
        case Expire(error=error):
            return Report(Verdict.REQUEUE, error=_named(error, (*history, shown)), **common)
        case Fail(error=error):
            named = names_attempts(decision.action)
            told = _named(error, (*history, shown)) if named else error.as_dict()
            return Report(Verdict.FAIL, error=told, **common)
        case _:
            assert_never(decision.action)


def _named(error: JobError, records: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """The error with a line for each attempt."""
    lines = [(int(each.get("n") or at), line(each)) for at, each in enumerate(records, 1)]
    return aggregate(error, lines).as_dict()


def _lost_cost(deployment: Deployment | None, progress: Progress, shown: dict[str, Any]) -> int:
    """What a stream that broke is taken to have cost."""
    if progress.spent is None or progress.free or deployment is None:
        return 0
    cost = cost_microusd(progress.spent, deployment.price) or 0
    shown["cost_microusd"] = cost
    return cost


def _completed(
    outcome: Outcome,
    deployment: Deployment | None,
    shown: dict[str, Any],
    common: Mapping[str, Any],
) -> Report:
    if not isinstance(outcome, Succeeded) or deployment is None:
        raise TypeError("only a success completes a job")
    measured = common["measured"]
    free = measured is not None and measured.free
    cost = 0 if free else cost_microusd(outcome.usage, deployment.price)
    shown["cost_microusd"] = cost
    return Report(
        Verdict.COMPLETE,
        result=outcome.body,
        usage=outcome.usage,
        total=outcome.total,
        cost_microusd=cost or 0,
        **common,
    )


def _measured(
    claim: Claim,
    outcome: Outcome,
    deployment: Deployment | None,
    progress: Progress,
    ended_ms: int,
) -> Measured | None:
    """How the call went; None where none was made."""
    sent_ms = progress.sent_ms
    if sent_ms is None or deployment is None:
        return None
    cost = None
    if isinstance(outcome, Succeeded):
        cost = cost_microusd(outcome.usage, deployment.price)
    first_ms = progress.first_delta_ms
    return Measured(
        total_ms=max(0, ended_ms - sent_ms),
        first_ms=None if first_ms is None else max(0, first_ms - sent_ms),
        asked_tokens=progress.asked_tokens,
        list_microusd=cost,
        free=progress.free or deployment.price.free,
        claimed_ms=claim.claimed_ms,
    )


def hedged(
    found: Report,
    other: Claim,
    progress: Progress,
    outcome: Outcome | None,
    cooldowns: Sequence[Cooldown],
    second: Claim,
) -> Report:
    """The report of an attempt that made two calls. `other` is the one that does not count.

    `second` is the later one of the two. What the other may have cost is not known.
    """
    reached = progress.sent_ms is not None
    shown: dict[str, Any] = {
        "deployment": other.lane.rpartition("@")[0],
        "credential": other.credential,
        "second": other is second,
        "started_ms": progress.started_ms,
        "sent": reached,
        "outcome": "stopped",
    }
    match outcome:
        case Failed():
            shown |= _shown_failure(outcome, progress)
        case Succeeded():
            shown["outcome"] = "succeeded"
        case None:
            pass
        case _:
            assert_never(outcome)
    ends = Hedged(second.lane, second.credential, other is not second, reached, cooldowns)
    attempt = {**found.attempt, "hedge": shown}
    unsure = reached and not (isinstance(outcome, Failed) and not outcome.uncertain)
    return replace(found, hedge=ends, attempt=attempt, uncertain=found.uncertain or unsure)


def redacted(outcome: Outcome, secret: str | None) -> Outcome:
    """The outcome with no secret in what it says."""
    if isinstance(outcome, Failed):
        said = redact(outcome.said, secret)
        return replace(outcome, message=redact(outcome.message, secret), said=said)
    return outcome
