"""`headrace usage` against a stand-in API."""

import json

import pytest
from fake_api import KEY, FakeApi, serving
from starlette.responses import JSONResponse
from starlette.routing import Route

COUNTS = {
    "calls": 1200, "answered": 1199, "free": 1100, "free_share": 0.916, "unpriced": 0,
    "input_tokens": 34_567, "output_tokens": 890, "cached_tokens": 0, "audio_seconds": 7_260,
    "cost_usd": 0.5, "saved_usd": 1.25,
}  # fmt: skip


class UsageApi(FakeApi):
    def app(self):
        app = super().app()
        app.router.routes[:0] = [Route("/v1/usage", self.usage)]
        return app

    async def usage(self, request):
        by = request.query_params["group_by"].split(",")
        row = dict(zip(by, ("groq", "whisper"), strict=False)) | COUNTS
        days = int(request.query_params["days"])
        paid = {"spent_today_usd": 0.5, "cap_usd": None if days == 1 else 2.0}
        idle = dict.fromkeys(by, "own") | dict.fromkeys(COUNTS, 0) | {"free_share": None}
        data = [] if days == 1 else [row, idle]
        total = COUNTS if data else dict.fromkeys(COUNTS, 0) | {"free_share": None}
        return JSONResponse({"group_by": by, "data": data, "total": total, "paid": paid})


@pytest.fixture
def fake(monkeypatch, tmp_path):
    with serving(UsageApi()) as api:
        monkeypatch.setenv("HEADRACE_URL", api.url)
        monkeypatch.setenv("HEADRACE_API_KEY", KEY)
        monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path))
        yield api


def test_it_shows_today_and_the_days_by_provider(fake, headrace):
    ran = headrace("usage")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert [line.strip() for line in lines if line.startswith(("today", "7 days"))] == [
        "today", "7 days",
    ]  # fmt: skip
    assert "own" not in ran.out  # it called nobody
    (row,) = [line.split() for line in lines if line.startswith("groq")]
    assert row == [
        "groq",
        "1,200",
        "34,567",
        "890",
        "2",
        "h",
        "1",
        "min",
        "0.5000",
        "92%",
        "1.2500",
    ]
    assert "US$ 0.5000 (of 2.00)" in lines[-1]


def test_it_groups_as_asked_and_speaks_json(fake, headrace):
    ran = headrace("usage", "--json", "--days", "30", "--by", "provider,model")
    said = json.loads(ran.out)
    assert said["days_30"]["data"][0]["model"] == "whisper"
    assert said["today"]["total"]["calls"] == 0
