"""Chats and streams in six wires over llmock, a simulator that nobody here wrote, and its verdict.

The whole system runs; llmock breaks what it is told to, sees every attempt and judges the client.
One key a provider: a second one would rightly be tried before the first one's rest is over, which
the verdict cannot tell from impatience.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import httpx2
import orjson
import pytest
from llmock.chaos import StreamChaos
from llmock.ratelimit import LimitSettings
from llmock.scenarios import Delay, Fail, Match, StreamFault
from llmock.testing import LLMockServer
from llmock.verdict import Verdict, judge
from whole import until

from bench.stack import KEY, Stack

WIRES = {
    "openai": ("openai-compatible", "/v1"),
    "groq": ("openai-compatible", "/groq/openai/v1"),
    "mistral": ("openai-compatible", "/mistral/v1"),
    "gemini": ("gemini", "/gemini/v1beta"),
    "cohere": ("cohere", "/cohere/v2"),
    "anthropic": ("anthropic", "/anthropic/v1"),
}
BUCKET, RPM = "a-bucket", 300
TIMEOUT_S = 6  # all that an undisturbed stream of 64 words may take, on a busy machine too
STALL_S = 1.5 * TIMEOUT_S
HEARD_S = 60.0  # how long the journal is waited for: it is read as soon as nothing is under way
PACE_MS = 20  # so that who stops reading is seen to
TOOL = {
    "type": "function",
    "function": {
        "name": "turn_wheel",
        "description": "Turns the wheel.",
        "parameters": {
            "type": "object",
            "properties": {"wheel": {"type": "string"}},
            "required": ["wheel"],
        },
    },
}
pytestmark = pytest.mark.timeout(600)
BROKEN_STREAMS = ("disconnect", "truncate", "malformed", "stall")


class Mocked:
    """The running system, and llmock behind it."""

    def __init__(self, server: LLMockServer, url: str) -> None:
        self.server = server
        headers = {"Authorization": f"Bearer {KEY}"}
        self.http = httpx2.Client(base_url=url, headers=headers, timeout=60, trust_env=False)

    def ask(self, provider: str, text: str, **more):
        """A held chat."""
        return self.http.post("/v1/chat/completions", json=chat(provider, text, **more))

    def job(self, provider: str, text: str, *, stream=False, **wishes):
        """A job, seen to its end."""
        request = chat(provider, text)
        body = {"kind": "chat", "request": request, "stream": stream, **wishes}
        made = self.http.post("/v1/jobs", json=body)
        assert made.status_code == 202, made.text
        return self.ended(made.json()["id"])

    def ended(self, job_id: str):
        def found():
            job = self.http.get(f"/v1/jobs/{job_id}?wait=5").json()
            return job if job["status"] not in ("queued", "in_progress") else None

        return until(found, most_s=150)

    def told(self, provider: str, text: str) -> str:
        """What it says to this, undisturbed: the same each time."""
        return str(self.ask(provider, text).json()["choices"][0]["message"]["content"])

    def breaks(self, *behaviours) -> None:
        self.server.state.scenarios.add(*behaviours)

    def seen(self, provider: str):
        journal = self.server.state.journal
        return [one for one in journal.records(wait=HEARD_S) if one.provider == provider]

    def verdict(self) -> Verdict:
        return judge(self.server.state.journal.records(wait=HEARD_S))


def chat(provider: str, text: str, **more):
    messages = [{"role": "user", "content": text}]
    return {"model": f"{provider}/mock", "messages": messages, "max_tokens": 64, **more}


def configured(server: LLMockServer):
    anyone = {BUCKET: ("openai-compatible", "/xai/v1")}
    found = {
        name: {
            "type": type_,
            "base_url": server.url + path,
            "credentials": [{"id": f"{name}-1", "key": f"sk-{name}", "plan": "free"}],
            "models": [{"id": "mock", "context_window": 8_192, "max_output_tokens": 4_096}],
            **({"quirks": {"like": name}} if name in ("openai", "groq", "mistral") else {}),
        }
        for name, (type_, path) in (WIRES | anyone).items()
    }
    window = {"requests": RPM, "per": "1m", "kind": "bucket"}
    found[BUCKET]["models"][0]["limits"] = {"free": {"windows": [window]}}
    return found


@pytest.fixture(scope="module")
def running() -> Iterator[Mocked]:
    with ExitStack() as stack:
        server = stack.enter_context(LLMockServer())
        wait = {"HEADRACE_ATTEMPT_TIMEOUT_S": str(TIMEOUT_S), "HEADRACE_MAX_ATTEMPTS": "4"}
        config = {"providers": configured(server)}
        system = stack.enter_context(Stack(config, env=wait))
        mocked = Mocked(server, system.url)
        stack.callback(mocked.http.close)
        yield mocked


@pytest.fixture
def mocked(running: Mocked) -> Mocked:
    running.server.state.reset()
    running.server.state.limiter.configure(LimitSettings())
    running.server.state.stream_chaos = StreamChaos(chunk_delay_ms=PACE_MS)
    return running


@pytest.mark.parametrize("provider", WIRES)
def test_a_chat_a_stream_and_a_tool_call_are_answered(mocked, provider):
    whole = mocked.ask(provider, "What turns the wheel?")
    assert whole.status_code == 200, whole.text
    body = whole.json()
    assert body["choices"][0]["message"]["content"]
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["completion_tokens"] > 0

    options = {"stream": True, "stream_options": {"include_usage": True}}
    streamed = mocked.ask(provider, "What turns the wheel?", **options)
    lines = [one.removeprefix("data: ") for one in streamed.text.splitlines() if "data: " in one]
    assert lines.pop() == "[DONE]"
    chunks = [orjson.loads(line) for line in lines]
    told = "".join(c["delta"].get("content") or "" for one in chunks for c in one["choices"])
    assert told == body["choices"][0]["message"]["content"]
    assert chunks[-1]["usage"]["completion_tokens"] > 0

    called = mocked.ask(provider, "Turn the wheel", tools=[TOOL]).json()["choices"][0]
    assert called["finish_reason"] == "tool_calls"
    (call,) = called["message"]["tool_calls"]
    assert call["function"]["name"] == "turn_wheel"
    assert isinstance(orjson.loads(call["function"]["arguments"])["wheel"], str)
    mocked.verdict().assert_ok(strict=True)


def everywhere(check) -> None:
    """All wires at once: each has its own lane, and what it waits for is time."""
    with ThreadPoolExecutor(len(WIRES)) as pool:
        for done in [pool.submit(check, provider) for provider in WIRES]:
            done.result()


def test_its_refusals_are_waited_out_and_no_caller_sees_them(mocked):
    def check(provider):
        only = Match(provider=provider)
        mocked.breaks(Fail(429, retry_after=0.5, match=only), Fail(503, match=only))
        answer = mocked.ask(provider, "Who grinds the corn?")
        assert answer.status_code == 200, answer.text
        assert [one.status for one in mocked.seen(provider)] == [429, 503, 200]

    everywhere(check)
    mocked.verdict().assert_ok(strict=True)


@pytest.mark.parametrize("kind", BROKEN_STREAMS)
def test_a_stream_that_breaks_is_made_anew_and_half_an_answer_is_never_kept(mocked, kind):
    def check(provider):
        mocked.breaks(StreamFault(kind, 3, STALL_S, match=Match(provider=provider)))
        job = mocked.job(provider, f"Tell of {kind}.", stream=True, on_break="restart")
        assert job["status"] == "completed"
        broken, *_, whole = [attempt["outcome"] for attempt in job["attempts"]]
        assert broken != "succeeded"
        assert whole == "succeeded"
        told = job["result"]["choices"][0]
        assert told["finish_reason"] == "stop"
        assert told["message"]["content"] == mocked.told(provider, f"Tell of {kind}.")

    everywhere(check)
    mocked.verdict().assert_ok(strict=True)


@pytest.mark.parametrize(("status", "code"), [(400, 400), (422, 400)])
def test_what_no_repeat_can_mend_is_not_repeated(mocked, status, code):
    mocked.breaks(Fail(status))
    answer = mocked.ask("openai", "What is not well said?")
    assert answer.status_code == code
    assert len(mocked.seen("openai")) == 1
    mocked.verdict().assert_ok(strict=True)


def test_its_quotas_are_kept_to(mocked):
    mocked.server.state.limiter.configure(LimitSettings(rpm=RPM))
    with ThreadPoolExecutor(32) as pool:
        jobs = list(pool.map(lambda n: mocked.job(BUCKET, f"Turn {n}."), range(RPM + 15)))
    assert {job["status"] for job in jobs} == {"completed"}
    refused = [one for one in mocked.seen("xai") if one.status == 429]
    assert len(refused) <= 2
    mocked.verdict().assert_ok()


def test_an_answer_that_does_not_begin_is_asked_for_again(mocked):
    mocked.breaks(Delay(TIMEOUT_S * 2))
    assert mocked.ask("anthropic", "Who sleeps?").status_code == 200
    assert len(mocked.seen("anthropic")) >= 2
