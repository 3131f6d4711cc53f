"""The run of `batch`: the providers at a size, the file, and what goes wrong meanwhile."""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, TypeVar

import orjson

from bench import chats
from bench.bounds import Cut, Kind, Shut, Supply, admitted, least_time_us
from bench.client import Client
from bench.sim import Admin, Seen, sums
from bench.stack import KEY, Stack
from simulator import Address
from simulator.answers import digest

FULL: Final = 50_000
QUICK: Final = 2_000
LIMITS: tuple[tuple[str, int, Kind], ...] = (  # calls a span, at full size
    ("alpha", 300, "sliding"),
    ("beta", 500, "fixed"),
    ("gamma", 700, "bucket"),
    ("delta", 450, "sliding"),
    ("epsilon", 600, "bucket"),
)
FALLS, FACTOR = "gamma", 0.5
REFUSES, REFUSED_SPANS = "delta", 2.0  # so many of its spans long it answers 429 to everything
# At 10 the first calls of all windows, 2,500 at once, are more than two cores can make in a span.
SPEED, QUICK_SPEED = 5.0, 24.0
SPANS = 20.0  # the least time is about so many spans
QUICK_SPANS = 5.0
WRONG_EVERY = 100
CREATE, CONTENT = "/batches", "/files/{}/content"
FINAL = ("completed", "failed", "expired", "cancelled")
LOOK_S, SAMPLE_S = 0.1, 1.0
BELIEFS_EVERY = 10  # looks
LATE_TIMES, LATE_S = 4.0, 60.0
ROLES = ("api", "workers", "scheduler")
FALLS_AT, REFUSES_AT = 0.25, 0.35
KILLS = ((0.40, "workers"), (0.55, "api"), (0.70, "scheduler"))  # each at a share of the answers


T = TypeVar("T")


def is_small(lines: int) -> bool:
    """Whether it is a size that shows only that it works."""
    return lines <= FULL // 10


def mapping_for(lines: int) -> dict[str, Any]:
    """The providers for so many lines: limits shrink with the size, so the time does not."""
    spans = QUICK_SPANS if is_small(lines) else SPANS
    share = lines / (spans * sum(limit for _, limit, _ in LIMITS))
    return {
        "speed": QUICK_SPEED if is_small(lines) else SPEED,
        "remember_ids": max(1_000, 2 * lines),
        "providers": {
            name: {
                "models": [{"id": chats.MODEL, "context_window": 131_072}],
                "limits": [{"requests": round(limit * share), "per": "1m", "kind": kind}],
                "output": {"median_tokens": 16},
                "latency": {"median_ms": 500},
            }
            for name, limit, kind in LIMITS
        },
    }


def line(number: int) -> bytes:
    """One request; one in a hundred asks for what no chat may ask."""
    body = orjson.loads(chats.body(chats.question("line", number)))
    if number % WRONG_EVERY == 0:
        body["temperature"] = 9
    asked = {"custom_id": f"line-{number}", "method": "POST", "url": "/v1/chat/completions"}
    return orjson.dumps(asked | {"body": body}, option=orjson.OPT_APPEND_NEWLINE)


@dataclass(slots=True)
class Checked:
    """What the two files hold."""

    seen: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    refused: int = 0
    failed: int = 0


@dataclass(slots=True)
class Story:
    """One batch on one running system."""

    lines: int
    speed: float
    address: Address
    stack: Stack
    began_s: float = 0.0
    ended_s: float = 0.0
    fell_s: float | None = None
    refused_s: float | None = None
    killed: dict[str, list[int]] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    samples: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    store_mb: list[float] = field(default_factory=list)
    spent_s: dict[tuple[str, int], float] = field(default_factory=dict)
    admitted: list[tuple[float, dict[str, int]]] = field(default_factory=list)
    believed: list[dict[str, int]] = field(default_factory=list)

    async def run(self) -> dict[str, Any]:
        """Creates the batch, watches it to its end and reads its files."""
        admin = Admin(self.address)
        api = Client(f"{self.stack.url}/v1", KEY)
        began = time.monotonic()
        file_id = await self._upload(api)
        uploaded_s = time.monotonic() - began
        new = {
            "input_file_id": file_id,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        }
        self.began_s = time.time()
        made = orjson.loads((await api.post(CREATE, orjson.dumps(new))).body)
        sampling = asyncio.create_task(self._sample())
        try:
            batch = await self._watch(api, admin, made["id"])
        finally:
            sampling.cancel()
        checked = await self._read(api, batch)
        seen, twice = await admin.seen(), await admin.count(admitted=2)
        admin.close()
        api.close()
        return self._figures(batch, checked, seen, twice, uploaded_s)

    # -- handing in

    async def _upload(self, api: Client) -> str:
        mark = b"bench-batch"
        head = b'--%s\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n' % mark
        head += b'--%s\r\ncontent-disposition: form-data; name="file"; filename="in.jsonl"\r\n'
        content = b"".join(map(line, range(self.lines)))
        body = head % mark + b"\r\n" + content + b"\r\n--%s--\r\n" % mark
        kind = {"Content-Type": f"multipart/form-data; boundary={mark.decode()}"}
        answer = await api.post("/files", body, kind)
        return str(orjson.loads(answer.body)["id"])

    # -- watching

    async def _watch(self, api: Client, admin: Admin, batch_id: str) -> dict[str, Any]:
        late_s = time.monotonic() + LATE_S + LATE_TIMES * self._bound_us() / 1e6
        kills, looks = list(KILLS), count()
        while True:
            if next(looks) % BELIEFS_EVERY == 0:
                await self._note_beliefs(api)
            batch = await self._batch(api, batch_id)
            if batch is not None and batch["status"] in FINAL:
                self.ended_s = time.time()
                return batch
            if time.monotonic() > late_s:
                raise SystemExit(f"not done in time: {batch}\n{self.stack.log()}")
            await self._trouble(admin, kills)
            await asyncio.sleep(LOOK_S)

    async def _trouble(self, admin: Admin, kills: list[tuple[float, str]]) -> None:
        """Each thing that goes wrong, once its share of the lines is answered."""
        seen = await admin.seen()
        self.admitted.append((time.time(), {n: one.admitted for n, one in seen.items()}))
        share = sums(seen)[1] / self._good()
        if self.fell_s is None and share >= FALLS_AT:
            await admin.scale(FALLS, FACTOR)
            self.fell_s = time.time()
        if self.refused_s is None and share >= REFUSES_AT:
            fault: dict[str, Any] = {
                "kind": "rate_limited",
                "provider": REFUSES,
                "retry_after": "20s",
                "for": f"{60 * REFUSED_SPANS:g}s",
            }
            await admin.fault(**fault)
            self.refused_s = time.time()
        while kills and share >= kills[0][0]:
            self._kill(kills.pop(0)[1])

    async def _note_beliefs(self, api: Client) -> None:
        """What is believed of each provider's limit."""
        with suppress(OSError):
            lanes = orjson.loads((await api.get("/queues")).body)["data"]
            self.believed.append(
                {
                    lane["deployment"].partition("/")[0]: lane["windows"][0]["limit"]
                    for lane in lanes
                    if lane["windows"]
                }
            )

    async def _batch(self, api: Client, batch_id: str) -> dict[str, Any] | None:
        """The batch as it stands; None while the API is away."""
        try:
            answer = await api.get(f"{CREATE}/{batch_id}")
        except OSError:
            self.statuses[-1] += 1
            return None
        self.statuses[answer.status] += 1
        found: dict[str, Any] = orjson.loads(answer.body)
        return found if answer.status == chats.OK else None

    def _kill(self, role: str) -> None:
        """One process of the role, the one that has done most."""
        found = [one for one in self.stack.processes() if one.role == role]
        self.killed[role] = [max(found, key=lambda one: one.cpu_s).pid] if found else []
        for pid in self.killed[role]:
            os.kill(pid, signal.SIGKILL)

    async def _sample(self) -> None:
        store = self.stack.store()
        while True:
            self.samples.append((time.time(), self.stack.rss_mb()))
            self.spent_s |= {(one.role, one.pid): one.cpu_s for one in self.stack.processes()}
            with suppress(OSError):
                self.store_mb.append(int(store.info("memory")["used_memory"]) / 1e6)
            await asyncio.sleep(SAMPLE_S)

    # -- looking after it

    def _good(self) -> int:
        """How many lines are right."""
        return self.lines - len(range(0, self.lines, WRONG_EVERY))

    async def _read(self, api: Client, batch: dict[str, Any]) -> Checked:
        checked = Checked()
        for name in ("output_file_id", "error_file_id"):
            if batch[name] is None:
                continue
            answer = await api.get(CONTENT.format(batch[name]))
            for one in _values(answer.body):
                self._check(checked, one, good=name == "output_file_id")
        return checked

    def _check(self, checked: Checked, one: dict[str, Any], *, good: bool) -> None:
        name = one["custom_id"]
        checked.seen[name] += 1
        number, response = int(name.removeprefix("line-")), one["response"]
        if good:
            text = response["body"]["choices"][0]["message"]["content"]
            wanted = f"sim-{digest(chats.question('line', number))}"
            checked.wrong += not text.startswith(wanted) or number % WRONG_EVERY == 0
            return
        error = (response or {}).get("body", {}).get("error") or {}
        known = number % WRONG_EVERY == 0 and error.get("param") == "temperature"
        checked.refused += known
        checked.failed += not known

    # -- telling

    def _bound_us(self) -> int:
        """The least time in which the windows admit every right line."""
        return least_time_us(self._supplies(), self._good())

    def _supplies(self) -> list[Supply]:
        began_us = round(self.began_s * 1e6)
        supplies = []
        for (name, _, kind), provider in zip(
            LIMITS, mapping_for(self.lines)["providers"].values(), strict=True
        ):
            limit, cut, shut = provider["limits"][0]["requests"], None, None
            span_us = round(60e6 / self.speed)
            if name == FALLS and self.fell_s is not None:
                cut = Cut(round(self.fell_s * 1e6) - began_us, round(limit * FACTOR))
            if name == REFUSES and self.refused_s is not None:
                from_us = round(self.refused_s * 1e6) - began_us
                shut = Shut(from_us, from_us + round(span_us * REFUSED_SPANS))
            supplies.append(Supply(limit, span_us, kind, began_us, cut, shut))
        return supplies

    def _behind(self) -> dict[str, list[int]]:
        """How many calls each provider could have admitted more, at every tenth of the time."""
        supplies = dict(zip((name for name, _, _ in LIMITS), self._supplies(), strict=True))
        return {
            name: [
                admitted(supply, round((at_s - self.began_s) * 1e6)) - seen[name]
                for at_s, seen in _tenths(self.admitted)
            ]
            for name, supply in supplies.items()
        }

    def _figures(
        self,
        batch: dict[str, Any],
        checked: Checked,
        seen: dict[str, Seen],
        twice: int,
        uploaded_s: float,
    ) -> dict[str, Any]:
        received, _, limited = sums(seen)
        bound_s, makespan_s = self._bound_us() / 1e6, self.ended_s - self.began_s
        answered_s = max(one.last_answer_at for one in seen.values()) - self.began_s
        counts, wrong = batch["request_counts"], self.lines - self._good()
        expected = {"total": self.lines, "completed": self._good(), "failed": wrong}
        begun_s = (batch["in_progress_at"] or 0) - self.began_s
        return {
            "lines": self.lines,
            "status": batch["status"],
            "counts": counts,
            "counts_off": sum(counts[name] != number for name, number in expected.items()),
            "missing": self.lines - len(checked.seen),
            "doubled": sum(count - 1 for count in checked.seen.values()),
            "wrong": checked.wrong,
            "refused": checked.refused,
            "failed_otherwise": checked.failed,
            "makespan_s": round(makespan_s, 2),
            "answered_s": round(answered_s, 2),
            "bound_s": round(bound_s, 2),
            "ratio": round(makespan_s / bound_s, 4),
            "ratio_of_answers": round(answered_s / bound_s, 4),
            "uploaded_s": round(uploaded_s, 2),
            "validated_s": round(max(0.0, begun_s), 1),
            "upstream_calls": received,
            "upstream_429_share": round(limited / max(1, received), 5),
            "called_twice": twice,
            "killed": self.killed,
            "cpu_s": self._cpu_s(),
            "load": [round(load, 2) for load in os.getloadavg()],
            "callers_429": self.statuses[429],
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "by_provider": {n: {"calls": s.received, "429": s.limited} for n, s in seen.items()},
            "behind": self._behind(),
            "believed": {
                name: [one.get(name) for one in _tenths(self.believed)] for name, _, _ in LIMITS
            },
            **self._memory(),
        }

    def _cpu_s(self) -> dict[str, float]:
        """Seconds of processor time by role, of the killed ones too."""
        found: Counter[str] = Counter()
        for (role, _), spent_s in self.spent_s.items():
            found[role] += spent_s  # type: ignore[assignment]  # a counter of seconds
        return {role: round(spent_s, 1) for role, spent_s in sorted(found.items())}

    def _memory(self) -> dict[str, Any]:
        """By role: the most, and the last fifth of the time against the second."""
        told = [mb for at_s, mb in self.samples if at_s <= self.ended_s]
        fifth = max(1, len(told) // 5)
        early, late = told[fifth : 2 * fifth] or told, told[-fifth:]

        def most(some: list[dict[str, float]], role: str) -> float:
            return max((one.get(role, 0.0) for one in some), default=0.0)

        return {
            "peak_mb": {role: most(told, role) for role in ROLES},
            "growth": {
                role: round(most(late, role) / max(0.1, most(early, role)), 3) for role in ROLES
            },
            "steps_mb": [{role: one.get(role, 0.0) for role in ROLES} for one in told[::fifth]],
            "store_mb": {
                "first": round(self.store_mb[0], 1),
                "peak": round(max(self.store_mb), 1),
                "last": round(self.store_mb[-1], 1),
                "kib_a_line": round(
                    (self.store_mb[-1] - self.store_mb[0]) * 1e6 / 1024 / self.lines, 2
                ),
            },
        }


def _tenths(some: Sequence[T]) -> Sequence[T]:
    return some[:: max(1, len(some) // 10)]


def _values(content: bytes) -> Iterator[dict[str, Any]]:
    return (orjson.loads(text) for text in content.splitlines())
