"""Chat and embedding requests as they arrive: checked, counted, and no more than that."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from simulator.answers import (
    TOKENS_PER_IMAGE,
    TOKENS_PER_MESSAGE,
    message_text,
    question_of,
    text_tokens,
)
from simulator.config import Model

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_PARTS = frozenset({"text", "image_url", "input_audio", "file", "refusal"})
_FORMATS = frozenset({"text", "json_object", "json_schema"})
_MAX_INPUTS = 2_048


class BadRequestError(Exception):
    """A request the provider refuses, naming the field. `facts` are figures and names to tell."""

    def __init__(
        self, message: str, param: str | None = None, code: str | None = None, **facts: Any
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = code
        self.facts = facts


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A valid chat request, reduced to what decides the answer. Counts are tokens."""

    model: str
    question: str
    prompt_tokens: int
    images: int = 0
    max_tokens: int | None = None
    stream: bool = False
    include_usage: bool = False
    tool: Mapping[str, Any] | None = None
    wants_json: bool = False
    schema: Mapping[str, Any] | None = None
    as_array: bool = False


@dataclass(frozen=True, slots=True)
class EmbeddingCall:
    """A valid embedding request."""

    model: str
    inputs: tuple[str, ...]
    prompt_tokens: int
    dimensions: int | None = None
    as_base64: bool = False
    images: int = field(default=0, init=False)
    stream: bool = field(default=False, init=False)
    max_tokens: int | None = field(default=None, init=False)


def names(text: str) -> frozenset[str]:
    """The words of a text, as names to look up."""
    return frozenset(text.split())


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; raises `BadRequestError`."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise BadRequestError(f"We could not parse the JSON body of your request: {exc}") from exc
    if not isinstance(value, dict):
        raise BadRequestError("The body of your request must be a JSON object.")
    return value


def parse_chat(given: Mapping[str, Any]) -> ChatCall:
    """Check a chat request; raises `BadRequestError` that names the field."""
    model = _model(given)
    messages = given.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("'messages' must be an array with at least one message.", "messages")
    tokens, images = 0, 0
    for i, message in enumerate(messages):
        message_tokens, message_images = _check_message(message, f"messages[{i}]")
        tokens, images = tokens + message_tokens, images + message_images
    if given.get("n") not in (None, 1):
        raise BadRequestError("'n' must be at most 1.", "n")
    check_number(given, "temperature", 0, 2)
    check_number(given, "top_p", 0, 1)
    options = given.get("stream_options")
    stream = _flag(given, "stream")
    if options is not None and (not stream or not isinstance(options, Mapping)):
        raise BadRequestError(
            "'stream_options' is only allowed when 'stream' is true.", "stream_options"
        )
    tools = _tools(given)
    question = question_of(messages)
    schema, wants_json = _response_format(given)
    return ChatCall(
        model=model,
        question=question,
        prompt_tokens=tokens + (text_tokens(orjson.dumps(tools).decode()) if tools else 0),
        images=images,
        max_tokens=_max_tokens(given),
        stream=stream,
        include_usage=bool(options and options.get("include_usage")),
        tool=_chosen_tool(given, tools, question, str(messages[-1].get("role"))),
        wants_json=wants_json,
        schema=schema,
    )


def counted(call: ChatCall, more_tokens: int) -> ChatCall:
    """The same call with more tokens in its prompt."""
    return replace(call, prompt_tokens=call.prompt_tokens + more_tokens) if more_tokens else call


def parse_embedding(given: Mapping[str, Any]) -> EmbeddingCall:
    """Check an embedding request; raises `BadRequestError` that names the field."""
    model = _model(given)
    inputs = _inputs(given.get("input"))
    dimensions = given.get("dimensions")
    if dimensions is not None and (not _is_whole(dimensions) or not 1 <= dimensions <= 8_192):  # noqa: PLR2004
        raise BadRequestError("'dimensions' must be a whole number from 1 to 8192.", "dimensions")
    encoding = given.get("encoding_format") or "float"
    if encoding not in ("float", "base64"):
        raise BadRequestError("'encoding_format' must be 'float' or 'base64'.", "encoding_format")
    return EmbeddingCall(
        model=model,
        inputs=inputs,
        prompt_tokens=sum(max(1, text_tokens(text)) for text in inputs),
        dimensions=dimensions,
        as_base64=encoding == "base64",
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _model(given: Mapping[str, Any]) -> str:
    model = given.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequestError("you must provide a model parameter", "model")
    return model


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequestError(f"'{name}' must be true or false.", name)
    return bool(value)


def check_number(given: Mapping[str, Any], name: str, least: float, most: float) -> None:
    """Raise `BadRequestError` where the field is given and is no number within the bounds."""
    value = given.get(name)
    if value is None:
        return
    good = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not good or not least <= value <= most:
        raise BadRequestError(f"'{name}' must be a number from {least} to {most}.", name)


def _max_tokens(given: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = given.get(name)
        if value is not None:
            if not _is_whole(value) or value < 1:
                raise BadRequestError(f"'{name}' must be a whole number from 1.", name)
            return int(value)
    return None


def _check_message(message: Any, where: str) -> tuple[int, int]:
    """Tokens and images of one message."""
    if not isinstance(message, Mapping):
        raise BadRequestError(f"'{where}' must be an object.", where)
    if message.get("role") not in _ROLES:
        raise BadRequestError(f"Invalid value for '{where}.role'.", f"{where}.role")
    content = message.get("content")
    if isinstance(content, str):
        return TOKENS_PER_MESSAGE + text_tokens(content), 0
    if content is None:
        if message["role"] in ("user", "system", "developer"):
            raise BadRequestError(f"'{where}.content' is missing.", f"{where}.content")
        return TOKENS_PER_MESSAGE, 0
    if not isinstance(content, list):
        raise BadRequestError(
            f"'{where}.content' must be a string or an array.", f"{where}.content"
        )
    images = 0
    for i, part in enumerate(content):
        if not isinstance(part, Mapping) or part.get("type") not in _PARTS:
            raise BadRequestError(
                f"Invalid value for '{where}.content[{i}].type'.", f"{where}.content"
            )
        images += part["type"] == "image_url"
    tokens = text_tokens(message_text([p for p in content if p["type"] != "image_url"]))
    return TOKENS_PER_MESSAGE + tokens + TOKENS_PER_IMAGE * images, images


def _tools(given: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    tools = given.get("tools")
    if tools is None:
        return []
    if not isinstance(tools, list):
        raise BadRequestError("'tools' must be an array.", "tools")
    for i, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise BadRequestError(f"'tools[{i}].function.name' is missing.", f"tools[{i}].function")
    return tools


def _chosen_tool(
    given: Mapping[str, Any], tools: list[Mapping[str, Any]], question: str, last_role: str
) -> Mapping[str, Any] | None:
    """The function OpenAI's `tool_choice` asks for."""
    choice = given.get("tool_choice") or ("auto" if tools else "none")
    functions: list[Mapping[str, Any]] = [tool["function"] for tool in tools]
    if isinstance(choice, Mapping):
        choice = {"name": (choice.get("function") or {}).get("name")}
    elif choice not in ("none", "auto", "required"):
        raise BadRequestError("Invalid value for 'tool_choice'.", "tool_choice")
    return chosen_function(choice, functions, question, after_tool=last_role == "tool")


def chosen_function(
    choice: str | Mapping[str, Any],
    functions: list[Mapping[str, Any]],
    question: str,
    *,
    after_tool: bool,
) -> Mapping[str, Any] | None:
    """The function to call: the forced one (`required`, or by name), or one the question names.

    Raises:
        BadRequestError: the forced one is not there.
    """
    if isinstance(choice, Mapping):
        for function in functions:
            if function["name"] == choice["name"]:
                return function
        raise BadRequestError(f"Tool choice {choice['name']!r} is not in 'tools'.", "tool_choice")
    if choice == "required":
        if not functions:
            raise BadRequestError("'tool_choice' needs 'tools'.", "tool_choice")
        return functions[0]
    if choice == "auto" and not after_tool:
        return next((f for f in functions if f["name"] in question), None)
    return None


def _response_format(given: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, bool]:
    """The schema asked for, if any, and whether JSON is asked for at all."""
    wanted = given.get("response_format")
    if wanted is None:
        return None, False
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if kind not in _FORMATS:
        raise BadRequestError("Invalid value for 'response_format.type'.", "response_format.type")
    if kind != "json_schema":
        return None, kind == "json_object"
    schema = (wanted.get("json_schema") or {}).get("schema")
    if not isinstance(schema, Mapping):
        raise BadRequestError(
            "'response_format.json_schema.schema' is missing.", "response_format.json_schema"
        )
    return schema, True


def _inputs(value: Any) -> tuple[str, ...]:
    if isinstance(value, str) and value:
        return (value,)
    if isinstance(value, list) and 0 < len(value) <= _MAX_INPUTS:
        if all(isinstance(item, str) and item for item in value):
            return tuple(value)
        if all(_is_whole(item) for item in value):
            return (" ".join(map(str, value)),)
        if all(isinstance(i, list) and i and all(_is_whole(t) for t in i) for i in value):
            return tuple(" ".join(map(str, item)) for item in value)
    raise BadRequestError("'input' must be a string or an array of strings or tokens.", "input")


def check_size(call: ChatCall | EmbeddingCall, model: Model) -> None:
    """Raise `BadRequestError` where a call is longer than the model takes."""
    wanted = call.max_tokens or 0
    requested = call.prompt_tokens + wanted
    if requested > model.context_window:
        raise BadRequestError(
            f"This model's maximum context length is {model.context_window} tokens. However, "
            f"you requested {requested} tokens ({call.prompt_tokens} in the messages, {wanted} in "
            "the completion). Please reduce the length of the messages.",
            "messages",
            "context_length_exceeded",
            limit=model.context_window,
            requested=requested,
            prompt=call.prompt_tokens,
            wanted=wanted,
        )
    if wanted > model.max_output_tokens:
        raise BadRequestError(
            f"max_tokens is too large: {wanted}. This model supports at most "
            f"{model.max_output_tokens} completion tokens.",
            "max_tokens",
        )
