"""Keys that nobody said belong together are found to be of one account, on the whole system."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from whole import until

LIMIT, SPEED = 30, 6  # calls of the account in a span of ten seconds
KEYS = ("a1", "a2")


def one_account(personality):
    def change(mapping):
        mapping["speed"] = SPEED
        mapping["providers"] = {
            "alpha": {
                "personality": personality,
                "models": [{"id": "sim-small", "max_output_tokens": 4_096}],
                "keys": [{"id": k, "key": f"sk-{k}", "organisation": "org_shared"} for k in KEYS],
                "limits": [{"requests": LIMIT, "per": "1m"}],
                "latency": {"median_ms": 20},
                "announce": {"headers": False},
            }
        }

    return change


def untold(ours):
    for credential in ours["providers"]["alpha"]["credentials"]:
        del credential["organisation"]


def submit(system, name, count):
    def one(http, index):
        text = f"[[id:{name}{index}]] hello"
        request = {
            "model": "sim-small",
            "messages": [{"role": "user", "content": text}],
            "max_tokens": 8,
        }
        answer = http.post("/v1/jobs", json={"kind": "chat", "request": request})
        assert answer.status_code == 202, answer.text

    with system.http() as http, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda index: one(http, index), range(count)))


def total(system):
    return system.simulated()["providers"]["alpha"]["total"]


def told(system):
    with system.http() as http:
        shown = http.get("/v1/credentials").json()["data"]
    return {one["id"]: (one["organisation"], one["organisation_source"]) for one in shown}


def ledgers(system):
    """The windows that each credential's calls count in, as the lanes are published."""
    store = system.stack.store()
    text = store.hget("{hr}:cfg", "alpha/sim-small@shared")
    store.close()
    return {cred["id"]: {w["k"] for w in cred["win"]} for cred in json.loads(text)["creds"]}


@pytest.mark.timeout(300)
def test_keys_of_one_account_are_told_by_a_header_and_share_its_limits(start):
    system = start("makespan", change=one_account("openai"), configure=untold)
    submit(system, "first", 4)
    until(lambda: set(told(system).values()) == {("org_shared", "header")})
    until(lambda: len(set(map(frozenset, ledgers(system).values()))) == 1)
    until(lambda: total(system)["answered_200"] == 4)
    before = total(system)["answered_429"]
    submit(system, "then", 3 * LIMIT)
    until(lambda: total(system)["answered_200"] == 4 + 3 * LIMIT)
    assert total(system)["answered_429"] - before <= LIMIT // 10


@pytest.mark.timeout(300)
def test_groq_names_the_account_when_it_refuses(start):
    system = start("makespan", change=one_account("groq"), configure=untold)
    submit(system, "first", 4 * LIMIT)
    sent = 4 * LIMIT

    def known():
        """A text is believed when it is told again: there is work until each key was refused so."""
        nonlocal sent
        if total(system)["answered_200"] > sent - 2 * LIMIT:
            submit(system, f"more{sent}-", LIMIT)
            sent += LIMIT
        return set(told(system).values()) == {("org_shared", "429")}

    until(known)
    until(lambda: len(set(map(frozenset, ledgers(system).values()))) == 1)
    until(lambda: total(system)["answered_200"] == sent)
