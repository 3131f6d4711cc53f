"""The `request` of a summary: what is read, and what is to be written. Unknown fields are refused.

The request is checked, not converted: what is stored is the caller's own dict.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic.types import StringConstraints

from shared.addresses import web_problem
from shared.core.schema_form import form_problem
from shared.core.summary import LENGTHS, STYLES, Wish
from shared.errors import Refused
from shared.wire.openai import ModelName, refused_from

MOST_DOCUMENTS: Final = 200
MOST_TITLE_CHARS: Final = 300
MOST_SCHEMA_CHARS: Final = 64_000
MOST_URL_CHARS: Final = 4_096

Text = Annotated[str, StringConstraints(min_length=1)]
Title = Annotated[str, StringConstraints(min_length=1, max_length=MOST_TITLE_CHARS)]
FileId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Url = Annotated[str, StringConstraints(max_length=MOST_URL_CHARS)]
Words = Annotated[int, Field(ge=10, le=3_000)]
Length = Annotated[
    Annotated[Literal["short", "medium", "long"], Tag("#text")] | Annotated[Words, Tag("#number")],
    Discriminator(
        lambda value: {str: "#text", int: "#number"}.get(type(value)),
        custom_error_type="length_type",
        custom_error_message="should be short, medium, long or a whole number of words",
    ),
]
Style = Literal["paragraph", "bullets", "executive", "abstract", "key_points", "tldr"]

_CONFIG = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)
_SOURCES: Final = ("text", "file_id", "url")


class Document(BaseModel):
    """One document: exactly one of `text`, `file_id` and `url`."""

    model_config = _CONFIG

    text: Text | None = None
    file_id: FileId | None = None
    url: Url | None = None
    title: Title | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(getattr(self, name) is not None for name in _SOURCES) != 1:
            raise ValueError("should have exactly one of text, file_id and url")
        return self


class JsonSchema(BaseModel):
    """As in a chat's `response_format`."""

    model_config = ConfigDict(**(_CONFIG | {"protected_namespaces": ()}))

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] = "summary"
    description: str | None = None
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class ResponseFormat(BaseModel):
    """Text, or JSON of a schema."""

    model_config = _CONFIG

    type: Literal["text", "json_schema"]
    json_schema: JsonSchema | None = None


class SummaryRequest(BaseModel):
    """What is to be summarised, and how: see docs/BULK.md."""

    model_config = _CONFIG

    model: ModelName = "auto"
    documents: Annotated[list[Document], Field(min_length=1, max_length=MOST_DOCUMENTS)] | None = (
        None
    )
    input: Text | None = None
    file_id: FileId | None = None
    url: Url | None = None
    title: Title | None = None
    style: Style = "paragraph"
    length: Length = "medium"
    language: Annotated[str, StringConstraints(min_length=2, max_length=64)] | None = None
    focus: Annotated[str, StringConstraints(min_length=1, max_length=2_000)] | None = None
    instructions: Annotated[str, StringConstraints(min_length=1, max_length=8_000)] | None = None
    response_format: ResponseFormat | None = None
    json_schema: dict[str, Any] | None = None
    combined: bool = False
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    chunk_tokens: Annotated[int, Field(ge=256, le=1_000_000)] | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """The JSON that is asked for."""

    name: str
    schema: dict[str, Any]
    strict: bool | None


def summary_request(body: object, where: str = "") -> SummaryRequest:
    """A checked request. Refused (400) names the field; `where` is what the body is called."""
    try:
        request = SummaryRequest.model_validate(body)
    except ValidationError as exc:
        raise refused_from(exc, where, SummaryRequest) from None  # it quotes the caller
    _one_way(request, where)
    for index, document in enumerate(documents_of(request)):
        if document.url is not None:
            field = "url" if request.documents is None else f"documents[{index}].url"
            _web_address(document.url, _path(where, field))
    shape = request.response_format
    if shape is not None and shape.type == "json_schema" and shape.json_schema is None:
        raise _refused(where, "response_format.json_schema", "is required for type 'json_schema'")
    if shape is not None and request.json_schema is not None:
        raise _refused(where, "json_schema", "stands for response_format: send one of them")
    found = shape_of(request)
    if found is not None:
        _check_schema(request, found.schema, where)
    return request


def documents_of(request: SummaryRequest) -> tuple[Document, ...]:
    """What is to be read, whichever way it was said."""
    if request.documents is not None:
        return tuple(request.documents)
    return (
        Document(text=request.input, file_id=request.file_id, url=request.url, title=request.title),
    )


def shape_of(request: SummaryRequest) -> Shape | None:
    """The JSON that is asked for; None where it is text."""
    if request.json_schema is not None:
        return Shape("summary", request.json_schema, None)
    shape = request.response_format and request.response_format.json_schema
    if not shape or (request.response_format and request.response_format.type == "text"):
        return None
    return Shape(shape.name, shape.schema_, shape.strict)


def wish_of(request: SummaryRequest) -> Wish:
    """What is to be written, as the core knows it."""
    shape = shape_of(request)
    length = request.length
    return Wish(
        style=request.style,
        words=length if isinstance(length, int) else LENGTHS[length],
        language=request.language,
        focus=request.focus,
        instructions=request.instructions,
        schema=None if shape is None else shape.schema,
        chunk_tokens=request.chunk_tokens,
    )


def stored(request: SummaryRequest) -> dict[str, Any]:
    """The request as it is kept: only what was said, with its documents always as a list."""
    said = request.model_dump(by_alias=True, exclude_unset=True)
    for name in ("input", "file_id", "url", "title"):
        said.pop(name, None)
    documents = [one.model_dump(exclude_none=True) for one in documents_of(request)]
    return said | {"model": request.model, "documents": documents}


def _check_schema(request: SummaryRequest, schema: dict[str, Any], where: str) -> None:
    short = request.json_schema is not None
    field = "json_schema" if short else "response_format.json_schema.schema"
    if len(str(schema)) > MOST_SCHEMA_CHARS:
        raise _refused(where, field, f"is longer than {MOST_SCHEMA_CHARS} characters")
    wrong = form_problem(schema, field)
    if wrong is not None:
        raise _refused(where, *wrong)


def _one_way(request: SummaryRequest, where: str) -> None:
    short = [name for name in ("input", "file_id", "url") if getattr(request, name) is not None]
    if request.documents is not None:
        if short or request.title is not None:
            field = (short or ["title"])[0]
            raise _refused(where, field, "is for one document: leave it out beside documents")
    elif not short:
        raise _refused(
            where, "documents", "is required (or input, file_id or url, for one document)"
        )
    elif len(short) > 1:
        raise _refused(where, short[1], f"is one document too many beside {short[0]}")


def _web_address(url: str, path: str) -> None:
    if (problem := web_problem(url)) is not None:
        raise Refused(f"{path}: {problem}", param=path, code="invalid_url")
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        problem = "should hold no user and password"
        raise Refused(f"{path}: {problem}", param=path, code="invalid_url")


def _refused(where: str, field: str, problem: str) -> Refused:
    path = _path(where, field)
    code = "missing_required_parameter" if problem.startswith("is required") else "invalid_value"
    return Refused(f"{path}: {problem}", param=path, code=code)


def _path(where: str, field: str) -> str:
    return f"{where}.{field}" if where else field


assert set(STYLES) == set(Style.__args__)  # type: ignore[attr-defined]  # noqa: S101
