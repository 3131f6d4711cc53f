"""`/v1/route/explain` tells what handing the job in would do, and does nothing."""

from dataclasses import replace

import pytest
from api_fakes import ALICE, CHAT, NARROW, START_MS, application, client_for

from api.conversations import Conversations, digest
from shared.core.pace import Pace
from shared.store.types import LaneState


def job(**more):
    return {"kind": "chat", "request": {**CHAT, **more.pop("request", {})}, **more}


async def explained(client, **more):
    answer = await client.post("/v1/route/explain", json=job(**more))
    assert answer.status_code == 200, answer.text
    return answer.json()


def state(lane, **more):
    given = LaneState(lane, (0, 0, 0), 0, 0, 1.0, 9, False, "", 0)
    return replace(given, **more)


async def test_it_says_what_the_job_would_say_and_makes_none(client, store):
    told = await explained(client, request={"model": "auto"}, priority="bulk")
    assert not store.rows
    made = (await client.post("/v1/jobs", json=job(request={"model": "auto"}))).json()
    assert told["chosen"] == made["route"]["chosen"]
    assert [
        {name: one[name] for name in ("deployment", "kept", "reason")} for one in told["candidates"]
    ] == made["route"]["candidates"]
    assert told["request"]["type"] == made["route"]["type"]
    assert told["request"]["priority"] == "bulk"
    assert told["error"] is None


async def test_where_nothing_can_serve_it_the_refusal_is_told_with_every_reason(client):
    told = await explained(client, request={"model": "tiny", "max_tokens": 300})
    assert told["chosen"] is None
    assert told["error"]["code"] == "context_length_exceeded"
    assert told["error"]["param"] == "request.messages"
    assert told["skipped"] == {"context": 1}
    (candidate,) = told["candidates"]
    assert candidate["reason"].startswith("context: needs about")


async def test_a_model_nobody_knows_is_refused_as_a_job_would_be(client):
    answer = await client.post("/v1/route/explain", json=job(request={"model": "smi"}))
    assert answer.status_code == 404
    assert answer.json()["error"]["param"] == "request.model"


async def test_a_key_is_told_only_what_it_may_use(store):
    app, _ = application(store)
    async with client_for(app, NARROW) as client:
        told = await explained(client, request={"model": "auto", "max_tokens": 20})
    assert told["chosen"] == "alpha/tiny"
    assert told["skipped"]["not_allowed"] == 2


@pytest.mark.parametrize(
    ("header", "value", "field", "seen"),
    [
        ("x-headrace-mode", "fastest", "mode", "fastest"),
        ("x-headrace-type", "planning", "type", "planning"),
        ("x-headrace-max-cost-usd", "0.25", "max_cost_usd", 0.25),
    ],
)
async def test_wishes_come_by_header_or_in_the_body_which_wins(client, header, value, field, seen):
    answer = await client.post("/v1/route/explain", json=job(), headers={header: value})
    assert answer.json()["request"][field] == seen
    body = job(mode="cheap", request_type="simple", max_cost_usd=2)
    answer = await client.post("/v1/route/explain", json=body, headers={header: value})
    found = answer.json()["request"]
    assert (found["mode"], found["type"], found["max_cost_usd"]) == ("cheap", "simple", 2)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-headrace-mode", "quick"),
        ("x-headrace-type", "poetry"),
        ("x-headrace-max-cost-usd", "0"),
        ("x-headrace-max-cost-usd", "much"),
        ("x-headrace-session", " "),
        ("x-headrace-session", "s" * 256),
    ],
)
async def test_a_wrong_wish_is_refused_by_name(client, header, value):
    answer = await client.post("/v1/chat/completions", json=CHAT, headers={header: value})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == header


async def test_the_output_to_expect_is_learned(client, store):
    assert (await explained(client))["request"]["output_tokens"] == 512
    pace = Pace(9, share=0.25, share_dev=0.05, output_tokens=40, output_dev=10)
    store.states = {"alpha/sim@shared": state("alpha/sim@shared", pace=pace)}
    assert (await explained(client))["request"]["output_tokens"] == 60
    limited = await explained(client, request={"max_tokens": 100})
    assert limited["request"]["output_tokens"] == 35
    await client.post("/v1/jobs", json=job(request={"max_tokens": 100}))
    need = store.rows[store.only].job.need
    assert (need.output_tokens, need.max_output_tokens) == (35, 100)


TURNS = [{"role": "user", "content": "Hi."}]
LATER = [*TURNS, {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "More."}]


class TestConversations:
    async def choices(self, client, *messages, **more):
        found = []
        for one in messages:
            request = {"model": "auto", "messages": one, **more.get("request", {})}
            body = {"kind": "chat", "request": request}
            answer = await client.post("/v1/jobs", json=body, headers=more.get("headers"))
            found.append(answer.json()["route"])
        return found

    @pytest.fixture
    async def turning(self, store):
        """A server that takes turns among equals, so that chance keeps nothing together."""
        app, service = application(store)
        turns = iter(range(1_000))
        service.router._now._draw = lambda: next(turns)
        async with client_for(app, ALICE) as client:
            yield client

    async def test_a_later_turn_goes_where_the_first_went_and_says_so(self, turning):
        first, other, later = await self.choices(
            turning, TURNS, [{"role": "user", "content": "What else?"}], LATER
        )
        assert other["chosen"] != first["chosen"]
        assert later["chosen"] == first["chosen"]
        assert later["candidates"][0]["reason"].endswith("the conversation's own")

    async def test_a_lane_without_room_is_left(self, turning, store):
        (first,) = await self.choices(turning, TURNS)
        lane = f"{first['chosen']}@shared"
        busy = state(lane, backlog=(0, 50, 0), free_requests=0)
        store.states = {lane: busy}
        (later,) = await self.choices(turning, LATER)
        assert later["chosen"] != first["chosen"]

    async def test_a_session_keeps_together_what_shares_no_word(self, turning):
        alone = [[{"role": "user", "content": f"Topic {n}."}] for n in range(4)]
        named = await self.choices(turning, *alone, headers={"x-headrace-session": "s1"})
        assert len({one["chosen"] for one in named}) == 1
        free = await self.choices(turning, *alone)
        assert len({one["chosen"] for one in free}) > 1

    async def test_bulk_work_has_no_conversations(self, turning):
        headers = {"x-headrace-session": "s1", "x-headrace-priority": "bulk"}
        found = await self.choices(turning, TURNS, TURNS, TURNS, headers=headers)
        assert len({one["chosen"] for one in found}) > 1

    def test_they_are_bounded_and_end(self):
        now = [0.0]
        kept = Conversations(most=2, keep_s=10, clock=lambda: now[0])
        for name in (b"a", b"b", b"a", b"c"):
            kept.keep(name, name.decode())
        assert [kept.lane(name) for name in (b"a", b"b", b"c")] == ["a", None, "c"]
        now[0] = 10.5
        assert kept.lane(b"a") is None

    def test_tenants_share_none(self):
        assert digest("ann", "auto", "x") != digest("bob", "auto", "x")


async def test_no_cost_is_allowed_above_the_cap_of_a_day(store):
    app, _ = application(store, paid_cap_microusd=250_000)
    async with client_for(app) as client:
        assert (await explained(client))["request"]["max_cost_usd"] == 0.25
        assert (await explained(client, max_cost_usd=1))["request"]["max_cost_usd"] == 0.25
    app, _ = application(store, paid_cap_microusd=0)
    async with client_for(app) as client:
        assert (await explained(client, paid="always"))["request"]["paid"] == "never"
    assert store.clock.now_ms() == START_MS
