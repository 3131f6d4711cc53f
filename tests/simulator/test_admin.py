import pytest

from simulator import Simulator, load_config
from simulator.markers import Markers, marker_in


async def test_requests_are_counted_by_their_id(stage):
    sim = stage(limits={"rpm": 2})
    for _ in range(3):
        await sim.chat("do it [[id:job-7]]")
    seen = await sim.admin("GET", "requests/job-7")
    came_ms = seen.pop("came_ms")
    assert len(came_ms) == 3
    assert came_ms == sorted(came_ms)
    assert seen == {
        "id": "job-7",
        "received": 3,
        "admitted": 2,
        "answered": 2,
        "rate_limited": 1,
        "trace": ["alpha:ok", "alpha:ok", "alpha:rate_limited"],
    }
    assert (await sim.admin("GET", "requests/never"))["received"] == 0


async def test_ids_that_came_twice_can_be_listed(stage):
    sim = stage()
    for name in ("a", "b", "b"):
        await sim.chat(f"[[id:{name}]]")
    found = await sim.admin("GET", "requests?min_answered=2")
    assert (found["count"], found["requests"][0]["id"]) == (1, "b")


async def test_the_header_names_the_id_before_the_text_does(stage):
    sim = stage()
    body = {"model": "m", "messages": [{"role": "user", "content": "[[id:text]]"}]}
    headers = {"authorization": "Bearer sk-sim-alpha-1", "x-sim-id": "header"}
    await sim.client.post("/alpha/v1/chat/completions", json=body, headers=headers)
    assert (await sim.admin("GET", "requests/header"))["answered"] == 1
    assert (await sim.admin("GET", "requests/text"))["received"] == 0


@pytest.mark.parametrize(
    ("body", "marker"),
    [
        (b"[[id:a]] [[id:b-1.x:y_Z]]", "b-1.x:y_Z"),
        (b"[[id:]]", None),
        (b"[[id:a b]]", None),
        (b"[[id:" + b"a" * 65 + b"]]", None),
        (b"nothing", None),
    ],
)
def test_the_last_well_formed_id_is_meant(body, marker):
    assert marker_in(body) == marker


def test_only_the_latest_ids_are_kept():
    markers = Markers(2)
    for name in ("a", "b", "a", "c"):
        markers.received(name, 0)
    assert [name for name, _ in markers.items()] == ["b", "c"]
    assert markers.forgotten == 1


async def test_a_reset_forgets_everything(stage):
    sim = stage(limits={"rpm": 1})
    await sim.admin("POST", "faults", {"kind": "error", "count": 5})
    await sim.chat("[[id:a]]")
    await sim.admin("POST", "reset")
    assert (await sim.chat()).status_code == 200
    assert (await sim.admin("GET", "requests/a"))["received"] == 0
    assert (await sim.admin("GET", "state"))["providers"]["alpha"]["total"]["received"] == 1


async def test_the_page_shows_what_was_seen_and_escapes_names(stage):
    sim = stage(models=["m", "<b>"], limits={"rpm": 5})
    await sim.chat()
    page = await sim.client.get("/admin/")
    assert page.headers["content-type"].startswith("text/html")
    assert "&lt;b&gt;" in page.text
    assert "1 / 5 (1) requests" in page.text


async def test_an_unknown_admin_route_is_404_and_bad_json_400(stage):
    sim = stage()
    assert (await sim.client.get("/admin/nothing")).status_code == 404
    assert (await sim.client.post("/admin/faults", content=b"{")).status_code == 400
    assert (await sim.client.post("/admin/limits", json={"factor": 1})).status_code == 400


async def test_errors_at_the_door_have_the_right_codes(stage):
    sim = stage(models=[{"id": "m", "context_window": 50}, {"id": "e", "kinds": ["embedding"]}])
    cases = [
        (await sim.chat(key="wrong"), 401, "invalid_api_key"),
        (await sim.chat(model="x"), 404, "model_not_found"),
        (await sim.chat("x" * 300), 400, "context_length_exceeded"),
        (await sim.chat(model="e"), 400, None),
        (await sim.chat(temperature=9), 400, None),
    ]
    for answer, status, code in cases:
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert (await sim.client.get("/alpha/v1/chat/completions")).status_code == 405
    assert (await sim.client.get("/beta/v1/models")).status_code == 404


async def test_only_http_is_spoken():
    app = Simulator(load_config({"providers": {"alpha": {"models": ["m"]}}}))
    with pytest.raises(RuntimeError, match="only http"):
        await app({"type": "websocket"}, None, None)
