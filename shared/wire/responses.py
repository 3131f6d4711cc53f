"""OpenAI's Responses requests as the chats they ask for.

A body is checked as far as we act on it; what we do not know passes. What we cannot do is refused
by name, never dropped in silence: hosted tools, stored prompts, conversations, items by reference.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NotRequired, cast

from pydantic import ConfigDict, Discriminator, Field, Tag, TypeAdapter, ValidationError
from pydantic.types import StringConstraints
from typing_extensions import TypedDict

from shared.errors import Refused
from shared.nearest import Problem
from shared.wire.openai import (
    MAX_TOOLS,
    FunctionName,
    Json,
    Metadata,
    ModelName,
    json_type,
    refused,
    refused_from,
)

MAX_ITEMS: Final = 10_000
ID: Final = r"^resp_[A-Za-z0-9_-]{1,60}$"
_CONFIG = ConfigDict(strict=True, extra="allow", hide_input_in_errors=True)
_ROLES = ("user", "assistant", "system", "developer")
_NOT_SERVED: Final = ("conversation", "prompt")
_PASSED: Final = (
    "temperature", "top_p", "parallel_tool_calls", "user", "prompt_cache_key", "safety_identifier",
    "service_tier",
)  # fmt: skip
_OF_CHAT: Final = {
    "messages": "input",
    "max_tokens": "max_output_tokens",
    "max_completion_tokens": "max_output_tokens",
    "response_format": "text.format",
    "reasoning_effort": "reasoning.effort",
}


class _Format(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    type: Literal["text", "json_object", "json_schema"]
    name: NotRequired[FunctionName]
    schema: NotRequired[Json]
    strict: NotRequired[bool | None]
    description: NotRequired[str | None]


class _Text(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    format: NotRequired[_Format | None]
    verbosity: NotRequired[Literal["low", "medium", "high"] | None]


class _Reasoning(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    effort: NotRequired[str | None]


class _Tool(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    type: str
    name: NotRequired[FunctionName]
    description: NotRequired[str | None]
    parameters: NotRequired[Json | None]
    strict: NotRequired[bool | None]


class _NamedTool(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    type: str
    name: NotRequired[FunctionName]


class _Request(TypedDict):
    __pydantic_config__ = _CONFIG  # type: ignore[misc]
    model: ModelName
    input: Annotated[
        Annotated[str, StringConstraints(min_length=1), Tag("#text")]
        | Annotated[list[Json], Field(min_length=1, max_length=MAX_ITEMS), Tag("#list")],
        Discriminator(
            json_type,
            custom_error_type="input_type",
            custom_error_message="should be a string or a list of items",
        ),
    ]
    instructions: NotRequired[str | None]
    max_output_tokens: NotRequired[Annotated[int, Field(ge=1)] | None]
    temperature: NotRequired[Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None]
    top_p: NotRequired[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None]
    tools: NotRequired[Annotated[list[_Tool], Field(max_length=MAX_TOOLS)] | None]
    tool_choice: NotRequired[
        Annotated[
            Annotated[Literal["none", "auto", "required"], Tag("#text")]
            | Annotated[_NamedTool, Tag("#object")],
            Discriminator(
                json_type,
                custom_error_type="tool_choice_type",
                custom_error_message="should be 'none', 'auto', 'required' or a function",
            ),
        ]
        | None
    ]
    parallel_tool_calls: NotRequired[bool | None]
    text: NotRequired[_Text | None]
    reasoning: NotRequired[_Reasoning | None]
    metadata: NotRequired[Metadata | None]
    stream: NotRequired[bool | None]
    background: NotRequired[bool | None]
    store: NotRequired[bool | None]
    previous_response_id: NotRequired[Annotated[str, StringConstraints(pattern=ID)] | None]
    user: NotRequired[str | None]
    safety_identifier: NotRequired[str | None]
    prompt_cache_key: NotRequired[str | None]
    service_tier: NotRequired[str | None]
    truncation: NotRequired[Literal["auto", "disabled"] | None]
    include: NotRequired[Annotated[list[str], Field(max_length=100)] | None]
    top_logprobs: NotRequired[Annotated[int, Field(ge=0, le=20)] | None]
    max_tool_calls: NotRequired[Annotated[int, Field(ge=1)] | None]


_REQUEST = TypeAdapter(_Request)


def responses_request(body: object) -> dict[str, Any]:
    """`body` itself, if it is a request we can serve; else Refused (400) that names the field."""
    if problem := _not_served(body):
        raise refused(problem)
    try:
        _REQUEST.validate_python(body)
    except ValidationError as exc:
        raise refused_from(exc) from None  # it quotes the caller
    request = cast("dict[str, Any]", body)
    problem = _problem(request)
    if problem:
        raise refused(problem)
    return request


def _not_served(body: object) -> Problem | None:
    """Said first: who sends a stored prompt need not hear that `input` is missing."""
    for name in _NOT_SERVED if isinstance(body, dict) else ():
        if cast("dict[str, Any]", body).get(name) is not None:
            return Problem(name, "is not served here; send the input itself")
    return None


def _problem(request: Mapping[str, Any]) -> Problem | None:
    """What is not served, or wrong only together with something else."""
    if request.get("background") and request.get("store") is False:
        return Problem("store", "must not be false with background: the answer has to be kept")
    told = "message.output_text.logprobs" in (request.get("include") or ())
    if request.get("top_logprobs") or told:
        name = "top_logprobs" if request.get("top_logprobs") else "include"
        return Problem(name, "asks for logprobs: /v1/chat/completions gives them, responses do not")
    return _tools_problem(request) or _format_problem(request)


def _tools_problem(request: Mapping[str, Any]) -> Problem | None:
    for index, tool in enumerate(request.get("tools") or ()):
        if tool["type"] != "function":
            return Problem(f"tools[{index}].type", "should be 'function': no other tool is hosted")
        if "name" not in tool:
            return Problem(f"tools[{index}].name", "is required")
    choice = request.get("tool_choice")
    if isinstance(choice, dict) and (choice["type"] != "function" or "name" not in choice):
        return Problem("tool_choice", "should be 'none', 'auto', 'required' or a function by name")
    return None


def _format_problem(request: Mapping[str, Any]) -> Problem | None:
    shape = (request.get("text") or {}).get("format") or {}
    if shape.get("type") == "json_schema":
        for name in ("name", "schema"):
            if name not in shape:
                return Problem(f"text.format.{name}", "is required for type 'json_schema'")
    return None


def renamed(problem: Refused) -> Refused:
    """A refusal of the chat, in the words of the request it came from."""
    param = problem.param
    head = (param or "").partition("[")[0].partition(".")[0]
    if param is not None and head in _OF_CHAT:
        named = _OF_CHAT[head]
        problem.message = problem.message.replace(param, named, 1)
        problem.param = named
    return problem


def chat_of(request: Mapping[str, Any], before: Sequence[Json]) -> dict[str, Any]:
    """The chat that a checked request asks for; `before` are the messages of earlier turns.

    Refused: an item that is wrong or not served, by its place.
    """
    messages: list[Json] = []
    if request.get("instructions"):
        messages.append({"role": "system", "content": request["instructions"]})
    messages += before
    messages += messages_of(request["input"])
    chat: dict[str, Any] = {"model": request["model"], "messages": messages}
    chat |= {name: request[name] for name in _PASSED if request.get(name) is not None}
    if request.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = request["max_output_tokens"]
    if request.get("tools"):
        chat["tools"] = [_tool(tool) for tool in request["tools"]]
        choice = request.get("tool_choice")
        if choice is not None:
            named = isinstance(choice, dict)
            function = {"type": "function", "function": {"name": choice["name"]}} if named else None
            chat["tool_choice"] = function or choice
    else:
        chat.pop("parallel_tool_calls", None)
    shape = (request.get("text") or {}).get("format")
    if shape and shape["type"] != "text":
        chat["response_format"] = _shape(shape)
    if (request.get("text") or {}).get("verbosity") is not None:
        chat["verbosity"] = request["text"]["verbosity"]
    effort = (request.get("reasoning") or {}).get("effort")
    if effort is not None:
        chat["reasoning_effort"] = effort
    return chat


def _tool(tool: Json) -> Json:
    fields = ("name", "description", "parameters", "strict")
    return {
        "type": "function",
        "function": {name: tool[name] for name in fields if tool.get(name) is not None},
    }


def _shape(shape: Json) -> Json:
    if shape["type"] == "json_object":
        return {"type": "json_object"}
    fields = ("name", "schema", "strict", "description")
    return {
        "type": "json_schema",
        "json_schema": {name: shape[name] for name in fields if shape.get(name) is not None},
    }


def messages_of(given: str | Sequence[Json]) -> list[Json]:
    """The input as chat messages. Calls join the assistant's turn they belong to."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    messages: list[Json] = []
    for index, item in enumerate(given):
        path = f"input[{index}]"
        kind = item.get("type") or ("message" if "role" in item else None)
        match kind:
            case "message":
                messages.append(_message(item, path))
            case "function_call":
                _add_call(messages, item, path)
            case "function_call_output":
                output = _texts(item.get("output"), f"{path}.output")
                call_id = _text(item, "call_id", path)
                messages.append({"role": "tool", "tool_call_id": call_id, "content": output})
            case "reasoning":
                pass  # whose it was keeps it; others cannot read it
            case _:
                raise refused(
                    Problem(
                        f"{path}.type",
                        "should be 'message', 'function_call', 'function_call_output' or"
                        " 'reasoning'; other items are not served here",
                    )
                )
    if not messages:
        raise refused(Problem("input", "holds nothing that could be answered"))
    return messages


def _message(item: Json, path: str) -> Json:
    role = item.get("role")
    if role not in _ROLES:
        raise refused(Problem(f"{path}.role", f"should be one of {', '.join(_ROLES)}"))
    content = item.get("content")
    if isinstance(content, str):
        return {"role": role, "content": content}
    if not isinstance(content, list) or not content:
        raise refused(Problem(f"{path}.content", "should be a string or a list of parts"))
    parts = [_part(part, f"{path}.content[{at}]") for at, part in enumerate(content)]
    if all(part["type"] == "text" for part in parts):
        return {"role": role, "content": "".join(part["text"] for part in parts)}
    return {"role": role, "content": parts}


def _part(part: Any, path: str) -> Json:
    kind = part.get("type") if isinstance(part, dict) else None
    match kind:
        case "input_text" | "output_text" | "text":
            return {"type": "text", "text": _text(part, "text", path)}
        case "refusal":
            return {"type": "text", "text": _text(part, "refusal", path)}
        case "input_image":
            if not isinstance(part.get("image_url"), str):
                raise refused(Problem(f"{path}.image_url", "is required; file ids are not served"))
            image = {"url": part["image_url"]}
            if part.get("detail") in ("low", "high", "auto"):
                image["detail"] = part["detail"]
            return {"type": "image_url", "image_url": image}
        case "input_audio":
            audio = part.get("input_audio")
            if not isinstance(audio, dict):
                raise refused(Problem(f"{path}.input_audio", "is required"))
            return {"type": "input_audio", "input_audio": audio}
        case "input_file":
            data = _text(part, "file_data", path)
            name = part.get("filename")
            return {"type": "file", "file": {"file_data": data, "filename": str(name or "file")}}
        case _:
            raise refused(
                Problem(
                    f"{path}.type",
                    "should be 'input_text', 'output_text', 'input_image', 'input_audio',"
                    " 'input_file' or 'refusal'",
                )
            )


def _add_call(messages: list[Json], item: Json, path: str) -> None:
    call = {
        "id": _text(item, "call_id", path),
        "type": "function",
        "function": {
            "name": _text(item, "name", path),
            "arguments": _text(item, "arguments", path),
        },
    }
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    messages[-1] = messages[-1] | {"tool_calls": [*messages[-1].get("tool_calls", ()), call]}


def _texts(value: Any, path: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = [_part(part, f"{path}[{at}]") for at, part in enumerate(value)]
        if all(part["type"] == "text" for part in parts):
            return "".join(part["text"] for part in parts)
    raise refused(Problem(path, "should be a string or a list of texts"))


def _text(item: Json, name: str, path: str) -> str:
    value = item.get(name)
    if not isinstance(value, str):
        what = "is required" if value is None else "should be a string"
        raise refused(Problem(f"{path}.{name}", what))
    return value


def echo(request: Mapping[str, Any]) -> Json:
    """What of a request its response repeats, with OpenAI's defaults; null is not having said."""
    said = {name: value for name, value in request.items() if value is not None}
    return {
        "background": bool(request.get("background")),
        "instructions": request.get("instructions"),
        "max_output_tokens": request.get("max_output_tokens"),
        "max_tool_calls": request.get("max_tool_calls"),
        "metadata": request.get("metadata") or {},
        "parallel_tool_calls": request.get("parallel_tool_calls") is not False,
        "previous_response_id": request.get("previous_response_id"),
        "reasoning": request.get("reasoning") or {"effort": None, "summary": None},
        "store": request.get("store") is not False,
        "service_tier": "default",
        "temperature": said.get("temperature", 1.0),
        "text": {"format": {"type": "text"}} | _said_of(said.get("text")),
        "tool_choice": request.get("tool_choice") or "auto",
        "tools": request.get("tools") or [],
        "top_logprobs": 0,
        "top_p": said.get("top_p", 1.0),
        "truncation": request.get("truncation") or "disabled",
        "user": request.get("user"),
    } | {name: said[name] for name in ("prompt_cache_key", "safety_identifier") if name in said}


def _said_of(value: Json | None) -> Json:
    return {name: said for name, said in (value or {}).items() if said is not None}
