"""OpenAI's request shapes: what passes, and which field a refusal names."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import Refused
from shared.wire.openai import chat_request, embeddings_request

USER = [{"role": "user", "content": "hello"}]
TOOL = {"type": "function", "function": {"name": "get_x", "parameters": {"type": "object"}}}
FULL = {
    "model": "auto",
    "messages": [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "name": "bob", "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": "https://x/y.png", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"file_id": "file-1"}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "get_x", "arguments": "{}"}}
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ],
    "temperature": 0, "top_p": 1, "n": 1, "max_completion_tokens": 10, "stop": ["a", "b"],
    "stream": True, "stream_options": {"include_usage": True}, "seed": 7, "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "get_x"}}, "user": None,
    "parallel_tool_calls": False, "logit_bias": {"50256": -100}, "metadata": {"a": "b"},
    "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}}},
    "reasoning_effort": "low", "a_field_of_next_year": {"x": [1]},
}  # fmt: skip


def chat(**fields):
    return {"model": "m", "messages": USER, **fields}


def message(**fields):
    return chat(messages=[*USER, fields])


def test_a_full_request_passes_and_is_the_callers_own_dict_unchanged():
    body = copy.deepcopy(FULL)
    assert chat_request(body) is body
    assert body == FULL


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": USER}, "model"),
        ({"model": "m"}, "messages"),
        (chat(model=""), "model"),
        (chat(model=5), "model"),
        (chat(messages=[]), "messages"),
        (chat(messages="hello"), "messages"),
        (chat(messages=["hello"]), "messages[0]"),
        (message(content="x"), "messages[1].role"),
        (message(role="usr", content="x"), "messages[1].role"),
        (message(role="user"), "messages[1].content"),
        (message(role="user", content=None), "messages[1].content"),
        (message(role="assistant"), "messages[1].content"),
        (message(role="user", content=5), "messages[1].content"),
        (message(role="user", content=[]), "messages[1].content"),
        (message(role="user", content=["x"]), "messages[1].content[0]"),
        (message(role="user", content=[{"type": "txt"}]), "messages[1].content[0].type"),
        (message(role="user", content=[{"type": "text"}]), "messages[1].content[0].text"),
        (
            message(role="user", content=[{"type": "image_url", "image_url": {"url": ""}}]),
            "messages[1].content[0].image_url.url",
        ),
        (message(role="tool", content="x"), "messages[1].tool_call_id"),
        (
            message(role="assistant", tool_calls=[{"id": "c", "function": {"name": "f"}}]),
            "messages[1].tool_calls[0].function.arguments",
        ),
        (chat(temperature=2.1), "temperature"),
        (chat(temperature="0.5"), "temperature"),
        (chat(temperature=float("nan")), "temperature"),
        (chat(top_p=-0.1), "top_p"),
        (chat(n=0), "n"),
        (chat(n=True), "n"),
        (chat(max_tokens=0), "max_tokens"),
        (chat(max_tokens=1.5), "max_tokens"),
        (chat(stop=5), "stop"),
        (chat(stop=[]), "stop"),
        (chat(stop=["a", 5]), "stop[1]"),
        (chat(stream="true"), "stream"),
        (chat(stream_options={"include_usage": "yes"}), "stream_options.include_usage"),
        (chat(tools={}), "tools"),
        (chat(tools=[{"type": "function"}]), "tools[0].function"),
        (chat(tools=[{"type": "function", "function": {}}]), "tools[0].function.name"),
        (
            chat(tools=[{"type": "function", "function": {"name": "a b"}}]),
            "tools[0].function.name",
        ),
        (chat(tool_choice="sometimes"), "tool_choice"),
        (chat(tool_choice=[]), "tool_choice"),
        (chat(response_format={"type": "xml"}), "response_format.type"),
        (chat(response_format={"type": "json_schema"}), "response_format.json_schema"),
        (chat(metadata={"a": 1}), "metadata.a"),
        (chat(metadata={str(i): "" for i in range(17)}), "metadata"),
        (chat(logit_bias={"a": "b"}), "logit_bias.a"),
    ],
)
def test_a_wrong_field_is_a_400_that_names_it(body, param):
    with pytest.raises(Refused) as caught:
        chat_request(body)
    found = caught.value
    assert (found.status, found.type, found.param) == (400, "invalid_request_error", param)
    assert found.message.startswith(f"{param}: ")
    assert found.code in {"invalid_value", "missing_required_parameter"}


@pytest.mark.parametrize("body", [None, [], "x", 5])
def test_a_body_that_is_no_object_is_refused(body):
    with pytest.raises(Refused, match="the request body should be a mapping"):
        chat_request(body)


def test_a_path_begins_with_the_name_of_the_outer_field():
    with pytest.raises(Refused) as caught:
        chat_request(chat(n=0), "request")
    assert caught.value.param == "request.n"


def test_a_refusal_quotes_neither_the_text_nor_a_huge_name():
    body = message(role="user", content=[{"type": "text", "text": {"my-private": "words"}}])
    with pytest.raises(Refused) as caught:
        chat_request(body)
    assert "private" not in f"{caught.value.message}{caught.value.__cause__}"
    with pytest.raises(Refused) as caught:
        chat_request(chat(metadata={"k" * 10**6: "x"}))
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "value",
    ["hello", ["a", "b"], [1, 2], [[1, 2], [3]]],
)
def test_an_embeddings_input_has_four_forms(value):
    body = {"model": "m", "input": value, "dimensions": 256, "encoding_format": "base64"}
    assert embeddings_request(body) is body


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": 5}, "input"),
        ({"input": ["a", 5]}, "input[1]"),
        ({"input": ["a", ""]}, "input[1]"),
        ({"input": [1, "a"]}, "input[1]"),
        ({"input": [[1], []]}, "input[1]"),
        ({"input": ["a"] * 2049}, "input"),
        ({"input": "a", "dimensions": 0}, "dimensions"),
        ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
    ],
)
def test_a_wrong_embeddings_field_is_a_400_that_names_it(fields, param):
    with pytest.raises(Refused) as caught:
        embeddings_request({"model": "m", **fields})
    assert caught.value.param == param


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*FULL, "role", "content", "type", "input"]), inner)
    ),
    max_leaves=12,
)


def status_of(check, body):
    try:
        assert check(body) is body
    except Refused as refused:
        return refused.status
    return 200


@given(JSON, st.sampled_from([*FULL]))
def test_whatever_comes_is_passed_or_refused(value, field):
    for body in (value, chat(**{field: value}), message(role="user", content=value)):
        for check in (chat_request, embeddings_request):
            assert status_of(check, body) in {200, 400}
