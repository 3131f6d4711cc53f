"""Limits that nobody declared, or that fall in the middle, are learned from what providers answer.

Counts only: how many calls were refused upstream, and that every job was done. What may be refused
is what nobody could know better: calls that had left before the lesson was heard (never more than
may be at once), and one for each call whose way took longer than windows allow for (`untimely`),
which a busy machine makes. A window without `untimely` calls is never overrun.
"""

import re
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter

import orjson
import pytest
from whole import until

JOBS = 700  # more than all windows together admit at once
BEFORE, AFTER = 500, 500  # the limits fall between: each alone more than one span admits
FEW = 50  # fewer than the least window admits
AT_ONCE = 8  # calls of a lane whose limits nobody has told: claiming.lua
# as many when its window is used up: one more for every two times as many answers
GROWN = {"alpha": 11, "beta": 14, "gamma": 18}
LATE_MS = 25  # half of a window's guard
SPAN_MS = 6_000
WAIT_S = 240
SLOW_MS = 500  # ten times what the simulator takes for an answer
HEADERLESS = {"headers": False}
WORDLESS = {"headers": False, "body": False}
BETA = "beta/sim-small@shared"
MOST_KILLS = 20


def announcing(announce):
    def change(mapping):
        for provider in mapping["providers"].values():
            provider["announce"] = announce

    return change


def submit(system, count, name="l"):
    """Hands jobs in; their ids, with the name by which the simulator knows each."""
    with system.http() as http, ThreadPoolExecutor(16) as pool:

        def one(marker):
            request = {
                "model": "sim-small",
                "messages": [{"role": "user", "content": f"[[id:{marker}]] learn"}],
                "max_tokens": 8,
            }
            answer = http.post("/v1/jobs", json={"kind": "chat", "request": request})
            assert answer.status_code == 202, answer.text
            return answer.json()["id"]

        markers = [f"{name}{index}" for index in range(count)]
        return dict(zip(pool.map(one, markers), markers, strict=True))


def untimely(system, jobs):
    """How many calls were late, so that the provider counted them later than we did, or slow."""
    came = {
        each["id"]: each["came_ms"]
        for each in system.simulated(f"requests?limit={10**6}")["requests"]
    }
    store, found = system.stack.store(), 0
    with store, store.pipeline(transaction=False) as asked:
        for job_id in jobs:
            asked.hgetall(f"{{hr}}:job:{job_id}")
        for marker, fields in zip(jobs.values(), asked.execute(), strict=True):
            attempts = [orjson.loads(v) for k, v in fields.items() if re.fullmatch(rb"a\d+", k)]
            calls = sorted((a for a in attempts if a.get("sent_ms")), key=itemgetter("sent_ms"))
            assert len(calls) == len(came[marker])
            for call, at_ms in zip(calls, came[marker], strict=True):
                late = at_ms - call["sent_ms"] > LATE_MS
                found += late or call["ended_ms"] - call["sent_ms"] > SLOW_MS
    return found


def answered(system):
    return sum(p["total"]["answered_200"] for p in system.simulated()["providers"].values())


def refused(system, name=None):
    seen = system.simulated()["providers"]
    return sum(p["total"]["answered_429"] for n, p in seen.items() if name in (None, n))


def taught(system):
    """What is kept of refusals: it changes with each that a worker has learned from."""
    with system.stack.store() as store:
        return store.hgetall("{hr}:trail")


def finished(system, jobs):
    """Waits for the end of all, which no caller may see refused."""
    ids = list(jobs)
    until(lambda: answered(system) >= len(ids), most_s=WAIT_S)

    def statuses():
        with system.http() as http:
            found = [
                http.get(f"/v1/jobs/{job_id}").json()["status"]
                for job_id in ids[:: max(1, len(ids) // 50)]
            ]
            return set(found) == {"completed"}

    until(statuses, most_s=WAIT_S)
    store = system.stack.store()
    until(lambda: int(store.get("{hr}:alive") or 0) == 0, most_s=WAIT_S)
    assert int(store.hget("{hr}:done", "completed")) == len(ids)
    store.close()


def windows(system):
    with system.http() as http:
        lanes = http.get("/v1/queues").json()["data"]
    return {lane["id"]: [(w["limit"], w["source"]) for w in lane["windows"]] for lane in lanes}


def spans_ms(system):
    with system.stack.store() as store:
        lanes = [orjson.loads(raw) for raw in store.hgetall("{hr}:cfg").values()]
    return [w["s"] for lane in lanes for cred in lane.get("creds") or () for w in cred["win"]]


@pytest.mark.timeout(600)
def test_limits_told_by_headers_are_found_without_a_refusal_and_survive_a_restart(start):
    limits = {"alpha": 60, "beta": 120, "gamma": 300}
    learned = {f"{name}/sim-small@shared": [(n, "header")] for name, n in limits.items()}
    system = start("makespan", declare={"declare_limits": False})
    jobs = submit(system, FEW, "few")
    finished(system, jobs)
    assert refused(system) == 0
    found = {lane: told for lane, told in windows(system).items() if told}
    assert found.items() <= learned.items()
    assert found
    jobs |= submit(system, JOBS)
    finished(system, jobs)
    # what a fixed window's first answer tells is what is left of it, so calls before it seem older
    assert refused(system) <= AT_ONCE + untimely(system, jobs)
    assert windows(system) == learned
    system.kill("scheduler")  # who leads next publishes the catalog again
    system.kill("workers")
    until(lambda: system.stack.pids("workers") and system.stack.pids("scheduler"))
    finished(system, jobs | submit(system, 20, "again"))
    assert windows(system) == learned
    # a span is the longest rest that was told: answers of a busy machine come late in it
    assert min(spans_ms(system)) >= SPAN_MS // 2


@pytest.mark.timeout(600)
def test_limits_told_by_refusals_are_found(start):
    undeclared = {"declare_limits": False}
    system = start("makespan", declare=undeclared, change=announcing(HEADERLESS))
    jobs = submit(system, JOBS)
    finished(system, jobs)
    assert refused(system) <= sum(GROWN.values()) + untimely(system, jobs)
    before = refused(system)
    more = submit(system, JOBS, "more")
    finished(system, jobs | more)
    budget = JOBS // 50  # two in a hundred
    assert refused(system) - before <= budget + untimely(system, more)
    assert {source for (_, source), *_ in filter(None, windows(system).values())} == {"429"}


@pytest.mark.timeout(600)
def test_limits_that_nothing_tells_but_refusals_with_a_wait_are_estimated(start):
    undeclared = {"declare_limits": False}
    system = start("makespan", declare=undeclared, change=announcing(WORDLESS))
    jobs = submit(system, JOBS)
    finished(system, jobs)
    assert refused(system) <= JOBS // 8 + untimely(system, jobs)
    assert any(windows(system).values())


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("announced", "source"), [(True, "header"), (False, "429")])
def test_a_limit_that_falls_to_a_tenth_is_adopted_at_once(start, announced, source):
    system = start("makespan")
    jobs = submit(system, BEFORE)
    until(lambda: answered(system) >= BEFORE // 2, most_s=WAIT_S)
    system.fault(kind="limits", provider="beta", factor=0.1, announced=announced, count=1)
    jobs |= submit(system, AFTER, "more")
    finished(system, jobs)
    late = untimely(system, jobs)
    assert refused(system) - refused(system, "beta") <= late
    # what has left in one burst of the old limit, 120 calls, cannot be recalled
    assert refused(system, "beta") <= 120 + late
    assert windows(system)[BETA] == [(12, source)]


@pytest.mark.timeout(300)
def test_a_provider_that_refused_everything_is_believed_in_again_though_its_workers_died(start):
    def alone(mapping):
        mapping["providers"] = {"beta": mapping["providers"]["beta"]}

    system = start("makespan", change=alone)
    ids = submit(system, 40)
    until(lambda: answered(system) == len(ids))
    system.fault(kind="rate_limited", provider="beta", retry_after="5s")
    submit(system, 200)
    until(lambda: windows(system)[BETA] != [(120, "catalog")])
    kills, lesson = 0, taught(system)
    while windows(system)[BETA] != [(120, "catalog")]:  # its 6 s pass, whatever the machine does
        assert kills < MOST_KILLS, "the limit comes back by probing only"
        until(lambda: system.stack.pids("workers"))
        system.kill("workers")
        kills += 1
        until(lambda old=lesson: taught(system) != old)
        lesson = taught(system)
    assert kills
    assert answered(system) == len(ids)  # no call had to prove it
