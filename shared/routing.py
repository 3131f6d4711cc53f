"""Selection, wired to one catalog snapshot: a route, or a refusal that names the field."""

import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from shared.catalog import Catalog
from shared.core.candidates import SHARED, Considered, Skip
from shared.core.eligibility import Load
from shared.core.eta import estimate
from shared.core.features import Features
from shared.core.index import Index
from shared.core.lengths import lengths_ms
from shared.core.model import CredentialRef, Deployment, Kind, lane_deployment, lane_id
from shared.core.pace import allowance
from shared.core.ranking import VIRTUAL_NAMES
from shared.core.rooms import Room, rooms
from shared.core.selection import (
    MARGIN,
    Impossible,
    Selection,
    UnknownModel,
    loads_of,
    select,
)
from shared.errors import Refused
from shared.store.types import JobRecord, LaneState, Waiting

TURNS: Final = 20
MOST_EXPECTED: Final = 2_000
SERVICE_MS: Final = 2_000  # the mean of a call, where nothing measures it


def _turn() -> int:
    return random.getrandbits(TURNS)


@dataclass(frozen=True, slots=True)
class Route:
    """Where a job goes: `first` is the lane it is queued in, `lanes` all free candidates.

    `skipped` counts the others by reason.

    `waiting` and `eta_ms` (p50, p95: spans from now) are estimates from the lanes as last read.
    """

    first: str
    lanes: tuple[str, ...]
    paid_lanes: tuple[str, ...]
    considered: tuple[Considered, ...]
    skipped: tuple[tuple[str, int], ...] = ()
    waiting: Waiting | None = None
    eta_ms: tuple[int, int] | None = None


class CatalogRouter:
    """Routes over the deployments there is a credential for."""

    def __init__(
        self,
        catalog: Catalog,
        credentials: Iterable[CredentialRef],
        draw: Callable[[], int] = _turn,
        margin: float = MARGIN,
    ) -> None:
        refs = tuple(credentials)
        self._all = catalog
        self._catalog = catalog.served(refs)
        self._refs = refs
        self._index = Index(
            self._catalog.deployments,
            refs,
            aliases=self._catalog.by_name,
            no_auth=[p.name for p in self._catalog.providers if p.no_auth],
        )
        self._own = frozenset(ref.pool for ref in refs) - {SHARED}
        self._draw = draw
        self._margin = margin
        self._expected: dict[tuple[str, int | None], int] = {}
        self._models = _models(self._catalog)
        self._read: Mapping[str, LaneState] = {}
        self._loads: Mapping[str, Load] = {}

    @property
    def served(self) -> int:
        """How many deployments there is a credential for."""
        return len(self._catalog.deployments)

    def tokens(self, deployment: str, counted: int) -> int:
        """How many tokens of a deployment so many of o200k are."""
        known = self._catalog.by_id.get(deployment)
        return counted if known is None else math.ceil(counted * known.token_factor)

    def models(self) -> tuple[dict[str, Any], ...]:
        """Every name a request may give as `model`: deployments, families, virtual names."""
        return self._models

    def route(
        self, features: Features, tenant: str, lanes: Mapping[str, LaneState], now_ms: int
    ) -> Route:
        """Chooses lanes; Refused where nothing can ever serve the request, naming the field."""
        if tenant in self._own:
            features = replace(features, own_pool=tenant)
        self._heed(lanes)
        found = select(self._index, features, self._loads, now_ms, self._draw(), self._margin)
        match found:
            case UnknownModel():
                raise self._unknown(found)
            case Impossible():
                raise _impossible(found, features)
            case Selection():
                state = lanes.get(found.first)
                ahead = _ahead(state, int(features.priority))
                return Route(
                    first=found.first,
                    lanes=found.listed,
                    paid_lanes=found.listed_paid,
                    considered=found.considered,
                    skipped=found.skipped,
                    waiting=_waiting(state, ahead, now_ms),
                    eta_ms=_eta(state, ahead, now_ms, self._calls(found.first, features, state)),
                )

    def lengths_ms(self, features: Features, tenant: str) -> tuple[int, ...]:
        """The longest audio of one call, for each lane that may ever serve it; empty: none may."""
        if tenant in self._own:
            features = replace(features, own_pool=tenant)
        view = self._index.view(features)
        return () if view is None else lengths_ms(view)

    def rooms(self, features: Features, tenant: str) -> tuple[Room, ...]:
        """How much one call takes, for each lane that may ever serve it; empty where none may."""
        if tenant in self._own:
            features = replace(features, own_pool=tenant)
        view = self._index.view(features)
        return () if view is None else rooms(view, self._margin)

    def _heed(self, lanes: Mapping[str, LaneState]) -> None:
        if lanes is not self._read:
            self._read, self._loads = lanes, loads_of(lanes.values())
            self._expected.clear()

    def expected_output(
        self, model: str, asked_tokens: int | None, lanes: Mapping[str, LaneState]
    ) -> int:
        """The output tokens that a call of that name should need, as was learned of it."""
        self._heed(lanes)
        found = self._expected.get((model, asked_tokens))
        if found is None:
            states = (lanes.get(lane_id(one.id, SHARED)) for one in self._catalog.resolve(model))
            paces = [state.pace for state in states if state is not None and state.pace is not None]
            found = allowance(paces, asked_tokens)
            if len(self._expected) < MOST_EXPECTED:
                self._expected[model, asked_tokens] = found
        return found

    def _calls(self, lane: str, features: Features, state: LaneState | None) -> int:
        """How many of the lane's average calls this one is, where every text counts as a call."""
        there = self._catalog.by_id.get(lane_deployment(lane))
        if there is None or not there.each_input:
            return 1
        pace = None if state is None else state.pace
        usual = max(1.0, (pace.inputs or 1.0) if pace is not None else 1.0)
        return max(1, math.ceil(features.inputs / usual))

    def eta_ms(
        self,
        record: JobRecord,
        position: int | None,
        lanes: Mapping[str, LaneState],
        now_ms: int,
    ) -> tuple[int, int] | None:
        """When a queued job should be done: spans from now (p50, p95); None where not known."""
        state = lanes.get(record.lane)
        ahead = 0 if state is None else sum(state.backlog[: int(record.priority)])
        return _eta(state, ahead if position is None else position, now_ms)

    def _unknown(self, found: UnknownModel) -> Refused:
        there = self._all.resolve(found.model)
        if there:
            names = sorted({deployment.provider for deployment in there})
            return Refused(
                f"the model {found.model!r} is known, but there is no credential for"
                f" {' or '.join(names)}: add one, or use another model",
                status=404,
                param="model",
                code="model_not_found",
            )
        near = f"; did you mean {' or '.join(map(repr, found.nearest))}?" if found.nearest else ";"
        return Refused(
            f"no model is called {found.model[:256]!r}{near} GET /v1/models lists all names",
            status=404,
            param="model",
            code="model_not_found",
        )


# What each check's failure is to the caller: status, the field to change, code, what to do.
REFUSALS: Final[dict[Skip, tuple[int, str, str, str]]] = {
    Skip.NO_CREDENTIAL: (404, "model", "model_not_found", "there is no credential for it"),
    Skip.STATUS: (404, "model", "model_not_found", "it is no longer offered: use another model"),
    Skip.KIND: (400, "model", "model_not_suitable", "it does not serve {kind} requests"),
    Skip.NO_QUOTA: (400, "model", "no_quota", "our plan has no quota for it: use another model"),
    Skip.NOT_ALLOWED: (403, "model", "model_not_allowed", "this API key may not use it"),
    Skip.CAPABILITY: (400, "model", "capability_missing", "it cannot do what the request needs"),
    Skip.MAX_OUTPUT: (400, "max_tokens", "max_tokens_exceeded", "ask for less output"),
    Skip.CONTEXT: (400, "messages", "context_length_exceeded", "shorten the input"),
    Skip.AUDIO_SIZE: (400, "file", "audio_too_large", "cut the audio, or use another model"),
    Skip.NEVER_FITS: (400, "messages", "request_too_large", "no quota window will ever hold it"),
    Skip.PAID: (400, "paid", "paid_not_allowed", "only paid deployments serve it: allow paid use"),
    Skip.COST_CAP: (400, "max_cost_usd", "cost_cap_exceeded", "allow more, or ask for less"),
    Skip.DEAD: (503, "model", "no_capacity", "every credential for it is set aside"),
    Skip.RANKED_LOWER: (503, "model", "no_capacity", "nothing can serve it now"),
}


class NoRoute(Refused):
    """Nothing can serve the request: what was looked at, and why it will not do."""

    def __init__(self, found: Impossible, features: Features, message: str, **more: Any) -> None:
        super().__init__(message, **more)
        self.features = features
        self.considered = found.considered
        self.skipped = found.skipped


def _impossible(found: Impossible, features: Features) -> NoRoute:
    status, param, code, advice = REFUSALS[found.cause]
    if param == "messages" and features.kind is Kind.EMBEDDING:
        param = "input"
    if param == "messages" and features.kind is Kind.TRANSCRIPTION:
        param = "file"
    reasons = [c.reason for c in found.considered if c.reason.startswith(found.cause.value)]
    told = advice.format(kind=features.kind.value)
    detail = f" ({reasons[0]})" if reasons and ":" in reasons[0] else ""
    return NoRoute(
        found,
        features,
        f"no deployment of {found.model!r} can serve this request: {told}{detail}",
        status=status,
        type_="server_error" if status >= 500 else "invalid_request_error",  # noqa: PLR2004
        param=param,
        code=code,
        retry_after_s=30 if status >= 500 else None,  # noqa: PLR2004
    )


def _ahead(state: LaneState | None, priority: int) -> int:
    """How many queued jobs a new one of this priority has before it."""
    return 0 if state is None else sum(state.backlog[: priority + 1])


def _eta(
    state: LaneState | None, position: int, now_ms: int, calls: int = 1
) -> tuple[int, int] | None:
    pace = None if state is None else state.pace
    service_ms = SERVICE_MS if pace is None or not pace.total_ms else max(1, round(pace.total_ms))
    found = estimate(state, position, service_ms, now_ms, calls)
    return None if found is None else (found.p50_ms, found.p95_ms)


def _waiting(state: LaneState | None, ahead: int, now_ms: int) -> Waiting | None:
    """Why a job that is queued now would wait, as the lane was last read."""
    if state is None:
        return None
    if state.open_ms > now_ms:
        return Waiting(state.reason or "quota", None, state.open_ms, ahead)
    return Waiting("behind", None, None, ahead) if ahead else None


def _models(catalog: Catalog) -> tuple[dict[str, Any], ...]:
    names: dict[str, tuple[Deployment, ...]] = {one.id: (one,) for one in catalog.deployments}
    names.update({name: to for name, to in sorted(catalog.by_name.items()) if name not in names})
    if catalog.deployments:
        names.update({name: catalog.resolve(name) for name in VIRTUAL_NAMES})
    return tuple(_model(name, to) for name, to in names.items() if to)


def _model(name: str, to: tuple[Deployment, ...]) -> dict[str, Any]:
    owners = {one.provider for one in to}
    contexts = [one.context_tokens for one in to if one.context_tokens]
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": owners.pop() if len(owners) == 1 else "headrace",
        "context_window": max(contexts) if contexts else None,
        "kinds": sorted({kind.value for one in to for kind in one.kinds} - {Kind.TASK.value}),
        "deployments": [one.id for one in to],
    }
