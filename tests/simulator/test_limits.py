import asyncio
import re
from datetime import datetime

import pytest

GROQ = re.compile(
    r"on (.+?) \((RPM|RPD|TPM|TPD)\): Limit (\d+), Used (\d+), Requested (\d+)"
    r".*?try again in ([0-9hms.µ]+s)"
)


async def statuses(stage, count, **more):
    return [(await stage.chat(**more)).status_code for _ in range(count)]


async def test_a_request_over_the_limit_gets_429_and_fits_after_the_stated_wait(stage):
    sim = stage(limits=[{"requests": 2, "per": "1m"}])
    assert await statuses(sim, 2) == [200, 200]
    sim.pass_s(12.3)
    refused = await sim.chat()
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "48"
    assert refused.headers["retry-after-ms"] == "47700"
    sim.pass_s(47.699)
    assert (await sim.chat()).status_code == 429
    sim.pass_s(0.001)
    assert (await sim.chat()).status_code == 200


async def test_a_refused_request_spends_nothing_unless_told_to(stage):
    limits = [{"requests": 1, "per": "1m", "kind": "bucket"}]
    gentle, harsh = stage(limits=limits), stage(limits=limits, count_rejected=True)
    for sim in (gentle, harsh):
        assert await statuses(sim, 3) == [200, 429, 429]
        sim.pass_s(60)
    assert (await gentle.chat()).status_code == 200
    assert (await harsh.chat()).status_code == 429


async def test_all_windows_are_spent_together_or_not_at_all(stage):
    sim = stage(limits=[{"requests": 5, "per": "1m"}, {"requests": 1, "per": "1s"}])
    assert await statuses(sim, 3) == [200, 429, 429]
    state = await sim.admin("GET", "state")
    minute, second = state["providers"]["alpha"]["models"]["m"]["alpha-1"]["windows"]
    assert (minute["used"], minute["refused"]) == (1, 0)
    assert (second["used"], second["refused"]) == (1, 2)


async def test_tokens_are_counted_as_the_provider_counts(stage):
    used = {}
    for counts in ("input", "input+output", "input+max_output"):
        sim = stage(limits=[{"tokens": 10_000}], counts=counts, output={"median_tokens": 20})
        usage = (await sim.chat("x" * 400, max_tokens=50)).json()["usage"]
        assert usage == usage | {"prompt_tokens": 104, "completion_tokens": 20}
        state = await sim.admin("GET", "state")
        account = state["providers"]["alpha"]["models"]["m"]["alpha-1"]
        used[counts] = account["windows"][0]["used"]
    assert used == {"input": 104, "input+output": 124, "input+max_output": 154}


async def test_keys_have_ledgers_of_their_own_unless_they_share_an_organisation(stage):
    keys = [{"key": "a"}, {"key": "b", "organisation": "o"}, {"key": "c", "organisation": "o"}]
    sim = stage(keys=keys, limits={"rpm": 1})
    answers = [(await sim.chat(key=key)).status_code for key in "abc"]
    assert answers == [200, 200, 429]


async def test_a_limit_of_the_key_is_shared_by_its_models_and_one_of_the_model_is_not(stage):
    models = ["m", "n"]
    shared = stage(models=models, limits=[{"requests": 1, "scope": "key"}])
    own = stage(models=models, limits=[{"requests": 1}])
    for sim, second in ((shared, 429), (own, 200)):
        assert (await sim.chat()).status_code == 200
        assert (await sim.chat(model="n")).status_code == second


async def test_calls_at_once_are_bounded_and_the_peak_is_seen(stage):
    sim = stage(limits=[{"concurrency": 2}], latency={"median_ms": 20})
    answers = await asyncio.gather(*(sim.chat() for _ in range(5)))
    assert sorted(each.status_code for each in answers) == [200, 200, 429, 429, 429]
    state = await sim.admin("GET", "state")
    account = state["providers"]["alpha"]["models"]["m"]["alpha-1"]
    assert account["concurrency"] == {"now": 0, "peak": 2, "limit": 2}
    assert account["violations"] == 3


async def test_speed_shortens_windows_and_headers_tell_real_time(stage):
    sim = stage(speed=10, limits=[{"requests": 1, "per": "1m"}])
    first = await sim.chat()
    assert first.headers["x-ratelimit-reset-requests"] == "6s"
    refused = await sim.chat()
    assert refused.headers["retry-after"] == "6"
    assert "requests per 6s: Limit 1" in refused.json()["error"]["message"]
    sim.pass_s(6)
    assert (await sim.chat()).status_code == 200


async def test_openai_speaks_of_its_shortest_windows(stage):
    sim = stage(limits={"rpm": 60, "rpd": 1_000, "tpm": 6_000})
    headers = (await sim.chat()).headers
    assert headers["x-ratelimit-limit-requests"] == "60"
    assert headers["x-ratelimit-remaining-requests"] == "59"
    assert headers["x-ratelimit-reset-requests"] == "1m0s"
    assert int(headers["x-ratelimit-remaining-tokens"]) < 6_000


async def test_groq_says_requests_of_the_day_and_tokens_of_the_minute(stage):
    sim = stage(
        dialect="groq",
        limits=[
            {"requests": 1, "per": "1m"},
            {"requests": 1_000, "per": "1d", "kind": "bucket"},
            {"tokens": 8_000, "per": "1m", "kind": "bucket"},
        ],
    )
    headers = (await sim.chat()).headers
    assert headers["x-ratelimit-limit-requests"] == "1000"
    assert headers["x-ratelimit-reset-requests"] == "1m26.4s"
    assert headers["x-ratelimit-limit-tokens"] == "8000"
    refused = await sim.chat()
    assert refused.headers["retry-after"] == "60"
    error = refused.json()["error"]
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
    words, *figures = GROQ.search(error["message"]).groups()
    assert words.endswith("on requests per minute")
    assert figures == ["RPM", "1", "1", "1", "1m0s"]


@pytest.mark.parametrize(("dialect", "status"), [("groq", 413), ("openai", 429)])
async def test_a_request_larger_than_the_window_is_told_so_without_a_wait(stage, dialect, status):
    sim = stage(dialect=dialect, limits=[{"tokens": 50, "per": "1m"}])
    answer = await sim.chat("x" * 400)
    assert answer.status_code == status
    assert "Request too large" in answer.json()["error"]["message"]
    assert re.search(r"Limit 50, Requested \d+", answer.json()["error"]["message"])
    assert "retry-after" not in answer.headers


async def test_mistral_names_its_spans_and_has_no_reset(stage):
    limits = [{"requests": 1, "per": "1m"}, {"tokens": 900, "per": "5m"}]
    sim = stage(dialect="mistral", limits=limits)
    headers = (await sim.chat()).headers
    assert headers["x-ratelimit-limit-req-minute"] == "1"
    assert headers["x-ratelimit-limit-tokens-5-minute"] == "900"
    assert not [name for name in headers if "reset" in name]
    refused = (await sim.chat()).json()
    assert (refused["type"], refused["code"]) == ("rate_limited", "1300")


async def test_cerebras_resets_in_seconds_with_a_fraction(stage):
    sim = stage(dialect="cerebras", limits={"rpm": 1, "tpd": 9_000})
    await sim.chat()
    sim.pass_s(0.25)
    refused = await sim.chat()
    assert refused.headers["x-ratelimit-reset-requests-minute"] == "59.75"
    assert refused.headers["x-ratelimit-limit-tokens-day"] == "9000"
    assert refused.json()["code"] == "request_quota_exceeded"


async def test_anthropic_like_resets_at_a_point_in_time(stage):
    sim = stage(dialect="anthropic-like", limits={"rpm": 1})
    await sim.chat()
    refused = await sim.chat()
    reset = datetime.fromisoformat(refused.headers["anthropic-ratelimit-requests-reset"])
    assert reset.timestamp() == sim.now_us / 1e6 + 60
    assert refused.json()["error"]["type"] == "rate_limit_error"


async def test_a_provider_may_tell_nothing_at_all(stage):
    for settings in ({"dialect": "none"}, {"announce": False}):
        sim = stage(limits={"rpm": 1}, **settings)
        await sim.chat()
        refused = await sim.chat()
        assert refused.status_code == 429
        assert not [name for name in refused.headers if "rate" in name or "retry" in name]
        assert "Limit 1" not in refused.text


@pytest.mark.parametrize("announced", [False, True])
async def test_a_limit_can_change_with_and_without_a_word(stage, announced):
    sim = stage(limits={"rpm": 20})
    change = {"provider": "alpha", "factor": 0.1, "announced": announced}
    assert await sim.admin("POST", "limits", change) == {"changed": 1}
    first = await sim.chat()
    assert first.headers["x-ratelimit-limit-requests"] == ("2" if announced else "20")
    assert await statuses(sim, 2) == [200, 429]


async def test_one_window_can_be_changed_by_its_span(stage):
    sim = stage(limits={"rpm": 20, "rpd": 100})
    change = {"provider": "alpha", "limits": [{"requests": 1, "per": "1m"}]}
    assert await sim.admin("POST", "limits", change) == {"changed": 1}
    assert await statuses(sim, 2) == [200, 429]
    wrong = {"provider": "alpha", "limits": [{"requests": 1, "per": "1h"}]}
    assert "no limit of requests per 1h" in (await sim.admin("POST", "limits", wrong))["error"]
