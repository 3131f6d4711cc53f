"""Chat and embedding requests as Cohere's v2 API takes them. Pure.

Sources: shared/facts/wire-chat.md section 2, the types of cohere 7.3, docs.cohere.com pages
"structured outputs" and "reasoning" (2026-11).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shared.core.outcome import Failed, FailureKind
from workers.providers import messages, parameters, parts, schemas, thinking
from workers.providers.base import Call
from workers.providers.openai_compatible import OUTPUT_LIMITS, bounded
from workers.providers.toolbox import Toolbox, read

MAX_TEXTS = 96
_NATIVE = ("citation_options", "documents", "priority", "safety_mode", "seed", "thinking")
_LEAST_P, _MOST_P = 0.01, 0.99
_MAX_STOPS = 5
# What their schemas leave out (docs.cohere.com/docs/structured-outputs-json).
_REFUSED = frozenset({*schemas.SIZES, "not", "default", "examples", "$schema", "$id"})
_INPUT_TYPES = {"query": "search_query", "passage": "search_document"}  # as other hosts call them

Body = dict[str, Any]


def chat_body(call: Call) -> tuple[Body, tuple[str, ...]]:
    """The chat's body, and what of the caller's is not in it."""
    fitted = parameters.fit(call.request, call.quirks)
    asked = fitted.body
    talk, unsent = messages.fit(asked.get("messages"), call.quirks)
    lost = {*fitted.dropped, *unsent}
    body: Body = {"model": call.deployment.model, "messages": talk}
    if isinstance(talk, list) and all(isinstance(each, dict) and "role" in each for each in talk):
        body["messages"] = [made for each in talk for made in _message(each, lost)]
    tools = read(asked.get("tools"), asked.get("tool_choice"))
    lost.update(tools.lost)
    body |= _tools(tools, asked, lost)
    body |= {name: asked[name] for name in _NATIVE if name in asked}
    limit = next((asked[name] for name in OUTPUT_LIMITS if name in asked), None)
    if limit is not None:
        body["max_tokens"] = bounded(limit, call.deployment.max_output_tokens)
    _format(body, asked, lost)
    _think(body, asked, call, lost)
    _sample(body, asked, lost)
    if call.stream:
        body["stream"] = True
    return body, tuple(sorted(lost))


def _message(message: Mapping[str, Any], lost: set[str]) -> Iterator[Body]:
    """A message as theirs; one that would say nothing is left out."""
    role, content = message["role"], message.get("content")
    if role == "system":
        if text := parts.text_of(content):
            yield {"role": role, "content": text}
    elif role == "assistant":
        yield from _assistant(message)
    elif role == "tool":
        yield {**message, "content": content if isinstance(content, str) else _parts(content, lost)}
    elif role == "user" and isinstance(content, list):
        yield {**message, "content": _parts(content, lost)}
    else:
        yield dict(message)


def _parts(content: Any, lost: set[str]) -> list[Body]:
    made: list[Body] = []
    for part in parts.listed(content):
        text, url = parts.said(part), parts.image_url(part)
        if text:
            made.append({"type": "text", "text": text})
        elif url is not None:
            image = part["image_url"] if isinstance(part["image_url"], dict) else {}
            detail = {"detail": image["detail"]} if image.get("detail") else {}
            made.append({"type": "image_url", "image_url": {"url": url, **detail}})
        elif text is None:
            lost.add(parts.lost(part))
    return made


def _assistant(message: Mapping[str, Any]) -> Iterator[Body]:
    """Words beside calls are the plan; thoughts go back where the turn has calls."""
    words = parts.text_of(message.get("content")) or parts.text_of(message.get("refusal"))
    thoughts = message.get("reasoning_content")
    content: list[Body] = [{"type": "thinking", "thinking": thoughts}] if thoughts else []
    made: Body = {"role": "assistant"}
    if calls := message.get("tool_calls"):
        made["tool_calls"] = calls
        if plan := message.get("tool_plan") or words:
            made["tool_plan"] = plan
    elif words:
        content.append({"type": "text", "text": words})
    if content:
        plain = len(content) == 1 and content[0]["type"] == "text"
        made["content"] = words if plain else content
    if len(made) > 1:
        yield made


def _tools(tools: Toolbox, asked: Body, lost: set[str]) -> Body:
    """One function is forced by offering no other; strict is all or none."""
    chosen = [each for each in tools.functions if tools.only in (None, each["name"])]
    if not chosen:
        if tools.only is not None and tools.functions:
            lost.add("tool_choice")
        return {}
    body: Body = {"tools": [_tool(function) for function in chosen]}
    if tools.mode != "auto":
        body["tool_choice"] = "NONE" if tools.mode == "none" else "REQUIRED"
    strict = [function.get("strict") is True for function in chosen]
    if "strict_tools" in asked:
        body["strict_tools"] = asked["strict_tools"]
    elif all(strict) and all(_demands(function) for function in chosen):
        body["strict_tools"] = True
        for tool in body["tools"]:
            function = tool["function"]
            function["parameters"] = schemas.lowered(function["parameters"], _REFUSED)
    elif any(strict):
        lost.add("tools[].function.strict")
    return body


def _tool(function: Mapping[str, Any]) -> Body:
    given = function.get("parameters")
    schema = given if isinstance(given, dict) else {"type": "object", "properties": {}}
    made: Body = {"name": function["name"], "parameters": schema}
    if function.get("description"):
        made["description"] = function["description"]
    return {"type": "function", "function": made}


def _demands(function: Mapping[str, Any]) -> bool:
    """Strict schemas need a property that must be there."""
    schema = function.get("parameters")
    return isinstance(schema, dict) and bool(schema.get("required"))


def _format(body: Body, asked: Body, lost: set[str]) -> None:
    """JSON is not taken together with tools or documents."""
    wanted = asked.get("response_format")
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if not isinstance(wanted, dict) or kind not in ("json_object", "json_schema"):
        return
    if "tools" in body or "documents" in body:
        lost.add(f"response_format={kind}")
        return
    body["response_format"] = made = {"type": "json_object"}
    schema = wanted.get("json_schema")
    if kind == "json_schema" and isinstance(schema, dict):
        schema = schema.get("schema")
    if isinstance(schema, dict):
        made["json_schema"] = schemas.lowered(schema, _REFUSED)


def _think(body: Body, asked: Body, call: Call, lost: set[str]) -> None:
    effort = asked.get("reasoning_effort")
    if effort is None or "thinking" in body:
        return
    room = body.get("max_tokens") or call.deployment.max_output_tokens
    if effort == "none":
        body["thinking"] = {"type": "disabled"}
    elif effort not in thinking.EFFORTS:
        lost.add("reasoning_effort")
    else:
        budget = thinking.budget_tokens(effort, room) if isinstance(room, int) else None
        given = {} if budget is None else {"token_budget": budget}
        body["thinking"] = {"type": "enabled", **given}


def _sample(body: Body, asked: Body, lost: set[str]) -> None:
    for name in ("temperature", "frequency_penalty", "presence_penalty"):
        if name in asked:
            body[name] = _within(name, asked[name], lost)
    share = asked.get("top_p")
    if share is not None:
        number = isinstance(share, int | float)
        body["p"] = min(max(share, _LEAST_P), _MOST_P) if number else share
    if "top_k" in asked:
        body["k"] = asked["top_k"]
    stop = asked.get("stop")
    if isinstance(stop, list) and len(stop) > _MAX_STOPS:
        lost.add("stop")
        stop = stop[:_MAX_STOPS]
    if stop is not None:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop


def _within(name: str, value: Any, lost: set[str]) -> Any:
    """They take 0 to 1; what is clamped is told."""
    if not isinstance(value, int | float) or 0 <= value <= 1:
        return value
    lost.add(f"{name}={value}")
    return min(max(value, 0), 1)


def embedding_body(call: Call) -> tuple[Body, tuple[str, ...]] | Failed:
    """The embedding's body, or why these inputs cannot be put to Cohere."""
    fitted = parameters.fit(call.request, call.quirks, chat=False)
    asked = fitted.body
    given = asked.get("input")
    texts: Sequence[Any] = given if isinstance(given, list) else [given]
    where = call.deployment.id
    if not all(isinstance(each, str) for each in texts):
        message = f"input: {where} embeds texts, not lists of tokens"
        return Failed(FailureKind.UNSUITED, message, param="input", sent=False)
    if len(texts) > MAX_TEXTS:
        message = f"input: {where} takes {MAX_TEXTS} texts at once, not {len(texts)}"
        return Failed(
            FailureKind.TOO_LONG,
            message,
            param="input",
            window="inputs",
            limit=MAX_TEXTS,
            sent=False,
        )
    body: Body = {
        "model": call.deployment.model,
        "texts": texts,
        "input_type": _input_type(asked.get("input_type")),
        "embedding_types": ["base64" if asked.get("encoding_format") == "base64" else "float"],
    }
    renamed = {"dimensions": "output_dimension", "truncate": "truncate", "priority": "priority"}
    body |= {theirs: asked[ours] for ours, theirs in renamed.items() if ours in asked}
    known = {"model", "input", "input_type", "encoding_format", *renamed}
    return body, tuple(sorted({*fitted.dropped, *(asked.keys() - known)}))


def _input_type(asked: Any) -> str:
    """Required by Cohere, unknown to OpenAI: documents unless the caller says `input_type`."""
    return _INPUT_TYPES.get(asked, asked) if isinstance(asked, str) else "search_document"
