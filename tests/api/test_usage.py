"""`/v1/usage` adds up the books."""

import pytest
from api_fakes import ADMIN, START_MS, application, client_for

from shared.core.books import Counts, Row, alert

TODAY = START_MS // 86_400_000
ONE = Counts(3, 2, 1, 0, 100, 50, 10, 0, 2_000_000, 500_000)
PAID = Counts(1, 1, 0, 1, 10, 5, 0, 0, 1_000_000, 0, 4, 3, 250_000)


@pytest.fixture
def booked(store):
    store.usage.booked = [
        Row(TODAY - 9, "alice", "alpha/sim", ONE),
        Row(TODAY - 1, "alice", "alpha/sim", ONE),
        Row(TODAY, "alice", "beta/org/deep", PAID),
        Row(TODAY, "bob", "alpha/sim", ONE),
    ]
    return store


async def asked(client, query=""):
    answer = await client.get(f"/v1/usage{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_tenant_sees_its_own_by_day_provider_and_model(booked, client):
    found = await asked(client)
    names = ("day", "provider", "model", "answered")
    assert [tuple(one[name] for name in names) for one in found["data"]] == [
        ("2026-09-20", "alpha", "sim", 2),
        ("2026-09-21", "beta", "org/deep", 1),
    ]
    assert {one["tenant"] for one in found["data"]} == {"alice"}
    total = found["total"]
    assert (total["calls"], total["free"], total["unpriced"]) == (4, 1, 1)
    assert total["free_share"] == pytest.approx(1 / 3, abs=1e-6)
    assert (total["cost_usd"], total["saved_usd"]) == (3.0, 0.5)
    assert (total["shared"], total["from_cache"], total["spared_usd"]) == (4, 3, 0.25)
    assert (found["from"], found["to"]) == ("2026-09-15", "2026-09-21")


async def test_an_admin_sees_all_grouped_as_asked(booked):
    app, _ = application(booked)
    async with client_for(app, ADMIN) as client:
        found = await asked(client, "?days=30&group_by=provider")
    assert [(one["provider"], one["calls"]) for one in found["data"]] == [("alpha", 9), ("beta", 1)]
    assert "tenant" not in found["data"][0]


async def test_without_use_there_is_no_share(client):
    found = await asked(client)
    assert (found["data"], found["total"]["free_share"]) == ([], None)
    assert found["paid"]["alert"] is None


async def test_todays_money_stands_against_the_cap_over_all_tenants(booked):
    app, _ = application(booked, paid_cap_microusd=3_500_000)
    async with client_for(app) as client:
        paid = (await asked(client))["paid"]
    assert (paid["spent_today_usd"], paid["cap_usd"], paid["left_usd"]) == (3.0, 3.5, 0.5)
    assert paid["alert"] == "near_cap"
    assert paid["resets_at"] == (TODAY + 1) * 86_400


@pytest.mark.parametrize(
    ("spent", "cap", "capped", "level"),
    [
        (0, None, False, None),
        (1, None, False, "spending"),
        (79, 100, False, "spending"),
        (80, 100, False, "near_cap"),
        (0, 0, False, None),
        (50, 100, True, "capped"),
    ],
)
def test_an_alert_says_how_far_it_has_come(spent, cap, capped, level):
    assert alert(spent, cap, capped=capped) == level


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("?days=0", "days"),
        ("?days=93", "days"),
        ("?days=x", "days"),
        ("?group_by=week", "group_by"),
        ("?group_by=", "group_by"),
        ("?month=1", "month"),
    ],
)
async def test_a_wrong_question_is_refused_by_name(client, query, param):
    answer = await client.get(f"/v1/usage{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
