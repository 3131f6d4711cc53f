"""Every refusal of the facts, through every adapter that may meet it."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_replies import REFUSALS, Refusal
from worker_claims import CHAT, deployment

from shared.catalog import Quirks
from shared.core.model import Kind
from shared.core.outcome import Failed, FailureKind
from workers.providers.anthropic import Anthropic
from workers.providers.base import Adapter, Call
from workers.providers.cohere import Cohere
from workers.providers.gemini import Gemini
from workers.providers.openai_compatible import OpenAICompatible

NOW_MS = 1_785_658_100_000 - 1_785_658_100_000 % 86_400_000 + 9 * 3_600_000  # 02:00 in Los Angeles
ADAPTERS: list[Adapter] = [OpenAICompatible(), Anthropic(), Cohere(), Gemini()]


def call(type_="openai-compatible", dialect="generic"):
    return Call(Kind.CHAT, CHAT, deployment("http://x", type=type_), Quirks(rate_dialect=dialect))


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
