"""The caller's messages as turns of Anthropic's Messages API. Pure.

Sources: shared/facts/wire-chat.md section 5, the types of anthropic 2.13. Thinking comes back in
`reasoning_details`, the list that OpenRouter made known: see `anthropic_replies`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from workers.providers import parts, toolbox

FORMAT = "anthropic-claude-v1"
TEXT, SEALED = "reasoning.text", "reasoning.encrypted"
_IMAGES = ("image/jpeg", "image/png", "image/gif", "image/webp")

Block = dict[str, Any]
Message = dict[str, Any]


def turns(messages: Sequence[Message], lost: set[str]) -> tuple[list[Block], list[Message]]:
    """The system's blocks, and turns of user and assistant; `lost` gets what is not taken.

    Neighbours of one speaker are one turn, in which the results of calls come first. A system's
    word alone is asked as a user's.
    """
    system: list[Block] = []
    said: list[Message] = []
    for message in messages:
        role = message["role"]
        if role == "system":
            system += _blocks(message.get("content"), lost)
        elif role == "assistant":
            _add(said, role, _assistant(message, lost))
        elif role == "tool":
            _add(said, "user", [_result(message, lost)])
        elif role == "user":
            _add(said, role, _blocks(message.get("content"), lost))
        else:
            said.append(message)  # a role of another API: the host's refusal names it best
    if not said and system:
        return [], [{"role": "user", "content": system}]
    return system, [_settled(turn, last=turn is said[-1]) for turn in said]


def thinks(message: Mapping[str, Any]) -> bool:
    """Whether an answer begins with thoughts that can go back."""
    return bool(_thoughts(message.get("reasoning_details")))


def _add(said: list[Message], role: str, blocks: list[Block]) -> None:
    if not blocks:
        return
    if said and said[-1].get("role") == role and isinstance(said[-1].get("content"), list):
        said[-1] = {"role": role, "content": [*said[-1]["content"], *blocks]}
    else:
        said.append({"role": role, "content": blocks})


def _settled(turn: Message, *, last: bool) -> Message:
    blocks = turn.get("content")
    if turn["role"] not in ("user", "assistant") or not isinstance(blocks, list):
        return turn
    if turn["role"] == "user":
        return {**turn, "content": sorted(blocks, key=lambda each: each["type"] != "tool_result")}
    if last and blocks[-1]["type"] == "text":  # the beginning of its answer may not end in a space
        blocks = [*blocks[:-1], {**blocks[-1], "text": blocks[-1]["text"].rstrip()}]
    return {**turn, "content": blocks}


def _blocks(content: Any, lost: set[str]) -> list[Block]:
    blocks: list[Block] = []
    for part in parts.listed(content):
        text = parts.said(part)
        if text is None:
            block = _image(part) or _document(part)
            if block is None:
                lost.add(parts.lost(part))
        else:
            block = {"type": "text", "text": text} if text.strip() else None
        if block is not None:
            cache = part.get("cache_control")
            blocks.append({**block, "cache_control": cache} if cache else block)
    return blocks


def _image(part: Mapping[str, Any]) -> Block | None:
    url = parts.image_url(dict(part))
    if url is None:
        return None
    data = parts.data_uri(url)
    if data is None:
        return {"type": "image", "source": {"type": "url", "url": url}}
    if data[0] not in _IMAGES:
        return None
    source = {"type": "base64", "media_type": data[0], "data": data[1]}
    return {"type": "image", "source": source}


def _document(part: Mapping[str, Any]) -> Block | None:
    file = part.get("file") if part.get("type") == "file" else None
    data = file.get("file_data") if isinstance(file, dict) else None
    read = parts.data_uri(data) if isinstance(data, str) else None
    if not isinstance(file, dict) or read is None or read[0] != "application/pdf":
        return None
    name = file.get("filename")
    source = {"type": "base64", "media_type": read[0], "data": read[1]}
    titled = {"title": name} if isinstance(name, str) and name else {}
    return {"type": "document", "source": source, **titled}


def _result(message: Mapping[str, Any], lost: set[str]) -> Block:
    content = message.get("content")
    block: Block = {
        "type": "tool_result",
        "tool_use_id": message.get("tool_call_id"),
        "content": content if isinstance(content, str) else _blocks(content, lost),
    }
    return {**block, "is_error": True} if message.get("is_error") is True else block


def _assistant(message: Mapping[str, Any], lost: set[str]) -> list[Block]:
    """Thoughts stand where they stood; words and calls fill the places between, in their order."""
    content = message.get("content")
    words = _blocks(content, lost)
    if not words and isinstance(message.get("refusal"), str):
        words = _blocks(message["refusal"], lost)
    rest = [*words, *_uses(message.get("tool_calls"))]
    blocks: list[Block] = []
    for place, thought in _thoughts(message.get("reasoning_details")):
        while rest and len(blocks) < place:
            blocks.append(rest.pop(0))
        blocks.append(thought)
    return [*blocks, *rest]


def _thoughts(details: Any) -> list[tuple[int, Block]]:
    """The thoughts that Anthropic itself has signed or sealed, with their places."""
    found: list[tuple[int, Block]] = []
    for at, each in enumerate(details if isinstance(details, list) else ()):
        if not isinstance(each, dict) or each.get("format") != FORMAT:
            continue
        place = each.get("index")
        block = _thought(each)
        if block is not None:
            found.append((place if isinstance(place, int) else at, block))
    return sorted(found, key=lambda each: each[0])


def _thought(detail: Mapping[str, Any]) -> Block | None:
    text, signature, data = (detail.get(name) for name in ("text", "signature", "data"))
    if detail.get("type") == TEXT and isinstance(signature, str) and signature:
        return {"type": "thinking", "thinking": text or "", "signature": signature}
    if detail.get("type") == SEALED and isinstance(data, str) and data:
        return {"type": "redacted_thinking", "data": data}
    return None


def _uses(calls: Any) -> Iterable[Block]:
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            yield {
                "type": "tool_use",
                "id": call.get("id"),
                "name": function.get("name"),
                "input": toolbox.arguments(function.get("arguments")),
            }
