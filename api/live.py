"""The router and the callers' keys of the newest supply: what the handlers hold on to."""

from collections.abc import Mapping
from typing import Any

from api.ports import Keys
from shared.core.features import Features
from shared.credentials import ApiKey
from shared.routing import CatalogRouter, Route
from shared.store.types import JobRecord, LaneState
from shared.supply import Live, Supply


class LiveRouter:
    """See `ports.Router`. A selection runs on one supply from its beginning to its end."""

    def __init__(self, live: Live, **options: Any) -> None:
        """`options` are those of `CatalogRouter`."""
        self._options = options
        self._take(live.current)
        live.on_change(self._take)

    def _take(self, supply: Supply) -> None:
        self._now = CatalogRouter(supply.whole, supply.credentials, **self._options)

    @property
    def served(self) -> int:
        """How many deployments there is a credential for."""
        return self._now.served

    def tokens(self, deployment: str, counted: int) -> int:
        """How many tokens of a deployment so many of o200k are."""
        return self._now.tokens(deployment, counted)

    def models(self) -> tuple[dict[str, Any], ...]:
        """Every name a request may give as `model`."""
        return self._now.models()

    def route(
        self, features: Features, tenant: str, lanes: Mapping[str, LaneState], now_ms: int
    ) -> Route:
        """Chooses lanes; Refused where nothing can ever serve the request."""
        return self._now.route(features, tenant, lanes, now_ms)

    def expected_output(
        self, model: str, asked_tokens: int | None, lanes: Mapping[str, LaneState]
    ) -> int:
        """The output tokens that a call of that name should need, as was learned of it."""
        return self._now.expected_output(model, asked_tokens, lanes)

    def eta_ms(
        self,
        record: JobRecord,
        position: int | None,
        lanes: Mapping[str, LaneState],
        now_ms: int,
    ) -> tuple[int, int] | None:
        """When a queued job should be done: spans from now (p50, p95)."""
        return self._now.eta_ms(record, position, lanes, now_ms)


class LiveKeys:
    """The keys of the configuration and of files, then those made through the API."""

    def __init__(self, files: Keys, live: Live) -> None:
        self._files = files
        self._live = live

    def find(self, key: str) -> ApiKey | None:
        """Who a key belongs to; None if nobody."""
        return self._files.find(key) or self._live.current.keys.find(key)

    def all(self) -> tuple[ApiKey, ...]:
        """Those of the configuration and of files: they are changed there."""
        return self._files.all()
