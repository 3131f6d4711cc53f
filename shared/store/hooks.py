"""Endpoints that are told of ends, the jobs that tell them, and what became of these.

The telling job is written by the call that ends the job it tells of: see `queue/lua/hooks.lua`.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal
from urllib.parse import urlsplit, urlunsplit

import orjson
from redis.asyncio import Redis

from shared.core.model import Kind, Need, Priority
from shared.queue.scripts import Scripts
from shared.queue.types import NewJob
from shared.store.connect import store_errors

ACTOR: Final = "deliver_webhook"
QUEUE: Final = "webhooks"
LANE: Final = f"own/{QUEUE}@shared"
MOST_ENDPOINTS: Final = 1_000
MOST_ASKING: Final = 10
MOST_TOLD: Final = 24
MOST_SECRETS: Final = 4
KEPT_OLD_MS: Final = 86_400_000

Written = Literal["done", "changed", "full"]


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """A secret that signs, sealed for its endpoint's id; until `until_ms` where it is replaced.

    `hint` are its last characters.
    """

    sealed: str = field(repr=False)
    hint: str = ""
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of one tenant. `event_types` is what it hears of by itself, of any job.

    Without a `name` nobody created it: a job named the address and brought no secret, or it
    answered 410. `disabled` says why nothing is sent there any more; empty: it is not.
    """

    id: str
    tenant: str
    url: str
    name: str
    event_types: tuple[str, ...]
    secrets: tuple[SigningSecret, ...]
    created_ms: int
    updated_ms: int
    disabled: str = ""
    raw: bytes = field(default=b"", repr=False, compare=False)

    def signing(self, now_ms: int) -> tuple[str, ...]:
        """The sealed secrets that sign now, newest first."""
        return tuple(
            one.sealed for one in self.secrets if one.until_ms is None or now_ms < one.until_ms
        )

    def rotated(self, secret: SigningSecret, now_ms: int, *, keep_old: bool) -> "Endpoint":
        """With a new secret; those before it sign too for 24 h at most where they are kept."""
        end_ms = now_ms + KEPT_OLD_MS
        old = [
            replace(one, until_ms=min(one.until_ms or end_ms, end_ms))
            for one in self.secrets[: MOST_SECRETS - 1]
            if keep_old and (one.until_ms is None or now_ms < one.until_ms)
        ]
        return replace(self, secrets=(secret, *old), updated_ms=now_ms)


def endpoint_id(tenant: str, url: str, moved: int = 0) -> str:
    """The id of an address: of what stands before the query, so that `?job=…` is no other.

    `moved`: so many endpoints that had the address before took their ids along to another.
    """
    parts = urlsplit(url)
    bare = urlunsplit((parts.scheme, parts.netloc.lower(), parts.path or "/", "", ""))
    again = f"\n{moved}" if moved else ""
    return "wh_" + hashlib.sha256(f"{tenant}\n{bare}{again}".encode()).hexdigest()[:24]


def own_hook(endpoint: str, url: str, types: Sequence[str], secrets: Sequence[str]) -> str:
    """A job's own webhook as its hash keeps it (`NewJob.hook`); `secrets` are sealed."""
    return orjson.dumps(
        {"id": endpoint, "types": spaced(types), "url": url, "secrets": list(secrets)}
    ).decode()


def spaced(types: Sequence[str]) -> str:
    """Event types as the scripts look them up."""
    return f" {' '.join(types)} "


def telling_job(tenant: str, arguments: Mapping[str, Any], **more: Any) -> NewJob:
    """A job that tells an endpoint; `arguments` are those of the actor."""
    job_id = "job_" + os.urandom(12).hex()
    message = {
        "queue_name": QUEUE,
        "actor_name": ACTOR,
        "args": [],
        "kwargs": dict(arguments),
        "options": {},
        "message_id": job_id,
        "message_timestamp": 0,
    }
    fields: dict[str, Any] = {"priority": Priority.NORMAL} | more
    return NewJob(
        id=job_id,
        tenant=f"webhooks~{tenant}",
        kind=Kind.TASK,
        lane=LANE,
        candidates=(LANE,),
        need=Need(),
        doc=orjson.dumps(message),
        **fields,
    )


class Hooks:
    """The endpoints of one store. All methods raise StoreError where it does not answer."""

    def __init__(self, client: Redis, prefix: str = "{hr}:") -> None:
        self._client = client
        self._scripts = Scripts(client, prefix)
        self._prefix = prefix

    async def all(self, tenant: str) -> tuple[Endpoint, ...]:
        """Every endpoint of a tenant, newest first."""
        with store_errors("reading webhooks"):
            rows = await self._client.hgetall(f"{self._prefix}hooks:{tenant}")
        found = [_endpoint(tenant, raw) for raw in rows.values()]
        return tuple(sorted(found, key=lambda one: (-one.created_ms, one.id)))

    async def get(self, tenant: str, endpoint: str) -> Endpoint | None:
        """One endpoint; None if this tenant has none of that id."""
        with store_errors("reading a webhook"):
            raw = await self._client.hget(f"{self._prefix}hooks:{tenant}", endpoint)
        return None if raw is None else _endpoint(tenant, raw)

    async def put(self, was: Endpoint | None, now: Endpoint) -> Written:
        """Writes `now` where `was` stands (None: nothing)."""
        types = spaced(now.event_types) if now.event_types and not now.disabled else None
        return await self._write(now.tenant, now.id, was, _dumped(now), types)

    async def remove(self, was: Endpoint) -> Written:
        """Removes an endpoint as it was read."""
        return await self._write(was.tenant, was.id, was, None, None)

    async def _write(
        self, tenant: str, endpoint: str, was: Endpoint | None, now: bytes | None, types: str | None
    ) -> Written:
        header = {
            "tenant": tenant,
            "id": endpoint,
            "was": None if was is None else was.raw.decode(),
            "now": None if now is None else now.decode(),
            "types": types,
            "most": MOST_ENDPOINTS,
            "asking": MOST_ASKING,
        }
        with store_errors("writing a webhook"):
            found: bytes = await self._scripts("hook", header)
        written: Written = found.decode()  # type: ignore[assignment]  # as the script says
        return written

    async def told(self, job_id: str) -> tuple[str, ...]:
        """The jobs that tell of a job's end, oldest first, at most 24."""
        with store_errors("reading deliveries"):
            found = await self._client.lrange(f"{self._prefix}told:{job_id}", 0, -1)
        return tuple(one if isinstance(one, str) else one.decode() for one in found)

    async def note_told(self, job_id: str, telling: str) -> None:
        """Adds a telling job to those of a job."""
        key = f"{self._prefix}told:{job_id}"
        pipe = self._client.pipeline(transaction=True)
        pipe.rpush(key, telling)
        pipe.ltrim(key, -MOST_TOLD, -1)
        pipe.expire(key, 3 * 86_400)
        with store_errors("noting a delivery"):
            await pipe.execute()


def _endpoint(tenant: str, text: bytes | str) -> Endpoint:
    raw = text.encode() if isinstance(text, str) else text
    row = orjson.loads(raw)
    return Endpoint(
        id=row["id"],
        tenant=tenant,
        url=row["url"],
        name=row["name"],
        event_types=tuple(row["event_types"]),
        secrets=tuple(SigningSecret(**one) for one in row["secrets"]),
        created_ms=row["created_ms"],
        updated_ms=row["updated_ms"],
        disabled=row["disabled"],
        raw=raw,
    )


def _dumped(endpoint: Endpoint) -> bytes:
    row = asdict(endpoint)
    for name in ("tenant", "raw"):
        row.pop(name)
    return orjson.dumps(row)
