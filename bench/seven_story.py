"""The run of `seven`: the providers at a size, the callers, and what goes wrong meanwhile."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from redis.asyncio import Redis

from bench import mixed
from bench.client import Client
from bench.load import until
from bench.seven_trace import Kept, kept
from bench.sim import Admin, sums
from bench.stack import KEY
from shared.core.model import Status
from shared.store.jobs import Jobs
from shared.store.types import JobRecord
from simulator import Address
from simulator.durations import parse_span_us
from simulator.presets import preset_mapping

FULL = 10_000
PAID = "sim-paid"
CALLS_A_S = 45.0
FREE_A_MINUTE = 396.0  # what the preset's fourteen free keys start in a minute
MOST_SPEED = 20.0  # faster, and our own tenths of seconds would be simulated minutes
LEFT_OF_THE_DAY = 0.75  # so that caps of the day are reached before the chats are through
LEAST_TOKENS = 8_000  # a window of a minute takes a long chat, whatever the size
CALLERS = 48  # at full size: an eighth of what the free keys start in a minute
SUBMITTING = 32
HELD_SHARE, HURRIED_SHARE = 0.45, 0.08
HURRIED_MINUTES, LEAST_HURRY_S = 1.5, 3.0
LOOK_S = 0.1
DAY_US = 86_400_000_000
FAR_US = 1 << 62
LATE_S = 120.0
HURRIED_AT = 0.6


@dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong once a share of the chats is answered: a fault of the simulator.

    `key` None: every key of the provider. `lasts` is a simulated span; None: for good.
    """

    at_share: float
    kind: str
    provider: str
    key: str | None = None
    lasts: str | None = None

    def fault(self) -> dict[str, str]:
        """The fault as it is posted."""
        given = {"kind": self.kind, "provider": self.provider, "key": self.key, "for": self.lasts}
        return {name: value for name, value in given.items() if value is not None}


TROUBLES = (
    Trouble(0.15, "key_revoked", "sim-groq", key="groq-1"),
    Trouble(0.30, "model_gone", "sim-openrouter"),
    Trouble(0.45, "outage", "sim-mistral", lasts="60s"),
)


def speed_for(jobs: int) -> float:
    """How fast the clock runs: as fast as leaves the machine about `CALLS_A_S` calls a second."""
    return round(min(MOST_SPEED, 60 * CALLS_A_S / (FREE_A_MINUTE * jobs / FULL)), 3)


def mapping_for(jobs: int) -> dict[str, Any]:
    """The preset `seven` for so many chats: limits shrink with the size, spans stay.

    So a tenth of the chats meets the same minutes and days. Three quarters of each cap of a day or
    more are left. No limit falls below one request, nor below the tokens of a few long chats.
    """
    mapping = preset_mapping("seven")
    share = min(1.0, jobs / FULL)
    mapping["speed"] = speed_for(jobs)
    for provider in mapping["providers"].values():
        provider["limits"] = [_scaled(limit, share) for limit in provider["limits"]]
    return mapping


def _scaled(limit: Mapping[str, Any], share: float) -> dict[str, Any]:
    name = next(
        one for one in limit if one in ("requests", "tokens", "input_tokens", "output_tokens")
    )
    least = 1 if name == "requests" else LEAST_TOKENS
    if parse_span_us(limit["per"]) >= DAY_US:
        share *= LEFT_OF_THE_DAY
    return {**limit, name: max(min(least, limit[name]), round(limit[name] * share))}


@dataclass(slots=True)
class Story:
    """One run on one running system; `measure` tells it once everything is over."""

    jobs: int
    speed: float
    address: Address
    url: str
    store_url: str
    statuses: Counter[int] = field(default_factory=Counter)
    at_us: dict[Trouble, int] = field(default_factory=dict)
    hurried: set[str] = field(default_factory=set)
    kept: Kept = field(default_factory=Kept)
    began_s: float = 0.0
    ended_s: float = 0.0

    async def run(self) -> tuple[list[JobRecord], dict[str, Any]]:
        """Everything handed in and ended, or hopelessly late: records, the simulator's state."""
        admin = Admin(self.address)
        self.began_s = time.time()
        going = [asyncio.create_task(self._submit()), asyncio.create_task(self._hold())]
        await self._trouble(admin, going)
        await asyncio.wait(going, timeout=LATE_S)
        redis = Redis.from_url(self.store_url)
        jobs = Jobs(redis, redis)
        await until(lambda: self._over(redis), LATE_S)
        self.ended_s = time.time()
        records = await _all(jobs)
        self.kept = await kept(redis, records)
        state = await admin.state()
        for one in going:
            one.cancel()
        await asyncio.gather(*going, return_exceptions=True)
        admin.close()
        await redis.aclose()
        return records, state

    def shut(self, provider: str, key: str) -> list[tuple[int, int]]:
        """When a key of a provider did not answer, in µs by the clock."""
        return [
            (
                self.at_us[one],
                FAR_US if one.lasts is None else self.at_us[one] + self._lasts_us(one),
            )
            for one in TROUBLES
            if one in self.at_us and one.provider == provider and one.key in (None, key)
        ]

    def _lasts_us(self, trouble: Trouble) -> int:
        return round(parse_span_us(trouble.lasts or "0s") / self.speed)

    # -- the work

    def _counts(self) -> tuple[int, int, int]:
        """How many are held, hurried and handed in as jobs."""
        held, hurried = round(self.jobs * HELD_SHARE), round(self.jobs * HURRIED_SHARE)
        return held, hurried, self.jobs - held - hurried

    def _callers(self) -> int:
        return max(2, round(CALLERS * min(1.0, self.jobs / FULL)))

    async def _submit(self) -> None:
        """A backlog with a day to go, handed in at once."""
        client = Client(f"{self.url}/v1", KEY)
        numbers = iter(range(self._counts()[2]))

        async def caller() -> None:
            for number in numbers:
                await self._job(client, "bulk", number, priority="bulk")

        await asyncio.gather(*(caller() for _ in range(SUBMITTING)))
        client.close()

    async def _hold(self) -> None:
        """Programs that wait for each answer, and a stream that they read."""
        client = Client(f"{self.url}/v1", KEY)
        numbers = iter(range(self._counts()[0]))

        async def caller() -> None:
            for number in numbers:
                chat = mixed.chat("held", number)
                try:
                    answer = await client.post("/chat/completions", orjson.dumps(chat.request()))
                except OSError:
                    self.statuses[-1] += 1
                else:
                    self.statuses[chat.status(answer)] += 1

        await asyncio.gather(*(caller() for _ in range(self._callers())))
        client.close()

    async def _hurry(self) -> None:
        """More than free quota starts in their time, all at once."""
        client = Client(f"{self.url}/v1", KEY)
        numbers = iter(range(self._counts()[1]))

        async def caller() -> None:
            for number in numbers:
                job = await self._job(
                    client,
                    "hurried",
                    number,
                    deadline_s=max(LEAST_HURRY_S, HURRIED_MINUTES * 60 / self.speed),
                )
                self.hurried.add(job)

        await asyncio.gather(*(caller() for _ in range(SUBMITTING)))
        client.close()

    async def _job(self, client: Client, run: str, number: int, **wishes: Any) -> str:
        chat = mixed.chat(run, number)
        request = chat.request()
        body = {"kind": "chat", "request": request, **wishes}
        answer = await client.post("/jobs", orjson.dumps(body))
        self.statuses[answer.status] += 1
        return answer.headers.get("location", "").rpartition("/")[2]

    # -- what goes wrong

    async def _trouble(self, admin: Admin, going: "list[asyncio.Task[None]]") -> None:
        """Each thing once its share of the chats is answered; until all are, or nothing moves."""
        due, hurry, good, moved_s = list(TROUBLES), True, 0, time.monotonic()
        while good < self.jobs and time.monotonic() - moved_s < LATE_S:
            now = sums(await admin.seen())[1]
            if now > good:
                good, moved_s = now, time.monotonic()
            while due and good >= due[0].at_share * self.jobs:
                trouble = due.pop(0)
                self.at_us[trouble] = time.time_ns() // 1_000
                await admin.fault(**trouble.fault())
            if hurry and good >= HURRIED_AT * self.jobs:
                hurry = False
                going.append(asyncio.create_task(self._hurry()))
            await asyncio.sleep(LOOK_S)

    async def _over(self, redis: "Redis") -> bool:
        return int(await redis.get("{hr}:alive") or 0) == 0


async def _all(jobs: Jobs) -> list[JobRecord]:
    found: list[JobRecord] = []
    for status in Status:
        after: str | None = None
        while True:
            page = await jobs.list("bench", status=status, after=after, limit=100)
            found += page.jobs
            after = page.next_after
            if after is None:
                break
    return found
