"""What follows an outcome: one pure function of it, the job's facts, the time and a draw.

Three clocks are never mixed: the wait limit and the deadline are the job's, the attempt timeout is
the transport's. A retry spends an attempt; a requeue and a move spend none and are counted; all
stop at the deadline. No caller ever gets a 429.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from shared.core import backoff
from shared.core.outcome import (
    TABLE,
    Cooldown,
    Effect,
    Failed,
    FailureKind,
    Learned,
    OnBreak,
    OnUncertain,
    Outcome,
    Succeeded,
)

MAX_UNSENT_REQUEUES = 30
UNSTATED_QUOTA_MS = 3_600_000
UNSTATED_LIMIT_CAP_MS = 60_000
LEAST_COOLDOWN_MS = 50
UNSUPPLIED_REST_MS = 2_000
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Candidate:
    """Another lane the job may go to. `context_tokens` None is not known."""

    lane: str
    context_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What the rules need to know of a job.

    `attempts` were spent before this one. `others` are the other lanes it may run on, in the order
    of escape; `paid` those that are its last resort. `untried`: one of the former has not failed it
    yet. `siblings` counts other live credentials of this lane. `streamed`: a delta has reached the
    caller; `obstacle` says why the answer cannot be gone on with, `continued` that this attempt
    went on with it. `streak`: failures in a row of this lane.
    """

    attempts: int = 0
    max_attempts: int = 3
    requeues: int = 0
    deadline_ms: int | None = None
    others: tuple[Candidate, ...] = ()
    paid: tuple[Candidate, ...] = ()
    untried: bool = True
    context_tokens: int | None = None
    siblings: int = 0
    on_uncertain: OnUncertain = OnUncertain.RETRY
    on_break: OnBreak = OnBreak.FAIL
    streamed: bool = False
    obstacle: str = ""
    continued: bool = False
    streak: int = 0


@dataclass(frozen=True, slots=True)
class JobError:
    """A final error in OpenAI's shape, with its HTTP status. Never a 429."""

    message: str
    code: str
    status: int
    type: str = "upstream_error"
    param: str | None = None

    def as_dict(self) -> dict[str, object]:
        """`{message, type, param, code, status}`: the job's stored error."""
        return {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.code,
            "status": self.status,
        }


@dataclass(frozen=True, slots=True)
class Complete:
    """Store the answer."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Again, spending an attempt. `elsewhere`: at once, on the candidate that opens first.

    `delay_ms` is for a job that stays, by choice or for want of another candidate. `lane` names the
    one to go to.
    """

    delay_ms: int
    elsewhere: bool = True
    lane: str | None = None


@dataclass(frozen=True, slots=True)
class Requeue:
    """Again, spending none; `delay_ms` and `elsewhere` as in `Retry`."""

    delay_ms: int
    elsewhere: bool = True


@dataclass(frozen=True, slots=True)
class Move:
    """To `lane`, at once and for good: this lane will not see the job again. Spends no attempt."""

    lane: str


@dataclass(frozen=True, slots=True)
class Expire:
    """The deadline has passed: the job expires; `error` says what stopped it last."""

    error: JobError


@dataclass(frozen=True, slots=True)
class Fail:
    """Give up: `error` is final."""

    error: JobError


Action = Complete | Retry | Requeue | Move | Expire | Fail


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with the job (`action`), and what all others should know."""

    action: Action
    cooldowns: tuple[Cooldown, ...] = ()
    learned: tuple[Learned, ...] = ()
    uncertain: bool = False


def decide(outcome: Outcome, facts: JobFacts, now_ms: int, draw: float) -> Decision:
    """What to do now. `now_ms` is the store's time, `draw` is even in [0, 1)."""
    match outcome:
        case Succeeded():
            return Decision(Complete(), learned=outcome.learned)
        case Failed():
            return Decision(
                _action(outcome, facts, now_ms, draw),
                cooldowns(outcome, facts, draw),
                outcome.learned,
                outcome.uncertain,
            )
        case _:
            assert_never(outcome)


def aggregate(error: JobError, attempts: Sequence[tuple[int, str]]) -> JobError:
    """The final error, naming every attempt that is remembered by its number, oldest first."""
    if not attempts:
        return error
    lines = "; ".join(f"{n}. {line}" for n, line in attempts)
    return replace(error, message=f"{error.message} Attempts: {lines}")


def _action(failed: Failed, facts: JobFacts, now_ms: int, draw: float) -> Action:
    effect = TABLE[failed.kind].effect
    if facts.continued and failed.kind is FailureKind.INVALID_REQUEST:
        effect = Effect.RETRY  # what was refused is our way of going on, not the caller's request
    if effect is Effect.FAIL:
        return _refused(failed)
    if effect in (Effect.BIGGER, Effect.OTHER):
        return _bigger(failed, facts)
    if facts.streamed and (final := _broken(failed, facts)):
        return final
    if failed.uncertain and facts.on_uncertain is OnUncertain.FAIL:
        return _gave_up(failed, "outcome_uncertain", 504)
    if facts.deadline_ms is not None and now_ms >= facts.deadline_ms:
        return Expire(_error(failed, "deadline_exceeded", 504))
    return _within_deadline(_again(failed, effect, facts, draw), facts.deadline_ms, now_ms)


def _broken(failed: Failed, facts: JobFacts) -> Fail | None:
    """What ends a job whose caller has the beginning of an answer; None where it may go on."""
    match facts.on_break:
        case OnBreak.FAIL:
            return _gave_up(failed, "stream_broken", 502)
        case OnBreak.CONTINUE if facts.obstacle:
            why = f"{failed.message}; it cannot be continued: {facts.obstacle}"
            return _gave_up(replace(failed, message=why), "stream_broken", 502)
        case OnBreak.CONTINUE | OnBreak.RESTART:
            return None
        case _:
            assert_never(facts.on_break)


def _again(failed: Failed, effect: Effect, facts: JobFacts, draw: float) -> Action:
    unsent = failed.kind is FailureKind.UNREACHABLE and not failed.sent
    if unsent and facts.requeues < MAX_UNSENT_REQUEUES:
        return Requeue(backoff.wait_ms(facts.requeues, draw, failed.retry_after_ms))
    if failed.kind is FailureKind.UNSUPPLIED and facts.requeues >= MAX_UNSENT_REQUEUES:
        effect = Effect.FAIL
    match effect:
        case Effect.WAIT:
            # With a sibling credential the job escapes without a move; else the cooldown holds it.
            return Requeue(0, elsewhere=not facts.siblings)
        case Effect.LEAVE if facts.siblings:
            return Requeue(0, elsewhere=False)
        case Effect.LEAVE if facts.others or facts.paid:
            return Move((*facts.others, *facts.paid)[0].lane)
        case Effect.RETRY:
            return _retry(failed, facts, draw)
        case Effect.LEAVE | Effect.FAIL | Effect.BIGGER | Effect.OTHER:
            return _refused(failed)
        case _:
            assert_never(effect)


def _retry(failed: Failed, facts: JobFacts, draw: float) -> Action:
    left = facts.max_attempts - facts.attempts - 1
    if left == 1 and facts.paid and not facts.untried:
        return Retry(0, lane=facts.paid[0].lane)
    if left > 0:
        return Retry(backoff.wait_ms(facts.attempts, draw, failed.retry_after_ms))
    rule = TABLE[failed.kind]
    return _gave_up(failed, rule.code, rule.status)


def _within_deadline(action: Action, deadline_ms: int | None, now_ms: int) -> Action:
    """A delay never reaches past the deadline: the job then expires on time, not later."""
    if deadline_ms is None or not isinstance(action, Retry | Requeue):
        return action
    return replace(action, delay_ms=min(action.delay_ms, deadline_ms - now_ms))


def _bigger(failed: Failed, facts: JobFacts) -> Action:
    """A lane with more room, or that may take what this one does not.

    Too much for a quota window says nothing about contexts.
    """
    any_other = failed.window is not None or failed.kind is FailureKind.UNSUITED
    for other in (*facts.others, *facts.paid):
        if any_other or _more(other.context_tokens, facts.context_tokens):
            return Move(other.lane)
    if failed.window is not None:
        return _gave_up(failed, "request_too_large", 400)
    return _refused(failed)


def _more(theirs: int | None, ours: int | None) -> bool:
    return theirs is None or ours is None or theirs > ours


def _refused(failed: Failed) -> Fail:
    """The provider's own message and parameter, under our status: the caller can act on it."""
    rule = TABLE[failed.kind]
    kind = "invalid_request_error" if rule.status < _SERVER_ERROR else "upstream_error"
    code = rule.code
    if failed.kind in (FailureKind.INVALID_REQUEST, FailureKind.UNSUITED) and failed.code:
        code = failed.code
    return Fail(JobError(failed.message, code, rule.status, kind, failed.param))


def _gave_up(failed: Failed, code: str, status: int) -> Fail:
    return Fail(_error(failed, code, status))


def _error(failed: Failed, code: str, status: int) -> JobError:
    kind = "invalid_request_error" if status < _SERVER_ERROR else "upstream_error"
    return JobError(f"{failed.message} ({failed.kind})", code, status, kind)


def cooldowns(failed: Failed, facts: JobFacts, draw: float) -> tuple[Cooldown, ...]:
    """Who rests for how long. Failures without a stated wait are the breaker's to count.

    No day's quota is back within a moment, whatever was stated: who refuses on is asked ever later.
    """
    reason = f"{failed.kind}:{failed.window}" if failed.window else str(failed.kind)
    wait_ms = failed.retry_after_ms
    grown_ms = backoff.half_jitter_ms(facts.streak, draw, cap_ms=UNSTATED_LIMIT_CAP_MS)
    match failed.kind:
        case FailureKind.UNAUTHORIZED | FailureKind.MODEL_GONE:
            scope = "credential" if failed.kind is FailureKind.UNAUTHORIZED else "lane"
            return (Cooldown(scope, 0, reason, dead=True),)
        case FailureKind.UNSUPPLIED:  # a process with another catalog or keys: soon there, or gone
            return (Cooldown("lane", UNSUPPLIED_REST_MS, reason),)
        case FailureKind.QUOTA_EXHAUSTED:
            rest_ms = UNSTATED_QUOTA_MS if wait_ms is None else max(wait_ms, grown_ms)
            return (Cooldown(failed.scope, rest_ms, reason, failed.dead),)
        case FailureKind.RATE_LIMITED:
            if wait_ms is None:
                wait_ms = grown_ms
            return (Cooldown(failed.scope, max(wait_ms, LEAST_COOLDOWN_MS), reason),)
        case FailureKind.OVERLOADED:
            return () if wait_ms is None else (Cooldown("deployment", wait_ms, reason),)
        case (
            FailureKind.TIMEOUT
            | FailureKind.UNREACHABLE
            | FailureKind.INVALID_REQUEST
            | FailureKind.TOO_LONG
            | FailureKind.UNSUITED
            | FailureKind.FILTERED
            | FailureKind.MALFORMED_REPLY
            | FailureKind.UNKNOWN
        ):
            return ()
        case _:
            assert_never(failed.kind)
