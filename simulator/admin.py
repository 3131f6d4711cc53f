"""The admin API: what was seen, faults, limits, reset."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from itertools import count
from typing import Any
from urllib.parse import parse_qs

import orjson

from simulator.admin_page import render
from simulator.config import SimulatorConfig
from simulator.durations import short_span
from simulator.exchange import Exchange
from simulator.fault_reading import fault_spec
from simulator.faults import Fault, FaultSpec
from simulator.ledger import Account, Ledger, Meter
from simulator.loading import load_limits
from simulator.markers import Markers
from simulator.provider import Provider
from simulator.reading import ConfigError, refuse_unknown
from simulator.report import provider_report


class Admin:
    """Answers `/admin`. It has no password: the simulator holds nothing worth one."""

    def __init__(
        self, config: SimulatorConfig, providers: Mapping[str, Provider], markers: Markers
    ) -> None:
        self._config = config
        self._providers = providers
        self._markers = markers
        self._fault_ids = count(1)

    async def serve(self, exchange: Exchange) -> None:
        """Route and answer one admin request."""
        path = exchange.path.removeprefix("/admin").strip("/")
        try:
            if (exchange.method, path) == ("GET", ""):
                await exchange.answer(200, render(self.state()).encode(), html=True)
                return
            status, value = 200, await self._json(exchange, path)
        except (ConfigError, ValueError, TypeError) as exc:
            status, value = 400, {"error": str(exc)}
        except KeyError as exc:
            status, value = 404, {"error": str(exc.args[0])}
        await exchange.answer(status, orjson.dumps(value))

    async def _json(self, exchange: Exchange, path: str) -> Any:
        name, _, rest = path.partition("/")
        match exchange.method, name:
            case "GET", "state":
                answer: Any = self.state()
            case "GET", "requests" if rest:
                answer = {"id": rest, **asdict(self._markers.get(rest))}
            case "GET", "requests":
                answer = self._requests(parse_qs(exchange.query.decode()))
            case "GET", "rows":
                answer = {name: list(p.personality.rows) for name, p in self._providers.items()}
            case "GET", "faults":
                answer = {"faults": self._faults()}
            case "POST", "faults":
                answer = {"ids": self._add_faults(await _body(exchange))}
            case "DELETE", "faults":
                answer = {"removed": self._remove_faults(rest)}
            case "POST", "limits":
                answer = {"changed": self._set_limits(await _body(exchange))}
            case "POST", "reset":
                answer = self._reset()
            case _:
                raise KeyError(f"no {exchange.method} /admin/{path}")
        return answer

    def state(self) -> dict[str, Any]:
        """All counts; times are real, in seconds since 1970."""
        return {
            "speed": self._config.speed,
            "now": next(iter(self._providers.values())).now_us() / 1e6,
            "ids_kept": len(self._markers),
            "ids_forgotten": self._markers.forgotten,
            "faults": self._faults(),
            "providers": {name: provider_report(each) for name, each in self._providers.items()},
        }

    def _requests(self, query: Mapping[str, list[str]]) -> dict[str, Any]:
        """Ids with at least `min_received`, `min_admitted`, `min_answered`; at most `limit`."""
        least = {
            name: int(query.get(f"min_{name}", ["0"])[0])
            for name in ("received", "admitted", "answered")
        }
        limit = int(query.get("limit", ["1000"])[0])
        found = [
            {"id": marker, **asdict(seen)}
            for marker, seen in self._markers.items()
            if all(getattr(seen, name) >= number for name, number in least.items())
        ]
        return {"count": len(found), "requests": found[:limit]}

    def _faults(self) -> list[dict[str, Any]]:
        return [
            {"id": fault.id, "seen": fault.seen, "fired": fault.fired}
            | {name: value for name, value in asdict(fault.spec).items() if value is not None}
            | {"provider": name}
            for name, provider in self._providers.items()
            for fault in provider.faults.armed
            if not fault.spent(provider.now_us())
        ]

    def _add_faults(self, given: Mapping[str, Any]) -> list[int]:
        name = given.get("provider")
        chosen = list(self._providers.values()) if name is None else [self._named(name)]
        spec = fault_spec(given, self._config.speed)
        if spec.kind == "refuse" and not self._config.own_ports:
            raise ValueError("'refuse' needs own_ports: a common port knows no provider yet")
        for provider in chosen:
            _check_words(provider, spec)
        ids = []
        for provider in chosen:
            spec = replace(spec, key=provider.key_id(spec.key), model=provider.model_id(spec.model))
            fault = Fault(next(self._fault_ids), spec)
            provider.faults.add(fault)
            ids.append(fault.id)
        return ids

    def _remove_faults(self, fault_id: str) -> int:
        """Remove one by id, or all where none is named."""
        wanted = int(fault_id) if fault_id else None
        removed = 0
        for provider in self._providers.values():
            armed = provider.faults.armed
            kept = [f for f in armed if wanted not in (None, f.id)]
            provider.faults.armed = kept
            removed += len(armed) - len(kept)
        return removed

    def _set_limits(self, given: Mapping[str, Any]) -> int:
        refuse_unknown(given, "", ("provider", "model", "key", "factor", "limits", "announced"))
        if "provider" not in given or ("factor" in given) == ("limits" in given):
            raise ValueError("name a 'provider', and either 'factor' or 'limits'")
        provider = self._named(given["provider"])
        announced = bool(given.get("announced", False))
        accounts = [
            account
            for (key, model), account in provider.ledger.accounts.items()
            if provider.key_id(given.get("key")) in (None, key)
            and provider.model_id(given.get("model")) in (None, model)
        ]
        now_us = provider.now_us()
        if "factor" in given:
            factor = float(given["factor"])
            return provider.ledger.scale(accounts, factor, now_us, announced=announced)
        changed = 0
        for wanted in load_limits(given["limits"], "limits"):
            matching = [
                meter
                for meter in _meters(accounts)
                if meter.spec.dimension == wanted.dimension and meter.spec.span_us == wanted.span_us
            ]
            if not matching:
                raise ValueError(f"no limit of {wanted.dimension} per {short_span(wanted.span_us)}")
            for meter in matching:
                Ledger.set_limit(meter, wanted.limit, now_us, announced=announced)
            changed += len(matching)
        return changed

    def _reset(self) -> dict[str, Any]:
        for provider in self._providers.values():
            provider.reset()
        self._markers.clear()
        return {"reset": True}

    def _named(self, name: Any) -> Provider:
        if name not in self._providers:
            near = difflib.get_close_matches(str(name), self._providers, n=1, cutoff=0.0)
            raise KeyError(f"no provider {name!r}; nearest is {near[0]!r}")
        return self._providers[name]


def _check_words(provider: Provider, spec: FaultSpec) -> None:
    """Raise where the provider's personality has no words for a fault."""
    rows = provider.personality.rows
    if spec.row is not None and spec.row not in rows:
        near = difflib.get_close_matches(spec.row, rows, n=1, cutoff=0.0)
        raise KeyError(f"{provider.spec.name} has no row {spec.row!r}; nearest is {near[0]!r}")
    if spec.kind == "filtered" and not provider.personality.has_filter:
        raise ValueError(f"{provider.spec.name} plays a provider without a content filter")


async def _body(exchange: Exchange) -> Mapping[str, Any]:
    value = orjson.loads(await exchange.body())
    if not isinstance(value, Mapping):
        raise TypeError("expected a JSON object")
    return value


def _meters(accounts: Iterable[Account]) -> list[Meter]:
    return list({id(meter): meter for account in accounts for meter in account.meters}.values())
