"""Brings answers of OpenAI-compatible hosts to OpenAI's exact shape, in place.

Each function says whether it changed anything, so that an answer that is right already is passed
on byte for byte. What cannot be brought into shape raises `Malformed`.
Sources: shared/facts/wire-chat.md sections 3, 4 and 6.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

import orjson
import structlog

from shared.core.model import Usage

log = structlog.get_logger(__name__)

MOST_TOKENS = 100_000_000
"""More than any call can take. A usage that tells more tells nothing, and ours is estimated."""
_FINISH = {
    "end_turn": "stop",
    "eos": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "max_tokens": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "compaction": "length",
    "length_limit": "length",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "safety": "content_filter",
    "recitation": "content_filter",
    "prohibited_content": "content_filter",
    "refusal": "content_filter",
    "error_toxic": "content_filter",
}
_KNOWN_FINISH = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
# DeepSeek's last one: the host ran out of room in the middle of an answer.
_FAILED_FINISH = frozenset(
    {"error", "timeout", "abort", "cancelled", "insufficient_system_resource"}
)
_TIERS = {"on_demand": "default", "performance": "priority"}
_KNOWN_TIERS = frozenset({"auto", "default", "flex", "scale", "priority"})
_NO_ID = ("", "null")  # what Mistral's SDK takes for no id
_COUNTS = (
    *("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"),
    *("prompt_cache_hit_tokens", "cached_tokens"),
)
_DETAILS = (
    ("prompt_tokens_details", "cached_tokens"),
    ("completion_tokens_details", "reasoning_tokens"),
)
_SPEAKING = ("content", "refusal", "reasoning_content", "reasoning", "tool_calls", "audio")


class Malformed(ValueError):  # noqa: N818 - it says what is wrong
    """An answer that is not what was asked for; the message says why."""


def top(value: dict[str, Any], kind: str, job_id: str, created_s: int, model: str) -> bool:
    """Fills in `id`, `object`, `created`, `model` where a host leaves them out."""
    changed = False
    if value.get("object") != kind:
        value["object"] = kind
        changed = True
    changed = _tier(value) or changed
    if isinstance(value.get("created"), float):
        value["created"] = int(value["created"])
        changed = True
    defaults = (("id", f"chatcmpl-{job_id}"), ("created", created_s), ("model", model))
    for name, default in defaults:
        if not value.get(name):
            value[name] = default
            changed = True
    return changed


def _tier(value: dict[str, Any]) -> bool:
    """Groq's names for OpenAI's tiers; other hosts' own tiers are left out."""
    tier = value.get("service_tier")
    named = tier if isinstance(tier, str) else None
    if tier is None or named in _KNOWN_TIERS:
        return False
    value["service_tier"] = _TIERS.get(named or "")
    return True


def error_in(value: Mapping[str, Any]) -> Any:
    """The error a host put into an answer or a chunk, wherever it put it; else None.

    At the top, in Groq's `x_groq`, or inside a choice as OpenRouter does where its provider failed.
    """
    found = value.get("choices")
    inside = [_get(choice, "error") for choice in found] if isinstance(found, list) else []
    places = (value.get("error"), _get(value.get("x_groq"), "error"), *inside)
    return next((place for place in places if place), None)


def new_call_id(seed: str, position: int) -> str:
    """An id for a call whose host gave none; no two answers of one talk share it."""
    return f"call_{seed.rpartition('_')[2]}_{position}" if seed else f"call_{position}"


def choices(value: Mapping[str, Any], part: str, seed: str = "") -> bool:
    """Brings every choice into shape; `part` is `message` or `delta`.

    `seed` makes the ids of calls that have none; pieces of calls are `CallPieces`' to number.
    """
    changed = False
    found = value.get("choices")
    if not isinstance(found, list):
        raise Malformed("the answer has no choices")
    for position, choice in enumerate(found):
        if not isinstance(choice, dict):
            raise Malformed("a choice is no object")
        if not isinstance(choice.get("index"), int):
            choice["index"] = position
            changed = True
        body = choice.get(part)
        if not isinstance(body, dict):
            if body is not None or part == "message":
                raise Malformed(f"a choice has no {part}")
            body = choice["delta"] = {}
            changed = True
        changed = _message(body, part, seed) or changed
        changed = _finish(choice, body, part) or changed
    return changed


def _message(message: dict[str, Any], part: str, seed: str) -> bool:
    changed = _reasoning(message)
    if message.get("role") == "":
        del message["role"]
        changed = True
    if part == "message":
        if not message.get("role"):
            message["role"] = "assistant"
            changed = True
        if "content" not in message:
            message["content"] = None
            changed = True
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        _flatten(message, content)
        changed = True
    calls = message.get("tool_calls")
    if not calls and "tool_calls" in message:
        del message["tool_calls"]
        return True
    if calls:
        changed = _tool_calls(calls, part, seed) or changed
    return changed


def _reasoning(message: dict[str, Any]) -> bool:
    """Groq's, OpenRouter's, Cerebras' and vLLM's `reasoning` under the name most callers know."""
    if "reasoning" not in message:
        return False
    text = message.pop("reasoning")
    if isinstance(text, str) and not message.get("reasoning_content"):
        message["reasoning_content"] = text
    return True


def _flatten(message: dict[str, Any], content: Any) -> None:
    """Mistral's list of text and thinking parts, Cloudflare's numbers: to text."""
    if isinstance(content, int | float):
        message["content"] = orjson.dumps(content).decode()
        return
    if not isinstance(content, list):
        raise Malformed("the content is neither text nor a list of parts")
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, dict) and isinstance(part.get("thinking"), list | str):
            thinking = part["thinking"]
            pieces = [{"text": thinking}] if isinstance(thinking, str) else thinking
            thoughts.extend(p["text"] for p in pieces if isinstance(p, dict) and p.get("text"))
    message["content"] = "".join(texts)
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)


def _tool_calls(calls: Any, part: str, seed: str) -> bool:
    if not isinstance(calls, list):
        raise Malformed("tool_calls is no list")
    changed = False
    for position, call in enumerate(calls):
        if not isinstance(call, dict):
            raise Malformed("a tool call is no object")
        if part == "delta":
            changed = _call_piece(call) or changed
        else:
            changed = _whole_call(call, position, seed) or changed
    return changed


def _whole_call(call: dict[str, Any], position: int, seed: str) -> bool:
    function = call.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Malformed("a tool call names no function")
    changed = _arguments(function)
    if not _has_id(call):
        call["id"] = new_call_id(seed, position)
        changed = True
    if not call.get("type"):
        call["type"] = "function"
        changed = True
    return changed


def _call_piece(call: dict[str, Any]) -> bool:
    changed = False
    for name, said in (("id", _has_id(call)), ("type", call.get("type") == "function")):
        if name in call and not said:
            del call[name]
            changed = True
    function = call.get("function")
    if function is None:
        return changed
    if not isinstance(function, dict):
        raise Malformed("a tool call's function is no object")
    return (function.get("arguments") is not None and _arguments(function)) or changed


def _has_id(call: Mapping[str, Any]) -> bool:
    return isinstance(call.get("id"), str) and call["id"] not in _NO_ID


def _arguments(function: dict[str, Any]) -> bool:
    """Mistral's arguments may be an object: to the JSON text OpenAI sends."""
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        return False
    function["arguments"] = orjson.dumps({} if arguments is None else arguments).decode()
    return True


def _finish(choice: dict[str, Any], body: Mapping[str, Any], part: str) -> bool:
    reason = choice.get("finish_reason")
    if not reason:
        # A whole answer has ended, whether its host says so or not; a delta has not.
        choice["finish_reason"] = None if part == "delta" else _ended(body)
        return part != "delta" or reason is not None
    lowered = str(reason).lower()
    if lowered in _FAILED_FINISH:
        raise Malformed(f"the provider ended with finish_reason {reason!r}")
    mapped = lowered if lowered in _KNOWN_FINISH else _FINISH.get(lowered, "stop")
    if mapped == "stop":
        mapped = _ended(body)
    if mapped == reason:
        return False
    choice["finish_reason"] = mapped
    return True


def _ended(body: Mapping[str, Any]) -> str:
    return "tool_calls" if body.get("tool_calls") else "stop"


def speaks(value: Mapping[str, Any]) -> bool:
    """Whether any choice says anything, or was stopped before it could."""
    for choice in value["choices"]:
        message = choice["message"]
        if any(message.get(name) for name in _SPEAKING) or message.get("function_call"):
            return True
        if choice.get("finish_reason") in ("length", "content_filter"):
            return True
    return False


def read_usage(value: Mapping[str, Any]) -> dict[str, Any] | None:
    """The usage a host reports, wherever it puts it; None where it reports none to be believed."""
    for place in (value.get("usage"), _get(value.get("x_groq"), "usage")):
        if not isinstance(place, dict):
            continue
        if absurd := _absurd(place):
            log.warning("usage_absurd", field=absurd, model=str(value.get("model"))[:128])
        elif _tokens(place, "prompt_tokens", "input_tokens") is not None:
            return place
    return None


def _absurd(reported: Mapping[str, Any]) -> str | None:
    """The first count of a usage that no call can have taken."""
    counts = [(name, reported.get(name)) for name in _COUNTS]
    counts += [(name, _get(reported.get(part), name)) for part, name in _DETAILS]
    return next((name for name, found in counts if _number(found) and not _sane(found)), None)


def usage_of(reported: Mapping[str, Any]) -> Usage:
    """The reported usage as ours."""
    prompt = _tokens(reported, "prompt_tokens", "input_tokens") or 0
    total = _tokens(reported, "total_tokens") or 0
    output = _tokens(reported, "completion_tokens", "output_tokens")
    cached = _tokens(_get(reported, "prompt_tokens_details"), "cached_tokens")
    if cached is None:
        cached = _tokens(reported, "prompt_cache_hit_tokens", "cached_tokens")
    reasoning = _tokens(_get(reported, "completion_tokens_details"), "reasoning_tokens") or 0
    if output is not None and reasoning and total == prompt + output + reasoning:
        output += reasoning  # a host that counts reasoning beside the output, and bills both
    return Usage(
        input_tokens=prompt,
        output_tokens=max(0, total - prompt) if output is None else output,
        cached_tokens=min(cached or 0, prompt),
        reasoning_tokens=reasoning,
    )


def estimate(input_tokens: int, text: str, count: Callable[[str], int]) -> Usage:
    """A usage of our own where a host reports none; marked as such."""
    return Usage(
        input_tokens=input_tokens, output_tokens=count(text) if text else 0, estimated=True
    )


def usage_shape(usage: Usage, reported: Mapping[str, Any] | None) -> dict[str, Any]:
    """OpenAI's usage object: the host's own with its gaps filled, or our marked estimate."""
    shape: dict[str, Any] = dict(reported or {})
    shape["prompt_tokens"] = usage.input_tokens
    shape["completion_tokens"] = usage.output_tokens
    if _tokens(shape, "total_tokens") is None:
        shape["total_tokens"] = usage.input_tokens + usage.output_tokens
    details = shape.get("prompt_tokens_details") or {}
    if usage.cached_tokens and not _get(details, "cached_tokens"):
        shape["prompt_tokens_details"] = {**details, "cached_tokens": usage.cached_tokens}
    if usage.estimated:
        shape["estimated"] = True
    return shape


def _get(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _tokens(value: Any, *names: str) -> int | None:
    for name in names:
        found = _get(value, name)
        if _number(found) and found >= 0 and _sane(found):
            return int(found)
    return None


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _sane(count: float) -> bool:
    return count <= MOST_TOKENS  # NaN is not
