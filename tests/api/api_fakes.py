"""The store in memory, with the promises of shared/store/jobs.py, inbox.py and lanes.py.

Tests play the worker: `start`, `delta`, `complete`, `fail`. `on_accept` plays it at once.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
import orjson
from bulk_fakes import fake_bulk

from api.administration import Administration
from api.app import create_app
from api.live import LiveKeys, LiveRouter
from api.wiring import Bounds, Service, Wiring
from shared.catalog_schema import Config
from shared.clock import ManualClock
from shared.core import books
from shared.core.model import Kind, Status, Usage
from shared.credentials import ApiKey, ApiKeys, Secret, digest
from shared.errors import Refused, StoreError
from shared.queue.types import Acceptance, Accepted, Event, LaneView, NewJob
from shared.store.hooks import Endpoint
from shared.store.tables import Rest, Rows
from shared.store.types import Family, JobRecord, LaneState, Page, Waiting
from shared.supply import Base, Live
from shared.vault import Vault

START_MS = 1_790_000_000_123
FINAL_EVENT = {
    Status.COMPLETED: "job.completed",
    Status.FAILED: "job.failed",
    Status.CANCELLED: "job.cancelled",
    Status.EXPIRED: "job.expired",
}
TERMINAL = frozenset(FINAL_EVENT.values())

ADMIN, ALICE, BOB, NARROW = (f"hr_test_{name:_<20}" for name in ("admin", "alice", "bob", "narrow"))
KEYS = ApiKeys.of(
    [
        ApiKey("admin", digest(ADMIN), role="admin", tenant="ops"),
        ApiKey("alice", digest(ALICE), tenant="alice", weight=3),
        ApiKey("bob", digest(BOB), tenant="bob"),
        ApiKey("narrow", digest(NARROW), tenant="narrow", allowed_models=frozenset({"alpha/tiny"})),
    ]
)


def model(name: str, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "context_window": 1000,
        "max_output_tokens": 400,
        "capabilities": ["chat", "stream", "tools"],
        "price_usd_per_1m": {"input": 0, "output": 0},
        **more,
    }


CONFIG = Config.model_validate(
    {
        "providers": {
            "alpha": {
                "type": "openai-compatible",
                "base_url": "http://127.0.0.1:9/v1",
                "credentials": [{"id": "a1", "key": "sk-a1-0123456789", "plan": "free"}],
                "models": [
                    model("sim", limits={"free": {"rpm": 60, "tpm": 5000}}),
                    model("tiny", context_window=200),
                    model("embed", capabilities=["embedding"]),
                    model("whisper", capabilities=["transcription"]),
                    model(
                        "voices", capabilities=["transcription"], speakers="known", translates=True
                    ),
                    {"id": "org/deep/name", "price_usd_per_1m": {"input": 0, "output": 0}},
                ],
            },
            "beta": {
                "type": "openai-compatible",
                "base_url": "http://127.0.0.1:9/v1",
                "models": [model("sim"), model("only-beta")],
            },
        }
    }
)


@dataclass
class Row:
    job: NewJob
    record: JobRecord
    events: list[Event] = field(default_factory=list)


class FakeWatch:
    def __init__(
        self, store: "FakeStore", job_id: str, after: int, *, end_only: bool = False
    ) -> None:
        self.store, self.job_id, self.last, self.end_only = store, job_id, after, end_only
        self.result: bytes | None = None
        self.queue: asyncio.Queue[Event] = asyncio.Queue()
        self.ended = False

    async def next(self, timeout_s: float) -> Event | None:
        if self.ended and self.queue.empty():
            raise StopAsyncIteration
        try:
            async with asyncio.timeout(timeout_s):
                return await self.queue.get()
        except TimeoutError:
            self.store.silences += 1
            return None

    def offer(self, event: Event, body: bytes | None) -> None:
        if self.ended or event.id <= self.last:
            return
        if self.end_only and event.type not in TERMINAL:
            return
        self.last = event.id
        if event.type in TERMINAL:
            self.ended, self.result = True, body
        self.queue.put_nowait(event)

    def close(self) -> None:
        self.store.watches.get(self.job_id, set()).discard(self)


class FakeUsage:
    def __init__(self, store: "FakeStore") -> None:
        self.store = store
        self.booked: list[books.Row] = []

    async def today(self) -> int:
        self.store._check()
        return self.store.clock.now_ms() // 86_400_000

    async def rows(self, first: int, last: int) -> Sequence[books.Row]:
        self.store._check()
        return [row for row in self.booked if first <= row.day <= last]

    async def spent_microusd(self, day: int) -> int:
        self.store._check()
        return sum(row.counts.cost_microusd for row in self.booked if row.day == day)


class FakeStore:
    """Jobs, Lanes and Inbox in one."""

    id = "inbox-1"

    def __init__(self) -> None:
        self.clock = ManualClock(START_MS)
        self.rows: dict[str, Row] = {}
        self.idempotency: dict[tuple[str, str], tuple[str, str]] = {}
        self.live: dict[str, str] = {}
        self.watches: dict[str, set[FakeWatch]] = {}
        self.states: Mapping[str, LaneState] = {}
        self.waits = Waiting("quota", "rpm", START_MS + 7_001, 3)
        self.waits_at = Status.QUEUED
        self.live_workers = 2
        self.usage = FakeUsage(self)
        self.hooks = FakeHooks()
        self.down = False
        self.full = False
        self.on_accept: Callable[[str], None] | None = None
        self.accepted = asyncio.Event()
        self.silences = 0  # watches that waited in vain
        self.cancelled: list[str] = []
        self.inline_results = True
        self.bulk = fake_bulk(self.clock.now_ms)
        self.tables = FakeTables()
        self.kept_states: dict[str, Any] = {}

    # -- Jobs

    def _check(self) -> None:
        if self.down:
            raise StoreError("get: the store cannot be reached (test)")

    async def accept(self, job: NewJob) -> Accepted:
        self._check()
        now = self.clock.now_ms()
        if job.idempotency and (seen := self.idempotency.get((job.tenant, job.idempotency[0]))):
            same = seen[1] == job.idempotency[1]
            return self._existing(seen[0], Acceptance.REPEATED if same else Acceptance.CONFLICT)
        if job.join_live and job.live in self.live:
            return self._existing(self.live[job.live], Acceptance.JOINED)
        if self.full:
            return Accepted(Acceptance.FULL, job.id, now)
        record = JobRecord(
            id=job.id, tenant=job.tenant, kind=job.kind, status=Status.QUEUED,
            priority=job.priority, created_ms=now, started_ms=None, completed_ms=None,
            deadline_ms=None if job.deadline_ms is None else now + job.deadline_ms,
            lane=job.lane, due_ms=None, attempts=(), requeues=0, uncertain_repeats=0,
            doc=orjson.loads(job.doc), result=None, error=None, usage=None, cost_microusd=0,
            events=0,
        )  # fmt: skip
        self.rows[job.id] = Row(job, record)
        if job.idempotency:
            self.idempotency[job.tenant, job.idempotency[0]] = (job.id, job.idempotency[1])
        if job.live:
            self.live[job.live] = job.id
        self.emit(job.id, "job.queued", {"lane": job.lane})
        self.accepted.set()
        if self.on_accept:
            asyncio.get_running_loop().call_soon(self.on_accept, job.id)
        return Accepted(Acceptance.NEW, job.id, now)

    def _existing(self, job_id: str, how: Acceptance) -> Accepted:
        record = self.rows[job_id].record
        return Accepted(how, job_id, record.created_ms, record.status)

    async def get(self, job_id: str, tenant: str | None) -> JobRecord | None:
        self._check()
        row = self.rows.get(job_id)
        if row is None or (tenant is not None and row.record.tenant != tenant):
            return None
        return replace(row.record, events=len(row.events))

    async def list(
        self, tenant: str | None, *, status: Status | None, kind: Kind | None,
        batch: str | None, parent: str | None, after: str | None, limit: int,
    ) -> Page:  # fmt: skip
        self._check()
        found = [row.record for row in reversed(self.rows.values())]
        if after is not None:
            ids = [record.id for record in found]
            found = found[ids.index(after) + 1 :]
        found = [
            record
            for record in found
            if tenant in (None, record.tenant)
            and status in (None, record.status)
            and kind in (None, record.kind)
            and batch in (None, record.doc.get("batch"))
            and record.parent == parent
        ]
        more = len(found) > limit
        return Page(tuple(found[:limit]), found[limit - 1].id if more else None)

    async def cancel(self, job_id: str, tenant: str | None) -> JobRecord | None:
        record = await self.get(job_id, tenant)
        if record is not None and not record.status.final:
            self.cancelled.append(job_id)
            self.end(job_id, Status.CANCELLED)
        return await self.get(job_id, tenant)

    async def replay(
        self, job_id: str, tenant: str | None, deadline_ms: int | None = None
    ) -> JobRecord | None:
        record = await self.get(job_id, tenant)
        if record is None:
            return None
        if not record.status.final or record.status is Status.COMPLETED:
            raise Refused("cannot be replayed", status=409, code="not_replayable")
        deadline = None if deadline_ms is None else self.clock.now_ms() + deadline_ms
        self.rows[job_id].record = replace(
            record, status=Status.QUEUED, error=None, completed_ms=None, deadline_ms=deadline
        )
        self.emit(job_id, "job.queued", {"replayed": True})
        return await self.get(job_id, tenant)

    async def forget(self, job_id: str, tenant: str) -> bool:
        row = self.rows.get(job_id)
        if row is None or row.record.tenant != tenant or not row.record.status.final:
            return False
        del self.rows[job_id]
        return True

    async def many(self, ids: Sequence[str]) -> Sequence[JobRecord | None]:
        return [self.rows[one].record if one in self.rows else None for one in ids]

    async def family(self, job_id: str) -> Family:
        self._check()
        return Family(self.kept_states.get(job_id), (), 0)

    async def waiting(self, record: JobRecord) -> Waiting | None:
        self._check()
        return self.waits if record.status is self.waits_at else None

    async def ready(self) -> bool:
        self._check()
        return True

    # -- Lanes

    async def lane_states(self) -> Mapping[str, LaneState]:
        self._check()
        return self.states

    async def lanes(self) -> tuple[LaneView, ...]:
        self._check()
        window = {"credential": "a1", "window": "rpm", "limit": 60, "used": 60, "free": 0}
        counts = {"interactive": 1, "normal": 2, "bulk": 3}
        return (
            LaneView("alpha/sim@shared", counts, 4, START_MS + 1, "quota rpm", (window,), 60.0,
                     START_MS - 2_500, workers=self.live_workers),
        )  # fmt: skip

    # -- Inbox

    def expect(self, job_id: str, *, end_only: bool = False) -> FakeWatch:
        watch = FakeWatch(self, job_id, 0, end_only=end_only)
        self.watches.setdefault(job_id, set()).add(watch)
        return watch

    async def attach(self, job_id: str, after: int) -> FakeWatch | None:
        self._check()
        if job_id not in self.rows:
            return None
        watch = FakeWatch(self, job_id, after)
        for event in self.rows[job_id].events:
            watch.offer(event, None)
        self.watches.setdefault(job_id, set()).add(watch)
        return watch

    # -- the worker's part

    def emit(self, job_id: str, kind: str, data: Any, body: bytes | None = None) -> None:
        row = self.rows[job_id]
        payload = data if isinstance(data, bytes) else orjson.dumps(data)
        event = Event(len(row.events) + 1, kind, payload)
        row.events.append(event)
        for watch in tuple(self.watches.get(job_id, ())):
            watch.offer(event, body)

    def start(self, job_id: str) -> None:
        row = self.rows[job_id]
        self.clock.advance(40)
        row.record = replace(row.record, status=Status.IN_PROGRESS, started_ms=self.clock.now_ms())
        self.emit(job_id, "job.started", {"lane": row.record.lane, "attempt": 1})

    def delta(self, job_id: str, chunk: Any) -> None:
        self.emit(job_id, "job.delta", chunk)

    def complete(self, job_id: str, result: Any) -> None:
        body = orjson.dumps(result)
        began = self.rows[job_id].record.started_ms or 0
        attempt = {
            "deployment": "alpha/sim", "outcome": "succeeded",
            "started_ms": began, "sent_ms": began + 2, "ended_ms": began + 1_502,
        }  # fmt: skip
        self.rows[job_id].record = replace(
            self.rows[job_id].record, attempts=(attempt,), result=body, cost_microusd=1250,
            usage=Usage(7, 3),
        )  # fmt: skip
        self.end(job_id, Status.COMPLETED, body if self.inline_results else None)

    def test(self, job_id: str, **found: Any) -> None:
        """Plays the worker that tests a credential."""
        self.start(job_id)
        result = {
            "valid": True, "status": "valid", "message": "", "http_status": 200,
            "models": ["sim", "tiny"], "latency_ms": 12, "checked_ms": START_MS, **found,
        }  # fmt: skip
        self.complete(job_id, result)

    def fail(self, job_id: str, error: dict[str, Any]) -> None:
        self.rows[job_id].record = replace(self.rows[job_id].record, error=error)
        self.end(job_id, Status.FAILED)

    def end(self, job_id: str, status: Status, body: bytes | None = None) -> None:
        row = self.rows[job_id]
        row.record = replace(row.record, status=status, completed_ms=self.clock.now_ms())
        self.emit(job_id, FINAL_EVENT[status], {}, body)

    @property
    def only(self) -> str:
        (job_id,) = self.rows
        return job_id


class FakeHooks:
    """Endpoints in memory, with the promises of shared/store/hooks.py; tests write `tellings`."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Endpoint] = {}
        self.tellings: dict[str, list[str]] = {}
        self.most = 1_000

    async def all(self, tenant: str) -> tuple[Endpoint, ...]:
        return tuple(one for (owner, _), one in reversed(self.rows.items()) if owner == tenant)

    async def get(self, tenant: str, endpoint: str) -> Endpoint | None:
        return self.rows.get((tenant, endpoint))

    async def put(self, was: Endpoint | None, now: Endpoint) -> str:
        key = (now.tenant, now.id)
        if self.rows.get(key) != was:
            return "changed"
        if was is None and len(self.rows) >= self.most:
            return "full"
        self.rows[key] = now
        return "done"

    async def remove(self, was: Endpoint) -> str:
        if self.rows.get((was.tenant, was.id)) != was:
            return "changed"
        del self.rows[was.tenant, was.id]
        return "done"

    async def told(self, job_id: str) -> tuple[str, ...]:
        return tuple(self.tellings.get(job_id, ()))

    async def note_told(self, job_id: str, telling: str) -> None:
        self.tellings.setdefault(job_id, []).append(telling)


class FakeTables:
    """What is administered, in memory, with the promises of shared/store/tables.py."""

    def __init__(self) -> None:
        self.nouns: dict[str, dict[str, Any]] = {
            "credentials": {}, "providers": {}, "apikeys": {}, "plans": {},
        }  # fmt: skip
        self.version = 0
        self.resting: dict[str, Rest] = {}
        self.tests: dict[str, Any] = {}
        self.breakers: dict[str, int] = {}

    async def rows(self) -> Rows:
        return Rows(self.version, **{noun: dict(rows) for noun, rows in self.nouns.items()})

    async def put(self, noun: str, id_: str, was: Any, now: Any) -> str:
        rows = self.nouns[noun]
        if rows.get(id_) != was:
            return "changed"
        if now is None:
            rows.pop(id_, None)
        else:
            rows[id_] = now
        self.version += 1
        return "done"

    async def rests(self) -> Mapping[str, Rest]:
        return self.resting

    async def failures(self) -> Mapping[str, int]:
        return self.breakers

    async def checks(self) -> Mapping[str, Any]:
        return self.tests

    async def set_health(self, credential: str, **_more: Any) -> int:
        self.resting.pop(f"c:{credential}", None)
        return 0

    async def forget(self, credential: str) -> None:
        self.tests.pop(credential, None)


MASTER = Vault(Secret("a master key of thirty-two letters"))


def administration(tables: Any, *, vault: Vault | None = MASTER, **more: Any) -> Administration:
    base = Base(CONFIG, {}, ours=Config(), vault=vault, **more)
    return Administration(Live(base, tables), tables, vault)


def wiring(store: FakeStore, *, allow_private: bool = False, **bounds: Any) -> Wiring:
    admin = administration(store.tables, allow_private=allow_private)
    return Wiring(
        jobs=store,
        lanes=store,
        inbox=store,
        router=LiveRouter(admin.live, draw=lambda: 0),
        keys=LiveKeys(KEYS, admin.live),
        admin=admin,
        usage=store.usage,
        hooks=store.hooks,
        bulk=store.bulk,
        bounds=Bounds(**{"disconnect_grace_s": 0.0, "max_body_bytes": 100_000, **bounds}),
        clock=store.clock,
    )


def application(store: FakeStore, **bounds: Any) -> tuple[Any, Service]:
    wired = wiring(store, **bounds)
    service = Service(wired)
    return create_app(wired, service), service


async def until(condition: Callable[[], Any]) -> None:
    """Returns once the condition holds; the test's own timeout bounds it."""
    while not condition():  # noqa: ASYNC110 - nobody tells: the condition is in the code under test
        await asyncio.sleep(0.001)


def client_for(app: object, key: str | None = ALICE) -> httpx2.AsyncClient:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app), base_url="http://headrace.test", headers=headers
    )


CHAT = {"model": "sim", "messages": [{"role": "user", "content": "Say hello."}]}
COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_790_000_001,
    "model": "sim-2026",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello."},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}


def chunk(text: str | None, finish: str | None = None) -> dict[str, Any]:
    delta = {} if text is None else {"content": text}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_790_000_001,
        "model": "sim-2026",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }


USAGE_CHUNK = {**chunk(None), "choices": [], "usage": COMPLETION["usage"]}
