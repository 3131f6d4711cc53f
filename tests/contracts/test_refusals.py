"""Every refusal of the facts, through every adapter that may meet it."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_replies import REFUSALS, Refusal
from worker_claims import CHAT, deployment

from shared.catalog import build
from shared.catalog_schema import Config
from shared.core.model import Kind
from shared.core.outcome import Failed, FailureKind
from shared.quirks import Quirks
from shared.wires import NATIVE
from workers.providers.anthropic import Anthropic
from workers.providers.base import Adapter, Call
from workers.providers.cohere import Cohere
from workers.providers.gemini import Gemini
from workers.providers.openai_compatible import OpenAICompatible

NOW_MS = 1_785_658_100_000 - 1_785_658_100_000 % 86_400_000 + 9 * 3_600_000  # 02:00 in Los Angeles
ADAPTERS: list[Adapter] = [OpenAICompatible(), Anthropic(), Cohere(), Gemini()]


def call(wire="openai", dialect="generic"):
    """A call as the catalog makes it: a wire that is not native is `openai-compatible` by type."""
    type_ = wire if wire in NATIVE else "openai-compatible"
    quirks = Quirks(rate_dialect=dialect, wire=wire)
    return Call(Kind.CHAT, CHAT, deployment("http://x", type=type_), quirks)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: f"{each.type} {each.name}")
def test_a_refusal_is_taken_for_what_it_is(adapter: Adapter, refusal: Refusal):
    now_ms = 1_785_658_100_000 if "openrouter" in refusal.type else NOW_MS
    dialect = "anthropic" if refusal.type == "anthropic" else "generic"
    failed = adapter.classify(
        call(refusal.type, dialect), refusal.status, refusal.headers, refusal.raw, now_ms
    )
    assert failed.kind is refusal.kind
    assert failed.status == refusal.status
    assert failed.message
    for name, value in refusal.expect.items():
        assert getattr(failed, name) == value, name


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "error",
                    "message",
                    "code",
                    "type",
                    "status",
                    "details",
                    "violations",
                    "metadata",
                    "headers",
                    "quotaId",
                    "quotaValue",
                    "retryDelay",
                    "errors",
                    "detail",
                    "innererror",
                ]
            )
            | st.text(max_size=3),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(
    st.integers(100, 599),
    st.dictionaries(st.sampled_from(["retry-after", "x-ratelimit-limit-requests"]), st.text()),
    st.binary() | JSON.map(orjson.dumps),
)
def test_no_bytes_make_an_adapter_raise_or_call_a_refusal_a_success(status, headers, body):
    for adapter in ADAPTERS:
        failed = adapter.classify(call(), status, headers, body, NOW_MS)
        assert isinstance(failed, Failed)
        assert failed.kind in FailureKind
        assert failed.retry_after_ms is None or failed.retry_after_ms >= 0


@pytest.mark.parametrize(
    ("name", "wire"),
    [("huggingface", "huggingface"), ("groq", "groq"), ("cohere", "cohere"), ("gemini", "gemini")],
)
def test_a_provider_of_the_catalog_is_judged_by_its_own_wire(name, wire):
    assert build(Config(), env={}).quirks(name).wire == wire


def test_a_provider_that_is_like_another_is_judged_as_that_one():
    mine = {
        "type": "openai-compatible",
        "base_url": "http://127.0.0.1:9/v1",
        "quirks": {"like": "groq"},
    }
    found = build(Config.model_validate({"providers": {"mine": mine}}), env={})
    assert found.quirks("mine").wire == "groq"
