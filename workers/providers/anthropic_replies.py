"""Anthropic's messages and stream events, brought near to OpenAI's shape. Pure.

Thoughts are for reading in `reasoning_content`, and for sending back in `reasoning_details`: one
entry a block, with its signature or its sealed data, in the form OpenRouter made known. The
official SDK keeps the list in its message objects, and its stream helper puts it together by
`index`, which is the block's place in the answer.
Sources: shared/facts/wire-chat.md section 5, wire-facts.md section 4, the types of anthropic 2.13.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from workers.providers.anthropic_messages import FORMAT, SEALED, TEXT
from workers.providers.chunks import Chunks
from workers.providers.normalise import Malformed

_COUNTS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


def completion(value: dict[str, Any]) -> dict[str, Any]:
    """A whole message as a completion; an error as it is."""
    if value.get("error") or value.get("type") == "error":
        return value
    blocks = value.get("content")
    if not isinstance(blocks, list) or not all(isinstance(each, dict) for each in blocks):
        raise Malformed("the answer has no content")
    if value.get("stop_reason") is None:
        raise Malformed("the answer did not end")
    message: dict[str, Any] = {"role": "assistant", "content": _joined(blocks, "text")}
    if thoughts := _joined(blocks, "thinking"):
        message["reasoning_content"] = thoughts
    if details := [d for at, block in enumerate(blocks) if (d := _detail(at, block))]:
        message["reasoning_details"] = details
    if calls := [_call(block) for block in blocks if block.get("type") == "tool_use"]:
        message["tool_calls"] = calls
    if refusal := _refusal(value):
        message["refusal"] = refusal
    choice = {"index": 0, "message": message, "finish_reason": value["stop_reason"]}
    return {**_top(value), "choices": [choice], "usage": usage(value.get("usage"))}


def usage(reported: Any) -> dict[str, Any] | None:
    """OpenAI's usage: what was read from and written to the cache are parts of the prompt."""
    if not isinstance(reported, dict) or "input_tokens" not in reported:
        return None
    fresh, written, cached = (_count(reported.get(name)) for name in _COUNTS)
    output = _count(reported.get("output_tokens"))
    prompt = fresh + written + cached
    shape: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
    }
    details = reported.get("output_tokens_details")
    if isinstance(details, dict):
        thought = _count(details.get("thinking_tokens"))
        shape["completion_tokens_details"] = {"reasoning_tokens": thought}
    return shape


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _top(value: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value[name] for name in ("id", "model") if isinstance(value.get(name), str)}


def _joined(blocks: Iterable[Mapping[str, Any]], kind: str) -> str | None:
    texts = [block.get(kind) for block in blocks if block.get("type") == kind]
    return "".join(text for text in texts if isinstance(text, str)) if texts else None


def _detail(place: int, block: Mapping[str, Any]) -> dict[str, Any] | None:
    """What must go back of a thought, if it is one."""
    if block.get("type") == "thinking":
        text = block.get("thinking") or ""
        signed = {"text": text, "signature": block.get("signature") or None}
        return {"type": TEXT, **signed, "format": FORMAT, "index": place}
    if block.get("type") == "redacted_thinking":
        return {"type": SEALED, "data": block.get("data"), "format": FORMAT, "index": place}
    return None


def _call(block: Mapping[str, Any]) -> dict[str, Any]:
    arguments = orjson.dumps(block.get("input") or {}).decode()
    function = {"name": block.get("name"), "arguments": arguments}
    return {"id": block.get("id"), "type": "function", "function": function}


def _refusal(place: Mapping[str, Any]) -> str | None:
    details = place.get("stop_details")
    words = details.get("explanation") if isinstance(details, dict) else None
    return words if place.get("stop_reason") == "refusal" and isinstance(words, str) else None


@dataclass(slots=True)
class _Block:
    """A content block as it grows."""

    kind: str
    start: dict[str, Any]
    texts: list[str] = field(default_factory=list)
    signature: list[str] = field(default_factory=list)


class Events:
    """See `streaming.Translator`."""

    def __init__(self) -> None:
        self.ended = False
        self._chunks = Chunks()
        self._blocks: dict[int, _Block] = {}
        self._usage: dict[str, Any] = {}

    def chunks(self, event: dict[str, Any]) -> Iterable[dict[str, Any]]:
        """What an event says."""
        kind = event.get("type")
        if event.get("error") or kind == "error":
            return [{"error": event.get("error") or "an error without words"}]
        takers = {
            "message_start": self._start,
            "content_block_start": self._begin,
            "content_block_delta": self._delta,
            "content_block_stop": self._stop,
            "message_delta": self._finish,
            "message_stop": self._end,
        }
        take = takers.get(kind) if isinstance(kind, str) else None
        return take(event) if take else ()

    def _start(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        message = _object(event, "message")
        self._chunks.top = _top(message)
        self._count(message.get("usage"))
        return [self._chunks.delta(role="assistant", content="")]

    def _end(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        del event
        self.ended = True
        return []

    def _count(self, reported: Any) -> None:
        """Counts are cumulative; what an event leaves out stays as it was."""
        if isinstance(reported, dict):
            self._usage |= {name: value for name, value in reported.items() if value is not None}

    def _begin(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        place, start = _place(event), _object(event, "content_block")
        block = self._blocks[place] = _Block(str(start.get("type")), start)
        if block.kind == "tool_use":
            return [self._chunks.begin(place, start.get("id"), start.get("name"))]
        text = start.get(block.kind)  # mostly empty: the words come in deltas
        return self._said(block, text) if isinstance(text, str) and text else []

    def _said(self, block: _Block, text: str) -> list[dict[str, Any]]:
        if block.kind == "text":
            return [self._chunks.delta(content=text)]
        if block.kind == "thinking":
            block.texts.append(text)
            return [self._chunks.delta(reasoning_content=text)]
        return []

    def _delta(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        place, delta = _place(event), _object(event, "delta")
        block = self._blocks.get(place)
        if block is None:
            raise Malformed("a content block goes on that never began")
        kind = delta.get("type")
        if kind == "input_json_delta" and block.kind == "tool_use":
            return [self._piece(place, _text(delta, "partial_json"))]
        if kind in ("text_delta", "thinking_delta"):
            return self._said(block, _text(delta, kind.removesuffix("_delta")))
        if kind == "signature_delta":
            block.signature.append(_text(delta, "signature"))
        return []

    def _piece(self, place: int, text: str) -> dict[str, Any]:
        try:
            return self._chunks.piece(place, text)
        except KeyError as exc:
            raise Malformed("a call goes on that has ended") from exc

    def _stop(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        place = _place(event)
        block = self._blocks.get(place)
        if block is None:
            raise Malformed("a content block ends that never began")
        if block.kind == "tool_use":
            whole = block.start.get("input")
            return self._chunks.end(place, orjson.dumps(whole or {}).decode())
        signature = "".join(block.signature) or block.start.get("signature")
        grown = {**block.start, "thinking": "".join(block.texts), "signature": signature}
        detail = _detail(place, grown)
        return [self._chunks.delta(reasoning_details=[detail])] if detail else []

    def _finish(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        delta = _object(event, "delta")
        self._count(event.get("usage"))
        reason = delta.get("stop_reason")
        if reason is None:
            return []
        refusal = _refusal(delta)
        last = self._chunks.delta(str(reason), **({"refusal": refusal} if refusal else {}))
        return [*self._chunks.end_all(), {**last, "usage": usage(self._usage)}]


def _object(event: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = event.get(name)
    if not isinstance(value, dict):
        raise Malformed(f"a {event.get('type')} has no {name}")
    return value


def _place(event: Mapping[str, Any]) -> int:
    place = event.get("index")
    if not isinstance(place, int):
        raise Malformed(f"a {event.get('type')} has no index")
    return place


def _text(delta: Mapping[str, Any], name: str) -> str:
    text = delta.get(name)
    if not isinstance(text, str):
        raise Malformed(f"a {delta.get('type')} has no {name}")
    return text
