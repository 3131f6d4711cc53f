"""Providers' own lists of models, as they answer."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.catalog_listing import Listed, Unreadable, kind_of, read, url_of

GROQ = {
    "object": "list",
    "data": [
        {
            "id": "openai/gpt-oss-20b",
            "object": "model",
            "active": True,
            "context_window": 131072,
            "max_completion_tokens": 65536,
        },
        {"id": "old", "object": "model", "active": False},
    ],
}
MISTRAL = {
    "data": [
        {
            "id": "mistral-small-2603",
            "max_context_length": 262144,
            "aliases": ["mistral-small-latest"],
            "deprecation": "2027-01-31T12:00:00Z",
            "capabilities": {"completion_chat": True, "function_calling": True, "vision": False},
            "type": "base",
        },
        {"id": "mistral-embed", "capabilities": {"completion_chat": False}, "type": "base"},
        {"id": "codestral-fim", "capabilities": {"completion_chat": False}, "type": "base"},
    ]
}
OPENROUTER = {
    "data": [
        {
            "id": "x-ai/grok-4.7",
            "context_length": 500000,
            "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
            "pricing": {"prompt": "0.000002", "completion": "0.000006", "request": "0"},
            "top_provider": {"context_length": 500000, "max_completion_tokens": 450000},
            "supported_parameters": ["tools", "structured_outputs", "reasoning"],
        },
        {
            "id": "openrouter/auto",
            "architecture": {"input_modalities": ["text"], "output_modalities": ["text", "image"]},
            "pricing": {"prompt": "-1", "completion": "-1"},
        },
    ]
}
TOGETHER = [
    {
        "id": "a/b",
        "type": "chat",
        "context_length": 4096,
        "pricing": {"input": 0.15, "output": 0.6},
    },
    {"id": "a/c", "type": "image", "pricing": {"input": 0, "output": 0}},
]
GEMINI = {
    "models": [
        {
            "name": "models/gemini-3.8-flash",
            "inputTokenLimit": 1048576,
            "outputTokenLimit": 65536,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        },
        {
            "name": "models/gemini-embedding-001",
            "inputTokenLimit": 2048,
            "outputTokenLimit": 1,
            "supportedGenerationMethods": ["embedContent"],
        },
        {"name": "models/gemini-3.8-flash-tts", "supportedGenerationMethods": ["generateContent"]},
        {"name": "models/aqa", "supportedGenerationMethods": ["generateAnswer"]},
    ],
    "nextPageToken": "more",
}
COHERE = {
    "models": [
        {"name": "command-a-03-2025", "endpoints": ["generate", "chat"], "context_length": 288000},
        {"name": "embed-v4.0", "endpoints": ["embed"], "context_length": 128000},
        {"name": "rerank-v3.5", "endpoints": ["rerank"]},
    ],
    "next_page_token": "p2",
}
ANTHROPIC = {
    "data": [
        {"type": "model", "id": "claude-sonnet-5-5", "max_input_tokens": 1000000, "max_tokens": 9}
    ],
    "has_more": True,
    "last_id": "claude-sonnet-5-5",
}


def listed(type_, value):
    return read(type_, orjson.dumps(value)).models


@pytest.mark.parametrize(
    ("type_", "value", "models"),
    [
        (
            "openai-compatible",
            GROQ,
            [Listed("openai/gpt-oss-20b", None, 131072, 65536)],
        ),
        (
            "openai-compatible",
            MISTRAL,
            [
                Listed(
                    "mistral-small-2603",
                    "chat",
                    262144,
                    capabilities=frozenset(
                        {"chat", "stream", "tools", "parallel_tools", "json_object", "json_schema"}
                    ),
                    aliases=("mistral-small-latest",),
                    ends="2027-01-31",
                ),
                Listed("mistral-embed", "embedding"),
                Listed("codestral-fim", "other"),
            ],
        ),
        (
            "openai-compatible",
            OPENROUTER,
            [
                Listed(
                    "x-ai/grok-4.7",
                    "chat",
                    500000,
                    450000,
                    2.0,
                    6.0,
                    capabilities=frozenset(
                        {"chat", "stream", "tools", "json_schema", "reasoning", "vision"}
                    ),
                ),
                Listed("openrouter/auto", "other"),
            ],
        ),
        (
            "openai-compatible",
            TOGETHER,
            [Listed("a/b", "chat", 4096, None, 0.15, 0.6), Listed("a/c", "other")],
        ),
        (
            "gemini",
            GEMINI,
            [
                Listed("gemini-3.8-flash", "chat", 1048576, 65536),
                Listed("gemini-embedding-001", "embedding", 2048, 1),
                Listed("gemini-3.8-flash-tts", "other"),
                Listed("aqa", "other"),
            ],
        ),
        (
            "cohere",
            COHERE,
            [
                Listed("command-a-03-2025", "chat", 288000),
                Listed("embed-v4.0", "embedding", 128000),
                Listed("rerank-v3.5", "other"),
            ],
        ),
        ("anthropic", ANTHROPIC, [Listed("claude-sonnet-5-5", None, 1000000, 9)]),
        (
            "openai-compatible",
            {"data": [{"id": "m", "max_model_len": 4096}]},
            [Listed("m", None, 4096)],
        ),
    ],
)
def test_a_list_is_read_in_its_providers_own_form(type_, value, models):
    assert list(listed(type_, value)) == models


def test_a_price_of_nothing_is_believed_only_where_it_is_a_price_by_the_token():
    free = {"id": "m:free", "pricing": {"prompt": "0", "completion": "0"}}
    unknown = {"id": "m", "pricing": {"input": 0, "output": 0}}
    first, second = listed("openai-compatible", [free, unknown])
    assert (first.input_usd, first.output_usd) == (0, 0)
    assert second.input_usd is None


@pytest.mark.parametrize(
    ("type_", "value", "after"),
    [
        ("gemini", GEMINI, "more"),
        ("cohere", COHERE, "p2"),
        ("anthropic", ANTHROPIC, "claude-sonnet-5-5"),
        ("openai-compatible", GROQ, ""),
    ],
)
def test_a_page_says_how_to_ask_for_the_next(type_, value, after):
    assert read(type_, orjson.dumps(value)).after == after


@pytest.mark.parametrize(
    ("type_", "base", "after", "url"),
    [
        ("openai-compatible", "http://x/v1/", "", "http://x/v1/models"),
        (
            "gemini",
            "http://x/v1beta",
            "a&b",
            "http://x/v1beta/models?pageSize=1000&pageToken=a%26b",
        ),
        ("cohere", "http://x/v2", "", "http://x/v1/models?page_size=1000"),
        ("anthropic", "http://x/v1", "m", "http://x/v1/models?limit=1000&after_id=m"),
    ],
)
def test_a_list_is_asked_for_where_its_provider_keeps_it(type_, base, after, url):
    assert url_of(type_, base, "/models", after) == url


def test_what_a_path_asks_for_already_is_asked_for_once():
    url = url_of("gemini", "http://x/v1beta", "/models?pageSize=50&x=1", "n")
    assert url == "http://x/v1beta/models?pageSize=1000&x=1&pageToken=n"
    assert url_of("openai-compatible", "http://x", "/m?api-version=1") == "http://x/m?api-version=1"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gpt-6.1-sol", "chat"),
        ("text-embedding-3-small", "embedding"),
        ("whisper-1", "transcription"),
        ("gpt-4o-transcribe", "transcription"),
        ("gpt-4o-mini-tts", "other"),
        ("gpt-image-2", "other"),
        ("omni-moderation-latest", "other"),
        ("meta-llama/llama-prompt-guard-2-22m", "other"),
        ("rerank-v3.5", "other"),
    ],
)
def test_where_nothing_else_tells_a_name_does(name, kind):
    assert kind_of(name) == kind


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1", b"{}", b'{"data": 5}', b'"x"', b"null"])
def test_what_is_no_list_is_refused_in_words(body):
    with pytest.raises(Unreadable, match="the answer"):
        read("openai-compatible", body)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "name", "pricing", "prompt", "completion", "capabilities", "type"]
            )
            | st.sampled_from(
                ["architecture", "context_length", "top_provider", "aliases", "endpoints"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=3))
def test_whatever_a_list_holds_it_is_read_without_a_crash(rows):
    for type_ in ("openai-compatible", "gemini"):
        for model in listed(type_, {"data": rows}):
            assert model.id
