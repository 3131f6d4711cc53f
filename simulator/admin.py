"""The admin API: what was seen, faults, limits, reset."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields, replace
from itertools import count
from typing import Any
from urllib.parse import parse_qs

import orjson

from simulator.admin_page import render
from simulator.config import SimulatorConfig
from simulator.durations import parse_span_us, short_span
from simulator.exchange import Exchange
from simulator.faults import BEFORE_BODY, KINDS, ON_CONNECT, Fault, FaultSpec
from simulator.ledger import Account, Counters, Ledger, Meter
from simulator.loading import ConfigError, load_limits
from simulator.markers import Markers
from simulator.provider import Provider

_SPANS = {"for": "for_us", "retry_after": "retry_after_us"}


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
            "providers": {name: _provider(each) for name, each in self._providers.items()},
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
        _known(given, ("provider", "model", "key", "factor", "limits", "announced"))
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


def fault_spec(given: Mapping[str, Any], speed: float) -> FaultSpec:
    """Read a posted fault; `for` and `retry_after` are simulated spans. Raises `ValueError`."""
    names = [each.name for each in fields(FaultSpec) if not each.name.endswith("_us")]
    _known(given, (*names, *_SPANS))
    kind = given.get("kind")
    if kind not in KINDS:
        near = difflib.get_close_matches(str(kind), KINDS, n=1, cutoff=0.0)
        raise ValueError(f"unknown kind {kind!r}; nearest is {near[0]!r}")
    plain: dict[str, Any] = {name: value for name, value in given.items() if name not in _SPANS}
    if kind == "slow":
        plain.setdefault("factor", 10.0)
    if kind == "limits":
        plain.setdefault("count", 1)
    if kind in BEFORE_BODY | ON_CONNECT and given.get("model") is not None:
        raise ValueError(f"{kind!r} strikes before the model is known; leave 'model' out")
    for name, (good, what) in _FAULT_FIELDS.items():
        if name in given and not good(given[name]):
            raise ValueError(f"{name}: expected {what}, got {given[name]!r}")
    spans: dict[str, Any] = {
        field: round(parse_span_us(given[name]) / speed)
        for name, field in _SPANS.items()
        if name in given
    }
    return FaultSpec(**plain, **spans)


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= least


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and value >= 0


_FAULT_FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "count": (_whole(1), "a whole number from 1"),
    "after_requests": (_whole(0), "a whole number from 0"),
    "after_chunks": (_whole(0), "a whole number from 0"),
    "status": (lambda value: value in range(400, 600), "an error status"),
    "probability": (lambda value: _is_number(value) and value <= 1, "a number from 0 to 1"),
    "factor": (_is_number, "a number from 0"),
}


def _known(given: Mapping[str, Any], names: Iterable[str]) -> None:
    known = list(names)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise ValueError(f"unknown key {name!r}; nearest is {near[0]!r}")


async def _body(exchange: Exchange) -> Mapping[str, Any]:
    value = orjson.loads(await exchange.body())
    if not isinstance(value, Mapping):
        raise TypeError("expected a JSON object")
    return value


def _meters(accounts: Iterable[Account]) -> list[Meter]:
    return list({id(meter): meter for account in accounts for meter in account.meters}.values())


def _provider(provider: Provider) -> dict[str, Any]:
    models: dict[str, dict[str, Any]] = {}
    total = Counters()
    violations = 0
    for (key, model), account in provider.ledger.accounts.items():
        models.setdefault(model, {})[key] = _account(account, provider.now_us())
        _add(total, account.counters)
        outcomes = account.counters.outcomes
        violations += outcomes.get("rate_limited", 0)
    _add(total, provider.strangers)
    return {
        "dialect": provider.spec.dialect,
        "total": _counters(total),
        "violations": violations,
        "strangers": _counters(provider.strangers),
        "models": models,
    }


def _account(account: Account, now_us: int) -> dict[str, Any]:
    gate = account.gates[-1]
    limits = [g.limit for g in account.gates if g.limit is not None]
    return {
        **_counters(account.counters),
        "violations": account.counters.outcomes.get("rate_limited", 0),
        "concurrency": {"now": gate.now, "peak": gate.peak, "limit": min(limits, default=None)},
        "windows": [_meter(meter, now_us) for meter in account.meters],
    }


def _meter(meter: Meter, now_us: int) -> dict[str, Any]:
    return {
        "dimension": meter.spec.dimension,
        "kind": meter.spec.kind,
        "scope": meter.spec.scope,
        "per_s": meter.window.span_us / 1e6,
        "limit": meter.window.limit,
        "announced_limit": meter.announced_limit,
        "used": meter.window.used(now_us),
        "peak": meter.peak,
        "admitted": meter.admitted,
        "refused": meter.refused,
    }


def _counters(counters: Counters) -> dict[str, Any]:
    outcomes = counters.outcomes
    rate_limited = sum(outcomes.get(each, 0) for each in _RATE_LIMITED)
    answered = outcomes.get("ok", 0)
    return {
        "received": counters.received,
        "admitted": counters.admitted,
        "answered_200": answered,
        "answered_429": rate_limited,
        "other": sum(outcomes.values()) - answered - rate_limited,
        "outcomes": dict(outcomes),
        "prompt_tokens": counters.prompt_tokens,
        "completion_tokens": counters.completion_tokens,
        "images": counters.images,
        "streams": counters.streams,
        "first_at": counters.first_at_us / 1e6,
        "last_answer_at": counters.last_answer_at_us / 1e6,
    }


_RATE_LIMITED = ("rate_limited", "too_large", "fault:rate_limited")


def _add(total: Counters, part: Counters) -> None:
    for name in ("received", "admitted", "prompt_tokens", "completion_tokens", "images", "streams"):
        setattr(total, name, getattr(total, name) + getattr(part, name))
    for outcome, number in part.outcomes.items():
        total.outcomes[outcome] = total.outcomes.get(outcome, 0) + number
    starts = [at for at in (total.first_at_us, part.first_at_us) if at]
    total.first_at_us = min(starts, default=0)
    total.last_answer_at_us = max(total.last_answer_at_us, part.last_answer_at_us)
