"""Gemini's native requests, checked and reduced to what decides the answer.

Names come in camelCase or in snake_case, as proto3 JSON allows, and unknown ones are refused.
"""

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from simulator.answers import TOKENS_PER_IMAGE, TOKENS_PER_MESSAGE, digest, text_tokens
from simulator.requests import BadRequestError, ChatCall, EmbeddingCall, chosen_function, names

SIGNATURE = b"sim-signature:"
_SKIP = b"skip_thought_signature_validator"
_BODY = names(
    "model contents systemInstruction tools toolConfig generationConfig safetySettings "
    "cachedContent serviceTier store labels"
)
_GENERATION = names(
    "temperature topP topK candidateCount maxOutputTokens stopSequences seed presencePenalty "
    "frequencyPenalty responseLogprobs logprobs responseMimeType responseSchema "
    "responseJsonSchema thinkingConfig mediaResolution responseModalities speechConfig "
    "audioTranscriptionConfig"
)
_PART = names(
    "text inlineData fileData functionCall functionResponse executableCode "
    "codeExecutionResult audioTranscription thought thoughtSignature videoMetadata"
)
_MODES = ("AUTO", "ANY", "NONE", "VALIDATED")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
_NO_SUBSET = ("$ref", "additionalProperties", "const", "oneOf", "$schema")
_MAX_STOPS = 5
_SNAKE = re.compile(r"_([a-z])")


@dataclass(frozen=True, slots=True)
class _Said:
    """One content: its text (pictures as digests), how many tokens, how many pictures."""

    role: str
    text: str
    tokens: int
    images: int
    answers_tool: bool


def parse(model: str, given: Mapping[str, Any], *, stream: bool) -> ChatCall:
    """Check a `generateContent` request; raises `BadRequestError`."""
    body = _named(given, _BODY, "")
    said = _contents(body.get("contents"))
    question = next((s.text for s in reversed(said) if s.role == "user" and s.text), "")
    config = _generation(body.get("generationConfig") or {})
    functions = _functions(body.get("tools") or ())
    schema = config.get("responseJsonSchema") or config.get("responseSchema")
    wants_json = config.get("responseMimeType") == "application/json"
    if schema is not None and not wants_json:
        raise _invalid("response schema needs response_mime_type application/json")
    return ChatCall(
        model=model,
        question=question,
        prompt_tokens=sum(s.tokens for s in said) + _system_tokens(body) + _tokens(functions),
        images=sum(s.images for s in said),
        max_tokens=config.get("maxOutputTokens"),
        stream=stream,
        tool=_tool(body.get("toolConfig") or {}, functions, question, said[-1].answers_tool),
        wants_json=wants_json,
        schema=_lowered(schema) if schema else None,
    )


def parse_embed(model: str, given: Mapping[str, Any], *, batch: bool) -> EmbeddingCall:
    """Check an `embedContent` or `batchEmbedContents` request; raises `BadRequestError`."""
    requests = given.get("requests") if batch else [given]
    if not isinstance(requests, list) or not requests:
        raise _invalid("requests must not be empty")
    texts, dimensions = [], None
    for request in requests:
        content = request.get("content") if isinstance(request, Mapping) else None
        if not isinstance(content, Mapping) or not content.get("parts"):
            raise _invalid("content must not be empty")
        texts.append("".join(str(part.get("text", "")) for part in content["parts"]))
        dimensions = request.get("outputDimensionality") or dimensions
    return EmbeddingCall(
        model=model,
        inputs=tuple(texts),
        prompt_tokens=sum(max(1, text_tokens(text)) for text in texts),
        dimensions=dimensions,
    )


def _invalid(message: str) -> BadRequestError:
    return BadRequestError(message)


def _camel(name: str) -> str:
    return _SNAKE.sub(lambda found: found[1].upper(), name)


def _named(given: Any, names: Iterable[str], where: str) -> dict[str, Any]:
    """The mapping under camelCase names; raises where one is unknown."""
    if not isinstance(given, Mapping):
        raise _invalid(f"Invalid JSON payload received. '{where}' must be an object.")
    named = {_camel(str(name)): value for name, value in given.items()}
    for name in named:
        if name not in names:
            place = f" at '{where}'" if where else ""
            raise _invalid(
                f'Invalid JSON payload received. Unknown name "{name}"{place}: Cannot find field.'
            )
    return named


def _contents(contents: Any) -> list[_Said]:
    contents = [contents] if isinstance(contents, Mapping) else contents
    if not isinstance(contents, list) or not contents:
        raise _invalid("* GenerateContentRequest.contents: contents is not specified")
    said = [_content(content, f"contents[{i}]") for i, content in enumerate(contents)]
    if said[0].role != "user":
        raise _invalid("Please ensure that multiturn requests begin with a user turn.")
    for before, after in pairwise(said):
        if after.answers_tool and before.role != "model":
            raise _invalid(
                "Please ensure that function response turn comes immediately after a function "
                "call turn."
            )
    return said


def _content(content: Any, where: str) -> _Said:
    named = _named(content, ("role", "parts"), where)
    role = named.get("role") or "user"
    if role not in ("user", "model"):
        raise _invalid("Please use a valid role: user, model.")
    parts = named.get("parts")
    if not isinstance(parts, list) or not parts:
        raise _invalid(f"* GenerateContentRequest.{where}.parts: contents.parts must not be empty.")
    text, tokens, images, calls, answers = "", TOKENS_PER_MESSAGE, 0, 0, False
    for i, each in enumerate(parts):
        part = _named(each, _PART, f"{where}.parts[{i}]")
        if part.get("thought"):
            continue
        if part.get("text") == "" and not part.get("thoughtSignature"):
            raise _invalid(f"{where}.parts[{i}]: text must not be empty.")
        tokens += text_tokens(str(part.get("text") or ""))
        text += str(part.get("text") or "")
        if "inlineData" in part:
            data = _named(part["inlineData"], ("mimeType", "data", "displayName"), where)
            address = f"data:{data.get('mimeType')};base64,{data.get('data')}"
            text += f"<image {digest(address)}>"
            tokens, images = tokens + TOKENS_PER_IMAGE, images + 1
        if "functionCall" in part:
            _check_signature(part, first=calls == 0, role=role)
            calls += 1
            tokens += _tokens(part["functionCall"])
        if "functionResponse" in part:
            answers = True
            response = _named(
                part["functionResponse"], ("id", "name", "response", "parts", "scheduling"), where
            )
            if not isinstance(response.get("response"), Mapping) or not response.get("name"):
                raise _invalid(f"{where}.parts[{i}]: functionResponse needs a name and an object.")
            tokens += _tokens(response["response"])
    return _Said(role, text, tokens, images, answers)


def _check_signature(part: Mapping[str, Any], *, first: bool, role: str) -> None:
    """A call in the history carries the signature it came with; of parallel ones, the first."""
    if role != "model":
        raise _invalid("A function call must be in a model turn.")
    shown = part.get("thoughtSignature")
    if shown is None and not first:
        return
    try:
        signed = base64.b64decode(str(shown or ""), altchars=b"-_", validate=False)
    except ValueError:
        signed = b""
    if signed != _SKIP and not signed.startswith(SIGNATURE):
        name = part["functionCall"].get("name")
        raise _invalid(f"Function call `{name}` is missing a thought_signature in functionCall.")


def _generation(given: Any) -> dict[str, Any]:
    config = _named(given, _GENERATION, "generation_config")
    limit = config.get("maxOutputTokens")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise _invalid("max_output_tokens must be positive.")
    if config.get("candidateCount") not in (None, 1):
        raise _invalid("Multiple candidates is not enabled for this model.")
    if len(config.get("stopSequences") or ()) > _MAX_STOPS:
        raise _invalid(f"stop_sequences: at most {_MAX_STOPS}")
    if config.get("responseSchema") is not None and config.get("responseJsonSchema") is not None:
        raise _invalid("response_schema and response_json_schema exclude each other.")
    _check_subset(config.get("responseSchema"), "generation_config.response_schema")
    thinking = config.get("thinkingConfig") or {}
    if "thinkingBudget" in thinking and "thinkingLevel" in thinking:
        raise _invalid("You can only set only one of thinking budget and thinking level.")
    return config


def _functions(tools: Any) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for i, tool in enumerate(tools):
        declared = {_camel(str(name)): value for name, value in tool.items()}
        for j, function in enumerate(declared.get("functionDeclarations") or ()):
            where = f"tools[{i}].function_declarations[{j}]"
            names = ("name", "description", "parameters", "parametersJsonSchema", "response")
            shown = _named(function, (*names, "responseJsonSchema", "behavior"), where)
            if not _NAME.fullmatch(str(shown.get("name", ""))):
                raise _invalid(f"{where}.name: Invalid function name.")
            _check_subset(shown.get("parameters"), f"{where}.parameters")
            if "parameters" in shown and "parametersJsonSchema" in shown:
                raise _invalid(f"{where}: parameters and parameters_json_schema exclude each other")
            schema = shown.get("parametersJsonSchema") or _lowered(shown.get("parameters"))
            found.append({"name": shown["name"], "parameters": schema})
    return found


def _tool(
    config: Any, functions: list[Mapping[str, Any]], question: str, answers_tool: bool
) -> Mapping[str, Any] | None:
    calling = config.get("functionCallingConfig") or config.get("function_calling_config") or {}
    calling = _named(calling, ("mode", "allowedFunctionNames"), "function_calling_config")
    mode = calling.get("mode") or "AUTO"
    if mode not in _MODES:
        raise _invalid(f'Invalid value at function_calling_config.mode: "{mode}"')
    allowed = calling.get("allowedFunctionNames")
    if allowed and mode not in ("ANY", "VALIDATED"):
        raise _invalid("allowed_function_names should only be set when mode is ANY.")
    if allowed:
        functions = [function for function in functions if function["name"] in allowed]
    choice = {"ANY": "required", "NONE": "none"}.get(mode, "auto")
    return chosen_function(choice, functions, question, after_tool=answers_tool)


def _system_tokens(body: Mapping[str, Any]) -> int:
    system = body.get("systemInstruction")
    if system is None:
        return 0
    if not isinstance(system, Mapping):
        raise _invalid("system_instruction must be an object.")
    parts = system.get("parts") or ()
    parts = [parts] if isinstance(parts, Mapping) else parts
    text = "".join(str(part.get("text", "")) for part in parts)
    return TOKENS_PER_MESSAGE + text_tokens(text)


def _tokens(value: Any) -> int:
    return text_tokens(str(value)) if value else 0


def _check_subset(schema: Any, where: str) -> None:
    """The older schema fields take OpenAPI's subset only."""
    if isinstance(schema, Mapping):
        for name, part in schema.items():
            if name in _NO_SUBSET:
                raise _invalid(f"Unknown name \"{name}\" at '{where}': Cannot find field.")
            inner = part.values() if name == "properties" and isinstance(part, Mapping) else [part]
            for each in inner:
                _check_subset(each, f"{where}.{name}")
    elif isinstance(schema, list):
        for each in schema:
            _check_subset(each, where)


def _lowered(schema: Any) -> Any:
    """The schema with `OBJECT` and its like as JSON Schema writes them."""
    if isinstance(schema, Mapping):
        return {
            name: str(part).lower() if name == "type" and isinstance(part, str) else _lowered(part)
            for name, part in schema.items()
        }
    return [_lowered(each) for each in schema] if isinstance(schema, list) else schema
