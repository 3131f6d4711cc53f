"""What each model name offers to whom, worked out once per catalog: the tables selection reads.

An `Index` is built once for a catalog and its credentials. A `View` of it (one name, one kind, one
caller's pools, needs and rule) is made at its first use and kept, so that a selection looks at
nothing that could never serve it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.core.candidates import (
    SHARED,
    UNUSABLE,
    Candidate,
    Considered,
    Skip,
    candidate_of,
    serves,
)
from shared.core.features import Features
from shared.core.model import CredentialRef, Deployment, Kind, Paid
from shared.core.ranking import VIRTUAL, VIRTUAL_NAMES, Rule, Tier, rule_for, tiers, weight

MAX_VIEWS = 2_000
MAX_SHOWN = 20
NEAREST = 3
NAME_LOOKED_AT = 80

ViewKey = tuple[str, Kind, str | None, bool, frozenset[str], frozenset[str] | None, Paid, Rule]


@dataclass(frozen=True, slots=True)
class View:
    """What a name offers to requests that are alike but in size: see `ranking` for the order.

    `lanes` are those of all tiers, in their order. `considered` shows up to 20 that can never serve
    them, the nearest misses first; `skipped` counts all by reason.
    """

    tiers: tuple[Tier, ...]
    lanes: tuple[str, ...]
    step_ms: int
    fast: bool
    weight: int
    considered: tuple[Considered, ...]
    skipped: Mapping[Skip, int]


class Index:
    """The tables of one catalog version. It never changes; its views are made when asked for.

    `credentials` decide the lanes; a provider in `no_auth` without a credential serves the shared
    pool on its plan `free`. `aliases` are further names (a catalog's `by_name`).
    """

    __slots__ = ("_grams", "_names", "_pools", "_views")

    def __init__(
        self,
        deployments: Iterable[Deployment],
        credentials: Iterable[CredentialRef],
        *,
        aliases: Mapping[str, tuple[Deployment, ...]] | None = None,
        no_auth: Iterable[str] = (),
    ) -> None:
        self._names = _names(_interleaved(deployments), aliases or {})
        pools: dict[tuple[str, str], list[CredentialRef]] = {}
        for ref in credentials:
            pools.setdefault((ref.provider, ref.pool), []).append(ref)
        for provider in no_auth:
            pools.setdefault((provider, SHARED), [CredentialRef("none", provider)])
        self._pools = {key: tuple(refs) for key, refs in pools.items()}
        self._views: dict[ViewKey, View] = {}
        self._grams: tuple[tuple[str, frozenset[str]], ...] = ()

    def view(self, features: Features) -> View | None:
        """What the asked name offers; None if nothing is so named."""
        key = (
            features.model,
            features.kind,
            features.own_pool,
            features.shared_pool,
            features.capabilities,
            features.allowed_models,
            features.paid,
            rule_for(features),
        )
        found = self._views.get(key)
        if found is None and features.model in self._names:
            if len(self._views) >= MAX_VIEWS:
                self._views.clear()
            found = self._views[key] = self._view(features)
        return found

    def nearest(self, name: str) -> tuple[str, ...]:
        """Up to three known names that share most letter triples with an unknown one."""
        if not self._grams:
            self._grams = tuple((known, _trigrams(known)) for known in self._names)
        asked = _trigrams(name)
        scored = sorted(
            ((len(asked & grams) / len(asked | grams), known) for known, grams in self._grams),
            key=lambda pair: (-pair[0], pair[1]),
        )
        return tuple(known for score, known in scored[:NEAREST] if score > 0)

    def _view(self, features: Features) -> View:
        candidates: list[Candidate] = []
        left: list[tuple[Skip, Considered]] = []
        for deployment in self._names[features.model]:
            lanes, skip = self._lanes(deployment, features)
            for lane in lanes:
                fault = static_fault(lane, features)
                if fault is None:
                    candidates.append(lane)
                else:
                    left.append((fault[0], Considered(deployment.id, lane.lane, False, fault[1])))
            if skip is not None:
                left.append((skip, Considered(deployment.id, "", False, skip.value)))
        candidates, worse = _without_last_resorts(candidates, features.model)
        left += worse
        left.sort(key=lambda pair: CHECKS[pair[0]], reverse=True)
        rule = rule_for(features)
        ordered = tiers(candidates, rule, features.paid)
        return View(
            tiers=ordered,
            lanes=tuple(one.lane for tier in ordered for one in tier.members),
            step_ms=rule.step_ms,
            fast=rule.fast,
            weight=weight(rule, features.paid),
            considered=tuple(considered for _, considered in left[:MAX_SHOWN]),
            skipped=Counter(skip for skip, _ in left),
        )

    def _lanes(
        self, deployment: Deployment, features: Features
    ) -> tuple[list[Candidate], Skip | None]:
        if deployment.status in UNUSABLE:
            return [], Skip.STATUS
        if not serves(deployment, features.kind):
            return [], Skip.KIND
        own = features.own_pool
        pools = [own] if own and own != SHARED else []
        pools += [SHARED] if features.shared_pool else []
        held = [(pool, self._held(deployment, pool)) for pool in pools]
        if not any(refs for _, refs in held):
            return [], Skip.NO_CREDENTIAL
        made = [candidate_of(deployment, pool, refs) for pool, refs in held if refs]
        lanes = [candidate for candidate in made if candidate is not None]
        return lanes, None if lanes else Skip.NO_QUOTA

    def _held(self, deployment: Deployment, pool: str) -> tuple[CredentialRef, ...]:
        """The credentials of a pool that may be used for a deployment."""
        refs = self._pools.get((deployment.provider, pool), ())
        return tuple(ref for ref in refs if ref.serves(deployment))


CHECKS = {skip: position for position, skip in enumerate(Skip)}


def static_fault(candidate: Candidate, features: Features) -> tuple[Skip, str] | None:
    """Why this lane can serve no such request, whatever its size; None where it may."""
    allowed, known = features.allowed_models, candidate.capabilities
    if allowed is not None and allowed.isdisjoint(candidate.names):
        return Skip.NOT_ALLOWED, Skip.NOT_ALLOWED.value
    if known is not None and not features.capabilities <= known:
        missing = ", ".join(sorted(features.capabilities - known))
        return Skip.CAPABILITY, f"{Skip.CAPABILITY.value}: no {missing}"
    if features.paid is Paid.NEVER and not candidate.free:
        return Skip.PAID, f"{Skip.PAID.value}: never"
    return None


def _without_last_resorts(
    candidates: list[Candidate], name: str
) -> tuple[list[Candidate], list[tuple[Skip, Considered]]]:
    """Behind a virtual name what is of last resort stands in only where nothing else can serve.

    So it never takes work because a better one rests or is busy.
    """
    better = [one for one in candidates if not one.deployment.last_resort]
    if name not in VIRTUAL_NAMES or not better:
        return candidates, []
    skip = Skip.LAST_RESORT
    return better, [
        (skip, Considered(one.deployment.id, one.lane, False, skip.value))
        for one in candidates
        if one.deployment.last_resort
    ]


def _interleaved(deployments: Iterable[Deployment]) -> list[Deployment]:
    """The first of each provider, then the second of each: equals are spread over providers."""
    seen: dict[str, int] = {}
    keyed = []
    for position, deployment in enumerate(deployments):
        turn = seen[deployment.provider] = seen.get(deployment.provider, -1) + 1
        keyed.append((turn, position, deployment))
    return [deployment for _, _, deployment in sorted(keyed, key=lambda entry: entry[:2])]


def _names(
    deployments: Iterable[Deployment], aliases: Mapping[str, tuple[Deployment, ...]]
) -> dict[str, tuple[Deployment, ...]]:
    """Every name and what it means: an exact id before an alias before a family or model id.

    A model id means its whole family, so that the same model elsewhere may serve it too.
    """
    everything = tuple(deployments)
    families: dict[str, list[Deployment]] = {}
    by_model: dict[str, dict[str, None]] = {}
    for one in everything:
        family = one.family or one.model
        families.setdefault(family, []).append(one)
        by_model.setdefault(one.model, {})[family] = None
    named = {name: tuple(members) for name, members in families.items()}
    for model, of in by_model.items():
        members = dict.fromkeys(one.id for name in (*of, model) for one in families.get(name, ()))
        named[model] = tuple(one for one in everything if one.id in members)
    plain = {name: to for name, to in aliases.items() if name.partition(":")[0] != VIRTUAL}
    exact = {one.id: (one,) for one in everything}
    return {**dict.fromkeys(VIRTUAL_NAMES, everything), **named, **plain, **exact}


def _trigrams(name: str) -> frozenset[str]:
    padded = f"  {name[:NAME_LOOKED_AT].lower()} "
    return frozenset(padded[i : i + 3] for i in range(len(padded) - 2))
