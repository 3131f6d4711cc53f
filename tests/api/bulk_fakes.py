"""Files and batches in memory, with the promises of shared/store/files.py and batches.py."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from api.ports import Bulk
from shared.core.batch import CANCELLABLE, WINDOWS_S, Batch, BatchStatus
from shared.errors import Refused
from shared.objects import memory
from shared.store.batches import BatchPage, NewBatch
from shared.store.files import File, FilePage


class FakeFiles:
    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.rows: dict[str, File] = {}
        self.due: dict[str, int] = {}  # when those are looked at that were put off
        self.clock = now_ms

    async def now_ms(self) -> int:
        return self.clock()

    async def put(self, file: File) -> None:
        self.rows[file.id] = file

    async def get(self, file_id: str, tenant: str | None) -> File | None:
        file = self.rows.get(file_id)
        if file is None or tenant not in (None, file.tenant):
            return None
        return None if file.expires_ms and self.clock() >= file.expires_ms else file

    async def postpone(self, file_id: str, until_ms: int) -> None:
        self.due[file_id] = until_ms

    async def forget(self, file: File) -> None:
        self.rows.pop(file.id, None)

    async def list(
        self, tenant: str, *, purpose: str | None, after: str | None, limit: int, ascending: bool
    ) -> FilePage:
        rows = list(self.rows.values())
        found = [f for f in rows if f.tenant == tenant and purpose in (None, f.purpose)]
        found = [f for f in found if f.job is None]
        found = found if ascending else found[::-1]
        found = found[start(after, [f.id for f in found], "file") :]
        return FilePage(tuple(found[:limit]), len(found) > limit)


class FakeBatches:
    def __init__(self, now_ms: Callable[[], int]) -> None:
        self.rows: dict[str, Batch] = {}
        self.clock = now_ms
        self.keys: dict[tuple[str, str], tuple[str, str]] = {}

    async def create(self, new: NewBatch) -> Batch:
        if new.idempotency:
            key, body = new.idempotency
            first, seen = self.keys.setdefault((new.tenant, key), (new.id, body))
            if seen != body:
                raise Refused("used for another batch", status=409, param="Idempotency-Key")
            if first in self.rows:
                return self.rows[first]
        now = self.clock()
        made = Batch(
            id=new.id, tenant=new.tenant, endpoint=new.endpoint, input_file_id=new.input_file_id,
            window=new.window, status=BatchStatus.VALIDATING, created_ms=now,
            expires_ms=now + WINDOWS_S[new.window] * 1000, metadata=new.metadata, paid=new.paid,
            output_expires_s=new.output_expires_s, allowed_models=new.allowed_models,
        )  # fmt: skip
        self.rows[new.id] = made
        return made

    async def get(self, batch_id: str, tenant: str | None) -> Batch | None:
        batch = self.rows.get(batch_id)
        return batch if batch is not None and tenant in (None, batch.tenant) else None

    async def list(self, tenant: str, *, after: str | None, limit: int) -> BatchPage:
        found = [b for b in reversed(self.rows.values()) if b.tenant == tenant]
        found = found[start(after, [b.id for b in found], "batch") :]
        return BatchPage(tuple(found[:limit]), len(found) > limit)

    async def cancel(self, batch_id: str, tenant: str | None) -> Batch | None:
        batch = await self.get(batch_id, tenant)
        if batch is None or batch.status in (BatchStatus.CANCELLING, BatchStatus.CANCELLED):
            return batch
        if batch.status not in CANCELLABLE:
            raise Refused("Cannot cancel a batch that has ended", status=409)
        moments = batch.moments | {"cancelling": self.clock()}
        self.rows[batch_id] = replace(batch, status=BatchStatus.CANCELLING, moments=moments)
        return self.rows[batch_id]

    async def using(self, file_id: str) -> str | None:
        live = (b for b in self.rows.values() if not b.status.final)
        return next((b.id for b in live if b.input_file_id == file_id), None)


def start(after: str | None, ids: list[str], what: str) -> int:
    if after is None:
        return 0
    if after not in ids:
        raise Refused(f"after: you have no {what} {after}", param="after", status=404)
    return ids.index(after) + 1


def fake_bulk(now_ms: Callable[[], int]) -> Bulk:
    return Bulk(FakeFiles(now_ms), FakeBatches(now_ms), memory())


async def everything(store: Any) -> list[str]:
    """The names of all objects there are."""
    found = store.bulk.objects._store.list().collect()
    return [one["path"] for one in found]
