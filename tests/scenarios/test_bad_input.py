"""Bad input gets a 4xx that names the field, and changes nothing."""

import pytest
from whole import whole_system

CHAT = {"model": "sim-small", "messages": [{"role": "user", "content": "hi"}]}
OTHER = "hr_other_0123456789abcdef"

CASES = [
    ("POST", "/v1/jobs", b"{", 400, None),
    ("POST", "/v1/jobs", b"[]", 400, None),
    ("POST", "/v1/jobs", {"kind": "chatt", "request": CHAT}, 400, "kind"),
    ("POST", "/v1/jobs", {"kind": "chat"}, 400, "request"),
    ("POST", "/v1/jobs", {"kind": "chat", "request": CHAT, "priorty": "bulk"}, 400, "priorty"),
    (
        "POST",
        "/v1/jobs",
        {"kind": "chat", "request": CHAT, "deadline_s": "soon"},
        400,
        "deadline_s",
    ),
    ("POST", "/v1/chat/completions", CHAT | {"messages": "hi"}, 400, "messages"),
    ("POST", "/v1/chat/completions", CHAT | {"temperature": 9}, 400, "temperature"),
    ("POST", "/v1/chat/completions", CHAT | {"model": "nothing-like-it"}, 404, "model"),
    (
        "POST",
        "/v1/chat/completions",
        CHAT | {"messages": [{"role": "user", "content": "word " * 200_000}]},
        400,
        "messages",
    ),
    ("POST", "/v1/embeddings", {"model": "sim-embed"}, 400, "input"),
    ("GET", "/v1/jobs/nothing", None, 404, None),
    ("GET", "/v1/jobs?limit=0", None, 400, "limit"),
    ("GET", "/v1/jobs?status=done", None, 400, "status"),
    ("POST", "/v1/jobs/job_000000000000000000000000/cancel", None, 404, None),
]


@pytest.fixture(scope="module")
def system():
    with whole_system("unlimited", tenants={"other": OTHER}) as found:
        yield found


@pytest.mark.parametrize(("method", "path", "body", "status", "param"), CASES)
def test_bad_input_is_named_and_changes_nothing(system, method, path, body, status, param):
    store = system.stack.store()
    before = store.get("{hr}:alive"), store.scard("{hr}:tenants")
    content = {"content": body} if isinstance(body, bytes) else {"json": body} if body else {}
    with system.http() as http:
        answer = http.request(method, path, **content)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["message"]
    if param is not None:
        assert (error["param"] or "").startswith(param)
    assert (store.get("{hr}:alive"), store.scard("{hr}:tenants")) == before
    store.close()


def test_a_body_over_the_limit_is_refused_before_it_is_read(start):
    system = start("unlimited", env={"HEADRACE_MAX_BODY_BYTES": "4096"})
    with system.http() as http:
        answer = http.post("/v1/jobs", content=b"x" * 10_000)
    assert answer.status_code == 413
    assert "4096" in answer.text


def test_another_tenants_job_does_not_exist(system):
    with system.http() as mine, system.http(OTHER) as theirs:
        made = mine.post("/v1/jobs", json={"kind": "chat", "request": CHAT}).json()["id"]
        assert theirs.get(f"/v1/jobs/{made}").status_code == 404
        assert theirs.post(f"/v1/jobs/{made}/cancel").status_code == 404
        assert theirs.get(f"/v1/jobs/{made}/events").status_code == 404
        assert made not in theirs.get("/v1/jobs").text
        assert mine.get(f"/v1/jobs/{made}?wait=20").json()["status"] == "completed"


def test_a_wrong_key_is_refused(system):
    with system.http("hr_wrong_0123456789abcdef") as http:
        answer = http.post("/v1/chat/completions", json=CHAT)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_api_key"
