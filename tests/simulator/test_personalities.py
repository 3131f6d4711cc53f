"""What all personalities owe alike: faults, rows, days, limits, and Headrace's configuration."""

import json
from datetime import UTC, datetime, timedelta
from typing import get_args
from zoneinfo import ZoneInfo

import httpx2
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated_hosts import CHAT, NAMES

from shared.catalog_schema import Config
from simulator import ConfigError, expected_answer, headrace_config, load_config, preset
from simulator.config import PersonalityName
from simulator.personalities import personality_of
from simulator.server import address_of
from simulator.windows import zoned_edge_us

SAID = [{"role": "user", "content": "Who turns the wheel?"}]
HEAD = expected_answer(SAID)
MESSAGES = {"model": CHAT, "messages": SAID}
GEMINI = {"contents": [{"role": "user", "parts": [{"text": SAID[0]["content"]}]}]}


def request(name, *, stream=False, key=None, model=CHAT):
    """Path, headers and body of a chat, below a provider's base address."""
    key = key or f"sk-{name}"
    match name:
        case "gemini":
            verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
            return f"models/{model}:{verb}", {"x-goog-api-key": key}, GEMINI
        case "anthropic":
            headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
            body = MESSAGES | {"model": model, "max_tokens": 99, "stream": stream}
            return "messages", headers, body
        case "cohere":
            return "chat", bearer(key), MESSAGES | {"model": model, "stream": stream}
        case _:
            return "chat/completions", bearer(key), MESSAGES | {"model": model, "stream": stream}


def bearer(key):
    return {"authorization": f"Bearer {key}"}


def ask(plays, name, **how):
    path, headers, body = request(name, **how)
    return plays.http.post(f"{plays.base(name)}/{path}", json=body, headers=headers)


def look(plays, name):
    """The cheapest look at a key: the list of models."""
    _, headers, _ = request(name)
    base = plays.root("cohere") + "/v1" if name == "cohere" else plays.base(name)
    return plays.http.get(f"{base}/models", headers=headers)


def message_of(answer):
    """The text of an error, wherever the provider puts it."""
    body = answer.json()
    inner = body.get("error", body)
    return json.dumps(inner.get("message", inner.get("detail")))


def test_the_names_tested_are_all_there_are():
    assert set(NAMES) == set(get_args(PersonalityName))


@pytest.mark.parametrize("name", NAMES)
def test_every_error_a_provider_knows_comes_as_its_row_says(plays, name):
    (spec,) = load_config({"providers": {"x": {"personality": name, "models": [CHAT]}}}).providers
    rows = personality_of(spec).rows
    assert list(rows) == plays.rows(name)
    for row in rows:
        plays.arm(name, kind="error", row=row)
        answer = ask(plays, name)
        assert answer.status_code == rows[row].status, row
        assert message_of(answer), row
        assert "{" not in message_of(answer).replace('{\\"', "").replace('{"', ""), row
    assert ask(plays, name).status_code == 200


@pytest.mark.parametrize("name", NAMES)
def test_a_row_that_is_not_there_is_answered_with_the_nearest(plays, name):
    fault = {"provider": name, "kind": "error", "row": "overloded"}
    answer = plays.http.post(f"{plays.address.admin_url}/faults", json=fault)
    assert answer.status_code == 404
    assert "'overloaded'" in answer.json()["error"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stream", [False, True])
def test_faults_on_the_wire_break_every_providers_answer(plays, name, stream):
    def broken(kind, **more):
        plays.arm(name, kind=kind, **more)
        return ask(plays, name, stream=stream)

    for kind in ("drop_before", "drop_after", "broken_stream"):
        with pytest.raises((httpx2.RemoteProtocolError, httpx2.ReadError)):
            broken(kind)
    for kind in ("stall", "stall_midstream"):
        plays.arm(name, kind=kind)
        path, headers, body = request(name, stream=stream)
        with pytest.raises(httpx2.ReadTimeout):
            plays.http.post(f"{plays.base(name)}/{path}", json=body, headers=headers, timeout=0.2)
    words = orjson.dumps(HEAD)[1:-1].decode()
    for kind in ("empty_body", "empty_choices", "empty_stream"):
        answer = broken(kind)
        assert answer.status_code == 200
        assert words not in answer.text
    assert broken("empty_body").content == b""
    with pytest.raises(ValueError, match=r".+"):
        parsed(broken("malformed_json"), stream=stream)
    answer = broken("error_in_200", message="broken on command")
    assert answer.status_code == 200
    assert "broken on command" in answer.text
    assert words in broken("slow", factor=1).text


def parsed(answer, *, stream):
    if not stream:
        return [answer.json()]
    lines = [line.removeprefix("data: ") for line in answer.text.splitlines() if "data: " in line]
    return [json.loads(line) for line in lines if line != "[DONE]"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stream", [False, True])
def test_a_right_answer_is_json_throughout_and_says_what_it_should(plays, name, stream):
    answer = ask(plays, name, stream=stream)
    assert parsed(answer, stream=stream)
    assert orjson.dumps(HEAD)[1:-1].decode() in answer.text


BAD_KEY = dict.fromkeys(NAMES, 401) | {"gemini": 400}
GONE = dict.fromkeys(NAMES, 404) | {"mistral": 400}
OVERLOADED = dict.fromkeys(NAMES, 503) | {"anthropic": 529}


@pytest.mark.parametrize("name", NAMES)
def test_a_key_revoked_a_model_gone_and_a_burst_of_429_are_told_in_the_providers_way(plays, name):
    plays.arm(name, kind="key_revoked", count=2)
    assert ask(plays, name).status_code == BAD_KEY[name]
    assert look(plays, name).status_code == BAD_KEY[name]
    assert look(plays, name).status_code == 200
    plays.arm(name, kind="model_gone")
    assert ask(plays, name).status_code == GONE[name]
    assert ask(plays, name, model="sim-none").status_code == GONE[name]
    plays.arm(name, kind="rate_limited", count=3)
    assert [ask(plays, name).status_code for _ in range(4)] == [429, 429, 429, 200]
    plays.arm(name, kind="error", row="overloaded")
    assert ask(plays, name).status_code == OVERLOADED[name]
    plays.arm(name, kind="error", status=OVERLOADED[name])
    assert ask(plays, name).status_code == OVERLOADED[name]


@pytest.mark.parametrize(("name", "megabytes"), [("gemini", 20), ("anthropic", 32)])
def test_a_body_above_the_providers_own_bound_is_a_413(plays, name, megabytes):
    path, headers, _ = request(name)
    address = f"{plays.base(name)}/{path}"
    most = megabytes * 1024 * 1024
    assert plays.http.post(address, content=b" " * most, headers=headers).status_code == 400
    answer = plays.http.post(address, content=b" " * (most + 1), headers=headers)
    assert answer.status_code == 413


async def answered(sim, name, **how):
    path, headers, body = request(name, **how)
    (base,) = address_of(sim.app.config, "simulator", [80]).base_urls.values()
    return await sim.client.post(f"{base}/{path}", json=body, headers=headers)


@pytest.mark.parametrize("name", NAMES)
async def test_an_outage_strikes_every_call_and_ends_with_its_span(staged, name):
    sim = staged(name, speed=10)
    await sim.admin("POST", "faults", {"kind": "outage", "for": "60s"})
    assert (await answered(sim, name)).status_code == 503
    assert (await answered(sim, name, key="sk-stranger")).status_code == 503
    sim.pass_s(6)
    assert (await answered(sim, name)).status_code == 200


PACIFIC = {"kind": "fixed", "anchor": "America/Los_Angeles", "per": "1d"}


async def test_geminis_day_ends_at_midnight_in_california_and_says_so_by_its_quota(staged):
    sim = staged("gemini", limits=[{"requests": 1, **PACIFIC}])
    sim.now_us = 1_792_306_800_000_000  # 2026-10-18 00:00 in California
    sim.pass_s(23 * 3600)
    assert (await answered(sim, "gemini")).status_code == 200
    refused = (await answered(sim, "gemini")).json()["error"]["details"]
    quota = refused[0]["violations"][0]
    assert quota["quotaId"] == "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
    assert float(refused[2]["retryDelay"].removesuffix("s")) <= 60
    sim.pass_s(3_599)
    assert (await answered(sim, "gemini")).status_code == 429
    sim.pass_s(1)
    assert (await answered(sim, "gemini")).status_code == 200


async def test_a_day_that_is_sped_up_is_told_by_its_real_span_and_true_delay(staged):
    sim = staged("gemini", limits=[{"requests": 1, **PACIFIC}], speed=60)
    assert (await answered(sim, "gemini")).status_code == 200
    details = (await answered(sim, "gemini")).json()["error"]["details"]
    assert "Per24m" in details[0]["violations"][0]["quotaId"]
    sim.pass_s(float(details[2]["retryDelay"].removesuffix("s")))
    assert (await answered(sim, "gemini")).status_code == 200


async def test_gemini_lists_every_quota_that_is_spent(staged):
    sim = staged("gemini", limits=[{"requests": 1, "per": "1m"}, {"requests": 1, **PACIFIC}])
    assert (await answered(sim, "gemini")).status_code == 200
    violations = (await answered(sim, "gemini")).json()["error"]["details"][0]["violations"]
    assert sorted("PerDay" in each["quotaId"] for each in violations) == [False, True]


async def test_a_model_without_a_free_quota_has_a_quota_of_zero(staged):
    sim = staged("gemini", limits=[{"requests": 0, "per": "1d"}])
    answer = (await answered(sim, "gemini")).json()["error"]
    assert answer["details"][0]["violations"][0]["quotaValue"] == "0"
    assert "limit: 0" in answer["message"]


async def test_groq_keeps_the_day_in_the_text_and_answers_413_to_what_never_fits(staged):
    sim = staged("groq", limits=[{"tokens": 60, "per": "1d"}])
    assert (await answered(sim, "groq")).status_code == 200
    refused = await answered(sim, "groq")
    assert "tokens per day (TPD): Limit 60" in refused.json()["error"]["message"]
    assert "x-ratelimit-limit-tokens" not in refused.headers
    small = staged("groq", limits=[{"tokens": 20, "per": "1m"}])
    assert (await answered(small, "groq")).status_code == 413


async def test_coheres_month_is_told_in_words(staged):
    sim = staged("cohere", limits=[{"requests": 1, "per": "30d"}])
    first = await answered(sim, "cohere")
    assert first.headers["x-endpoint-monthly-call-limit"] == "1"
    refused = await answered(sim, "cohere")
    assert "limited to 1 API calls / month" in refused.json()["message"]


async def test_openrouters_day_is_over_all_models_of_the_account_and_resets_when_it_says(staged):
    day = {"requests": 1, "per": "1d", "kind": "fixed", "scope": "key"}
    sim = staged("openrouter", models=[CHAT, "sim-other"], limits=[day])
    assert (await answered(sim, "openrouter")).status_code == 200
    refused = await answered(sim, "openrouter", model="sim-other")
    error = refused.json()["error"]
    assert error["message"].startswith("Rate limit exceeded: free-models-per-day")
    assert error["metadata"]["limit_source"] == "openrouter_free_tier_daily"
    sim.now_us = 1_000 * int(error["metadata"]["headers"]["X-RateLimit-Reset"])
    assert (await answered(sim, "openrouter")).status_code == 200


async def test_anthropic_counts_input_and_output_apart(staged):
    limits = [{"input_tokens": 500, "per": "1m"}, {"output_tokens": 40, "per": "1m"}]
    sim = staged("anthropic", limits=limits)
    told = (await answered(sim, "anthropic")).headers
    assert told["anthropic-ratelimit-input-tokens-limit"] == "500"
    assert told["anthropic-ratelimit-tokens-limit"] == "40"
    refused = await answered(sim, "anthropic")
    assert "40 output tokens per minute" in refused.json()["error"]["message"]


async def test_gemini_counts_every_text_of_a_batch_as_a_request(staged):
    embeds = {"id": "sim-embed", "kinds": ["embedding"], "dimensions": 4}
    sim = staged("gemini", models=[embeds], limits=[{"requests": 5, "per": "1m"}])
    texts = [{"content": {"parts": [{"text": str(n)}]}} for n in range(3)]
    path, headers = (
        "/gemini/v1beta/models/sim-embed:batchEmbedContents",
        {"x-goog-api-key": "sk-gemini"},
    )

    async def batch(some):
        return await sim.client.post(path, json={"requests": some}, headers=headers)

    assert (await batch(texts)).status_code == 200
    assert (await batch(texts)).status_code == 429
    assert (await batch(texts[:2])).status_code == 200


@pytest.mark.parametrize("name", NAMES)
async def test_keys_of_one_organisation_share_what_others_do_not(staged, name):
    keys = [{"key": "a", "organisation": "o"}, {"key": "b", "organisation": "o"}, {"key": "c"}]
    sim = staged(name, keys=keys, limits=[{"requests": 1, "per": "1m"}])
    assert [(await answered(sim, name, key=key)).status_code for key in "abc"] == [200, 429, 200]


@given(st.integers(0, 3_999_999_999), st.sampled_from([60, 1_440, 3_600, 86_400]))
def test_a_windows_edge_lies_on_the_wall_clock_of_its_zone(now_s, span_s):
    zone = ZoneInfo("America/Los_Angeles")
    edge_us = zoned_edge_us(zone, span_s * 1_000_000, now_s * 1_000_000)
    wall = datetime.fromtimestamp(edge_us / 1e6, UTC).astimezone(zone)
    since_midnight = timedelta(hours=wall.hour, minutes=wall.minute, seconds=wall.second)
    assert since_midnight.total_seconds() % span_s == 0
    assert 0 < edge_us / 1e6 - now_s <= span_s + (3_600 if span_s == 86_400 else 0)


def test_a_personality_has_its_own_dialect_and_a_zone_is_checked():
    provider = {"personality": "groq", "dialect": "groq", "models": ["m"]}
    with pytest.raises(ConfigError, match="leave 'dialect' out"):
        load_config({"providers": {"x": provider}})
    with pytest.raises(ConfigError, match="personality: expected one of"):
        load_config({"providers": {"x": {"personality": "gemni", "models": ["m"]}}})
    limits = [{"requests": 1, "per": "1d", "kind": "fixed", "anchor": "Mars/Olympus"}]
    with pytest.raises(ConfigError, match="nor a time zone"):
        load_config({"providers": {"x": {"limits": limits, "models": ["m"]}}})


def test_headrace_is_told_the_type_and_the_address_of_each_personality():
    config = preset("seven")
    sections = headrace_config(config, address_of(config, "127.0.0.1", [9200]))["providers"]
    Config.model_validate({"providers": sections})
    said = {name: section.get("quirks") or {} for name, section in sections.items()}
    # sped up, its headers speak of another clock
    assert {quirks.get("rate_dialect") for quirks in said.values()} <= {"none", None}
    told = {
        name: (section["type"], said[name].get("like"), section["base_url"].rpartition(name)[2])
        for name, section in sections.items()
    }
    compatible = "openai-compatible"
    assert told == {
        "sim-groq": (compatible, "groq", "/openai/v1"),
        "sim-gemini": ("gemini", None, "/v1beta"),
        "sim-mistral": (compatible, "mistral", "/v1"),
        "sim-cohere": ("cohere", None, "/v2"),
        "sim-openrouter": (compatible, "openrouter", "/api/v1"),
        "sim-anthropic": ("anthropic", None, "/v1"),
        "sim-openai": (compatible, "openai", "/v1"),
        "sim-paid": (compatible, "openai", "/v1"),
    }
    (gemini,) = sections["sim-gemini"]["models"]
    (day,) = [w for w in gemini["limits"]["free"]["windows"] if w["per"] == "24m"]
    assert day["anchor"] == "America/Los_Angeles"
    (claude,) = sections["sim-anthropic"]["models"]
    counted = {name for one in claude["limits"]["free"]["windows"] for name in one}
    assert {"input_tokens", "output_tokens"} < counted
    assert [len(section["credentials"]) for section in sections.values()] == [2] * 7 + [1]
