"""`headrace catalog`: our own catalog, a user's file, and what providers list."""

import contextlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson
import pytest
import yaml

from cli import refreshing
from shared import catalog

KEY = "gsk_0123456789abcdef"


@dataclass
class Lists:
    """A provider that lists models; `pages` by path and query, else 404."""

    url: str = ""
    pages: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)


@pytest.fixture
def lists():
    """Answers as `pages` say, on a free port."""
    state = Lists()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            state.asked.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
            page = state.pages.get(self.path, (404, {"error": {"message": KEY}}))
            status, value = page if isinstance(page, tuple) else (200, page)
            body = value if isinstance(value, bytes) else orjson.dumps(value)
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        state.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Writes a configuration and makes it the one in use; no key comes from outside."""
    for doc in catalog.read_config(catalog.catalog_path()).providers.values():
        for name in doc.env:
            monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HEADRACE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("HEADRACE_CATALOG", raising=False)

    def write(**providers):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({"providers": providers}))
        monkeypatch.setenv("HEADRACE_CONFIG", str(path))
        return path

    return write


def groq_lists(*, less=(), more=()):
    """What Groq answers where it serves what the catalog says, but for what is named."""
    docs = catalog.read_config(catalog.catalog_path()).providers
    rows = [{"id": m.id} for m in docs["groq"].models if m.id not in less]
    return {"object": "list", "data": [*rows, *more]}


def at(lists, path="/openai/v1"):
    return {"base_url": lists.url + path, "credentials": [{"key": KEY}]}


def written(tmp_path):
    path = tmp_path / "data" / "catalog.yaml"
    return yaml.safe_load(path.read_text())["providers"] if path.exists() else None


def test_the_difference_is_shown_and_then_written_and_then_used(headrace, lists, config, tmp_path):
    mine = config(groq=at(lists))
    new = {"id": "moon/shot-9", "context_window": 4096, "max_completion_tokens": 512}
    lists.pages["/openai/v1/models"] = groq_lists(less=["allam-2-7b"], more=[new])
    ran = headrace("catalog", "refresh", "--yes")
    assert ran.code == 0, ran.err
    assert "groq: 1 new, 1 gone" in ran.out
    assert "+ moon/shot-9: new, context_window 4,096, max_output_tokens 512" in ran.out
    assert "- allam-2-7b: gone" in ran.out
    assert KEY not in ran.out + ran.err
    ((_, headers),) = lists.asked
    assert headers["authorization"] == f"Bearer {KEY}"
    found, _ = catalog.load(mine, tmp_path / "data" / "catalog.yaml")
    assert found.by_id["groq/moon/shot-9"].context_tokens == 4096
    assert "groq/allam-2-7b" not in found.by_id
    assert headrace("catalog", "refresh", "--yes").out == "groq: nothing new\n"


def test_nothing_is_written_before_it_is_confirmed(headrace, lists, config, tmp_path, monkeypatch):
    config(groq=at(lists))
    lists.pages["/openai/v1/models"] = groq_lists(less=["allam-2-7b"])
    monkeypatch.setattr("typer.confirm", lambda _question: False)
    ran = headrace("catalog", "refresh")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "nothing is written")
    assert written(tmp_path) is None
    monkeypatch.setattr("typer.confirm", lambda question: "Write 1 change(s)" in question)
    assert headrace("catalog", "refresh").code == 0
    assert written(tmp_path)["groq"]["models"][0]["status"] == "retired"


def test_another_file_may_be_named_and_keeps_what_it_said(headrace, lists, config, tmp_path):
    config(groq=at(lists))
    lists.pages["/openai/v1/models"] = groq_lists(less=["allam-2-7b"])
    file = tmp_path / "deep" / "other.yaml"
    file.parent.mkdir()
    file.write_text("providers: {mistral: {models: [{id: mistral-embed, status: retired}]}}")
    assert headrace("catalog", "refresh", "--yes", "--file", str(file)).code == 0
    kept = yaml.safe_load(file.read_text())["providers"]
    assert kept["mistral"] == {"models": [{"id": "mistral-embed", "status": "retired"}]}
    assert [model["id"] for model in kept["groq"]["models"]] == ["allam-2-7b"]
    assert written(tmp_path) is None


def test_pages_are_followed_in_each_providers_way(headrace, lists, config):
    config(gemini=at(lists, "/v1beta"), anthropic=at(lists, "/v1"), cohere=at(lists, "/co/v2"))
    model = {"supportedGenerationMethods": ["generateContent"]}
    lists.pages |= {
        "/v1beta/models?pageSize=1000": {
            "models": [{"name": "models/gem-a", **model}],
            "nextPageToken": "n2",
        },
        "/v1beta/models?pageSize=1000&pageToken=n2": {
            "models": [{"name": "models/gem-b", **model}]
        },
        "/v1/models?limit=1000": {"data": [{"id": "cl-a"}], "has_more": True, "last_id": "cl-a"},
        "/v1/models?limit=1000&after_id=cl-a": {"data": [{"id": "cl-b"}], "has_more": False},
        "/co/v1/models?page_size=1000": {"models": [{"name": "co-a", "endpoints": ["chat"]}]},
    }
    ran = headrace("catalog", "refresh", "--yes")
    assert ran.code == 0, ran.err
    for name in ("gem-a", "gem-b", "cl-a", "cl-b", "co-a"):
        assert f"+ {name}: new" in ran.out
    headers = {path.split("?")[0]: headers for path, headers in lists.asked}
    assert headers["/v1beta/models"]["x-goog-api-key"] == KEY
    assert headers["/v1/models"]["x-api-key"] == KEY
    assert headers["/v1/models"]["anthropic-version"]
    assert headers["/co/v1/models"]["authorization"] == f"Bearer {KEY}"


def test_a_list_without_end_is_read_so_far_and_no_further(headrace, lists, config, monkeypatch):
    config(gemini=at(lists, "/v1beta"))
    monkeypatch.setattr(refreshing, "MAX_PAGES", 3)

    class Endless(dict):
        def get(self, _path, _default):
            return {"models": [], "nextPageToken": f"n{len(lists.asked)}"}

    lists.pages = Endless()
    headrace("catalog", "refresh")
    assert len(lists.asked) == 3


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ((401, {"error": {"message": f"bad key {KEY}"}}), "groq: its list of models answered 401"),
        ((500, b"oops"), "groq: its list of models answered 500"),
        (b"<html>", "groq: the answer is not JSON"),
        ({"data": 5}, "groq: the answer holds no list of models"),
    ],
)
def test_a_provider_that_does_not_tell_is_named_and_the_others_are_asked(
    headrace, lists, config, tmp_path, page, said
):
    config(groq=at(lists), nvidia=at(lists, "/nv"))
    lists.pages["/openai/v1/models"] = page
    lists.pages["/nv/models"] = {"data": []}
    ran = headrace("catalog", "refresh", "--yes")
    assert ran.code == 1
    assert said in ran.err
    assert "nvidia: nothing new" in ran.out
    assert KEY not in ran.out + ran.err
    assert written(tmp_path) is None


def test_an_address_where_nobody_answers_is_said(headrace, lists, config):
    config(groq={"base_url": "http://127.0.0.1:1/v1", "credentials": [{"key": KEY}]})
    ran = headrace("catalog", "refresh", "--yes")
    assert ran.code == 1
    assert ran.err.startswith("groq: ")


def test_an_answer_too_large_is_not_read(headrace, lists, config, monkeypatch):
    config(groq=at(lists))
    monkeypatch.setattr(refreshing, "MAX_REPLY_BYTES", 1000)
    lists.pages["/openai/v1/models"] = b'{"data": [' + b" " * 5000 + b"]}"
    ran = headrace("catalog", "refresh", "--yes")
    assert ran.code == 1
    assert "larger than 1000 bytes" in ran.err


def test_one_provider_may_be_asked_alone(headrace, lists, config):
    config(groq=at(lists), mistral=at(lists, "/mi"))
    lists.pages["/mi/models"] = {"data": []}
    assert headrace("catalog", "refresh", "--provider", "mistral").code == 0
    assert [path for path, _ in lists.asked] == ["/mi/models"]


def test_a_server_of_ones_own_is_asked_by_name_and_without_a_key(headrace, lists, config, tmp_path):
    mine = config(ollama={"base_url": f"{lists.url}/ol"})
    lists.pages["/ol/models"] = {"object": "list", "data": [{"id": "llama3.2:3b"}]}
    ran = headrace("catalog", "refresh", "--provider", "ollama", "--yes")
    assert ran.code == 0, ran.err
    ((_, headers),) = lists.asked
    assert "authorization" not in headers
    found, _ = catalog.load(mine, tmp_path / "data" / "catalog.yaml")
    assert found.by_id["ollama/llama3.2:3b"].base_url == f"{lists.url}/ol"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("grok", "unknown provider 'grok'; did you mean 'groq'?"),
        ("groq", "groq: has no key; set GROQ_API_KEY"),
        ("deepgram", "deepgram: has no list of models that we can read"),
        ("github-models", "github-models: is retired"),
    ],
)
def test_a_provider_that_cannot_be_asked_is_answered_with_what_to_do(headrace, config, name, said):
    config()
    ran = headrace("catalog", "refresh", "--provider", name)
    assert ran.code == 2
    assert said in ran.err


def test_without_any_key_there_is_nobody_to_ask(headrace, config):
    config()
    ran = headrace("catalog", "refresh")
    assert ran.code == 2
    assert "no provider has a key" in ran.err


def test_our_own_catalog_is_counted_and_its_doubts_are_told(headrace, config, monkeypatch):
    config()
    monkeypatch.delenv("HEADRACE_CONFIG")
    ran = headrace("catalog", "check")
    assert ran.code == 0
    assert ran.out.startswith("the catalog is right: 21 provider(s), ")
    assert "known beside, and not served: assemblyai, github-models, llamacpp, " in ran.out
    assert "warning: hyperbolic: of 2025-12-31" in ran.out
    assert headrace("catalog", "check", "--strict").code == 1


def test_a_users_file_is_counted_and_warned_of_by_itself(headrace, config):
    path = config(groq={"credentials": [{"key": KEY}], "doubt": "mine"})
    ran = headrace("catalog", "check", str(path))
    assert ran.code == 0
    first, second = ran.out.splitlines()
    assert first.startswith(f"{path} is right: 1 provider(s), ")
    assert "transcription)" in first
    assert second == "warning: groq: mine"


def test_a_mistake_in_a_file_is_exit_code_two(headrace, config):
    path = config(groq={"modles": []})
    ran = headrace("catalog", "check", str(path))
    assert ran.code == 2
    assert "did you mean 'models'?" in ran.err


def test_a_damaged_refreshed_file_is_named(headrace, config, tmp_path):
    path = config()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "catalog.yaml").write_text("providers: [")
    ran = headrace("catalog", "check", str(path))
    assert ran.code == 2
    assert "data/catalog.yaml:" in ran.err
