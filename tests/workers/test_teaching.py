"""A burst of answers teaches each lesson once, over few connections, and loses none."""

import asyncio
from types import SimpleNamespace

import orjson
import structlog
from worker_claims import claim

from shared.catalog_schema import Config
from shared.core.outcome import Learned
from shared.queue.types import Report, Verdict
from shared.store.lanes import lane_config
from shared.supply import NO_ROWS, Base, assemble
from workers.teaching import MOST_AT_ONCE, Teacher

KEYS = tuple(f"k{number}" for number in range(12))
LANE = "alpha/m1@shared"
LOWER = (Learned("rpm", "requests", 60_000, 5, "header"),)
CONFIG = Config.model_validate(
    {
        "providers": {
            "alpha": {
                "type": "openai-compatible",
                "base_url": "http://127.0.0.1:9/v1",
                "credentials": [{"id": id_, "key": f"sk-{id_}-0123456789"} for id_ in KEYS],
                "models": [{"id": "m1", "limits": {"free": {"rpm": 9}}}],
            }
        }
    }
)


class Store:
    """A lane's configuration that is changed by compare-and-set; counts who is there at once."""

    prefix = "{hr}:"

    def __init__(self, lane):
        self.raw = orjson.dumps(lane)
        self.reads = self.changes = self.at_once = self.most_at_once = 0
        self.client = SimpleNamespace(hget=self._hget)

    async def _turn(self):
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        for _ in range(5):
            await asyncio.sleep(0)
        self.at_once -= 1

    async def _hget(self, _name, _field):
        self.reads += 1
        await self._turn()
        return self.raw

    async def __call__(self, _script, ask):
        await self._turn()
        if "observe" in ask:
            return 1
        if "look" in ask:
            return orjson.dumps(
                {"now": 1, "run": 0, "admitted": 0, "trail": "", "win": {}, "sent": {}}
                | {"raw": self.raw.decode()}
            )
        if ask["was"].encode() != self.raw:
            return self.raw
        self.raw = ask["now"].encode()
        self.changes += 1
        return b""


async def test_a_burst_teaches_each_lesson_once_over_few_connections_and_loses_none():
    supply = assemble(Base(CONFIG, {}, ours=Config()), NO_ROWS)
    deployment = supply.catalog.by_id["alpha/m1"]
    store = Store(lane_config(deployment, supply.credentials.refs, 0))
    teacher = Teacher(store, supply)
    report = Report(Verdict.COMPLETE, attempt={"outcome": "succeeded"}, learned=LOWER)
    with structlog.testing.capture_logs() as logs:
        await asyncio.gather(
            *(teacher.heed(claim(LANE, credential=id_), report) for _ in range(40) for id_ in KEYS)
        )
    assert store.reads == len(KEYS)
    assert store.most_at_once <= MOST_AT_ONCE
    creds = orjson.loads(store.raw)["creds"]
    lost = [log for log in logs if log["event"] == "lesson_lost"]
    assert lost == []
    assert {cred["id"]: [w["l"] for w in cred["win"]] for cred in creds} == {
        id_: [5] for id_ in KEYS
    }
    assert store.changes >= len(KEYS)
