"""The wish for a second call where the first is slow: what may be wished, and what is refused."""

from collections.abc import Mapping
from typing import Any, Final

from api.options import Options
from api.wiring import Bounds
from shared.core.model import Kind, Priority
from shared.errors import Refused
from shared.submission import Submission

_HEDGED: Final = frozenset({Kind.CHAT, Kind.EMBEDDING, Kind.SUMMARY})
"""A summary's calls are chats, which have its policy."""


def wished(bounds: Bounds, asked: Submission, options: Options, priority: Priority) -> Any:
    """The job's policy with its wish in it; None where it says nothing at all.

    Refused: `auto` where no second call would ever be made, with the reason.
    """
    policy: Mapping[str, Any] | None = asked.extra.get("policy")
    if options.hedge is None:
        return policy
    wish, field = options.hedge
    if wish == "auto" and (why := _forbidden(bounds, asked, policy or {}, priority)):
        raise Refused(f"{field}: {why}", param=field, code="hedge_not_allowed")
    return {**(policy or {}), "hedge": wish}


def _forbidden(
    bounds: Bounds, asked: Submission, policy: Mapping[str, Any], priority: Priority
) -> str:
    if not bounds.hedging:
        return "no call is made twice here (HEADRACE_HEDGE_SHARE is 0); leave it out, or say never"
    if asked.kind not in _HEDGED:
        return f"a {asked.kind.value} is never made twice; leave it out, or say never"
    if priority is Priority.BULK:
        return "bulk work is never made twice: give it another priority, or leave it out"
    if policy.get("on_uncertain") == "fail":
        return "with on_uncertain: fail nothing is made twice; choose one of the two"
    return ""
