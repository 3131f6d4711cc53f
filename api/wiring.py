"""What `create_app` is given, and what one process keeps while it serves."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from api.administration import Administration
from api.conversations import Conversations
from api.errors import overfull
from api.metrics import Metrics
from api.ports import Bulk, Hooks, Inbox, Jobs, Keys, Lanes, Router, Usage
from shared.clock import Clock, SystemClock
from shared.core.model import Paid, Priority
from shared.core.sharing import Policy
from shared.errors import Refused, StoreError

log = structlog.get_logger(__name__)

MOST_PUBLIC = 1_000
PUBLIC_S = 60.0
DEADLINES_S: dict[Priority, float | None] = {
    Priority.INTERACTIVE: 600,
    Priority.NORMAL: 86_400,
    Priority.BULK: None,
}


async def nothing() -> None:
    """A start or stop that does nothing."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The API's settings. `_s` are seconds, `_bytes` bytes."""

    max_body_bytes: int = 32 * 1024 * 1024
    max_file_bytes: int = 512 * 1024 * 1024
    max_batch_bytes: int = 200 * 1024 * 1024
    max_audio_bytes: int = 2 * 1024**3
    hold_s: float = 540.0  # just under the SDKs' own 600
    keepalive_s: float = 10.0
    first_byte_s: float = 10.0  # a stream's status line comes at its first token, or now
    disconnect_grace_s: float = 2.0  # an SDK that dropped comes back within it
    max_held: int = 10_000
    private_webhooks: bool = False
    private_documents: bool = False
    max_document_bytes: int = 64 * 1024 * 1024
    inline_body_bytes: int = 64 * 1024
    paid: Paid = Paid.DEADLINE
    sharing: Policy = Policy()  # noqa: RUF009 - it is frozen
    paid_cap_microusd: int | None = None
    hedging: bool = False
    deadlines_s: dict[Priority, float | None] = field(default_factory=lambda: dict(DEADLINES_S))

    def deadline_ms(self, priority: Priority, given_s: float | None) -> int | None:
        """A job's deadline as a span from its acceptance; None is none."""
        span = self.deadlines_s[priority] if given_s is None else given_s
        return None if span is None else max(1, round(span * 1000))

    def file_bytes(self, purpose: str) -> int:
        """How large a file of this purpose may be: `user_data` may be audio."""
        whole = self.max_file_bytes
        if purpose == "user_data":
            return max(whole, self.max_audio_bytes)
        return min(whole, self.max_batch_bytes) if purpose == "batch" else whole

    def paid_within(self, asked: Paid | None) -> Paid:
        """When a job may cost something: never, where the day's cap is nothing."""
        return Paid.NEVER if self.paid_cap_microusd == 0 else asked or self.paid

    def cost_cap_microusd(self, given_usd: float | None) -> int | None:
        """What one job may cost: as it says, and never more than the cap of a whole day."""
        given = None if given_usd is None else round(given_usd * 1e6)
        caps = [cap for cap in (given, self.paid_cap_microusd) if cap is not None]
        return min(caps, default=None)


@dataclass(frozen=True, slots=True)
class Wiring:
    """Everything the application needs. `start` and `stop` run with the server."""

    jobs: Jobs
    lanes: Lanes
    inbox: Inbox
    router: Router
    keys: Keys
    usage: Usage
    hooks: Hooks
    bulk: Bulk
    admin: Administration
    bounds: Bounds = Bounds()
    clock: Clock = field(default_factory=SystemClock)
    start: Callable[[], Awaitable[None]] = nothing
    stop: Callable[[], Awaitable[None]] = nothing


class Service:
    """One process' live state: what it is wired to, who waits, whether it is going down."""

    def __init__(self, wiring: Wiring) -> None:
        self.jobs = wiring.jobs
        self.lanes = wiring.lanes
        self.inbox = wiring.inbox
        self.router = wiring.router
        self.keys = wiring.keys
        self.usage = wiring.usage
        self.hooks = wiring.hooks
        self.bulk = wiring.bulk
        self.conversations = Conversations()
        self.admin = wiring.admin
        self.bounds = wiring.bounds
        self.clock = wiring.clock
        self.metrics = Metrics()
        self.draining = False
        self._interrupts: set[Callable[[], None]] = set()
        self._waiters: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._public: dict[str, float] = {}
        self.metrics.held.set_function(lambda: len(self._interrupts))

    def is_known_public(self, host: str) -> bool:
        """Whether a host was found at a public address within the last minute."""
        return self._public.get(host, 0.0) > time.monotonic()

    def note_public(self, host: str) -> None:
        """A host was found at a public address: it need not be looked up for every job."""
        if len(self._public) >= MOST_PUBLIC:
            self._public.clear()
        self._public[host] = time.monotonic() + PUBLIC_S

    def admit(self) -> None:
        """Refused while the process is going down: nothing new is accepted."""
        if self.draining:
            raise overfull("this server is going down; another one takes over", retry_after_s=1)

    def room_to_hold(self) -> None:
        """Refused when too many requests are held, before anything is accepted."""
        if len(self._interrupts) >= self.bounds.max_held:
            raise overfull(
                f"{self.bounds.max_held} requests are held here already; send `Prefer:"
                " respond-async`, or try again"
            )

    def enter_hold(self, interrupt: Callable[[], None]) -> None:
        """A held request begins; `interrupt` ends it when the server goes down."""
        self._interrupts.add(interrupt)

    def leave_hold(self, interrupt: Callable[[], None]) -> None:
        """The held request has been answered."""
        self._interrupts.discard(interrupt)

    def drain(self) -> None:
        """From now on nothing is accepted."""
        self.draining = True

    def interrupt_holds(self) -> None:
        """Ends every held request with a 503 that an SDK repeats elsewhere, joining its job."""
        for interrupt in tuple(self._interrupts):
            interrupt()

    def wait_for(self, job_id: str) -> None:
        """Somebody here waits for the job."""
        self._waiters[job_id] = self._waiters.get(job_id, 0) + 1

    def wait_no_more(self, job_id: str) -> None:
        """One waiter less."""
        left = self._waiters.get(job_id, 0) - 1
        if left > 0:
            self._waiters[job_id] = left
        else:
            self._waiters.pop(job_id, None)

    def abandon(self, job_id: str, tenant: str) -> None:
        """Cancels the job after a grace, unless somebody has come back for it."""
        task = asyncio.get_running_loop().create_task(self._abandon(job_id, tenant))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _abandon(self, job_id: str, tenant: str) -> None:
        await asyncio.sleep(self.bounds.disconnect_grace_s)
        if job_id in self._waiters or self.draining:
            return
        try:
            await self.jobs.cancel(job_id, tenant)
        except (StoreError, Refused) as problem:
            log.warning("cancel_failed", job_id=job_id, error=str(problem)[:200])
        else:
            log.info("job_abandoned", job_id=job_id)

    async def stop(self) -> None:
        """Forgets what was to be cancelled: who was dropped by our going down comes back."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
