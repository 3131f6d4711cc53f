import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import Model, Output, expected_answer
from simulator.replies import compose, embedding_of, stream_frames
from simulator.requests import BadRequestError, parse_chat, parse_embedding
from simulator.schemas import satisfy


def chat(text="hello", **more):
    return parse_chat({"model": "m", "messages": [{"role": "user", "content": text}], **more})


@given(st.text(max_size=200), st.integers(1, 6_000))
def test_an_answer_always_starts_with_what_is_expected(text, max_tokens):
    call = chat(text, max_tokens=max_tokens)
    reply = compose(call, Model("m"), Output(median_tokens=40, sigma=1.0))
    assert reply.text.startswith(expected_answer([{"role": "user", "content": text}]))
    assert 1 <= reply.tokens <= max_tokens


@given(st.text(max_size=80), st.integers(1, 300))
def test_a_stream_says_the_same_as_the_whole_answer(text, max_tokens):
    call = chat(f"{text} [[tokens:200]]", max_tokens=max_tokens, stream=True)
    reply = compose(call, Model("m"), Output())
    frames = stream_frames(call, reply, 1, 0)
    chunks = [orjson.loads(f.removeprefix(b"data: ")) for f in frames[:-1]]
    said = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks)
    assert said == reply.text
    assert chunks[-1]["choices"][0]["finish_reason"] == reply.finish_reason
    assert frames[-1] == b"data: [DONE]\n\n"


def test_another_question_gets_another_answer():
    one = expected_answer([{"role": "user", "content": "a" * 80 + "x"}])
    two = expected_answer([{"role": "user", "content": "a" * 80 + "y"}])
    assert one != two


def test_images_count_and_change_the_answer():
    def parts(url):
        image = {"type": "image_url", "image_url": {"url": url}}
        return [{"type": "text", "text": "what is it"}, image]

    one, two = chat(parts("data:,a")), chat(parts("data:,b"))
    assert one.images == 1
    assert one.prompt_tokens > chat("what is it").prompt_tokens
    assert compose(one, Model("m"), Output()).text != compose(two, Model("m"), Output()).text


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "enum": ["red", "blue"]}, "red"),
        ({"const": 7}, 7),
        ({"type": ["null", "integer"], "minimum": 3}, 3),
        ({"type": "number", "exclusiveMaximum": 0}, -0.5),
        ({"type": "string", "maxLength": 2}, "te"),
        ({"type": "string", "format": "date"}, "2026-01-02"),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, True),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        (
            {
                "type": "object",
                "properties": {"a": {"$ref": "#/$defs/A"}, "b": {"type": "null"}},
                "$defs": {"A": {"type": "object", "properties": {"c": {"type": "string"}}}},
            },
            {"a": {"c": "text"}, "b": None},
        ),
        (
            {
                "allOf": [
                    {"properties": {"a": {"type": "string"}}},
                    {"properties": {"b": {"type": "integer"}}},
                ]
            },
            {"a": "text", "b": 1},
        ),
    ],
)
def test_a_document_satisfies_its_schema(schema, value):
    assert satisfy(schema, "text") == value


def test_a_schema_that_refers_to_itself_ends():
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert "next" in satisfy(tree, "text")


def test_a_tool_is_called_when_forced_or_named_and_not_after_its_result():
    tools = [{"type": "function", "function": {"name": "get_time", "parameters": {}}}]
    forced = {"type": "function", "function": {"name": "get_time"}}
    assert chat(tools=tools).tool is None
    assert chat("please get_time", tools=tools).tool["name"] == "get_time"
    assert chat(tools=tools, tool_choice="required").tool["name"] == "get_time"
    assert chat(tools=tools, tool_choice=forced).tool["name"] == "get_time"
    assert chat("please get_time", tools=tools, tool_choice="none").tool is None
    with pytest.raises(BadRequestError):
        chat(tools=tools, tool_choice={"type": "function", "function": {"name": "other"}})


@given(st.text(min_size=1), st.integers(1, 64))
def test_embeddings_are_unit_vectors_that_follow_from_the_text(text, dimensions):
    vector = embedding_of(text, dimensions)
    assert vector == embedding_of(text, dimensions)
    assert len(vector) == dimensions
    assert sum(x * x for x in vector) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": 3}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [3]}, "messages[0]"),
        ({"messages": [{"role": "boss", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "?"}]}]}, "messages[0].content"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": "9"}, "max_completion_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"n": 2}, "n"),
        ({"tools": [{}]}, "tools[0].function"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
    ],
)
def test_a_bad_chat_is_refused_by_the_field(change, param):
    good = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    with pytest.raises(BadRequestError) as caught:
        parse_chat(good | change)
    assert caught.value.param == param


@pytest.mark.parametrize("value", [None, "", [], [""], [[]], {"a": 1}, [1, "a"]])
def test_a_bad_embedding_input_is_refused(value):
    with pytest.raises(BadRequestError):
        parse_embedding({"model": "m", "input": value})
