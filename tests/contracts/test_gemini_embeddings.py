"""Gemini's embeddings."""

from typing import Any

import orjson
import pytest
from gemini_calls import ADAPTER, asked_by_the_sdk, call, parsed
from google.genai import types
from openai.types import CreateEmbeddingResponse
from raw_server import always, json_reply, serving
from recorded_gemini import (
    candidate,
    piece,
    text,
)

from shared.core.outcome import Failed, FailureKind, Succeeded


def embedded(*vectors: list[Any], **more: Any) -> dict[str, Any]:
    return {"embeddings": [{"values": each} for each in vectors], **more}


def test_an_embeddings_request_is_one_of_googles_own():
    made = ADAPTER.build(
        call(
            model="gemini-embedding-2",
            input=["a", "b"],
            dimensions=256,
            task_type="RETRIEVAL_QUERY",
            encoding_format="base64",
            user="u",
        ),
        None,
    )
    assert made.dropped == ("user",)
    requests = orjson.loads(made.body)["requests"]
    assert [each["content"] for each in requests] == [
        {"parts": [{"text": "a"}]},
        {"parts": [{"text": "b"}]},
    ]
    for each in requests:
        assert each.pop("model") == "models/gemini-embedding-2"
        types.Content.model_validate_json(orjson.dumps(each.pop("content")))
        types.EmbedContentConfig.model_validate_json(orjson.dumps(each))
        assert each == {"taskType": "RETRIEVAL_QUERY", "outputDimensionality": 256}


async def test_the_official_sdk_sends_the_very_same_embeddings_request():
    async with serving(always(json_reply(embedded([1.0], [2.0])))) as server:
        await asked_by_the_sdk(
            server,
            lambda sdk: sdk.models.embed_content(
                model="gemini-embedding-2",
                contents=[types.Content(parts=[types.Part(text=each)]) for each in "ab"],
                config=types.EmbedContentConfig(output_dimensionality=8),
            ),
        )
    head, theirs = server.requests[0]
    ours = ADAPTER.build(call("gemini-embedding-2", input=["a", "b"], dimensions=8), None)
    assert head.split()[1].decode() == ours.url.removeprefix("http://x")
    assert orjson.loads(theirs) == orjson.loads(ours.body)


@pytest.mark.parametrize("format_", ["float", "base64", None])
def test_vectors_come_as_the_caller_asked(format_):
    value = embedded([0.5, -1], [2, 0.25], usageMetadata={"promptTokenCount": 4})
    types.EmbedContentResponse.model_validate_json(orjson.dumps(value))
    outcome = parsed(value, call(input=["a", "b"], encoding_format=format_))
    assert isinstance(outcome, Succeeded)
    body = orjson.loads(outcome.body)
    CreateEmbeddingResponse.model_validate(
        {**body, "data": [{**each, "embedding": []} for each in body["data"]]}
    )
    assert body["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert [each["index"] for each in body["data"]] == [0, 1]
    expected: list[Any] = [[0.5, -1], [2, 0.25]]
    if format_ == "base64":
        expected = ["AAAAPwAAgL8=", "AAAAQAAAgD4="]
    assert [each["embedding"] for each in body["data"]] == expected


def test_one_text_is_one_vector_and_its_tokens_are_estimated():
    outcome = parsed({"embedding": {"values": [1.5]}}, call(input="a"))
    assert isinstance(outcome, Succeeded)
    body = orjson.loads(outcome.body)
    assert body["data"] == [{"object": "embedding", "index": 0, "embedding": [1.5]}]
    assert body["usage"] == {"prompt_tokens": 12, "total_tokens": 12, "estimated": True}


@pytest.mark.parametrize(
    "value",
    [
        embedded([1.0]),
        embedded([1.0], []),
        embedded([1.0], ["x"]),
        embedded([1.0], [1e300]),
        {"embeddings": [{"values": [1.0]}, 5]},
        {"embeddings": "x"},
        piece(candidate(text("Hi"), finish="STOP")),
        {},
    ],
)
def test_an_embedding_that_is_missing_or_broken_is_no_answer(value):
    outcome = parsed(value, call(input=["a", "b"], encoding_format="base64"))
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.MALFORMED_REPLY


@pytest.mark.parametrize(
    ("given_", "says"), [([1, 2], "token ids"), ([[1]], "token ids"), (["a"] * 101, "100 texts")]
)
def test_what_cannot_be_embedded_here_is_refused_before_it_is_sent(given_, says):
    failed = ADAPTER.build(call(input=given_), None)
    assert isinstance(failed, Failed)
    assert says in failed.message
    assert (failed.kind, failed.param, failed.sent) == (FailureKind.UNSUITED, "input", False)
