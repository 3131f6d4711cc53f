"""The cases of `makespan`: what is declared, how the work is handed in, what goes wrong."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import openai
import orjson

from bench import chats, load
from bench.bounds import Cut, Kind, Supply, least_time_us
from bench.client import Client
from bench.sim import Admin, Seen, sums
from bench.stack import KEY
from simulator import Address
from simulator.answers import digest

SPAN_US = 6_000_000
LIMITS: tuple[tuple[str, int, Kind], ...] = (
    ("alpha", 60, "sliding"),
    ("beta", 120, "fixed"),
    ("gamma", 300, "bucket"),
)
FALLS = "gamma"
FACTOR = 0.1
ACCEPTING = 128
PROGRAMS, CALLERS = 10, 60  # 600 held calls: more than all windows admit at once
LOOK_S = 0.05
TIMES_THE_BOUND = 4.0
TOO_MANY = 429
NOTHING_LOST = (("callers_429", 0.0), ("unfinished", 0.0), ("wrong", 0.0), ("called_twice", 0.0))


@dataclass(frozen=True, slots=True)
class Case:
    """One case; `budget` names figures and the most each may be."""

    name: str
    budget: tuple[tuple[str, float], ...]
    kinds: bool = True
    limits: bool = True
    held: bool = False
    falls: bool = False


DECLARED = (("ratio", 1.05), ("upstream_429_share", 0.005), *NOTHING_LOST)
CASES = (
    Case("declared", DECLARED),
    Case("no-kind", DECLARED, kinds=False),
    Case("held", (("upstream_429_share", 0.005), ("not_200", 0.0), *NOTHING_LOST), held=True),
    Case("falls", (("ratio", 1.10), *NOTHING_LOST), falls=True),
    Case(
        "no-limit",
        (("upstream_429_share", 0.02), ("told_429_share", 0.005), *NOTHING_LOST),
        kinds=False,
        limits=False,
    ),
)


@dataclass(slots=True)
class CaseRun:
    """One case on one running system."""

    case: Case
    jobs: int
    address: Address
    url: str
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: int = 0
    began_s: float = 0.0
    fell_s: float | None = None
    told: dict[str, Seen] = field(default_factory=dict)

    async def measure(self) -> dict[str, Any]:
        """Hands everything in, watches until it is done or hopelessly late, and looks after it."""
        admin = Admin(self.address)
        self.began_s = time.time()
        work = self._hold() if self.case.held else self._submit()
        handing = asyncio.ensure_future(work)
        late_s = time.monotonic() + 20 + TIMES_THE_BOUND * self._bound_us() / 1e6
        seen = await self._watch(admin, handing, late_s)
        if self.case.held:
            await asyncio.wait([handing], timeout=10)
        handed_s = handing.result() if handing.done() else 0.0
        handing.cancel()
        unfinished = 0 if self.case.held else await self._unfinished()
        twice = await admin.count(admitted=2)
        admin.close()
        return self._figures(seen, unfinished, twice, handed_s)

    # -- handing in

    async def _submit(self) -> float:
        client = Client(f"{self.url}/v1", KEY)
        call = chats.submitted(client, self.case.name)
        taken = await load.closed(call, at_once=ACCEPTING, calls=self.jobs)
        self.statuses = taken.statuses
        client.close()
        return taken.elapsed_s

    async def _hold(self) -> float:
        """Through the official SDK as it is: some clients, for one slows down with many calls."""
        began = time.monotonic()
        numbers = iter(range(self.jobs))

        async def caller(client: openai.AsyncOpenAI) -> None:
            for number in numbers:
                await self._chat(client, number)

        async def program() -> None:
            async with openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=KEY) as client:
                await asyncio.gather(*(caller(client) for _ in range(CALLERS)))

        await asyncio.gather(*(program() for _ in range(PROGRAMS)))
        return time.monotonic() - began

    async def _chat(self, client: openai.AsyncOpenAI, number: int) -> None:
        text = chats.question(self.case.name, number)
        try:
            answer = await client.chat.completions.create(
                model=chats.MODEL, messages=[{"role": "user", "content": text}], max_tokens=64
            )
        except openai.APIStatusError as refused:
            self.statuses[refused.status_code] += 1
        except openai.APIError:
            self.statuses[-1] += 1
        else:
            self.statuses[200] += 1
            told = answer.choices[0].message.content or ""
            self.wrong += not told.startswith(f"sim-{digest(text)}")

    # -- watching

    async def _watch(
        self, admin: Admin, handing: "asyncio.Future[float]", late_s: float
    ) -> dict[str, Seen]:
        while True:
            seen = await admin.seen()
            _, good, _ = sums(seen)
            for name, one in seen.items():
                if name not in self.told and one.good + one.limited:
                    self.told[name] = one
            if self.case.falls and self.fell_s is None and good >= self.jobs / 2:
                await admin.scale(FALLS, FACTOR)
                self.fell_s = time.time()
            over = self.case.held and handing.done()
            if good >= self.jobs or over or time.monotonic() > late_s:
                return seen
            await asyncio.sleep(LOOK_S)

    async def _unfinished(self) -> int:
        """Jobs without a good end; and checks whose answer each result is."""
        client = Client(f"{self.url}/v1", KEY)
        for _ in range(40):  # the last answers are on their way to the store
            if not await self._left(client):
                break
            await asyncio.sleep(LOOK_S)
        found = await self._completed(client)
        client.close()
        return self.jobs - found

    async def _left(self, client: Client) -> bool:
        for status in ("queued", "in_progress"):
            answer = await client.get(f"/jobs?status={status}&limit=1")
            if orjson.loads(answer.body)["data"]:
                return True
        return False

    async def _completed(self, client: Client) -> int:
        found, after = 0, ""
        wanted = {f"sim-{digest(chats.question(self.case.name, n))}" for n in range(self.jobs)}
        while True:
            answer = await client.get(f"/jobs?status=completed&limit=100{after}")
            page = orjson.loads(answer.body)
            for job in page["data"]:
                text = job["result"]["choices"][0]["message"]["content"]
                self.wrong += text.partition(" ")[0] not in wanted
                wanted.discard(text.partition(" ")[0])
            found += len(page["data"])
            if not page["next_after"]:
                return found
            after = f"&after={page['next_after']}"

    # -- telling

    def _bound_us(self) -> int:
        """With the kinds that were declared; undeclared ones count as sliding."""
        began_us = round(self.began_s * 1e6)
        supplies = []
        for name, limit, kind in LIMITS:
            cut = None
            if self.fell_s is not None and name == FALLS:
                cut = Cut(round(self.fell_s * 1e6) - began_us, round(limit * FACTOR))
            counted = kind if self.case.kinds else "sliding"
            supplies.append(Supply(limit, SPAN_US, counted, began_us, cut))
        return least_time_us(supplies, self.jobs)

    def _figures(
        self, seen: dict[str, Seen], unfinished: int, twice: int, handed_s: float
    ) -> dict[str, Any]:
        received, good, limited = sums(seen)
        ended_s = max(one.last_answer_at for one in seen.values())
        makespan_s = ended_s - self.began_s if good >= self.jobs else float("inf")
        bound_s = self._bound_us() / 1e6
        calls = sum(self.statuses.values())
        return {
            "makespan_s": round(makespan_s, 3),
            "bound_s": round(bound_s, 3),
            "ratio": round(makespan_s / bound_s, 4),
            "handed_in_s": round(handed_s, 3),
            "upstream_calls": received,
            "upstream_429": limited,
            "upstream_429_share": round(limited / max(received, 1), 5),
            "told_429_share": self._told_share(seen),
            "callers_429": self.statuses[TOO_MANY],
            "not_200": calls - self.statuses[200] if self.case.held else 0,
            "statuses": {str(status): number for status, number in self.statuses.items()},
            "unfinished": max(unfinished, self.jobs - calls if self.case.held else 0),
            "wrong": self.wrong,
            "called_twice": twice,
            "by_provider": {n: {"calls": s.received, "429": s.limited} for n, s in seen.items()},
        }

    def _told_share(self, seen: dict[str, Seen]) -> float:
        """429s among the calls that each provider received after its first answer was seen."""
        calls = sum(seen[name].received - one.received for name, one in self.told.items())
        limited = sum(seen[name].limited - one.limited for name, one in self.told.items())
        return round(limited / max(calls, 1), 5)
