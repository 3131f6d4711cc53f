"""Batches of texts are fed to Gemini as the requests it counts them for, on the whole system."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from whole import until, whole_system

TEXTS, BATCHES, LIMIT = 10, 12, 40  # four batches a span


def gemini(mapping):
    mapping["speed"] = 30
    mapping["providers"] = {
        "alpha": {
            "personality": "gemini",
            "models": [{"id": "sim-embed", "kinds": ["embedding"], "dimensions": 4}],
            "limits": [{"requests": LIMIT, "per": "1m"}],
            "latency": {"median_ms": 20},
        }
    }


@pytest.fixture(scope="module")
def system():
    with whole_system("makespan", change=gemini) as found:
        yield found


def total(system):
    return system.simulated()["providers"]["alpha"]["total"]


@pytest.mark.timeout(240)
def test_batches_of_texts_wait_for_as_many_requests_as_they_count(system):
    def one(http, index):
        texts = [f"text {index} {n}" for n in range(TEXTS)]
        request = {"model": "sim-embed", "input": texts}
        answer = http.post("/v1/jobs", json={"kind": "embedding", "request": request})
        assert answer.status_code == 202, answer.text

    with system.http() as http, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda index: one(http, index), range(BATCHES)))
    until(lambda: total(system)["answered_200"] == BATCHES)
    assert total(system)["answered_429"] <= 1


def test_more_texts_than_a_window_holds_are_refused_with_that_reason(system):
    with system.http() as http:
        body = {"model": "sim-embed", "input": [f"text {n}" for n in range(LIMIT + 1)]}
        answer = http.post("/v1/embeddings", json=body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "request_too_large"
    assert error["param"] == "input"
    assert f"needs {LIMIT + 1} requests" in error["message"]
