"""What a request may share with its equals: one call at a time, or an answer that is kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from shared.core.model import Kind

MAX_CACHE_S: Final = 366 * 86_400


class ShareMode(StrEnum):
    """Whether equal requests may have one answer."""

    AUTO = "auto"  # where they may be expected to have equal ones anyway
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings say. `kept_ms` is how long a job's result is kept."""

    share: ShareMode = ShareMode.AUTO
    cache_ms: int = 0
    kept_ms: int = 3 * 86_400_000


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request says of it; None leaves it to the settings. 0: no answer kept nor given.

    `whole`: its answer is to be of all it asked, not of what a deployment took of it.
    """

    share: ShareMode | None = None
    cache_s: float | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """What a job may share. `cache_ms` is how old an answer it takes and how long its own is kept.

    `follow`: it may wait for another job's call, and others for its own.
    """

    follow: bool
    cache_ms: int = 0


@dataclass(frozen=True, slots=True)
class Sharing:
    """The terms of a job, and the likeness under which its equals are found."""

    likeness: str
    terms: Terms


def terms(
    policy: Policy, wish: Wish, kind: Kind, request: Mapping[str, Any], *, stream: bool = False
) -> Terms | None:
    """What a job of this request may share; None where it is nothing. A stream shares nothing."""
    if stream:
        return None
    share = policy.share if wish.share is None else wish.share
    follow = share is ShareMode.ALWAYS or (share is ShareMode.AUTO and repeatable(kind, request))
    cache_ms = _cache_ms(policy, wish, kind) if follow or wish.cache_s is not None else 0
    return Terms(follow, cache_ms) if follow or cache_ms else None


def repeatable(kind: Kind, request: Mapping[str, Any]) -> bool:
    """Whether the same request again may be expected to be answered the same."""
    match kind:
        case Kind.EMBEDDING | Kind.TRANSCRIPTION | Kind.SUMMARY:
            return True
        case Kind.CHAT:
            return request.get("temperature") == 0 or request.get("seed") is not None
        case _:
            return False


def _cache_ms(policy: Policy, wish: Wish, kind: Kind) -> int:
    if wish.cache_s is not None:
        return min(round(wish.cache_s * 1_000), policy.kept_ms)
    cache_ms = policy.kept_ms if kind is Kind.TRANSCRIPTION else policy.cache_ms
    return min(cache_ms, policy.kept_ms)
