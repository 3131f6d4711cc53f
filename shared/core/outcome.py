"""What an attempt came to, and whom each kind of failure blames: one table.

An adapter or the transport normalises whatever happened to `Succeeded` or `Failed`;
`decision.decide` turns that and the job's facts into what is done about it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from shared.core.model import Usage


class FailureKind(StrEnum):
    """Every way an attempt fails, after normalisation."""

    RATE_LIMITED = "rate_limited"
    QUOTA_EXHAUSTED = "quota_exhausted"
    OVERLOADED = "overloaded"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    UNAUTHORIZED = "unauthorized"
    MODEL_GONE = "model_gone"
    INVALID_REQUEST = "invalid_request"
    TOO_LONG = "too_long"
    UNSUITED = "unsuited"  # it is not taken here, and may be elsewhere
    FILTERED = "filtered"
    MALFORMED_REPLY = "malformed_reply"
    UNSUPPLIED = "unsupplied"  # the worker has not (yet) the key or the model that it was told of
    UNKNOWN = "unknown"


class Blame(StrEnum):
    """Whose fault a failure is: whose breaker counts it."""

    JOB = "job"
    CREDENTIAL = "credential"
    DEPLOYMENT = "deployment"
    PROVIDER = "provider"
    NOBODY = "nobody"


class Effect(StrEnum):
    """What follows a failure of a kind, before the job's own facts are looked at."""

    FAIL = "fail"  # the request itself: no other place would take it
    BIGGER = "bigger"  # only a place with more room would take it
    OTHER = "other"  # only another place would take it
    WAIT = "wait"  # spends no attempt: the provider said when, or a key died
    LEAVE = "leave"  # spends no attempt: this place is no place for it any more
    RETRY = "retry"  # spends an attempt, elsewhere if there is an elsewhere


@dataclass(frozen=True, slots=True)
class Rule:
    """A row of the table. `status` is what a caller gets where the failure is final."""

    blame: Blame
    effect: Effect
    status: int
    code: str


TABLE: Mapping[FailureKind, Rule] = MappingProxyType(
    {
        FailureKind.RATE_LIMITED: Rule(Blame.NOBODY, Effect.WAIT, 503, "no_capacity"),
        FailureKind.QUOTA_EXHAUSTED: Rule(Blame.CREDENTIAL, Effect.WAIT, 503, "no_capacity"),
        FailureKind.OVERLOADED: Rule(Blame.DEPLOYMENT, Effect.RETRY, 503, "all_attempts_failed"),
        FailureKind.TIMEOUT: Rule(Blame.DEPLOYMENT, Effect.RETRY, 504, "all_attempts_failed"),
        FailureKind.UNREACHABLE: Rule(Blame.PROVIDER, Effect.RETRY, 503, "all_attempts_failed"),
        FailureKind.UNAUTHORIZED: Rule(Blame.CREDENTIAL, Effect.WAIT, 503, "no_credential"),
        FailureKind.MODEL_GONE: Rule(Blame.DEPLOYMENT, Effect.LEAVE, 404, "model_not_found"),
        FailureKind.INVALID_REQUEST: Rule(Blame.JOB, Effect.FAIL, 400, "invalid_request"),
        FailureKind.TOO_LONG: Rule(Blame.JOB, Effect.BIGGER, 400, "context_length_exceeded"),
        FailureKind.UNSUITED: Rule(Blame.JOB, Effect.OTHER, 400, "invalid_request"),
        FailureKind.FILTERED: Rule(Blame.JOB, Effect.FAIL, 400, "content_filter"),
        FailureKind.MALFORMED_REPLY: Rule(
            Blame.DEPLOYMENT, Effect.RETRY, 502, "all_attempts_failed"
        ),
        FailureKind.UNSUPPLIED: Rule(Blame.NOBODY, Effect.WAIT, 503, "no_credential"),
        FailureKind.UNKNOWN: Rule(Blame.DEPLOYMENT, Effect.RETRY, 502, "all_attempts_failed"),
    }
)


class OnUncertain(StrEnum):
    """What the job wants where a provider may have done the work and its answer was lost."""

    RETRY = "retry"
    FAIL = "fail"


class OnBreak(StrEnum):
    """What the job wants where a stream broke after its first delta."""

    FAIL = "fail"
    RESTART = "restart"
    CONTINUE = "continue"  # elsewhere, from the text so far


@dataclass(frozen=True, slots=True)
class Cooldown:
    """A timed rest, stored as max(old, new).

    `scope` is `lane` (this credential on this lane), `credential` (all its lanes) or `deployment`
    (all credentials of the lane). `dead` sets it aside until it is edited or probed.
    """

    scope: str
    for_ms: int
    reason: str
    dead: bool = False


MOST_SPAN_MS = 31 * 86_400_000
MOST_LIMIT = 10**12


def believable(span_ms: int, limit: int) -> bool:
    """Whether a window may be of this span and limit, whoever says so: a month, 10^12 units."""
    return 0 <= span_ms <= MOST_SPAN_MS and 0 <= limit <= MOST_LIMIT


@dataclass(frozen=True, slots=True)
class Learned:
    """A limit that a header or a 429 taught us about this claim's credential and deployment.

    `window` names the dimension and span as in `Window.name` (rpm, tpm, …). `span_ms` 0 is a limit
    that named no span: it speaks about the configured window of its dimension. `remaining` and
    `reset_ms` (from now) are hints. `source` is `header` or `429`.
    """

    window: str
    dimension: str
    span_ms: int
    limit: int
    source: str
    remaining: int | None = None
    reset_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Succeeded:
    """A complete answer. `body` is the OpenAI object as JSON, `usage` what this call used.

    `total` is what the answer used over several attempts, where it was put together from them.
    """

    body: bytes
    usage: Usage
    learned: tuple[Learned, ...] = ()
    total: Usage | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that gave no answer.

    `sent`: the request may have reached the provider. `uncertain`: the work may have been done (and
    billed) though no usable answer came. `retry_after_ms` is what the provider stated. `scope` is
    whom a rest is for, as in `Cooldown`; `dead` where no rest heals it. `window` and `limit` name
    the violated quota window. `param` and `code` are the provider's own. `said` is what of the
    message is the provider's and no piece of the request, `marks` its machine-readable words: only
    from these is anything learned of keys.
    """

    kind: FailureKind
    message: str
    status: int | None = None
    code: str | None = None
    param: str | None = None
    retry_after_ms: int | None = None
    scope: str = "lane"
    dead: bool = False
    window: str | None = None
    limit: int | None = None
    sent: bool = True
    uncertain: bool = False
    learned: tuple[Learned, ...] = ()
    said: str = ""
    marks: tuple[str, ...] = ()


Outcome = Succeeded | Failed
