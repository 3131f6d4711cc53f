"""A candidate is one lane: a deployment, with the credentials of one pool, ready to compare."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

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


@dataclass(frozen=True, slots=True)
class Candidate:
    """A lane with what the hard filters compare, unknown limits as `UNBOUNDED`.

    `names` are the words an allow list may know it by. `windows` holds (token limit, audio limit)
    of each plan held: the smallest of its windows. `counts` says which output its token windows
    count: 0 none, 1 expected, 2 the maximum.
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
    windows: tuple[tuple[int, int], ...]
    input_price: int
    output_price: int
    hour_price: int
    audio_bytes: int
    audio_seconds: int
    priority: int
    category: str


def smallest(limits: Limits | None) -> tuple[int, int, int]:
    """The smallest request, token and audio window of a plan; UNBOUNDED where there is none."""
    found = dict.fromkeys(Dimension, UNBOUNDED)
    for window in (*limits.windows, *limits.shared) if limits else ():
        found[window.dimension] = min(found[window.dimension], window.limit)
    return found[Dimension.REQUESTS], found[Dimension.TOKENS], found[Dimension.AUDIO_SECONDS]


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
    limits = [smallest(deployment.limits(ref.plan)) for ref in refs]
    usable = {(tokens, audio) for requests, tokens, audio in limits if min(requests, tokens) > 0}
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
