"""Files: what is known of each. Their bytes are objects (`shared.objects`).

file:<id> hash: tenant purpose filename bytes created expires (ms) sha256
fx:<tenant> zset id -> created ms · files:due zset id -> expires ms
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from redis.asyncio import Redis

from shared.errors import Refused
from shared.store.connect import store_errors

PURPOSES: Final = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
OUTPUT: Final = "batch_output"
MONTH_S: Final = 30 * 86_400
LOOK: Final = 1_000


@dataclass(frozen=True, slots=True)
class File:
    """A file. Moments are epoch ms; `expires_ms` None is never.

    One of a `job` came with its request and is of no other use: it is in no list, and removed once
    the job has ended; `expires_ms` is then when that is looked at.
    """

    id: str
    tenant: str
    purpose: str
    filename: str
    size: int
    created_ms: int
    expires_ms: int | None = None
    job: str | None = None
    digest: str | None = None  # SHA-256 of its bytes, where it was uploaded


@dataclass(frozen=True, slots=True)
class FilePage:
    """A page of files; `more` where there are others after it."""

    files: tuple[File, ...]
    more: bool


def object_name(file_id: str) -> str:
    """Where a file's bytes are."""
    return f"files/{file_id}"


class Files:
    """The files of one store. All methods raise StoreError where the store does not answer."""

    def __init__(self, client: Redis, prefix: str = "{hr}:") -> None:
        self._client = client
        self._prefix = prefix

    def _key(self, file_id: str) -> str:
        return f"{self._prefix}file:{file_id}"

    async def now_ms(self) -> int:
        """The store's clock."""
        with store_errors("now"):
            seconds, micros = await self._client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def put(self, file: File) -> None:
        """Makes a file known; its bytes are there already. Repeating it changes nothing."""
        fields: dict[Any, Any] = {
            "tenant": file.tenant,
            "purpose": file.purpose,
            "filename": file.filename,
            "bytes": file.size,
            "created": file.created_ms,
            "expires": file.expires_ms or "",
        }
        if file.job is not None:
            fields["job"] = file.job
        if file.digest is not None:
            fields["sha256"] = file.digest
        pipe = self._client.pipeline(transaction=True)
        pipe.hset(self._key(file.id), mapping=fields)
        if file.job is None:
            pipe.zadd(f"{self._prefix}fx:{file.tenant}", {file.id: file.created_ms})
        if file.expires_ms is not None:
            pipe.zadd(f"{self._prefix}files:due", {file.id: file.expires_ms})
        with store_errors("keeping a file"):
            await pipe.execute()

    async def get(self, file_id: str, tenant: str | None) -> File | None:
        """A file; None where this tenant has none of that id (None: any tenant), or it expired."""
        with store_errors("reading a file"):
            row = await self._client.hgetall(self._key(file_id))
        now_ms = await self.now_ms() if row else 0
        return _file(file_id, row, tenant, now_ms)

    async def forget(self, file: File) -> None:
        """Makes a file unknown: the first step of removing it."""
        pipe = self._client.pipeline(transaction=True)
        pipe.delete(self._key(file.id))
        pipe.zrem(f"{self._prefix}fx:{file.tenant}", file.id)
        pipe.zrem(f"{self._prefix}files:due", file.id)
        with store_errors("removing a file"):
            await pipe.execute()

    async def list(
        self, tenant: str, *, purpose: str | None, after: str | None, limit: int, ascending: bool
    ) -> FilePage:
        """A page of a tenant's files by creation. Refused: `after` is none of them."""
        index, now_ms = f"{self._prefix}fx:{tenant}", await self.now_ms()
        start = 0
        found: list[File] = []
        with store_errors("listing files"):
            if after is not None:
                rank = self._client.zrank if ascending else self._client.zrevrank
                place: Any = await rank(index, after)
                if place is None:
                    raise Refused(f"after: you have no file {after}", param="after", status=404)
                start = int(place) + 1
            while len(found) <= limit:
                ids = _texts(
                    await self._client.zrange(index, start, start + LOOK - 1, desc=not ascending)
                )
                rows = await self._rows(ids)
                files = (_file(i, row, tenant, now_ms) for i, row in zip(ids, rows, strict=True))
                found += [f for f in files if f and purpose in (None, f.purpose)]
                start += len(ids)
                if len(ids) < LOOK:
                    break
        return FilePage(tuple(found[:limit]), len(found) > limit)

    async def due(self, most: int) -> Sequence[File]:
        """Files whose time is over, the oldest first."""
        now_ms = await self.now_ms()
        with store_errors("looking for expired files"):
            found = await self._client.zrange(
                f"{self._prefix}files:due", "-inf", str(now_ms), byscore=True, offset=0, num=most
            )
            ids = _texts(found)
            rows = await self._rows(ids)
            gone = [i for i, row in zip(ids, rows, strict=True) if not row]
            if gone:
                await self._client.zrem(f"{self._prefix}files:due", *gone)
        files = (_file(i, row, None, 0) for i, row in zip(ids, rows, strict=True))
        return [file for file in files if file]

    async def postpone(self, file_id: str, until_ms: int) -> None:
        """Looks at an expired file again later: it is still in use."""
        with store_errors("keeping a file"):
            await self._client.zadd(f"{self._prefix}files:due", {file_id: until_ms}, xx=True)

    async def _rows(self, ids: Sequence[str]) -> Sequence[Any]:
        pipe = self._client.pipeline(transaction=False)
        for file_id in ids:
            pipe.hgetall(self._key(file_id))
        return await pipe.execute() if ids else []


def _texts(rows: Any) -> list[str]:
    return [row.decode() for row in rows]


def _file(file_id: str, row: Any, tenant: str | None, now_ms: int) -> File | None:
    if not row or (tenant is not None and row[b"tenant"].decode() != tenant):
        return None
    expires_ms = int(row[b"expires"]) if row[b"expires"] else None
    if expires_ms is not None and now_ms >= expires_ms:
        return None
    return File(
        id=file_id,
        tenant=row[b"tenant"].decode(),
        purpose=row[b"purpose"].decode(),
        filename=row[b"filename"].decode(),
        size=int(row[b"bytes"]),
        created_ms=int(row[b"created"]),
        expires_ms=expires_ms,
        job=row[b"job"].decode() if b"job" in row else None,
        digest=row[b"sha256"].decode() if b"sha256" in row else None,
    )
