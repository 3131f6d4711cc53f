"""A candidate is one lane: a deployment, with the credentials of one pool, ready to compare."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from shared.core.model import (
    CredentialRef,
    Deployment,
    Dimension,
    Kind,
    Limits,
    TokenCount,
    lane_id,
)

UNBOUNDED = 1 << 53
SHARED = "shared"
UNUSABLE = frozenset({"retired", "disabled", "gone"})
FREE_PLANS = frozenset({"free", "trial"})
COUNTED = {TokenCount.INPUT: 0, TokenCount.INPUT_OUTPUT: 1, TokenCount.INPUT_MAX_OUTPUT: 2}


class Skip(StrEnum):
    """Why a deployment is no candidate, in the order the checks are made."""

    NO_CREDENTIAL = "no_credential"
    STATUS = "status"
    KIND = "kind"
    NO_QUOTA = "no_quota"
    NOT_ALLOWED = "not_allowed"
    CAPABILITY = "capability"
    LAST_RESORT = "last_resort"
    MAX_OUTPUT = "max_output"
    CONTEXT = "context"
    AUDIO_SIZE = "audio_size"
    NEVER_FITS = "never_fits"
    PAID = "paid"
    COST_CAP = "cost_cap"
    DEAD = "dead"
    RANKED_LOWER = "ranked_lower"


@dataclass(frozen=True, slots=True)
class Considered:
    """One deployment and what became of it. `lane` is empty where the caller has none there."""

    deployment: str
    lane: str
    kept: bool
    reason: str


class Most(NamedTuple):
    """The smallest window of each dimension in one plan: no call that counts more ever fits."""

    tokens: int = UNBOUNDED
    audio_seconds: int = UNBOUNDED
    input_tokens: int = UNBOUNDED
    output_tokens: int = UNBOUNDED
    requests: int = UNBOUNDED

    @property
    def any_call(self) -> bool:
        """Whether some call of text fits at all."""
        return min(self.requests, self.tokens, self.input_tokens, self.output_tokens) > 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A lane with what the hard filters compare, unknown limits as `UNBOUNDED`.

    `names` are the words an allow list may know it by. `windows` holds the most of one call for
    each plan held, the most tokens first. `counts` says which output its token windows count:
    0 none, 1 expected, 2 the maximum.
    Prices are microusd per 1M tokens or per hour of audio, -1 unknown. `audio_bytes` and
    `audio_seconds` are the most of one call.
    """

    lane: str
    deployment: Deployment
    free: bool
    names: frozenset[str]
    capabilities: frozenset[str] | None
    context_tokens: int
    max_output_tokens: int
    token_factor: float
    counts: int
    windows: tuple[Most, ...]
    input_price: int
    output_price: int
    hour_price: int
    audio_bytes: int
    audio_seconds: int
    priority: int
    category: str


def smallest(limits: Limits | None) -> Most:
    """What the smallest windows of a plan hold; UNBOUNDED where there is none."""
    found = dict.fromkeys(Dimension, UNBOUNDED)
    for window in (*limits.windows, *limits.shared) if limits else ():
        found[window.dimension] = min(found[window.dimension], window.limit)
    return Most(
        tokens=found[Dimension.TOKENS],
        audio_seconds=found[Dimension.AUDIO_SECONDS],
        input_tokens=found[Dimension.INPUT_TOKENS],
        output_tokens=found[Dimension.OUTPUT_TOKENS],
        requests=found[Dimension.REQUESTS],
    )


def serves(deployment: Deployment, kind: Kind) -> bool:
    """A summary is made of chats, so whatever chats may serve it."""
    return kind in deployment.kinds or (kind is Kind.SUMMARY and Kind.CHAT in deployment.kinds)


def is_free(deployment: Deployment, credentials: Iterable[CredentialRef]) -> bool:
    """True only where no credential of the lane can cost money: a mixed lane counts as paid."""
    return deployment.price.free or all(ref.plan in FREE_PLANS for ref in credentials)


def _known(value: int | None) -> int:
    return UNBOUNDED if value is None else value


def _price(value: int | None) -> int:
    return -1 if value is None else value


def candidate_of(
    deployment: Deployment, pool: str, refs: tuple[CredentialRef, ...]
) -> Candidate | None:
    """None where no plan of the pool has any quota for it."""
    usable = {most for ref in refs if (most := smallest(deployment.limits(ref.plan))).any_call}
    if not usable:
        return None
    windows = tuple(sorted(usable, reverse=True))
    provider = deployment.provider
    names = {deployment.id, deployment.model, deployment.family, f"{provider}/*"} - {""}
    return Candidate(
        lane=lane_id(deployment.id, pool),
        deployment=deployment,
        free=is_free(deployment, refs),
        names=frozenset(names),
        capabilities=deployment.capabilities,
        context_tokens=_known(deployment.context_tokens),
        max_output_tokens=_known(deployment.max_output_tokens),
        token_factor=deployment.token_factor,
        counts=COUNTED[deployment.token_count],
        windows=windows,
        input_price=_price(deployment.price.input_microusd_per_1m),
        output_price=_price(deployment.price.output_microusd_per_1m),
        hour_price=_price(deployment.price.audio_microusd_per_hour),
        audio_bytes=_known(deployment.audio.max_bytes),
        audio_seconds=_known(deployment.audio.max_seconds),
        priority=deployment.priority,
        category=deployment.category or "",
    )
