"""Anthropic's message requests, checked and reduced to what decides the answer."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from simulator.answers import TOKENS_PER_IMAGE, TOKENS_PER_MESSAGE, digest, text_tokens
from simulator.requests import BadRequestError, ChatCall, check_number, chosen_function, names

_FIELDS = names(
    "model messages max_tokens system stop_sequences stream temperature top_k top_p tools "
    "tool_choice thinking output_config service_tier metadata container context_management "
    "mcp_servers betas cache_control inference_geo"
)
_BLOCKS = names("text image document tool_use tool_result thinking redacted_thinking search_result")
_CHOICES: Mapping[str, str] = {"auto": "auto", "any": "required", "none": "none"}
_TOOL_ID = re.compile(r"[a-zA-Z0-9_-]+")


def parse(given: Mapping[str, Any], *, counting: bool = False) -> ChatCall:
    """Check a `messages` request; raises `BadRequestError`. To count needs no `max_tokens`."""
    for name in given:
        if name not in _FIELDS:
            raise BadRequestError(f"{name}: Extra inputs are not permitted", name)
    model = given.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequestError("model: Field required", "model")
    limit = given.get("max_tokens")
    if not counting and (type(limit) is not int or limit < 1):
        raise BadRequestError("max_tokens: Field required", "max_tokens")
    check_number(given, "temperature", 0, 1)
    check_number(given, "top_p", 0, 1)
    messages = given.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("messages: at least one message is required", "messages")
    said = [_blocks(message, i) for i, message in enumerate(messages)]
    _check_turns(messages, said)
    functions = _functions(given.get("tools") or ())
    question = next(
        (
            text
            for message, blocks in zip(reversed(messages), reversed(said), strict=True)
            if message["role"] == "user" and (text := _text(blocks))
        ),
        "",
    )
    after_tool = any(block["type"] == "tool_result" for block in said[-1])
    schema = _schema(given.get("output_config") or {})
    return ChatCall(
        model=model,
        question=question,
        prompt_tokens=sum(_tokens(blocks) for blocks in said)
        + _system_tokens(given.get("system"))
        + (text_tokens(orjson.dumps(functions).decode()) if functions else 0),
        images=sum(block["type"] == "image" for blocks in said for block in blocks),
        max_tokens=limit,
        stream=bool(given.get("stream")),
        tool=_tool(given, functions, question, after_tool=after_tool),
        wants_json=schema is not None,
        schema=schema,
    )


def _blocks(message: Any, i: int) -> list[Mapping[str, Any]]:
    where = f"messages.{i}"
    if not isinstance(message, Mapping) or message.get("role") not in ("user", "assistant"):
        raise BadRequestError(
            f'{where}: Unexpected role. Use the top-level "system" parameter for the system.', where
        )
    content = message.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(blocks, list) or not blocks:
        raise BadRequestError(f"{where}.content: must not be empty", where)
    for j, block in enumerate(blocks):
        kind = block.get("type") if isinstance(block, Mapping) else None
        if kind not in _BLOCKS:
            raise BadRequestError(f"{where}.content.{j}: Input tag '{kind}' is unknown", where)
        if kind == "text" and not block.get("text"):
            raise BadRequestError("messages: text content blocks must be non-empty", where)
        if kind == "image" and (block.get("source") or {}).get("type") not in ("base64", "url"):
            raise BadRequestError(f"{where}.content.{j}.image.source: Field required", where)
        name = block.get("id") if kind == "tool_use" else block.get("tool_use_id")
        if kind in ("tool_use", "tool_result") and not _TOOL_ID.fullmatch(str(name)):
            raise BadRequestError(
                f"{where}.content.{j}: tool ids should match pattern '^[a-zA-Z0-9_-]+$'", where
            )
    return list(blocks)


def _check_turns(messages: Sequence[Any], said: Sequence[list[Mapping[str, Any]]]) -> None:
    """The user begins; what an assistant called is answered in the very next turn, first of all."""
    if messages[0]["role"] != "user":
        raise BadRequestError('messages: first message must use the "user" role', "messages")
    for i, blocks in enumerate(said):
        called = {block["id"] for block in blocks if block["type"] == "tool_use"}
        if called and messages[i]["role"] != "assistant":
            raise BadRequestError(f"messages.{i}: tool_use stands in assistant turns", "messages")
        following = said[i + 1] if i + 1 < len(said) else []
        kinds = [block["type"] for block in following]
        answered = {b["tool_use_id"] for b in following if b["type"] == "tool_result"}
        if called - answered:
            raise BadRequestError(
                f"messages.{i}: `tool_use` ids were found without `tool_result` blocks immediately "
                f"after: {', '.join(sorted(called - answered))}.",
                "messages",
            )
        if answered - called:
            raise BadRequestError(
                f"messages.{i + 1}: unexpected `tool_use_id` found in `tool_result` blocks: "
                f"{', '.join(sorted(answered - called))}.",
                "messages",
            )
        if "tool_result" in kinds[len(answered) :]:
            raise BadRequestError(f"messages.{i + 1}: tool_result blocks come first", "messages")
    if any(block["type"] == "tool_result" for block in said[0]):
        raise BadRequestError("messages.0: unexpected `tool_result`", "messages")


def _text(blocks: Sequence[Mapping[str, Any]]) -> str:
    parts = []
    for block in blocks:
        if block["type"] == "text":
            parts.append(str(block["text"]))
        elif block["type"] == "image":
            source = block["source"]
            data = f"data:{source.get('media_type')};base64,{source.get('data')}"
            parts.append(f"<image {digest(str(source.get('url') or data))}>")
    return "".join(parts)


def _tokens(blocks: Sequence[Mapping[str, Any]]) -> int:
    tokens = TOKENS_PER_MESSAGE
    for block in blocks:
        match block["type"]:
            case "text":
                tokens += text_tokens(str(block["text"]))
            case "image":
                tokens += TOKENS_PER_IMAGE
            case "tool_use":
                tokens += text_tokens(orjson.dumps(block.get("input")).decode())
            case "tool_result":
                tokens += text_tokens(str(block.get("content") or ""))
            case _:
                pass
    return tokens


def _system_tokens(system: Any) -> int:
    if system is None:
        return 0
    blocks = [{"type": "text", "text": system}] if isinstance(system, str) else system
    if not isinstance(blocks, list) or any(block.get("type") != "text" for block in blocks):
        raise BadRequestError("system: Input should be a valid list of text blocks", "system")
    return _tokens(blocks)


def _functions(tools: Any) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for i, tool in enumerate(tools):
        schema = tool.get("input_schema") if isinstance(tool, Mapping) else None
        if not isinstance(schema, Mapping) or schema.get("type") != "object":
            raise BadRequestError(f"tools.{i}.custom.input_schema.type: Field required", "tools")
        if not tool.get("name"):
            raise BadRequestError(f"tools.{i}.custom.name: Field required", "tools")
        found.append({"name": tool["name"], "parameters": schema})
    return found


def _tool(
    given: Mapping[str, Any],
    functions: list[Mapping[str, Any]],
    question: str,
    *,
    after_tool: bool,
) -> Mapping[str, Any] | None:
    wanted = given.get("tool_choice") or {"type": "auto" if functions else "none"}
    kind = wanted.get("type") if isinstance(wanted, Mapping) else None
    if kind == "tool":
        return chosen_function(
            {"name": wanted.get("name")}, functions, question, after_tool=after_tool
        )
    if kind is None or kind not in _CHOICES:
        raise BadRequestError("tool_choice: Input tag is unknown", "tool_choice")
    return chosen_function(_CHOICES[kind], functions, question, after_tool=after_tool)


def _schema(config: Any) -> Mapping[str, Any] | None:
    wanted = config.get("format") if isinstance(config, Mapping) else None
    if wanted is None:
        return None
    if wanted.get("type") != "json_schema" or not isinstance(wanted.get("schema"), Mapping):
        raise BadRequestError("output_config.format.schema: Field required", "output_config")
    schema: Mapping[str, Any] = wanted["schema"]
    return schema
