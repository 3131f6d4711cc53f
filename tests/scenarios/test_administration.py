"""Providers and keys come and go while the whole system runs: no restart, no lost work."""

import json
import os
import subprocess

import httpx2
import pytest
from openai import AuthenticationError, OpenAI
from whole import until, whole_system

from bench.stack import KEY
from cli import address

ALLOWED = {"HEADRACE_ALLOW_PRIVATE_PROVIDERS": "true", "HEADRACE_PROBE_S": "0.2",
           "HEADRACE_UNSERVED_S": "0"}  # fmt: skip
CHAT = [{"role": "user", "content": "Say hello."}]


def without_beta(config):
    del config["providers"]["beta"]


def chat(system, model):
    with system.sdk(max_retries=0) as sdk:
        return sdk.chat.completions.create(model=model, messages=CHAT)


@pytest.fixture(scope="module")
def stack():
    with whole_system("unlimited", configure=without_beta, env=ALLOWED) as found:
        yield found


@pytest.fixture
def system(stack):
    """Shared by all stories: each names its provider differently, and leaves none behind."""
    yield stack
    httpx2.delete(f"{stack.address.admin_url}/faults", timeout=30).raise_for_status()
    with stack.http() as http:
        for one in http.get("/v1/providers").json()["data"]:
            if one["source"] == "api":
                http.delete(f"/v1/providers/{one['id']}").raise_for_status()


def provider(system, name):
    return {
        "id": name,
        "base_url": system.address.base_urls["beta"],
        "models": [{"id": "sim-small", "price_usd_per_1m": {"input": 0, "output": 0}}],
    }


@pytest.mark.timeout(600)
def test_a_provider_added_over_the_api_serves_at_once_and_its_key_dies_and_comes_back(system):
    with system.http() as http:
        made = http.post("/v1/providers", json=provider(system, "added"))
        assert made.status_code == 201, made.text
        wanted = {"provider": "added", "key": "sk-sim-beta-1"}
        credential = http.post("/v1/credentials", json=wanted).json()
        tested = http.post(f"/v1/credentials/{credential['id']}/test").json()
        assert (tested["valid"], "sim-small" in tested["models"]) == (True, True)
        assert chat(system, "added/sim-small").choices
        wrong = {"provider": "added", "key": "sk-nobody-knows"}
        bad = http.post("/v1/credentials", json=wrong).json()
        found = http.post(f"/v1/credentials/{bad['id']}/test").json()
        assert (found["valid"], found["status"]) == (False, "invalid")
        assert http.get(f"/v1/credentials/{bad['id']}").json()["status"] == "dead"
        path = f"/v1/credentials/{credential['id']}"
        system.fault(kind="key_revoked", provider="beta", count=1)
        chat(system, "added/sim-small")  # the other key is dead; a probe brings this one back
        until(lambda: http.get(path).json()["status"] == "ok")
        until(lambda: http.get(path).json()["last_test"])


@pytest.mark.timeout(600)
def test_a_model_that_was_not_found_for_a_moment_serves_again(system):
    request = {"model": "away/sim-small", "messages": CHAT}
    with system.http() as http:
        http.post("/v1/providers", json={**provider(system, "away"), "key": "sk-sim-beta-1"})
        system.fault(kind="model_gone", provider="beta", model="sim-small", count=1)

        def status():
            return http.post("/v1/chat/completions", json=request).status_code

        assert status() == 404
        until(lambda: status() == 200)


@pytest.mark.timeout(600)
def test_what_a_lowered_limit_will_never_hold_is_refused_and_not_sent_without_a_key(system):
    def models(tpm):
        limits = {plan: {"tpm": tpm} for plan in ("free", "paid")}
        return [{**provider(system, "narrow")["models"][0], "limits": limits}]

    def windows():
        lanes = http.get("/v1/queues").json()["data"]
        found = [one["windows"] for one in lanes if one["deployment"].startswith("narrow/")]
        return [each["limit"] for each in found[0] if each["window"] == "tpm"] if found else []

    request = {"model": "narrow/sim-small", "messages": [{**CHAT[0], "content": "word " * 5_000}]}
    with system.http() as http:
        made = {**provider(system, "narrow"), "models": models(100_000), "key": "sk-sim-beta-1"}
        http.post("/v1/providers", json=made).raise_for_status()
        listed = http.get("/v1/credentials").json()["data"]
        (key,) = [one["id"] for one in listed if one["provider"] == "narrow"]
        system.fault(kind="rate_limited", provider="beta", retry_after=3_600, count=1)
        job = http.post("/v1/jobs", json={"kind": "chat", "request": request}).json()
        path = f"/v1/jobs/{job['id']}"
        until(lambda: http.get(path).json()["attempts"])
        http.patch("/v1/providers/narrow", json={"models": models(1_000)}).raise_for_status()
        until(lambda: windows() == [1_000])
        http.patch(f"/v1/credentials/{key}", json={"priority": 1})  # an edit ends its rest
        ended = until(lambda: (now := http.get(path).json())["error"] and now)
    assert ended["error"]["code"] == "request_too_large"
    outcomes = [each["outcome"] for each in ended["attempts"]]
    assert outcomes == ["rate_limited", "too_long"], "the second was never sent"


@pytest.mark.timeout(600)
def test_work_of_a_provider_that_is_taken_away_ends_with_its_reason(system):
    with system.http() as http:
        http.post("/v1/providers", json={**provider(system, "taken"), "key": "sk-sim-beta-1"})
        system.fault(kind="rate_limited", provider="beta", retry_after=600)
        request = {"model": "taken/sim-small", "messages": CHAT}
        job = http.post("/v1/jobs", json={"kind": "chat", "request": request}).json()
        until(lambda: http.get(f"/v1/jobs/{job['id']}").json()["attempts"])
        assert http.delete("/v1/providers/taken").status_code == 200
        ended = until(lambda: (now := http.get(f"/v1/jobs/{job['id']}").json())["error"] and now)
    assert ended["status"] == "failed"


@pytest.mark.timeout(600)
def test_an_api_key_is_made_on_the_command_line_and_revoked(system):
    env = {**os.environ, "HEADRACE_URL": system.url, "HEADRACE_API_KEY": KEY}

    def headrace(*words):
        command = [*address.headrace_command(), *words]
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
        return done.stdout.strip()

    made = headrace("keys", "create", "reports")
    with OpenAI(base_url=f"{system.url}/v1", api_key=made, max_retries=0) as client:
        assert client.models.list().data
        headrace("keys", "revoke", "reports")
        with pytest.raises(AuthenticationError):
            client.models.list()
    assert "alpha" in headrace("providers", "test")
    assert "alpha" in headrace("providers", "list")


@pytest.mark.timeout(300)
def test_old_settings_are_imported_and_their_provider_answers_at_once(system, tmp_path):
    old = {
        "type": "openai-compatible",
        "apiEndpoint": system.address.base_urls["beta"] + "/chat/completions",
        "apiKey": "sk-sim-beta-1",
        "modelName": "sim-small",
        "rateLimitTPM": 1_000_000,
    }
    file = tmp_path / "app_settings.json"
    file.write_text(json.dumps({"version": "2.0.0", "providers": [old]}), encoding="utf-8")
    env = {**os.environ, "HEADRACE_URL": system.url, "HEADRACE_API_KEY": KEY}
    command = [*address.headrace_command(), "import", str(file), "--json"]
    for status in ("added", "there"):
        done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
        assert json.loads(done.stdout)["status"] == status
        assert "sk-sim-beta-1" not in done.stdout + done.stderr
    with system.http() as http:
        listed = http.get("/v1/providers").json()["data"]
    (name,) = [one["id"] for one in listed if one["source"] == "api"]
    assert chat(system, f"{name}/sim-small").choices
