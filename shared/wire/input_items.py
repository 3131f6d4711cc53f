"""What a response was asked, as OpenAI's list of input items; made from the chat that is kept."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

Json = dict[str, Any]
_FILES: Final = ("file_data", "filename", "file_id")


def input_items(response_id: str, messages: Sequence[Mapping[str, Any]]) -> list[Json]:
    """The items of a chat's messages, oldest first. Ids tell the response and the place."""
    letters = response_id.partition("_")[2]
    items = [item for message in messages for item in _items(message)]
    return [{"id": f"{_prefix(item)}_{letters}_in{n}", **item} for n, item in enumerate(items)]


def _prefix(item: Json) -> str:
    return {"function_call": "fc", "function_call_output": "fco"}.get(item["type"], "msg")


def _items(message: Mapping[str, Any]) -> Iterator[Json]:
    role, content = message["role"], message.get("content")
    if role == "tool":
        output = content if isinstance(content, str) else "".join(p["text"] for p in content or ())
        yield {
            "type": "function_call_output",
            "call_id": message["tool_call_id"],
            "output": output,
            "status": "completed",
        }
        return
    if content:
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        shown = [_part(part, said=role == "assistant") for part in parts]
        yield {"type": "message", "role": role, "status": "completed", "content": shown}
    for call in message.get("tool_calls") or ():
        yield {
            "type": "function_call",
            "call_id": call["id"],
            "name": call["function"]["name"],
            "arguments": call["function"]["arguments"],
            "status": "completed",
        }


def _part(part: Mapping[str, Any], *, said: bool) -> Json:
    match part["type"]:
        case "text" if said:
            return {"type": "output_text", "text": part["text"], "annotations": []}
        case "text":
            return {"type": "input_text", "text": part["text"]}
        case "refusal":
            return {"type": "refusal", "refusal": part["refusal"]}
        case "image_url":
            image = part["image_url"]
            detail = image.get("detail") or "auto"
            return {"type": "input_image", "image_url": image["url"], "detail": detail}
        case "file":
            file = part["file"]
            return {"type": "input_file"} | {name: file[name] for name in _FILES if name in file}
        case _:
            return dict(part)
