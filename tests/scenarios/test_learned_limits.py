"""Limits that nobody declared, or that fall in the middle, are learned from what providers answer.

Counts only: how many calls were refused upstream, and that every job was done. The budgets (DESIGN
11) are for thousands of calls; here a fixed number is allowed for the moments of learning.
"""

from concurrent.futures import ThreadPoolExecutor

import pytest
from whole import until

JOBS = 700  # more than all windows together admit at once
HEADERLESS = {"headers": False}
WORDLESS = {"headers": False, "body": False}
BETA = "beta/sim-small@shared"
MOST_KILLS = 20


def announcing(announce):
    def change(mapping):
        for provider in mapping["providers"].values():
            provider["announce"] = announce

    return change


def submit(system, count):
    with system.http() as http, ThreadPoolExecutor(16) as pool:

        def one(index):
            request = {
                "model": "sim-small",
                "messages": [{"role": "user", "content": f"[[id:l{index}]] learn"}],
                "max_tokens": 8,
            }
            answer = http.post("/v1/jobs", json={"kind": "chat", "request": request})
            assert answer.status_code == 202, answer.text
            return answer.json()["id"]

        return list(pool.map(one, range(count)))


def answered(system):
    return sum(p["total"]["answered_200"] for p in system.simulated()["providers"].values())


def refused(system, name=None):
    seen = system.simulated()["providers"]
    return sum(p["total"]["answered_429"] for n, p in seen.items() if name in (None, n))


def finished(system, ids):
    """Waits for the end of all, which no caller may see refused."""
    until(lambda: answered(system) >= len(ids), most_s=120)

    def statuses():
        with system.http() as http:
            found = [
                http.get(f"/v1/jobs/{job_id}").json()["status"] for job_id in ids[:: len(ids) // 50]
            ]
            return set(found) == {"completed"}

    until(statuses)
    store = system.stack.store()
    until(lambda: int(store.get("{hr}:alive") or 0) == 0)
    assert int(store.hget("{hr}:done", "completed")) == len(ids)
    store.close()


def windows(system):
    with system.http() as http:
        lanes = http.get("/v1/queues").json()["data"]
    return {lane["id"]: [(w["limit"], w["source"]) for w in lane["windows"]] for lane in lanes}


@pytest.mark.timeout(300)
def test_limits_told_by_headers_are_found_without_a_refusal_and_survive_a_restart(start):
    system = start("makespan", declare={"declare_limits": False})
    finished(system, submit(system, JOBS))
    assert refused(system) <= JOBS // 100
    limits = {"alpha": 60, "beta": 120, "gamma": 300}
    learned = {f"{name}/sim-small@shared": [(n, "header")] for name, n in limits.items()}
    assert windows(system) == learned
    system.kill("scheduler")  # who leads next publishes the catalog again
    system.kill("workers")
    until(lambda: system.stack.pids("workers") and system.stack.pids("scheduler"))
    finished_before = answered(system)
    submit(system, 20)
    until(lambda: answered(system) >= finished_before + 20)
    assert windows(system) == learned


@pytest.mark.timeout(300)
def test_limits_told_by_refusals_are_found(start):
    undeclared = {"declare_limits": False}
    system = start("makespan", declare=undeclared, change=announcing(HEADERLESS))
    finished(system, submit(system, JOBS))
    assert refused(system) <= JOBS // 10
    before = refused(system)
    finished_before = answered(system)
    submit(system, JOBS)
    until(lambda: answered(system) >= finished_before + JOBS, most_s=120)
    assert refused(system) - before <= JOBS // 50
    assert {source for (_, source), *_ in filter(None, windows(system).values())} == {"429"}


@pytest.mark.timeout(300)
def test_limits_that_nothing_tells_but_refusals_with_a_wait_are_estimated(start):
    undeclared = {"declare_limits": False}
    system = start("makespan", declare=undeclared, change=announcing(WORDLESS))
    finished(system, submit(system, JOBS))
    assert refused(system) <= JOBS // 8
    assert any(windows(system).values())


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("announced", "source"), [(True, "header"), (False, "429")])
def test_a_limit_that_falls_to_a_tenth_is_adopted_at_once(start, announced, source):
    system = start("makespan")
    ids = submit(system, JOBS)
    until(lambda: answered(system) >= JOBS // 2)
    system.fault(kind="limits", provider="beta", factor=0.1, announced=announced, count=1)
    ids += submit(system, JOBS)
    finished(system, ids)
    assert refused(system) == refused(system, "beta")
    # what has left in one burst of the old limit, 120 calls, cannot be recalled
    assert refused(system) <= 120
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
    kills = 0
    while windows(system)[BETA] != [(120, "catalog")]:  # its 6 s pass, whatever the machine does
        assert kills < MOST_KILLS, "the limit comes back by probing only"
        before = refused(system)
        until(lambda: system.stack.pids("workers"))
        system.kill("workers")
        kills += 1
        until(lambda seen=before: refused(system) > seen)
    assert kills
    assert answered(system) == len(ids)  # no call had to prove it
