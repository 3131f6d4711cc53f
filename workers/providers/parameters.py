"""The one rule for parameters a deployment does not take: dropped and told, or refused.

Pure. `fit` says what may be sent and what would be lost; what becomes of the loss is the job's wish
(`unsupported: drop | refuse`, default drop). A parameter that asks for what happens anyway
(`n: 1`, `logprobs: false`, null) is lost by nobody and not told.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from shared.core.outcome import Failed, FailureKind
from shared.quirks import Quirks

_ALWAYS = frozenset({"messages", "model", "stream", "stream_options"})
_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "store": (False,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "parallel_tool_calls": (True,),
    "service_tier": ("auto", "default"),
    "logit_bias": ({},),
    "metadata": ({},),
    "modalities": (["text"],),
    "verbosity": ("medium",),
}


class OnUnsupported(StrEnum):
    """What the job wants where a deployment does not take a parameter."""

    DROP = "drop"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Fitted:
    """`body` by the caller's names, less what is not taken; `dropped` names what meant something.

    The names are sorted; a value that is not taken where its field is stands as `field=value`.
    """

    body: dict[str, Any]
    dropped: tuple[str, ...]


def fit(request: Mapping[str, Any], quirks: Quirks, *, chat: bool = True) -> Fitted:
    """The top-level fields that this host takes, with values as it spells them.

    `takes` and `values` speak of chats; other kinds of request know `drop` only.
    """
    spelled = {name: dict(pairs) for name, pairs in quirks.values} if chat else {}
    body: dict[str, Any] = {}
    dropped: list[str] = []
    for name, value in request.items():
        if value is None:
            continue
        if not (_taken(name, quirks) if chat else name not in quirks.drop):
            if not _neutral(name, value):
                dropped.append(name)
            continue
        meant = spelled.get(name, {}).get(value, value) if isinstance(value, str) else value
        if meant != "" or value == "":
            body[name] = meant
        elif not _neutral(name, value):
            dropped.append(f"{name}={value}")
    return Fitted(body, tuple(sorted(dropped)))


def _taken(name: str, quirks: Quirks) -> bool:
    if name in quirks.drop:
        return False
    return not quirks.takes or name in quirks.takes or name in _ALWAYS


def answers(request: Mapping[str, Any], quirks: Quirks) -> int:
    """How many choices the host was asked for, once what it does not take is left out."""
    n = request.get("n") if _taken("n", quirks) else None
    return n if isinstance(n, int) and n > 0 else 1


def refused(dropped: tuple[str, ...], deployment: str) -> Failed:
    """What a job that wants no parameter dropped comes to here; nothing was sent."""
    what = ", ".join(dropped)
    return Failed(
        FailureKind.UNSUITED,
        f"{deployment} does not take {what}; leave it out, or send unsupported: drop",
        code="unsupported_parameter",
        param=dropped[0].partition("=")[0],
        sent=False,
    )


def _neutral(name: str, value: Any) -> bool:
    return any(value == each for each in _NEUTRAL.get(name, ()))
