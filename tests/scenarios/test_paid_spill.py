"""Money is spent for deadlines, and for nothing else; what was spent is told."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from whole import until

FREE_A_SPAN, SPAN_S = 20, 6  # of the free lane, in real time
HURRIED, DEADLINE_S = 200, 40  # more than it does in time: 153
COST_USD = 0.008  # of one paid call: 8 tokens at 1,000 dollars a million


def two_tiers(mapping):
    free = {**mapping["providers"]["alpha"], "latency": {"median_ms": 100}}
    free["limits"] = [{"requests": FREE_A_SPAN, "per": "1m"}]
    dear = {name: value for name, value in free.items() if name != "limits"}
    mapping["providers"] = {"alpha": free, "dear": dear}


def priced(ours):
    dear = ours["providers"]["dear"]
    dear["credentials"][0]["plan"] = "paid"
    dear["models"][0]["price_usd_per_1m"] = {"input": 0, "output": 1_000}


def submit(system, name, count, **wishes):
    def one(http, index):
        text = f"[[id:{name}{index}]] spill"
        request = {
            "model": "sim-small",
            "messages": [{"role": "user", "content": text}],
            "max_tokens": 8,
        }
        answer = http.post("/v1/jobs", json={"kind": "chat", "request": request, **wishes})
        assert answer.status_code == 202, answer.text
        return answer.json()["id"]

    with system.http() as http, ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda index: one(http, index), range(count)))


def ended(system, ids):
    """Every job's record, once all have ended."""
    with system.http() as http:

        def records():
            found = [http.get(f"/v1/jobs/{one}?wait=5").json() for one in ids]
            live = {"queued", "in_progress"}
            return found if live.isdisjoint(one["status"] for one in found) else None

        return until(records)


def calls(system):
    seen = system.simulated()["providers"]
    return {name: one["total"]["answered_200"] for name, one in seen.items()}


@pytest.mark.timeout(600)
def test_work_with_a_deadline_spills_to_paid_and_work_without_one_waits(start):
    system = start("makespan", change=two_tiers, configure=priced)
    patient = ended(system, submit(system, "p", FREE_A_SPAN + 10, priority="bulk"))
    assert {one["status"] for one in patient} == {"completed"}
    assert calls(system)["dear"] == 0
    hurried = ended(system, submit(system, "h", HURRIED, deadline_s=DEADLINE_S))
    assert {one["status"] for one in hurried} == {"completed"}
    paid = calls(system)["dear"]
    fluid = FREE_A_SPAN + FREE_A_SPAN * DEADLINE_S / SPAN_S
    assert HURRIED - fluid - 10 <= paid
    assert paid <= HURRIED * 3 / 4, "what free quota could do in time was paid for"
    assert sum(one["cost"] > 0 for one in hurried) == paid
    with system.http() as http:
        usage = http.get("/v1/usage?group_by=provider").json()
    by_provider = {one["provider"]: one for one in usage["data"]}
    assert by_provider["alpha"]["free_share"] == 1
    assert by_provider["dear"]["answered"] == paid
    assert usage["paid"]["spent_today_usd"] == pytest.approx(paid * COST_USD)
    assert usage["paid"]["alert"] == "spending"
