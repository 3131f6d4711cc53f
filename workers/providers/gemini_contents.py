"""The caller's messages as Gemini's contents. Pure; the caller's own are not changed.

Gemini knows two roles, `user` and `model`, in turns: what one says in a row is one content, and the
first is the user's. Results of functions ride in a user's content, in the order of their calls.
Sources: shared/facts/wire-chat.md 1.2 and 1.5; for addresses in `fileData`, read 2026-11:
ai.google.dev/gemini-api/docs/file-input-methods
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import orjson

from workers.providers import signatures
from workers.providers.gemini_models import Facts
from workers.providers.gemini_tools import sent_name

Part = dict[str, Any]
Content = dict[str, Any]

# What stands for the signature of a call that another model made.
FOREIGN = base64.b64encode(b"skip_thought_signature_validator").decode()
_OPENING = "Hello."  # before a talk that the assistant began
_FILES = "https://generativelanguage.googleapis.com/v1beta/"
_VIDEO_HOSTS = frozenset({"youtube.com", "www.youtube.com", "youtu.be"})
_MIME_OF = {
    "gif": "image/gif",
    "heic": "image/heic",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "md": "text/markdown",
    "mp3": "audio/mp3",
    "mp4": "video/mp4",
    "pdf": "application/pdf",
    "png": "image/png",
    "txt": "text/plain",
    "wav": "audio/wav",
    "webp": "image/webp",
}


@dataclass(frozen=True, slots=True)
class Talk:
    """`system` are the parts of the instruction; `dropped` names what Gemini cannot be told."""

    system: list[Part]
    contents: list[Content]
    dropped: frozenset[str]


def talk(messages: Any, facts: Facts) -> Talk:
    """The messages as contents; what is no message is left out."""
    system: list[Part] = []
    contents: list[Content] = []
    names: dict[str, str] = {}
    dropped: set[str] = set()
    for each in messages if isinstance(messages, list) else ():
        if not isinstance(each, Mapping):
            continue
        role = each.get("role")
        if role in ("system", "developer"):
            system += _parts(each.get("content"), dropped)
        elif role == "assistant":
            _add(contents, "model", _said(each, facts, names, dropped))
        elif role in ("tool", "function"):
            _add(contents, "user", [_result(each, names, dropped)])
        else:
            _add(contents, "user", _parts(each.get("content"), dropped))
        if each.get("name") and role not in ("tool", "function"):
            dropped.add("messages[].name")
    if not contents:  # it answers nobody: what was said to it becomes the question
        system, contents = [], [{"role": "user", "parts": system or [{"text": " "}]}]
    elif contents[0]["role"] == "model":
        contents.insert(0, {"role": "user", "parts": [{"text": _OPENING}]})
    _settle(contents, facts)
    return Talk(system, contents, frozenset(dropped))


def _add(contents: list[Content], role: str, parts: list[Part]) -> None:
    if not parts:
        return
    if contents and contents[-1]["role"] == role:
        contents[-1]["parts"] += parts
    else:
        contents.append({"role": role, "parts": parts})


def _said(
    message: Mapping[str, Any], facts: Facts, names: dict[str, str], dropped: set[str]
) -> list[Part]:
    """An assistant's message: its words, then its calls, each with the signature it came with."""
    parts = _parts(message.get("content"), dropped)
    if isinstance(message.get("refusal"), str) and message["refusal"]:
        parts.append({"text": message["refusal"]})
    signature = _google(message, facts)
    if signature and parts:
        parts[-1]["thoughtSignature"] = signature
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            continue
        id_ = call["id"] if isinstance(call.get("id"), str) else ""
        name = sent_name(function["name"])
        names[signatures.plain(id_)] = name
        made: Part = {
            "functionCall": {
                "id": signatures.plain(id_),
                "name": name,
                "args": _args(function.get("arguments")),
            }
        }
        signature = signatures.signature_of(id_, facts.model) or _google(call, facts)
        if signature:
            made["thoughtSignature"] = signature
        parts.append(made)
    return parts


def _google(holder: Mapping[str, Any], facts: Facts) -> str | None:
    """A signature where Google's own OpenAI endpoint puts it, unless another model made it."""
    extra = holder.get("extra_content")
    google = extra.get("google") if isinstance(extra, Mapping) else None
    if not isinstance(google, Mapping) or google.get("model", facts.model) != facts.model:
        return None
    signature = google.get("thought_signature")
    return signature if isinstance(signature, str) and signature else None


def _args(text: Any) -> dict[str, Any]:
    """A call's arguments as the object Gemini wants, whatever another model wrote."""
    if isinstance(text, str):
        try:
            value = orjson.loads(text) if text.strip() else {}
        except orjson.JSONDecodeError:
            value = text
    else:
        value = {} if text is None else text
    return value if isinstance(value, dict) else {"arguments": value}


def _result(message: Mapping[str, Any], names: Mapping[str, str], dropped: set[str]) -> Part:
    """A function's result: a JSON object as it is, all else as `result`."""
    id_ = message.get("tool_call_id")
    id_ = signatures.plain(id_) if isinstance(id_, str) else ""
    said = message.get("name")
    own = sent_name(said) if isinstance(said, str) and said else "unknown"
    parts = _parts(message.get("content"), dropped)
    if any("text" not in part for part in parts):
        dropped.add("messages[].content")
    text = "".join(part.get("text", "") for part in parts)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = None
    response = value if isinstance(value, dict) else {"result": text}
    return {"functionResponse": {"id": id_, "name": names.get(id_, own), "response": response}}


def _settle(contents: list[Content], facts: Facts) -> None:
    """Results in the order of their calls, ids and signatures as this model wants them."""
    order: dict[str, int] = {}
    for content in contents:
        parts: list[Part] = content["parts"]
        if content["role"] == "user":
            parts.sort(key=lambda part: _place(part, order))
            order = {}
        calls = [part for part in parts if "functionCall" in part]
        if calls:
            order = {part["functionCall"]["id"]: at for at, part in enumerate(calls)}
            if facts.wants_signatures:
                calls[0].setdefault("thoughtSignature", FOREIGN)
        for part in parts:
            holder = part.get("functionCall") or part.get("functionResponse")
            if holder is not None and not (facts.takes_call_ids and holder["id"]):
                del holder["id"]


def _place(part: Part, order: Mapping[str, int]) -> int:
    """Results first, in the order of their calls; what the user says then stays as it was."""
    if "functionResponse" not in part:
        return len(order) + 1
    return order.get(part["functionResponse"]["id"], len(order))


def _parts(content: Any, dropped: set[str]) -> list[Part]:
    """A message's content; empty texts are left out, for Gemini refuses them."""
    if isinstance(content, str):
        return [{"text": content}] if content else []
    parts: list[Part] = []
    for each in content if isinstance(content, list) else ():
        if not isinstance(each, Mapping):
            continue
        kind = each.get("type")
        text = each.get("text") if kind == "text" else each.get("refusal")
        if kind in ("text", "refusal"):
            if isinstance(text, str) and text:
                parts.append({"text": text})
            continue
        made = _media(str(kind), each.get(str(kind)))
        if made is None:
            dropped.add(f"messages[].content[].{kind}")
        else:
            parts.append(made)
    return parts


def _media(kind: str, value: Any) -> Part | None:
    """A part that is no text; None where Gemini cannot be given it."""
    if not isinstance(value, Mapping):
        return None
    if kind == "image_url":
        return _located(value.get("url"), "image/jpeg")
    if kind == "input_audio" and isinstance(value.get("data"), str):
        return _inline(f"audio/{value.get('format') or 'wav'}", value["data"])
    return _file(value) if kind == "file" else None


def _file(value: Mapping[str, Any]) -> Part | None:
    mime = _mime(str(value.get("filename") or "")) or "application/pdf"
    data, file_id = value.get("file_data"), value.get("file_id")
    if isinstance(data, str):
        return _data(data, mime) if data.startswith("data:") else _inline(mime, data)
    if isinstance(file_id, str) and file_id.startswith(("files/", _FILES)):
        return {"fileData": {"fileUri": _FILES + file_id.removeprefix(_FILES), "mimeType": mime}}
    return None


def _located(url: Any, mime: str) -> Part | None:
    """A data URL's bytes in the request; Google fetches an https address itself, and no other."""
    if isinstance(url, str) and url.startswith("data:"):
        return _data(url, mime)
    if not isinstance(url, str) or not url.startswith(("https://", "gs://")):
        return None
    try:
        where = urlsplit(url)
    except ValueError:
        return None
    if where.netloc in _VIDEO_HOSTS:
        return {"fileData": {"fileUri": url}}
    return {"fileData": {"fileUri": url, "mimeType": _mime(where.path) or mime}}


def _data(url: str, mime: str) -> Part | None:
    head, comma, data = url[5:].partition(",")
    kind, *how = head.split(";")
    if not comma:
        return None
    if "base64" not in how:
        data = base64.b64encode(unquote_to_bytes(data)).decode()
    return _inline(kind or mime, data)


def _inline(mime: str, data: str) -> Part:
    return {"inlineData": {"mimeType": mime, "data": data}}


def _mime(name: str) -> str | None:
    return _MIME_OF.get(name.rpartition(".")[2].lower())
