"""The likeness of a request: a digest under which equal ones of one tenant find each other.

Alike is only what cannot lead to another answer.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

from shared.core.features import Features
from shared.core.model import Kind
from shared.core.sharing import Policy, Sharing, Wish, terms

DIGITS: Final = 40
TRANSPORT: Final = frozenset(
    {"stream", "stream_options", "metadata", "user", "safety_identifier", "prompt_cache_key"}
)
"""How an answer is delivered, and for whom: no part of what is asked."""
LOCATORS: Final = frozenset({"object", "filename", "content_type", "file_id", "url"})
"""Where the bytes are found whose digest is known."""
UNORDERED: Final = frozenset({"messages"})
"""Where the order of fields says nothing. A schema's is that of the answer."""
NUMBERS: Final = frozenset({"temperature", "top_p", "presence_penalty", "frequency_penalty"})


def sharing(
    policy: Policy,
    wish: Wish,
    endpoint: str,
    request: Mapping[str, Any],
    tenant: str,
    features: Features,
    *,
    stream: bool = False,
    content: str | None = None,
) -> Sharing | None:
    """What the job of a request may share; None, and nothing digested, where it is nothing.

    `content` tells the bytes that the request names but does not hold: two uploads of one recording
    have two names, and only their bytes can tell. What is at an address may change: it is like
    nothing.
    """
    if _unknown_bytes(features.kind, request, content):
        return None
    found = terms(policy, wish, features.kind, request, stream=stream)
    if found is None:
        return None
    return Sharing(likeness(endpoint, request, tenant, features, content, whole=wish.whole), found)


def likeness(
    endpoint: str,
    request: Mapping[str, Any],
    tenant: str,
    features: Features,
    content: str | None = None,
    *,
    whole: bool = False,
) -> str:
    """The digest of what is asked, by whom, and of what steers where it goes."""
    dropped = TRANSPORT if content is None else TRANSPORT | LOCATORS
    allowed = features.allowed_models
    about = (
        tenant,
        features.kind.value,
        endpoint,
        content,
        features.mode,
        features.request_type,
        None if allowed is None else sorted(allowed),
        features.paid.value,
        features.cost_cap_microusd,
    )
    found = hashlib.sha256(orjson.dumps((*about, "whole") if whole else about))
    for name in sorted(request.keys() - dropped):
        found.update(b"\0" + orjson.dumps(name) + b"\0" + _canonical(name, request[name]))
    return found.hexdigest()[:DIGITS]


def _canonical(name: str, value: Any) -> bytes:
    """JSON has no NUL, so that no field can pass for two."""
    if name in NUMBERS and isinstance(value, int | float):
        return orjson.dumps(float(value) + 0.0)  # 0, 0.0 and -0.0 are one
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS if name in UNORDERED else None)


def _unknown_bytes(kind: Kind, request: Mapping[str, Any], content: str | None) -> bool:
    match kind:
        case Kind.TRANSCRIPTION:
            return content is None
        case Kind.SUMMARY:
            return any("url" in document for document in request["documents"])
        case _:
            return False
