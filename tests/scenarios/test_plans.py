"""A key's plan is found out from what its provider answers, and its windows follow, both ways."""

import httpx2
import pytest
from whole import until

FREE, PAID, SPEED = 12, 120, 6  # calls in a span of ten seconds


def one_key(mapping):
    mapping["speed"] = SPEED
    mapping["providers"] = {
        "alpha": {
            "personality": "openai",
            "models": [{"id": "sim-small", "max_output_tokens": 4_096}],
            "keys": [{"id": "a1", "key": "sk-a1"}],
            "limits": [{"requests": PAID, "per": "1m"}],
            "latency": {"median_ms": 20},
        }
    }


def two_plans(ours):
    alpha = ours["providers"]["alpha"]
    del alpha["credentials"][0]["plan"]
    plans = {"free": FREE, "paid": PAID}
    alpha["models"][0]["limits"] = {
        name: {"windows": [{"requests": limit, "per": "10s"}]} for name, limit in plans.items()
    }


def ask(system):
    chat = {"model": "sim-small", "messages": [{"role": "user", "content": "hello"}]}
    with system.http() as http:
        http.post("/v1/chat/completions", json=chat).raise_for_status()


def provider(system):
    with system.http() as http:
        return next(one for one in http.get("/v1/providers").json()["data"] if one["id"] == "alpha")


def plan_and_limit(system):
    """The plan of the key, who says so, and the limit its calls are kept to."""
    shown = provider(system)
    (plan,) = shown["plans"]
    (window,) = shown["lanes"][0]["windows"]
    return plan["plan"], plan["source"], window["limit"]


@pytest.mark.timeout(240)
def test_a_key_thought_free_is_found_paid_and_free_again(start):
    system = start("makespan", change=one_key, configure=two_plans)
    assert plan_and_limit(system) == ("free", "default", FREE)
    ask(system)
    until(lambda: plan_and_limit(system) == ("paid", "detected", PAID))
    limits = {"provider": "alpha", "factor": FREE / PAID, "announced": True}
    httpx2.post(f"{system.address.admin_url}/limits", json=limits, timeout=30).raise_for_status()
    message = "You exceeded the limit of our free tier; add billing details for more."
    system.fault(kind="error", provider="alpha", row="rate_limited", message=message, count=1)
    ask(system)
    until(lambda: plan_and_limit(system) == ("free", "detected", FREE))
    assert system.simulated()["providers"]["alpha"]["total"]["answered_200"] == 2
