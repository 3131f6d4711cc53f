"""Lanes: their configuration going in, what they look like coming out, moves between them."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

import orjson
from redis.asyncio import Redis

from shared.catalog import Catalog
from shared.core.backlog import Group, LaneEvent, LaneEventKind, Move, Snapshot, parse_event
from shared.core.model import CredentialRef, Deployment, Limits, Priority, lane_id
from shared.queue.scripts import Scripts
from shared.queue.types import LaneView
from shared.settings import Settings
from shared.store import learned
from shared.store.connect import messages, store_errors
from shared.store.types import LaneState

FRESH_S = 0.1
DEAD_MS = 10**15
DAY_MS = 86_400_000


def lane_config(
    deployment: Deployment, credentials: Iterable[CredentialRef], now_ms: int
) -> dict[str, Any]:
    """One lane as configure.lua writes it: every credential with all its windows.

    Credentials of a higher priority stand first; `tiers` says how many of each stand together.
    """
    ranked = sorted(credentials, key=lambda credential: -credential.priority)
    made: dict[str, Any] = {
        "creds": [
            learned.entry(
                deployment, credential, deployment.limits(credential.plan) or Limits(), now_ms
            )
            for credential in ranked
        ]
    }
    tiers = Counter(credential.priority for credential in ranked)
    return made | {"tiers": list(tiers.values())} if len(tiers) > 1 else made


def lane_configs(
    deployments: Iterable[Deployment], credentials: Iterable[CredentialRef], now_ms: int
) -> dict[str, dict[str, Any]]:
    """Every lane there is: a deployment for each pool that has a credential of its provider."""
    pools: dict[tuple[str, str], list[CredentialRef]] = {}
    for credential in credentials:
        pools.setdefault((credential.provider, credential.pool), []).append(credential)
    return {
        lane_id(deployment.id, pool): lane_config(deployment, members, now_ms)
        for deployment in deployments
        for (_, pool), held in pools.items()
        if (members := [credential for credential in held if credential.serves(deployment)])
    }


async def publish_catalog(
    lanes: "Lanes", catalog: Catalog, credentials: Iterable[CredentialRef], settings: Settings
) -> int:
    """Writes every lane of a catalog and the settings the scripts read; returns the changes.

    What was learned of limits since they were declared so is kept.
    """
    now_ms = await lanes.now_ms()
    declared = lane_configs(catalog.deployments, list(credentials), now_ms)
    return await lanes.publish(
        learned.merged(declared, await lanes.learned()),
        {
            "retention_ms": int(settings.retention_s * 1000),
            "events_ms": int(settings.events_retention_s * 1000),
            "idempotency_ms": int(settings.idempotency_s * 1000),
            "max_alive": settings.max_queued,
            "bulk_reserve": settings.bulk_reserve,
            "interactive_recent_ms": int(settings.interactive_recent_s * 1000),
            "breaker_failures": settings.breaker_failures,
            "breaker_open_ms": int(settings.breaker_open_s * 1000),
            "unserved_ms": int(settings.unserved_s * 1000),
        },
        catalog.version,
    )


class Lanes:
    """The lanes of one store. All methods raise StoreError where the store does not answer."""

    def __init__(self, client: Redis, prefix: str = "{hr}:") -> None:
        self._client = client
        self._scripts = Scripts(client, prefix)
        self._prefix = prefix
        self._states: Mapping[str, LaneState] = {}
        self._fresh_until = 0.0

    async def publish(
        self,
        lanes: Mapping[str, Mapping[str, Any]],
        settings: Mapping[str, str | int | float],
        version: str,
    ) -> int:
        """Writes configurations that differ, drops lanes no longer served; returns the changes."""
        with store_errors("publish"):
            known = {_text(name) for name in await self._client.hkeys(f"{self._prefix}cfg")}
            return int(
                await self._scripts(
                    "configure",
                    {
                        "lanes": {
                            name: orjson.dumps(lane).decode() for name, lane in lanes.items()
                        },
                        "drop": sorted(known - lanes.keys()) or None,
                        "set": {name: str(value) for name, value in settings.items()},
                        "version": version,
                    },
                )
            )

    async def version(self) -> str | None:
        """Which catalog is published; None where none is yet."""
        with store_errors("version"):
            found = await self._client.get(f"{self._prefix}cfg:version")
        return _text(found) if found else None

    async def learned(self) -> dict[str, str | bytes]:
        """What was learned of limits, as `store.learned` keeps it."""
        with store_errors("learned"):
            rows = await self._client.hgetall(f"{self._prefix}learned")
        return {_text(name): text for name, text in rows.items()}

    async def _survey(self, **ask: Any) -> dict[str, Any]:
        with store_errors("survey"):
            raw: dict[str, Any] = orjson.loads(await self._scripts("survey", ask))
        return raw

    async def lane_states(self) -> Mapping[str, LaneState]:
        """What selection and ETA read; at most 100 ms old."""
        if time.monotonic() >= self._fresh_until:
            self._fresh_until = time.monotonic() + FRESH_S
            raw = await self._survey(windows=True)
            self._states = {name: _state(name, v, raw["now"]) for name, v in _lanes(raw)}
        return self._states

    async def lanes(self) -> tuple[LaneView, ...]:
        """Every lane as `/v1/queues` shows it."""
        raw = await self._survey(windows=True)
        return tuple(_view(name, v, raw["now"]) for name, v in _lanes(raw))

    # -- for the scheduler

    async def now_ms(self) -> int:
        """The store's clock."""
        with store_errors("now"):
            seconds, micros = await self._client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def queued(self) -> int:
        """Jobs without a final state: O(1)."""
        with store_errors("queued"):
            return int(await self._client.get(f"{self._prefix}alive") or 0)

    async def snapshot(self) -> Snapshot:
        """Lanes and groups of queued jobs, read in one call."""
        raw = await self._survey(windows=True, groups=True)
        with store_errors("snapshot"):
            sigs = await self._client.hgetall(f"{self._prefix}sigs")
        lists = {_text(name): orjson.loads(text) for name, text in sigs.items()}
        groups = []
        for lane, view in _lanes(raw):
            for name, count in (view.get("grp") or {}).items():
                sig, _, rank = name.rpartition(":")
                known = lists.get(sig, {})
                groups.append(
                    Group(
                        signature=sig,
                        lane=lane,
                        priority=Priority(int(rank)),
                        count=int(count),
                        lanes=tuple(known.get("c") or ()),
                        paid=tuple(known.get("p") or ()),
                    )
                )
        states = tuple(_state(name, v, raw["now"]) for name, v in _lanes(raw))
        return Snapshot(int(raw["now"]), states, tuple(groups))

    async def move(self, move: Move, fence: int) -> int:
        """Moves queued jobs; returns how many. An older leader's fence is refused."""
        with store_errors("move"):
            return int(
                await self._scripts(
                    "move",
                    {
                        "from": move.source,
                        "to": move.target,
                        "most": move.count,
                        "class": int(move.priority),
                        "sig": move.signature,
                        "reason": move.reason,
                        "due": move.deadline_ms,
                        "fence": fence,
                    },
                )
            )

    async def events(self) -> AsyncIterator[LaneEvent]:
        """Announcements as they come; StoreError when the connection breaks."""
        subscription = self._client.pubsub()
        try:
            with store_errors("events"):
                await subscription.subscribe(f"{self._prefix}lane-events")
            yield LaneEvent(LaneEventKind.LOST)
            async for message in messages(subscription):
                event = parse_event(message["data"].decode())
                if event:
                    yield event
        finally:
            await subscription.aclose()  # type: ignore[no-untyped-call]


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()


def _lanes(raw: Mapping[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    return raw["lanes"].items() if raw["lanes"] else ()


def _rates(view: Mapping[str, Any]) -> float | None:
    """Requests per second that all credentials' request windows admit together."""
    total = 0.0
    for cred in view["creds"] or ():
        rates = [w["l"] * 1000 / w["s"] for w in cred.get("win") or () if w["d"] == "requests"]
        if not rates:
            return None
        total += min(rates)
    return total


def _free(view: Mapping[str, Any], now_ms: int) -> int | None:
    total = 0
    for cred in view["creds"] or ():
        frees = [w["free"] for w in cred.get("win") or () if w["d"] == "requests"]
        if not frees:
            return None
        if cred["rest"] <= now_ms:
            total += int(min(frees))
    return total


def _state(lane: str, view: Mapping[str, Any], now_ms: int) -> LaneState:
    parked = int(view["parked"])
    creds = view["creds"] or ()
    return LaneState(
        lane=lane,
        backlog=(int(view["by"][0]), int(view["by"][1]), int(view["by"][2])),
        running=int(view["run"]),
        open_ms=parked if parked > now_ms else 0,
        rate_per_s=_rates(view),
        free_requests=_free(view, now_ms),
        dead=bool(creds) and all(cred["rest"] >= DEAD_MS for cred in creds),
        reason=view["reason"],
        last_interactive_ms=int(view["last"]),
    )


def _view(lane: str, view: Mapping[str, Any], now_ms: int) -> LaneView:
    windows = [
        {
            "credential": cred["id"],
            "window": w["n"],
            "dimension": w["d"],
            "limit": w["l"],
            "source": w.get("o") or "catalog",
            "used": w["used"],
            "free": w["free"],
            "reset_in_s": round(max(0, w["reset"] - now_ms) / 1000, 3),
        }
        for cred in view["creds"] or ()
        for w in cred.get("win") or ()
    ]
    names = ("interactive", "normal", "bulk")
    return LaneView(
        lane=lane,
        queued=dict(zip(names, (int(n) for n in view["by"]), strict=True)),
        running=int(view["run"]),
        parked_until_ms=int(view["parked"]),
        parked_reason=f"{view['reason']} {view['window']}".strip(),
        windows=tuple(windows),
        rate_per_min=round((_rates(view) or 0.0) * 60, 3),
        oldest_ms=None,
    )
