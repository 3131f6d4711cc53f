"""What counts input and output apart is fed as fast as both allow, on the whole system."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from whole import until

LANE = "alpha/sim-small@shared"
SAYS = 50  # tokens of one answer
JOBS = 90  # three minutes' worth of output


def anthropic(*limits, latency_ms=20):
    def change(mapping):
        mapping["speed"] = 30
        mapping["providers"] = {
            "alpha": {
                "personality": "anthropic",
                "models": [{"id": "sim-small", "max_output_tokens": 4_096}],
                "limits": list(limits),
                "counts": "input",
                "output": {"median_tokens": SAYS},
                "latency": {"median_ms": latency_ms},
            }
        }

    return change


def submit(system, count):
    def one(http, index):
        text = f"[[id:o{index}]] say something"
        request = {
            "model": "sim-small",
            "messages": [{"role": "user", "content": text}],
            "max_tokens": SAYS,
        }
        answer = http.post("/v1/jobs", json={"kind": "chat", "request": request})
        assert answer.status_code == 202, answer.text

    with system.http() as http, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda index: one(http, index), range(count)))


def seen(system):
    return system.simulated()["providers"]["alpha"]["total"]


def windows(system):
    with system.http() as http:
        (lane,) = [one for one in http.get("/v1/queues").json()["data"] if one["id"] == LANE]
    return {
        one["window"]: (one["dimension"], one["limit"], one["source"]) for one in lane["windows"]
    }


@pytest.mark.timeout(300)
def test_output_of_a_minute_holds_back_what_input_and_requests_would_let_through(start):
    limits = [
        {"requests": 10_000, "per": "1m"},
        {"input_tokens": 1_000_000, "per": "1m"},
        {"output_tokens": 30 * SAYS, "per": "1m"},
    ]
    system = start("makespan", change=anthropic(*limits))
    submit(system, JOBS)
    until(lambda: seen(system)["answered_200"] == JOBS)
    assert seen(system)["answered_429"] <= JOBS // 20
    assert windows(system)["output_tokens/2s"] == ("output_tokens", 30 * SAYS, "config")


@pytest.mark.timeout(300)
def test_limits_of_input_and_output_are_learned_from_anthropics_headers(start):
    limits = [{"input_tokens": 50_000, "per": "1m"}, {"output_tokens": 8_000, "per": "1m"}]

    def change(mapping):
        anthropic(*limits)(mapping)
        mapping["speed"] = 1  # its headers mean minutes of the wall clock

    system = start("makespan", change=change, declare={"declare_limits": False})
    submit(system, 3)
    until(lambda: len(windows(system)) == len(limits))
    assert windows(system) == {
        "itpm": ("input_tokens", 50_000, "header"),
        "otpm": ("output_tokens", 8_000, "header"),
    }
