"""Batches: created, read, listed, and changed by compare-and-set.

batch:<id> hash: tenant status endpoint input window created expires paid weight allowed share
  cache_s metadata errors output error output_expires_s · total fed ended completed failed line
  offset chunk · u_in u_out u_cached u_reasoning · <status>_at for each reached
  · "by <deployment>" lines it answered
bended:<id> list and bparts:<id> list: see queue/lua/batch_change.lua
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.core.batch import CANCELLABLE, WINDOWS_S, Batch, BatchStatus, Chunk
from shared.core.model import Usage
from shared.core.sharing import ShareMode, Wish
from shared.errors import Refused, StoreError
from shared.queue.claims import usage_of
from shared.queue.scripts import Scripts
from shared.store.connect import store_errors
from shared.store.leader import StaleFence

LUA: Final = Path(__file__).parent / "lua"
MOST_LIVE: Final = 1_000
KNOWN_MS: Final = 86_400_000
KEPT_MS: Final = 30 * 86_400_000
LOOK: Final = 100
LIVE: Final = tuple(status for status in BatchStatus if not status.final)
MOMENTS: Final = tuple(status for status in BatchStatus if status is not BatchStatus.VALIDATING)


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch to create. `idempotency` is (key digest, body digest)."""

    id: str
    tenant: str
    endpoint: str
    input_file_id: str
    window: str
    metadata: dict[str, str] | None = None
    output_expires_s: int | None = None
    paid: str | None = None
    weight: int = 1
    allowed_models: tuple[str, ...] | None = None
    sharing: Wish = Wish()  # noqa: RUF009 - it is frozen
    idempotency: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class BatchPage:
    """A page, newest first; `more` where there are others after it."""

    batches: tuple[Batch, ...]
    more: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What changes, if the batch stands as `expect` and `from_` say: queue/lua/batch_change.lua."""

    from_: tuple[BatchStatus, ...]
    status: BatchStatus | None = None
    stamp: tuple[BatchStatus, ...] = ()
    expect: Mapping[str, str] = field(default_factory=dict)
    set: Mapping[str, str | int] = field(default_factory=dict)
    incr: Mapping[str, int] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    push: tuple[str, ...] = ()
    trim: int | None = None
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """A line that has ended: its mark with what follows it, and what its job left.

    `doc` is what was accepted, where it was asked for.
    """

    mark: str
    custom_id: str = ""
    outcome: bytes | None = None
    usage: Usage | None = None
    created_ms: int = 0
    ended_ms: int = 0
    doc: bytes | None = None


class Batches:
    """The batches of one store. All methods raise StoreError where the store does not answer."""

    def __init__(self, client: Redis, prefix: str = "{hr}:") -> None:
        self._client = client
        self._prefix = prefix
        self._create: Any = client.register_script((LUA / "batch_create.lua").read_text())
        self._change: Callable[[dict[str, Any]], Awaitable[Any]]
        self._change = partial(Scripts(client, prefix), "batch_change")

    async def create(self, new: NewBatch) -> Batch:
        """Durable when it returns. Refused: 409 for a used key, 503 where too many are live."""
        key, body = new.idempotency or ("", "")
        fields: dict[str, Any] = {
            "endpoint": new.endpoint,
            "input": new.input_file_id,
            "window": new.window,
            "weight": new.weight,
            "paid": new.paid or "",
            "share": new.sharing.share or "",
            "cache_s": "" if new.sharing.cache_s is None else new.sharing.cache_s,
            "metadata": "" if new.metadata is None else orjson.dumps(new.metadata),
            "output_expires_s": new.output_expires_s or "",
            "allowed": "" if new.allowed_models is None else orjson.dumps(new.allowed_models),
        }
        flat = [part for pair in fields.items() for part in pair]
        window_ms = WINDOWS_S[new.window] * 1000
        head = [new.id, new.tenant, MOST_LIVE, key, body, KNOWN_MS, window_ms]
        with store_errors("creating a batch"):
            how, batch_id = await self._create(keys=[self._prefix], args=[*head, *flat])
        if how == b"conflict":
            raise Refused(
                "this Idempotency-Key was used for another batch within the last 24 h; use a new"
                " key for a new batch",
                status=409,
                param="Idempotency-Key",
                code="idempotency_key_reused",
            )
        if how == b"full":
            raise Refused(
                f"{MOST_LIVE} batches are not done yet; nothing was accepted, try again later",
                status=503,
                type_="server_error",
                code="overloaded",
                retry_after_s=30,
            )
        found = await self.get(batch_id.decode(), new.tenant)
        if found is None:
            raise StoreError("creating a batch: it is not there")
        return found

    async def get(self, batch_id: str, tenant: str | None) -> Batch | None:
        """The batch as it stands; None where this tenant has none of that id (None: any)."""
        return (await self._load([batch_id], tenant))[0]

    async def _load(self, ids: Sequence[str], tenant: str | None) -> Sequence[Batch | None]:
        pipe = self._client.pipeline(transaction=True)
        for batch_id in ids:
            pipe.hgetall(f"{self._prefix}batch:{batch_id}")
            pipe.llen(f"{self._prefix}bended:{batch_id}")
        with store_errors("reading a batch"):
            rows = await pipe.execute() if ids else []
        return [
            _batch(batch_id, rows[at * 2], int(rows[at * 2 + 1]), tenant)
            for at, batch_id in enumerate(ids)
        ]

    async def list(self, tenant: str, *, after: str | None, limit: int) -> BatchPage:
        """A tenant's batches, newest first. Refused: `after` is none of them."""
        index, start = f"{self._prefix}bx:{tenant}", 0
        found: list[Batch] = []
        with store_errors("listing batches"):
            if after is not None:
                place: Any = await self._client.zrevrank(index, after)
                if place is None:
                    raise Refused(f"after: you have no batch {after}", param="after", status=404)
                start = int(place) + 1
            while len(found) <= limit:
                ids = _texts(await self._client.zrange(index, start, start + LOOK - 1, desc=True))
                rows = await self._load(ids, tenant)
                found += [batch for batch in rows if batch]
                gone = [i for i, batch in zip(ids, rows, strict=True) if batch is None]
                if gone:
                    await self._client.zrem(index, *gone)
                start += len(ids) - len(gone)
                if len(ids) < LOOK:
                    break
        return BatchPage(tuple(found[:limit]), len(found) > limit)

    async def cancel(self, batch_id: str, tenant: str | None) -> Batch | None:
        """Begins to cancel a batch; one that is finalizing or final is Refused (409)."""
        if await self.get(batch_id, tenant) is None:
            return None
        change = Change(from_=CANCELLABLE, status=BatchStatus.CANCELLING)
        changed = await self.change(batch_id, change)
        found = await self.get(batch_id, tenant)
        stopped = (BatchStatus.CANCELLING, BatchStatus.CANCELLED)
        if found is None or changed or found.status in stopped:
            return found
        raise Refused(
            f"Cannot cancel a batch with status '{found.status.value}'.",
            status=409,
            code="batch_not_cancellable",
        )

    async def using(self, file_id: str) -> str | None:
        """A live batch that reads this file, or None."""
        live = await self.live()
        return next((one.id for one in live if one.input_file_id == file_id), None)

    # -- for the scheduler

    async def live(self) -> Sequence[Batch]:
        """Every batch that is not final, the oldest first."""
        with store_errors("looking at batches"):
            rows = await self._client.zrange(f"{self._prefix}batches:live", 0, MOST_LIVE)
        found = await self._load(_texts(rows), None)
        return [batch for batch in found if batch]

    async def change(
        self, batch_id: str, change: Change, fence: int | None = None, *, keep_ms: int | None = None
    ) -> bool:
        """True where it was changed. StaleFence where a newer leader acts."""
        status, values = change.status, dict(change.set)
        stamp = [f"{one.value}_at" for one in change.stamp]
        if status is not None:
            values["status"] = status.value
            stamp.append(f"{status.value}_at")
        asked = {
            "id": batch_id,
            "fence": fence,
            "from": [one.value for one in change.from_],
            "expect": dict(change.expect) or None,
            "set": {name: str(value) for name, value in values.items()} or None,
            "stamp": stamp or None,
            "incr": dict(change.incr) or None,
            "drop": list(change.drop) or None,
            "push": list(change.push) or None,
            "trim": change.trim,
            "parts": list(change.parts) or None,
            "keep_ms": keep_ms,
        }
        try:
            with store_errors("changing a batch"):
                return bool(await self._change(asked))
        except StoreError as exc:
            if isinstance(exc.__cause__, ResponseError) and str(exc.__cause__).startswith("STALE"):
                raise StaleFence(str(exc.__cause__)) from exc
            raise

    async def ended(
        self, batch_id: str, first: int, most: int, *, docs: bool = False
    ) -> Sequence[Ended]:
        """Lines that have ended and are not collected, from the `first` on, with what they left."""
        prefix = self._prefix
        with store_errors("collecting a batch"):
            rows = await self._client.lrange(f"{prefix}bended:{batch_id}", first, first + most - 1)
            marks = _texts(rows)
            pipe = self._client.pipeline(transaction=False)
            for mark in marks:
                pipe.hmget(f"{prefix}job:{mark[1:]}", "batch", "usage", "created", "ended")
                pipe.mget([f"{prefix}{noun}:{mark[1:]}" for noun in ("res", "doc")[: 1 + docs]])
            found = await pipe.execute() if marks else []
        return [_left(mark, found[at * 2], *found[at * 2 + 1]) for at, mark in enumerate(marks)]

    async def there(self, jobs: Sequence[str]) -> Sequence[bool]:
        """Which of these jobs exist."""
        pipe = self._client.pipeline(transaction=False)
        for job in jobs:
            pipe.exists(f"{self._prefix}job:{job}")
        with store_errors("looking at a batch's lines"):
            return [bool(one) for one in await pipe.execute()] if jobs else []

    async def parts(self, batch_id: str) -> Sequence[tuple[str, str]]:
        """What is collected, in order: `o` or `e`, and the object."""
        with store_errors("finishing a batch"):
            rows = await self._client.lrange(f"{self._prefix}bparts:{batch_id}", 0, -1)
        return [(row[:1], row[2:]) for row in _texts(rows)]

    async def to_sweep(self, most: int) -> Sequence[str]:
        """Ended batches whose parts are still there."""
        with store_errors("sweeping batches"):
            rows = await self._client.zrange(f"{self._prefix}batches:done", 0, most - 1)
        return _texts(rows)

    async def swept(self, batch_id: str) -> None:
        """Its parts are gone."""
        pipe = self._client.pipeline(transaction=True)
        pipe.delete(f"{self._prefix}bparts:{batch_id}")
        pipe.zrem(f"{self._prefix}batches:done", batch_id)
        with store_errors("sweeping batches"):
            await pipe.execute()


def _texts(rows: Any) -> list[str]:
    return [row.decode() for row in rows]


def _left(
    mark: str, row: Sequence[bytes | None], outcome: bytes | None, doc: bytes | None = None
) -> Ended:
    batch, usage, created, ended = row
    custom_id = (batch or b"").decode().partition(" ")[2]
    return Ended(mark, custom_id, outcome, usage_of(usage), int(created or 0), int(ended or 0), doc)


def _wish(share: str | None, cache_s: str | None) -> Wish:
    """What a batch's lines may share, of fields that may be empty or missing."""
    return Wish(ShareMode(share) if share else None, float(cache_s) if cache_s else None)


def _batch(batch_id: str, row: Any, waiting: int, tenant: str | None) -> Batch | None:
    if not row or (tenant is not None and row[b"tenant"].decode() != tenant):
        return None
    h = {name.decode(): value.decode() for name, value in row.items()}

    def number(name: str) -> int:
        return int(h.get(name) or 0)

    def loaded(name: str) -> Any:
        return orjson.loads(h[name]) if h.get(name) else None

    chunk, allowed = loaded("chunk"), loaded("allowed")
    return Batch(
        id=batch_id,
        tenant=h["tenant"],
        endpoint=h["endpoint"],
        input_file_id=h["input"],
        window=h["window"],
        model=h.get("model") or None,
        status=BatchStatus(h["status"]),
        created_ms=number("created"),
        expires_ms=number("expires"),
        moments={
            one.value: number(f"{one.value}_at") for one in MOMENTS if h.get(f"{one.value}_at")
        },
        total=number("total"),
        fed=number("fed"),
        ended=number("ended"),
        completed=number("completed"),
        failed=number("failed"),
        waiting=waiting,
        collected=number("collected"),
        line=number("line"),
        offset=number("offset"),
        chunk=Chunk(*chunk) if chunk else None,
        metadata=loaded("metadata"),
        errors=tuple(loaded("errors") or ()),
        output_file_id=h.get("output") or None,
        error_file_id=h.get("error") or None,
        output_expires_s=number("output_expires_s") or None,
        usage=Usage(number("u_in"), number("u_out"), number("u_cached"), number("u_reasoning")),
        paid=h.get("paid") or None,
        sharing=_wish(h.get("share"), h.get("cache_s")),
        weight=number("weight") or 1,
        allowed_models=None if allowed is None else tuple(allowed),
        answered_by={name[3:]: int(count) for name, count in h.items() if name.startswith("by ")},
    )
