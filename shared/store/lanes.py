"""Lanes: their configuration going in, what they look like coming out, moves between them."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import orjson
from redis.asyncio import Redis

from shared.catalog import Catalog
from shared.core.backlog import LaneEvent, LaneEventKind, Move, Snapshot, parse_event
from shared.core.candidates import is_free
from shared.core.model import (
    CredentialRef,
    Deployment,
    Dimension,
    Limits,
    Window,
    WindowKind,
    lane_deployment,
    lane_id,
)
from shared.core.quota import heard, priced, window_spec
from shared.queue.scripts import Scripts
from shared.queue.types import Claim, LaneView
from shared.settings import Settings
from shared.store import learned
from shared.store.connect import messages, store_errors
from shared.store.readings import (
    DEAD_MS,
    PAID_CAP,
    expected_cost,
    groups_of,
    is_capped,
    lanes_of,
    paid_left_microusd,
    state_of,
    view_of,
)
from shared.store.types import LaneState
from shared.store.usage import Usage

FRESH_S = 0.1
ASKING_S = 2.0
MANY_LANES = 1_000
RESTS = 9  # times as long as a reading of many lanes takes, which stops the store
SIGNATURES_A_CALL = 500
DAY_MS = 86_400_000
NOTHING: Mapping[str, int] = MappingProxyType({})


def lane_config(
    deployment: Deployment,
    credentials: Iterable[CredentialRef],
    now_ms: int,
    cap_microusd: int | None = None,
) -> dict[str, Any]:
    """One lane as configure.lua writes it: every credential with all its windows.

    Credentials of a higher priority stand first; `tiers` says how many of each stand together. The
    day's cap on paid use is a window too, one for all credentials that cost money.
    """
    ranked = sorted(credentials, key=lambda credential: -credential.priority)
    creds = []
    for ref in ranked:
        entry = learned.entry(deployment, ref, deployment.limits(ref.plan) or Limits(), now_ms)
        if cap_microusd is not None and not is_free(deployment, (ref,)):
            entry["win"] = [*entry["win"], _cap(deployment, cap_microusd, now_ms)]
        creds.append(entry)
    tiers = Counter(credential.priority for credential in ranked)
    made: dict[str, Any] = {"creds": creds}
    return made | {"tiers": list(tiers.values())} if len(tiers) > 1 else made


def _cap(deployment: Deployment, cap_microusd: int, now_ms: int) -> dict[str, Any]:
    window = Window(
        PAID_CAP, Dimension.MICROUSD, cap_microusd, DAY_MS, WindowKind.FIXED, source="config"
    )
    counts, factor = deployment.token_count, deployment.token_factor
    # guard 0: it is our own clock's day
    spec = window_spec(window, "paid", None, now_ms, counts, factor, guard=0)
    return heard(priced(spec, deployment.price, factor), deployment.audio) | {"o": window.source}


def lane_configs(
    deployments: Iterable[Deployment],
    credentials: Iterable[CredentialRef],
    now_ms: int,
    cap_microusd: int | None = None,
) -> dict[str, dict[str, Any]]:
    """Every lane there is: a deployment for each pool that has a credential of its provider."""
    pools: dict[tuple[str, str], list[CredentialRef]] = {}
    for credential in credentials:
        pools.setdefault((credential.provider, credential.pool), []).append(credential)
    return {
        lane_id(deployment.id, pool): lane_config(deployment, members, now_ms, cap_microusd)
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
    cap = settings.paid_cap_microusd
    declared = lane_configs(catalog.deployments, list(credentials), now_ms, cap)
    return await lanes.publish(
        learned.merged(declared, await lanes.learned()),
        {
            "retention_ms": int(settings.retention_s * 1000),
            "events_ms": int(settings.events_retention_s * 1000),
            "idempotency_ms": int(settings.idempotency_s * 1000),
            "usage_ms": int(settings.usage_retention_s * 1000),
            "paid_cap_microusd": -1 if cap is None else cap,
            "max_alive": settings.max_queued,
            "kept": settings.cache_entries,
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
        self.usage = Usage(client, prefix)
        self._states: Mapping[str, LaneState] = {}
        self._fresh_until = 0.0
        self._known: Mapping[str, str | bytes] = {}

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

    async def living(self, lane: str, credentials: Sequence[str]) -> int:
        """How many of these credentials have not been set aside, in all or for this lane."""
        if not credentials:
            return 0
        scopes = [at + name for name in credentials for at in ("c:", f"l:{lane}|")]
        with store_errors("living"):
            found = await self._client.hmget(f"{self._prefix}cool", scopes)
        dead = [
            rest is not None and int(_text(rest).partition("|")[0]) >= DEAD_MS for rest in found
        ]
        return sum(not (dead[at] or dead[at + 1]) for at in range(0, len(dead), 2))

    async def hedge(
        self, claim: Claim, worker: str, lanes: Sequence[str], providers: Sequence[str]
    ) -> tuple[str, str] | None:
        """Reserves a second call for a running job: its lane and credential; None: no room."""
        ask = {
            "worker": worker,
            "id": claim.job_id,
            "fence": claim.fence,
            "lanes": list(lanes),
            "providers": list(providers),
        }
        with store_errors("hedge"):
            found = await self._scripts("hedge", ask)
        return (_text(found[0]), _text(found[1])) if found else None

    async def _survey(self, **ask: Any) -> dict[str, Any]:
        with store_errors("survey"):
            raw: dict[str, Any] = orjson.loads(await self._scripts("survey", ask))
        return raw

    async def lane_states(self) -> Mapping[str, LaneState]:
        """What selection and ETA read; at most 100 ms old, but where there are very many lanes."""
        asked = time.monotonic()
        if asked >= self._fresh_until:
            # until this reading is here, or has failed for sure, the others go by the last one
            self._fresh_until = asked + ASKING_S
            raw = await self._survey(windows=True)
            now = time.monotonic()
            many = len(raw["lanes"]) > MANY_LANES
            self._fresh_until = now + max(FRESH_S, RESTS * (now - asked) if many else 0.0)
            paces = await self.usage.paces()
            self._states = {
                name: state_of(name, view, raw["now"], paces.get(lane_deployment(name)))
                for name, view in lanes_of(raw)
            }
        return self._states

    async def lanes(self) -> tuple[LaneView, ...]:
        """Every lane as `/v1/queues` shows it."""
        raw = await self._survey(windows=True)
        return tuple(view_of(name, view, raw["now"]) for name, view in lanes_of(raw))

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

    async def snapshot(self, costs: Mapping[str, int] = NOTHING) -> Snapshot:
        """Lanes and groups of queued jobs, read in one call, which forgets when the next is due.

        `costs` are the paid lanes and what a job should cost there, in microusd, where nothing was
        measured. A lane at its cap takes nothing more today: it counts as set aside.
        """
        raw, paces = await asyncio.gather(
            self._survey(windows=True, groups=True), self.usage.paces()
        )
        sigs, now_ms = await self._signatures(raw), int(raw["now"])
        states = []
        for name, view in lanes_of(raw):
            state = state_of(name, view, now_ms, paces.get(lane_deployment(name)))
            states.append(replace(state, dead=True) if is_capped(view) else state)
        return Snapshot(
            now_ms,
            tuple(states),
            tuple(groups_of(raw, sigs)),
            tuple((name, expected_cost(name, listed, paces)) for name, listed in costs.items()),
            paid_left_microusd(raw),
        )

    async def _signatures(self, raw: Mapping[str, Any]) -> Mapping[str, str | bytes]:
        """Those of the groups, by name; they never change, so they are read where one is new."""
        groups = {name for _, view in lanes_of(raw) for name in view.get("grp") or ()}
        names = {name.partition(":")[0] for name in groups}
        new = sorted(names - self._known.keys())
        known = {name: text for name, text in self._known.items() if name in names}
        for at in range(0, len(new), SIGNATURES_A_CALL):
            asked = new[at : at + SIGNATURES_A_CALL]
            with store_errors("snapshot"):
                rows = await self._client.hmget(f"{self._prefix}sigs", asked)
            known |= {name: text for name, text in zip(asked, rows, strict=True) if text}
        self._known = known
        return known

    async def look(self, at_ms: int, notice_ms: int) -> None:
        """When the next snapshot is taken; what may be paid for and cannot wait so long rings."""
        with store_errors("look"):
            await self._client.hset(
                f"{self._prefix}look", mapping={"at": at_ms, "notice": notice_ms}
            )

    async def move(self, moves: Sequence[Move], fence: int) -> Sequence[int]:
        """Moves queued jobs, all in one call; returns how many by move. An old fence is refused."""
        with store_errors("move"):
            done = await self._scripts(
                "move", {"moves": [_as_asked(move) for move in moves], "fence": fence}
            )
        return [int(each) for each in done]

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


def _as_asked(move: Move) -> dict[str, Any]:
    asked = {
        "from": move.source,
        "to": move.target,
        "most": move.count,
        "class": int(move.priority),
        "sig": move.signature,
        "reason": move.reason,
        "due": move.deadline_ms,
        "after": move.after_ms,
        "pays": move.pays,
    }
    return {name: value for name, value in asked.items() if value is not None}


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode()
