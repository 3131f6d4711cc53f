"""Cohere's v2 requests, checked and reduced to what decides the answer."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from simulator.answers import text_tokens
from simulator.requests import (
    BadRequestError,
    ChatCall,
    EmbeddingCall,
    check_number,
    counted,
    names,
    parse_chat,
)

_FIELDS = names(
    "model messages stream tools strict_tools tool_choice documents citation_options "
    "response_format safety_mode max_tokens stop_sequences temperature seed k p "
    "frequency_penalty presence_penalty logprobs thinking priority raw_prompting"
)
_ROLES = ("system", "user", "assistant", "tool")
_INPUT_TYPES = ("search_document", "search_query", "classification", "clustering", "image")
_MAX_STOPS, _MAX_TEXTS = 5, 96


def parse(given: Mapping[str, Any]) -> ChatCall:
    """Check a `/v2/chat` request; raises `BadRequestError`."""
    for name in given:
        if name not in _FIELDS:
            raise BadRequestError(f"unknown field: parameter '{name}' is not a valid field", name)
    for name, least, most in (
        ("temperature", 0.0, 1.0),
        ("frequency_penalty", 0.0, 1.0),
        ("presence_penalty", 0.0, 1.0),
        ("p", 0.01, 0.99),
    ):
        check_number(given, name, least, most)
    if len(given.get("stop_sequences") or ()) > _MAX_STOPS:
        raise BadRequestError(f"at most {_MAX_STOPS} stop sequences", "stop_sequences")
    choice = given.get("tool_choice")
    if choice not in (None, "REQUIRED", "NONE"):
        raise BadRequestError("tool_choice must be REQUIRED or NONE", "tool_choice")
    messages = given.get("messages")
    if isinstance(messages, Sequence):
        messages = [_message(message, i) for i, message in enumerate(messages)]
    wanted = {
        "model": given.get("model"),
        "messages": messages,
        "stream": given.get("stream"),
        "max_tokens": given.get("max_tokens"),
        "tools": given.get("tools"),
        "tool_choice": choice.lower() if choice else None,
        "response_format": _format(given),
    }
    return counted(parse_chat(wanted), _documents_tokens(given))


def parse_embed(given: Mapping[str, Any]) -> EmbeddingCall:
    """Check a `/v2/embed` request; raises `BadRequestError`."""
    model, texts = given.get("model"), given.get("texts")
    if not isinstance(model, str) or not model:
        raise BadRequestError("model is required", "model")
    if given.get("input_type") not in _INPUT_TYPES:
        raise BadRequestError("valid input_type must be provided with the model", "input_type")
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise BadRequestError("texts must be a list of strings", "texts")
    if len(texts) > _MAX_TEXTS:
        raise BadRequestError(f"total number of texts must be at most {_MAX_TEXTS}", "texts")
    return EmbeddingCall(
        model=model,
        inputs=tuple(texts),
        prompt_tokens=sum(max(1, text_tokens(text)) for text in texts),
        dimensions=given.get("output_dimension"),
    )


def _message(message: Any, i: int) -> Any:
    where = f"messages[{i}]"
    if not isinstance(message, Mapping) or message.get("role") not in _ROLES:
        raise BadRequestError(f"invalid request: {where}.role must be one of {_ROLES}", where)
    role, content = message["role"], message.get("content")
    if role == "tool" and not message.get("tool_call_id"):
        raise BadRequestError(f"{where}.tool_call_id is required", where)
    if not isinstance(content, list):
        return message
    parts = []
    for part in content:
        if isinstance(part, Mapping) and part.get("type") == "document":
            data = (part.get("document") or {}).get("data", "")
            text = data if isinstance(data, str) else orjson.dumps(data).decode()
            parts.append({"type": "text", "text": text})
        elif not (isinstance(part, Mapping) and part.get("type") == "thinking"):
            parts.append(part)
    return {**message, "content": parts}


def _format(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """OpenAI's words for the format; a schema goes with neither tools nor documents."""
    wanted = given.get("response_format")
    if not isinstance(wanted, Mapping) or wanted.get("type") == "text":
        return None
    if wanted.get("type") != "json_object":
        raise BadRequestError("response_format.type must be text or json_object")
    schema = wanted.get("json_schema")
    if schema is None:
        return {"type": "json_object"}
    if given.get("tools") or given.get("documents"):
        raise BadRequestError("json_schema cannot be used with tools or documents")
    if not isinstance(schema, Mapping) or not schema.get("required"):
        raise BadRequestError("json_schema must have at least one required property")
    return {"type": "json_schema", "json_schema": {"schema": schema}}


def _documents_tokens(given: Mapping[str, Any]) -> int:
    documents = given.get("documents") or ()
    return text_tokens(orjson.dumps(documents).decode()) if documents else 0
