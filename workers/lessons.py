"""What a lesson changes: from what is believed of a credential and what the store shows. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.core import estimate
from shared.core.estimate import Trail, Trouble
from shared.core.learn import Known
from shared.core.model import Dimension
from shared.core.outcome import Learned
from shared.store import learned
from shared.store.learned import Spec

STRAY_SPANS = 5
STRAY_MS = 60_000


@dataclass(frozen=True, slots=True)
class Look:
    """The store's view of one credential: see teach.lua."""

    now_ms: int
    running: int
    admitted_ms: int
    trail: Trail
    used: Mapping[str, int]
    free: Mapping[str, int]
    sent: Mapping[str, tuple[tuple[int, int], ...]]


@dataclass(frozen=True, slots=True)
class Entry:
    """A credential's new entry, what its new ledgers begin with, and its changed windows by key."""

    made: dict[str, Any]
    seeds: list[dict[str, Any]]
    shared: dict[str, Spec]


def informed(told: Iterable[Learned]) -> bool:
    """Whether a refusal said why: figures, or a header with nothing left."""
    return any(each.source == "429" or each.remaining == 0 for each in told)


def estimated(
    known: tuple[Known, ...], log_key: str, look: Look, retry_ms: int | None, *, echo: bool
) -> tuple[Known, ...]:
    """The windows after a refusal without figures; `echo`: sent before the last refusal came.

    `log_key` is that of the credential's log of calls.
    """
    if echo:
        return tuple(map(estimate.echoed, known))
    mine = [k for k in known if k.window.dimension is Dimension.REQUESTS]
    since_ms, trail = look.trail.since_ms, look.trail
    if not mine:
        sent = look.sent.get(log_key, ())
        trouble = Trouble(look.now_ms, retry_ms, sent, since_ms, look.running)
        first = estimate.opened(trouble)
        return (*known, first) if first else known
    least = min(mine, key=lambda k: k.window.span_ms)
    recent_ms = max(STRAY_MS, STRAY_SPANS * least.window.span_ms)
    if not least.guess and not least.loose and look.now_ms - trail.at_ms > recent_ms:
        return known  # one that contradicts what was declared or told may be a stray
    sent = look.sent.get(log_key) or look.sent.get(least.key, ())
    free = look.free.get(least.key, 0)
    shut_ms = trail.shut(look.admitted_ms)
    trouble = Trouble(look.now_ms, retry_ms, sent, since_ms, look.running, free, shut_ms=shut_ms)
    if trail.chained(look.now_ms):
        trouble = replace(trouble, chain_ms=trail.chain_ms, refusals=trail.refusals)
    lower = estimate.lowered(least, trouble)
    return tuple(lower if k is least else k for k in known)


def entry(
    made: Mapping[str, Any],
    windows: Iterable[Known],
    told: Sequence[Learned],
    spec_of: Callable[[Known], Spec],
) -> Entry:
    """The entry with these windows; `spec_of` makes the spec of one that it has not yet."""
    old = {spec["k"]: spec for spec in made.get("win") or ()}
    specs, seeds, shared = [], [], {}
    for known in windows:
        new = learned.taught(old.get(known.key) or spec_of(known), known)
        specs.append(new)
        if known.key in old:
            if new != old[known.key]:
                shared[known.key] = new
            continue
        before = next((w for w in old.values() if w["d"] == new["d"] and w.get("new")), None)
        source = made.get("log") if new["d"] == Dimension.REQUESTS else before
        used = [t.limit - t.remaining for t in told if t.remaining is not None and says(t, new)]
        seed = {"w": new, "from": source, "used": max(used, default=None)}
        seeds.append({name: value for name, value in seed.items() if value is not None})
    return Entry({**made, "win": specs}, seeds, shared)


def in_place(
    creds: list[dict[str, Any]], made: dict[str, Any], shared: Mapping[str, Spec]
) -> list[dict[str, Any]]:
    """All credentials of the lane: the changed one, and those that share windows with it."""
    done = []
    for cred in creds:
        if cred["id"] == made["id"]:
            done.append(made)
        elif cred.get("log", {}).get("k") == made.get("log", {}).get("k"):  # one organisation
            done.append(learned.controlled({**cred, "win": made["win"]}))
        else:
            done.append({**cred, "win": [shared.get(w["k"], w) for w in cred["win"] or ()]})
    return done


def says(told: Learned, spec: Mapping[str, Any]) -> bool:
    """Whether an announcement is about this window, as far as can be seen."""
    if told.dimension != spec["d"] or told.limit != spec["l"]:
        return False
    return not told.span_ms or told.span_ms == spec["s"]
