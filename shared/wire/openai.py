"""OpenAI's request shapes, as far as they must be right for us to serve them.

A body is checked, not converted: what is stored and forwarded is the caller's own dict. Fields we
do not know pass (newer SDKs keep working); fields we know must have OpenAI's types, so that a
mistake is a 400 that names the field and not a failed job. Checking a small chat costs some 10 µs.
"""

from typing import Annotated, Any, Literal, NotRequired, cast

from pydantic import ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError
from pydantic.types import StringConstraints
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from shared.errors import Refused
from shared.nearest import Problem, problems

MAX_MESSAGES = 10_000
MAX_TOOLS = 1_024
MAX_EMBEDDING_INPUTS = 2_048

_CONFIG = ConfigDict(strict=True, extra="allow", hide_input_in_errors=True)

ModelName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
FunctionName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
Json = dict[str, Any]
Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]
Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(max_length=64)],
        Annotated[str, StringConstraints(max_length=512)],
    ],
    Field(max_length=16),
]


def json_type(value: Any) -> str | None:
    """Which branch of a union of JSON types a value belongs to, as a tag that paths leave out."""
    match value:
        case str():
            return "#text"
        case list():
            return "#list"
        case dict():
            return "#object"
        case _:
            return None


class _ImageUrl(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    url: Annotated[str, StringConstraints(min_length=1)]
    detail: NotRequired[Literal["low", "high", "auto"] | None]


class _Audio(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    data: str
    format: str


class _Part(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    type: Literal["text", "image_url", "input_audio", "file", "refusal"]
    text: NotRequired[str]
    refusal: NotRequired[str]
    image_url: NotRequired[_ImageUrl]
    input_audio: NotRequired[_Audio]
    file: NotRequired[Json]


class _FunctionCall(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    name: str
    arguments: str


class _ToolCall(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    id: str
    type: NotRequired[str]
    function: NotRequired[_FunctionCall]


Content = Annotated[
    Annotated[str, Tag("#text")] | Annotated[list[_Part], Field(min_length=1), Tag("#list")],
    Discriminator(
        json_type,
        custom_error_type="content_type",
        custom_error_message="should be a string or a list of content parts",
    ),
]


class _Message(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: NotRequired[Content | None]
    name: NotRequired[str | None]
    tool_calls: NotRequired[list[_ToolCall] | None]
    tool_call_id: NotRequired[str | None]


class _Function(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    name: FunctionName
    description: NotRequired[str | None]
    parameters: NotRequired[Json | None]
    strict: NotRequired[bool | None]


class _Tool(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    type: str
    function: NotRequired[_Function]


class _JsonSchema(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    name: FunctionName
    schema: NotRequired[Json]
    strict: NotRequired[bool | None]


class _ResponseFormat(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    type: Literal["text", "json_object", "json_schema"]
    json_schema: NotRequired[_JsonSchema]


class _StreamOptions(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    include_usage: NotRequired[bool | None]


Stop = Annotated[
    Annotated[str, Tag("#text")]
    | Annotated[list[str], Field(min_length=1, max_length=16), Tag("#list")],
    Discriminator(
        json_type,
        custom_error_type="stop_type",
        custom_error_message="should be a string or a list of strings",
    ),
]
ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required", "any"], Tag("#text")]
    | Annotated[Json, Tag("#object")],
    Discriminator(
        json_type,
        custom_error_type="tool_choice_type",
        custom_error_message="should be none, auto, required or an object that names a function",
    ),
]


class _Chat(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    model: ModelName
    messages: Annotated[list[_Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: NotRequired[bool | None]
    stream_options: NotRequired[_StreamOptions | None]
    temperature: NotRequired[Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None]
    top_p: NotRequired[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None]
    n: NotRequired[Annotated[int, Field(ge=1, le=128)] | None]
    max_tokens: NotRequired[Annotated[int, Field(ge=1)] | None]
    max_completion_tokens: NotRequired[Annotated[int, Field(ge=1)] | None]
    stop: NotRequired[Stop | None]
    seed: NotRequired[int | None]
    presence_penalty: NotRequired[Penalty | None]
    frequency_penalty: NotRequired[Penalty | None]
    logit_bias: NotRequired[dict[str, float] | None]
    logprobs: NotRequired[bool | None]
    top_logprobs: NotRequired[Annotated[int, Field(ge=0, le=20)] | None]
    response_format: NotRequired[_ResponseFormat | None]
    tools: NotRequired[Annotated[list[_Tool], Field(max_length=MAX_TOOLS)] | None]
    tool_choice: NotRequired[ToolChoice | None]
    parallel_tool_calls: NotRequired[bool | None]
    reasoning_effort: NotRequired[str | None]
    service_tier: NotRequired[str | None]
    user: NotRequired[str | None]
    metadata: NotRequired[Metadata | None]
    store: NotRequired[bool | None]


_Tokens = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
_Texts = Annotated[list[Annotated[str, StringConstraints(min_length=1)]], Field(min_length=1)]


def _of_items(value: Any) -> str | None:
    """Which form of an embeddings input a value is, by its first item."""
    if isinstance(value, str):
        return "#text"
    if not isinstance(value, list):
        return None
    first = value[0] if value else ""
    if isinstance(first, list):
        return "#lists"
    return "#tokens" if isinstance(first, int) else "#texts"


class _Embeddings(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    model: ModelName
    input: Annotated[
        Annotated[str, StringConstraints(min_length=1), Tag("#text")]
        | Annotated[_Texts, Field(max_length=MAX_EMBEDDING_INPUTS), Tag("#texts")]
        | Annotated[_Tokens, Tag("#tokens")]
        | Annotated[list[_Tokens], Field(max_length=MAX_EMBEDDING_INPUTS), Tag("#lists")],
        Discriminator(
            _of_items,
            custom_error_type="input_type",
            custom_error_message="should be a string, or a list of strings or token ids",
        ),
    ]
    dimensions: NotRequired[Annotated[int, Field(ge=1, le=65_536)] | None]
    encoding_format: NotRequired[Literal["float", "base64"] | None]
    user: NotRequired[str | None]


_CHAT = TypeAdapter(_Chat)
_EMBEDDINGS = TypeAdapter(_Embeddings)
_NEEDS = {"text": "text", "image_url": "image_url", "input_audio": "input_audio", "file": "file"}


def chat_request(body: object, where: str = "") -> dict[str, Any]:
    """`body` itself, if it is a chat request; else Refused (400) that names the field.

    `where` is what the body is called in its own request, as `request` in `POST /v1/jobs`.
    """
    try:
        _CHAT.validate_python(body)
    except ValidationError as exc:
        raise refused_from(exc, where) from None  # it quotes the caller
    request = cast("dict[str, Any]", body)
    for index, message in enumerate(request["messages"]):
        problem = _message_problem(message, f"messages[{index}]")
        if problem:
            raise refused(problem, where)
    problem = _whole_problem(request)
    if problem:
        raise refused(problem, where)
    return request


def embeddings_request(body: object, where: str = "") -> dict[str, Any]:
    """`body` itself, if it is an embeddings request; else Refused (400) that names the field."""
    try:
        _EMBEDDINGS.validate_python(body)
    except ValidationError as exc:
        raise refused_from(exc, where) from None  # it quotes the caller
    return cast("dict[str, Any]", body)


def refused_from(error: ValidationError, where: str = "", model: Any = None) -> Refused:
    """The 400 of the first thing a validation found: OpenAI's shape, `param` like `messages[0]`."""
    return refused(problems(error, model)[0], where)


def refused(problem: Problem, where: str = "") -> Refused:
    """The 400 of one problem."""
    path = ".".join(part for part in (where, problem.path) if part)
    if not path:
        return Refused(f"the request body {problem.message}")
    code = "unknown_parameter" if problem.unknown else "invalid_value"
    if problem.message == "is required":
        code = "missing_required_parameter"
    return Refused(f"{path}: {problem.message}", param=path, code=code)


def _message_problem(message: dict[str, Any], path: str) -> Problem | None:
    """What the types of a message's fields cannot say."""
    role, content = message["role"], message.get("content")
    if content is None:
        if role == "assistant" and (message.keys() & {"tool_calls", "function_call", "refusal"}):
            return None
        return Problem(f"{path}.content", "is required for a message without tool calls")
    if role == "tool" and not message.get("tool_call_id"):
        return Problem(f"{path}.tool_call_id", "is required for a message of role 'tool'")
    if isinstance(content, list):
        for index, part in enumerate(content):
            field = _NEEDS.get(part["type"])
            if field and field not in part:
                return Problem(f"{path}.content[{index}].{field}", "is required")
    return None


def _whole_problem(request: dict[str, Any]) -> Problem | None:
    """What fields say only together."""
    shape = request.get("response_format")
    if shape and shape["type"] == "json_schema" and "json_schema" not in shape:
        return Problem("response_format.json_schema", "is required for type 'json_schema'")
    for index, tool in enumerate(request.get("tools") or ()):
        if tool["type"] == "function" and "function" not in tool:
            return Problem(f"tools[{index}].function", "is required for type 'function'")
    return None
