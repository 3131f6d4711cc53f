import pytest

from shared.core.summary import STYLES
from shared.errors import Refused
from shared.wire.summaries import (
    MOST_DOCUMENTS,
    SummaryRequest,
    documents_of,
    shape_of,
    summary_request,
    wish_of,
)

TEXT = {"documents": [{"text": "Once."}]}
SCHEMA = {"type": "object", "properties": {"gist": {"type": "string"}}}


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({}, "documents", "is required"),
        ({"documents": []}, "documents", "at least 1"),
        ({"documents": [{"text": "x"}] * (MOST_DOCUMENTS + 1)}, "documents", "at most 200"),
        ({"documents": [{}]}, "documents[0]", "exactly one of"),
        ({"documents": [{"text": "x", "url": "https://a.example"}]}, "documents[0]", "exactly one"),
        ({"documents": [{"text": ""}]}, "documents[0].text", "at least 1 character"),
        ({"documents": [{"text": 3}]}, "documents[0].text", "string"),
        ({"documents": [{"fileid": "file-1"}]}, "documents[0].fileid", "file_id"),
        ({"documents": [{"file_id": "../x"}]}, "documents[0].file_id", "pattern"),
        ({"documents": [{"url": "ftp://a.example/x"}]}, "documents[0].url", "http or https"),
        ({"documents": [{"url": "https:///x"}]}, "documents[0].url", "http or https"),
        ({"documents": [{"url": "http://a b.example"}]}, "documents[0].url", "http or https"),
        ({"documents": [{"url": "http://a.example:x"}]}, "documents[0].url", "a port that"),
        ({"url": "https://müller.example/"}, "url", "ASCII"),
        ({"url": "https://me:secret@a.example/"}, "url", "no user and password"),
        ({"url": "http://a.example:0/"}, "url", "a port that"),
        ({"url": "file:///etc/passwd"}, "url", "http or https"),
        ({"input": "a", "json_schema": {"required": [1]}}, "json_schema.required", "strings"),
        (
            {
                "input": "a",
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"schema": {"properties": {"a": {"type": 3}}}},
                },
            },
            "response_format.json_schema.schema.properties.a.type",
            "a string",
        ),
        ({"input": "a", "url": "https://a.example"}, "url", "one document too many"),
        (TEXT | {"input": "a"}, "input", "leave it out"),
        (TEXT | {"title": "a"}, "title", "leave it out"),
        (TEXT | {"style": "haiku"}, "style", "bullets"),
        (TEXT | {"length": "huge"}, "length", "short"),
        (TEXT | {"length": 9}, "length", "10"),
        (TEXT | {"length": 3001}, "length", "3000"),
        (TEXT | {"length": 20.5}, "length", "whole number of words"),
        (TEXT | {"lenght": "short"}, "lenght", "length"),
        (TEXT | {"model": ""}, "model", "at least 1"),
        (TEXT | {"combined": "yes"}, "combined", "boolean"),
        (TEXT | {"temperature": 3}, "temperature", "2"),
        (TEXT | {"chunk_tokens": 10}, "chunk_tokens", "256"),
        (TEXT | {"response_format": {"type": "json_schema"}}, "response_format.json_schema", "req"),
        (TEXT | {"response_format": {"type": "xml"}}, "response_format.type", "json_schema"),
        (
            TEXT | {"response_format": {"type": "text"}, "json_schema": SCHEMA},
            "json_schema",
            "send one of them",
        ),
        (TEXT | {"json_schema": {"enum": ["x" * 70_000]}}, "json_schema", "longer than"),
        (["not", "an", "object"], None, "object"),
    ],
)
def test_what_is_wrong_is_refused_by_name(body, param, words):
    with pytest.raises(Refused) as caught:
        summary_request(body)
    assert caught.value.param == param
    assert words in caught.value.message
    with pytest.raises(Refused) as caught:
        summary_request(body, "request")
    assert caught.value.param == ("request" if param is None else f"request.{param}")


@pytest.mark.parametrize(
    ("body", "source", "title"),
    [
        (TEXT, {"text": "Once."}, None),
        ({"input": "Once."}, {"text": "Once."}, None),
        ({"file_id": "file-1", "title": "A"}, {"file_id": "file-1"}, "A"),
        ({"url": "https://a.example/x?y"}, {"url": "https://a.example/x?y"}, None),
    ],
)
def test_one_document_may_be_named_in_short(body, source, title):
    (document,) = documents_of(summary_request(body))
    assert document.model_dump(exclude_none=True, exclude={"title"}) == source
    assert document.title == title


@pytest.mark.parametrize(
    "body",
    [
        TEXT | {"json_schema": SCHEMA},
        TEXT | {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
    ],
)
def test_a_schema_may_be_named_in_short(body):
    request = summary_request(body)
    shape = shape_of(request)
    assert (shape.name, shape.schema, shape.strict) == ("summary", SCHEMA, None)
    assert wish_of(request).schema == SCHEMA


def test_wishes_have_the_defaults_that_are_documented():
    request = summary_request(TEXT)
    assert request == SummaryRequest.model_validate(TEXT)
    wish = wish_of(request)
    assert (request.model, wish.style, wish.words, wish.schema) == ("auto", "paragraph", 200, None)
    assert shape_of(summary_request(TEXT | {"response_format": {"type": "text"}})) is None
    assert wish_of(summary_request(TEXT | {"length": 77})).words == 77


@pytest.mark.parametrize("style", STYLES)
def test_every_style_is_taken(style):
    assert wish_of(summary_request(TEXT | {"style": style})).style == style
