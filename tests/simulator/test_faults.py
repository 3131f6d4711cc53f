import pytest

from simulator import expected_answer


async def arm(sim, **fault):
    answer = await sim.admin("POST", "faults", fault)
    assert "ids" in answer, answer
    return answer["ids"]


async def statuses(sim, count):
    return [(await sim.chat()).status_code for _ in range(count)]


async def test_a_fault_strikes_as_often_as_it_should(stage):
    sim = stage()
    await arm(sim, kind="error", status=502, count=2, after_requests=1)
    assert await statuses(sim, 4) == [200, 502, 502, 200]


async def test_a_fault_ends_with_its_span(stage):
    sim = stage(speed=10)
    await arm(sim, kind="error", **{"for": "60s"})
    assert await statuses(sim, 1) == [503]
    sim.pass_s(5.9)
    assert await statuses(sim, 1) == [503]
    sim.pass_s(0.1)
    assert await statuses(sim, 1) == [200]


async def test_a_fault_with_a_probability_strikes_now_and_then(stage):
    sim = stage()
    await arm(sim, kind="error", probability=0.5)
    assert set(await statuses(sim, 40)) == {200, 503}


async def test_a_fault_meant_for_another_key_or_model_does_not_strike(stage):
    sim = stage(models=["m", "n"], keys=["a", "b"])
    await arm(sim, kind="error", provider="alpha", key="b", model="n")
    assert (await sim.chat(key="a", model="n")).status_code == 200
    assert (await sim.chat(key="b", model="m")).status_code == 200
    assert (await sim.chat(key="b", model="n")).status_code == 503


async def test_faults_are_removed_one_by_one_or_all(stage):
    sim = stage()
    ids = [(await arm(sim, kind="error", status=status))[0] for status in (500, 529)]
    assert await statuses(sim, 1) == [500]
    assert await sim.admin("DELETE", f"faults/{ids[0]}") == {"removed": 1}
    assert await statuses(sim, 1) == [529]
    assert await sim.admin("DELETE", "faults") == {"removed": 1}
    assert await statuses(sim, 1) == [200]


async def test_a_burst_of_429_comes_with_or_without_retry_after_and_spends_nothing(stage):
    sim = stage(limits={"rpm": 1})
    await arm(sim, kind="rate_limited", count=1, retry_after="7s")
    await arm(sim, kind="rate_limited", count=1)
    told, silent = await sim.chat(), await sim.chat()
    assert (told.status_code, told.headers["retry-after"]) == (429, "7")
    assert (silent.status_code, "retry-after" in silent.headers) == (429, False)
    assert await statuses(sim, 1) == [200]


async def test_a_revoked_key_is_refused_everywhere(stage):
    sim = stage()
    await arm(sim, kind="key_revoked")
    refused = await sim.chat()
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "invalid_api_key")
    headers = {"authorization": "Bearer sk-sim-alpha-1"}
    assert (await sim.client.get("/alpha/v1/models", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    ("code", "status"), [("model_not_found", 404), ("model_decommissioned", 400)]
)
async def test_a_model_that_is_gone_says_so(stage, code, status):
    sim = stage()
    await arm(sim, kind="model_gone", code=code)
    gone = await sim.chat()
    assert (gone.status_code, gone.json()["error"]["code"]) == (status, code)


async def test_limits_can_fall_in_the_middle_unannounced(stage):
    sim = stage(limits={"rpm": 20})
    await arm(sim, kind="limits", factor=0.25, after_requests=3)
    answers = [await sim.chat() for _ in range(7)]
    assert [each.status_code for each in answers] == [*[200] * 5, 429, 429]
    assert answers[4].headers["x-ratelimit-limit-requests"] == "20"


async def test_an_empty_200_comes_in_three_shapes(stage):
    sim = stage()
    for kind in ("empty_body", "empty_choices", "empty_stream"):
        await arm(sim, kind=kind, count=1)
    nothing, no_choice, no_words = [await sim.chat() for _ in range(3)]
    assert (nothing.status_code, nothing.content) == (200, b"")
    assert no_choice.json()["choices"] == []
    assert no_words.json()["choices"][0]["message"]["content"] == ""


async def test_an_empty_stream_comes_in_three_shapes(stage):
    sim = stage()
    for kind in ("empty_body", "empty_choices", "empty_stream"):
        await arm(sim, kind=kind, count=1)
    answers = [(await sim.chat(stream=True)).text for _ in range(3)]
    assert answers[:2] == ["", "data: [DONE]\n\n"]
    assert '"finish_reason":"stop"' in answers[2]
    assert "sim-" not in answers[2]


async def test_an_error_can_come_inside_a_200_and_inside_a_stream(stage):
    sim = stage()
    await arm(sim, kind="error_in_200", code="server_is_overloaded", after_chunks=1)
    whole = await sim.chat()
    assert whole.status_code == 200
    assert whole.json()["error"]["code"] == "server_is_overloaded"
    lines = (await sim.chat(stream=True)).text.strip().split("\n\n")
    assert lines[-1].startswith('data: {"error":')
    assert len(lines) == 3


async def test_malformed_json_is_no_json(stage):
    sim = stage()
    await arm(sim, kind="malformed_json")
    with pytest.raises(ValueError, match=r"JSON|delimiter|Unterminated|Expecting"):
        (await sim.chat()).json()
    assert (await sim.chat(stream=True)).text.endswith("data: [DONE]\n\n")


async def test_slow_is_slow_but_right(stage):
    sim = stage(latency={"median_ms": 1})
    await arm(sim, kind="slow", factor=3)
    answer = (await sim.chat("hello")).json()["choices"][0]["message"]["content"]
    assert answer.startswith(expected_answer([{"role": "user", "content": "hello"}]))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"kind": "stal"}, "nearest is 'stall'"),
        ({"provider": "alpha"}, "kind is required: outage, rate_limited"),
        ({"kind": "error", "statuss": 500}, "nearest is 'status'"),
        ({"kind": "error", "status": 200}, "an error status"),
        ({"kind": "error", "count": 0}, "a whole number from 1"),
        ({"kind": "error", "provider": "alfa"}, "nearest is 'alpha'"),
        ({"kind": "error", "model": "x"}, "no model 'x'"),
        ({"kind": "error", "key": "x"}, "no key 'x'"),
        ({"kind": "drop_before", "model": "m"}, "leave 'model' out"),
        ({"kind": "refuse"}, "needs own_ports"),
        ({"kind": "refuse", "key": "alpha-1"}, "leave 'key' out"),
        ({"kind": "error", "for": "-3s"}, "no span of time"),
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused(stage, fault, words):
    assert words in (await stage().admin("POST", "faults", fault))["error"]


async def test_every_request_ends_in_exactly_one_outcome(stage):
    sim = stage(limits={"rpm": 3})
    await arm(sim, kind="error", count=1)
    await statuses(sim, 6)
    total = (await sim.admin("GET", "state"))["providers"]["alpha"]["total"]
    assert total["outcomes"] == {"fault:error": 1, "ok": 3, "rate_limited": 2}
    assert total["received"] == 6
