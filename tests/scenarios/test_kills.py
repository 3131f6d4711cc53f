"""kill -9 of each process while hundreds of calls are in flight and many more wait."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx2
import orjson
import pytest
import redis
from whole import until, whole_system

from shared.core.model import Status
from shared.store.connect import commands
from shared.store.jobs import Jobs

JOBS = 800  # of which all providers together take 300 at once
IN_FLIGHT = 200
TERMINAL = {"job.completed", "job.failed", "job.cancelled", "job.expired"}


def slow(mapping):
    for provider in mapping["providers"].values():
        provider["latency"] = {"median_ms": 4000, "sigma": 0.2, "seed": 7}
        provider.pop("output", None)


def bounded(ours):
    for provider in ours["providers"].values():
        for model in provider["models"]:
            model["limits"] = {"free": {"concurrency": 150}}


@pytest.fixture(scope="module")
def system():
    """Shared by all stories: each names its jobs differently, and all its jobs have ended."""
    with whole_system("unlimited", change=slow, configure=bounded) as found:
        yield found


def submit(system, name, count):
    with system.http() as http, ThreadPoolExecutor(16) as pool:

        def one(index):
            request = {
                "model": "sim-small",
                "messages": [{"role": "user", "content": f"[[id:{name}-{index}]] turn"}],
                "max_tokens": 8,
            }
            answer = http.post("/v1/jobs", json={"kind": "chat", "request": request})
            assert answer.status_code == 202, answer.text
            return answer.json()["id"]

        return list(pool.map(one, range(count)))


def in_flight(system):
    """How many calls the providers are at now, those included whose caller was killed."""
    providers = system.simulated()["providers"].values()
    accounts = [one for p in providers for keys in p["models"].values() for one in keys.values()]
    return sum(account["concurrency"]["now"] for account in accounts)


async def records(system, ids):
    client = commands(system.stack.store_url())
    jobs = Jobs(client, client)
    try:
        found = []
        for at in range(0, len(ids), 100):
            found += await asyncio.gather(
                *(jobs.get(job_id, None) for job_id in ids[at : at + 100])
            )
        events = [await jobs.events(job_id, None) for job_id in ids]
        return found, events
    finally:
        await client.aclose()


def ended(system):
    store = system.stack.store()
    try:
        return int(store.get("{hr}:alive") or 0) == 0
    except OSError:
        return False
    finally:
        store.close()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("role", ["workers", "scheduler", "api", "valkey-server"])
def test_no_kill_loses_a_job_or_shows_it_twice(system, role):
    until(lambda: in_flight(system) == 0)  # what an earlier kill cut off has ended
    ids = submit(system, role, JOBS)
    until(lambda: in_flight(system) >= IN_FLIGHT)
    killed = system.kill(role)
    until(lambda: set(system.stack.pids(role)) - set(killed))
    until(lambda: ready(system))
    until(lambda: quietly(ended, system), most_s=240)

    found, events = asyncio.run(records(system, ids))
    assert [r.status for r in found] == [Status.COMPLETED] * JOBS
    assert all(orjson.loads(r.result)["choices"] for r in found)
    for lines in events:
        assert [e.id for e in lines] == list(range(1, len(lines) + 1))
        assert [e.type for e in lines if e.type in TERMINAL] == ["job.completed"]
    seen = system.simulated("requests?min_admitted=2&limit=5000")["requests"]
    repeated = {r["id"] for r in seen if r["id"].startswith(f"{role}-")}
    reported = {f"{role}-{index}" for index, r in enumerate(found) if r.uncertain_repeats > 0}
    assert repeated <= reported
    assert len(repeated) <= 310
    if role in ("scheduler", "api"):
        assert not repeated


def ready(system):
    with system.http() as http:
        return quietly(lambda: http.get("/readyz").status_code == 200)


def quietly(what, *given):
    try:
        return what(*given)
    except (httpx2.HTTPError, redis.RedisError, OSError):
        return False
