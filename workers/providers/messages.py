"""Brings the caller's messages to what a host takes. Pure; the caller's own are not changed.

Sources: shared/facts/wire-chat.md sections 3, 4 and 6; `quirks.Quirks` says which host wants what.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

from shared.quirks import Quirks
from workers.providers import signatures

_REASONING = ("reasoning_content", "reasoning")
# No request has them; Gemini's own adapter reads `extra_content`.
_NEVER_BACK = frozenset({*_REASONING, "annotations", "executed_tools", "extra_content"})
# What an answer holds and a client sends back unasked: never a wish, so never told when left out.
_ECHOED = frozenset({*_NEVER_BACK, "reasoning_details", "refusal", "function_call"})
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_IDS = {
    "alnum9": (9, re.compile(r"[A-Za-z0-9]{9}")),
    "max40": (40, re.compile(r".{0,40}", re.DOTALL)),
    "word64": (40, re.compile(r"[A-Za-z0-9_-]{1,64}")),
}
# Mistral refuses a user's word right after a tool's (invalid_request_message_order, code 3230).
_BETWEEN = {"role": "assistant", "content": "OK."}

Message = dict[str, Any]


def fit(messages: Any, quirks: Quirks) -> tuple[Any, frozenset[str]]:
    """The messages as this host takes them, and what was dropped, as `messages[].name`.

    What is no list of messages goes as it is: the host's refusal names it best.
    """
    if not isinstance(messages, list) or not all(
        isinstance(each, dict) and isinstance(each.get("role"), str) for each in messages
    ):
        return messages, frozenset()
    takes = dict(quirks.message_takes)
    roles = dict(quirks.roles)
    keeps = _keeps_reasoning(messages, quirks)
    fitted: list[Message] = []
    dropped: set[str] = set()
    for each, keep in zip(messages, keeps, strict=True):
        role = roles.get(each["role"], each["role"])
        message = _message({**each, "role": role}, quirks, keep=keep)
        allowed = takes.get(role)
        if allowed is not None:
            lost = [name for name in message if name != "role" and name not in allowed]
            dropped |= {f"messages[].{name}" for name in lost if name not in _ECHOED}
            message = {name: value for name, value in message.items() if name not in lost}
        fitted.append(message)
    return (_ordered(fitted) if quirks.strict_order else fitted), frozenset(dropped)


def tool_call_id(value: str, rule: str) -> str:
    """`value` where the rule allows it, else always the same stand-in: a call and its result agree.

    No way back is needed: a host answers with ids of its own, never with those it was sent. The
    signature that Gemini's ids carry is nobody else's.
    """
    value = signatures.plain(value)
    if rule not in _IDS or _IDS[rule][1].fullmatch(value):
        return value
    number = int.from_bytes(hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest())
    letters = []
    for _ in range(_IDS[rule][0]):
        number, digit = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[digit])
    return "".join(letters)


def tools(values: Any, quirks: Quirks) -> Any:
    """The tools; Mistral wants `parameters` in every function, its own fields and no more."""
    if quirks.parts != "mistral" or not isinstance(values, list):
        return values
    return [_mistral_tool(tool) for tool in values]


def _mistral_tool(tool: Any) -> Any:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict):
        return tool
    kept = {k: v for k, v in function.items() if v is not None}
    kept.setdefault("parameters", {"type": "object", "properties": {}})
    return {"type": "function", "function": kept}


def _keeps_reasoning(messages: Sequence[Message], quirks: Quirks) -> list[bool]:
    """Per message, whether its reasoning goes back: `tools` means turns in which a tool ran."""
    if quirks.reasoning_back != "tools":
        return [quirks.reasoning_back == "always"] * len(messages)
    keeps = [False] * len(messages)
    start = 0
    for at, each in enumerate([*messages, {"role": "user"}]):
        if each.get("role") == "user":
            if any(m.get("tool_calls") for m in messages[start:at]):
                keeps[start:at] = [True] * (at - start)
            start = at
    return keeps


def _message(each: Message, quirks: Quirks, *, keep: bool) -> Message:
    message = {k: v for k, v in each.items() if v is not None and k not in _NEVER_BACK}
    if not message.get("tool_calls"):
        message.pop("tool_calls", None)
    if each["role"] == "assistant":
        if keep:
            _put_reasoning(message, each, quirks)
        else:
            message.pop("reasoning_details", None)
        if not {"content", "tool_calls", "function_call", "audio", "refusal"} & message.keys():
            message["content"] = ""
    _put_ids(message, quirks.tool_ids)
    content = message.get("content")
    if quirks.parts == "mistral" and isinstance(content, list):
        message["content"] = [_mistral_part(part) for part in content]
    return message


def _put_reasoning(message: Message, each: Message, quirks: Quirks) -> None:
    text = next((each[name] for name in _REASONING if isinstance(each.get(name), str)), None)
    if text is None and quirks.reasoning_back == "tools" and message.get("tool_calls"):
        text = ""  # a call another model made: DeepSeek refuses it without the field
    if text is not None:
        message[quirks.reasoning_field] = text


def _put_ids(message: Message, rule: str) -> None:
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        message["tool_calls"] = [
            {**call, "id": tool_call_id(call["id"], rule)}
            if isinstance(call, dict) and isinstance(call.get("id"), str)
            else call
            for call in calls
        ]
    if isinstance(message.get("tool_call_id"), str):
        message["tool_call_id"] = tool_call_id(message["tool_call_id"], rule)


def _mistral_part(part: Any) -> Any:
    """OpenAI's audio and file parts as Mistral's; others are the same."""
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "input_audio" and isinstance(part.get("input_audio"), dict):
        return {"type": "input_audio", "input_audio": part["input_audio"].get("data", "")}
    file = part.get("file") if kind == "file" else None
    if isinstance(file, dict) and isinstance(file.get("file_data"), str):
        named = {"document_name": file["filename"]} if file.get("filename") else {}
        return {"type": "document_url", "document_url": file["file_data"], **named}
    if kind == "refusal":
        return {"type": "text", "text": part.get("refusal", "")}
    return part


def _ordered(messages: Sequence[Message]) -> list[Message]:
    """Turns of one speaker in a row become one; an assistant has the last word as a prefix only."""
    out: list[Message] = []
    for message in messages:
        role, last = message.get("role"), out[-1] if out else {}
        if role == "user" and last.get("role") == "tool":
            out.append(dict(_BETWEEN))
        mergeable = role == "user" or (
            role == "assistant" and not (last.get("tool_calls") or message.get("tool_calls"))
        )
        if mergeable and last.get("role") == role:
            out[-1] = {**last, **message, "content": _joined(last, message)}
        else:
            out.append(message)
    if out and out[-1].get("role") == "assistant" and not out[-1].get("tool_calls"):
        out[-1] = {**out[-1], "prefix": True}
    return out


def _joined(first: Message, second: Message) -> Any:
    a, b = first.get("content") or "", second.get("content") or ""
    if isinstance(a, str) and isinstance(b, str):
        return "\n\n".join(text for text in (a, b) if text)
    return [*_parts(a), *_parts(b)]


def _parts(content: Any) -> list[Any]:
    if isinstance(content, list):
        return content
    return [{"type": "text", "text": content}] if content else []
