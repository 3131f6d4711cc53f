"""Puts a stream's chunks together into the completion they are the pieces of."""

from collections.abc import Mapping
from typing import Any

import orjson

_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
_TOP = ("id", "created", "model", "system_fingerprint", "service_tier")


class _Choice:
    """One choice as it grows."""

    __slots__ = ("calls", "finish_reason", "logprobs", "rest", "role", "texts")

    def __init__(self) -> None:
        self.role = "assistant"
        self.texts: dict[str, list[str]] = {}
        self.calls: dict[int, dict[str, Any]] = {}
        self.logprobs: dict[str, list[Any]] = {}
        self.rest: dict[str, Any] = {}
        self.finish_reason: str | None = None

    def add(self, delta: Mapping[str, Any]) -> bool:
        """Takes a delta; True if it said anything a reader would see."""
        said = False
        for name, value in delta.items():
            if value is None or value == "":
                if name in _TEXTS and value == "":
                    self.texts.setdefault(name, [])
            elif name in _TEXTS:
                self.texts.setdefault(name, []).append(value)
                said = True
            elif name == "tool_calls":
                for call in value:
                    self._call(call)
                said = said or bool(value)
            elif name == "role":
                self.role = value
            else:
                held = self.rest.get(name)
                if isinstance(held, list) and isinstance(value, list):
                    value = [*held, *value]  # noqa: PLW2901 - annotations come in pieces
                self.rest[name] = value
                said = True
        return said

    def _call(self, piece: Mapping[str, Any]) -> None:
        call = self.calls.setdefault(
            piece["index"], {"id": "", "type": "function", "name": "", "arguments": []}
        )
        function = piece.get("function") or {}
        call["id"] = call["id"] or piece.get("id") or ""
        call["name"] = call["name"] or function.get("name") or ""
        call["arguments"].append(function.get("arguments") or "")

    def message(self) -> dict[str, Any]:
        """The whole message."""
        message: dict[str, Any] = {"role": self.role, "content": None, "refusal": None}
        for name, pieces in self.texts.items():
            message[name] = "".join(pieces) if pieces or not self.calls else None
        message.update(self.rest)
        if self.calls:
            message["tool_calls"] = [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": call["name"], "arguments": "".join(call["arguments"])},
                }
                for _, call in sorted(self.calls.items())
            ]
        return message


class Assembler:
    """Takes normalised chunks in order; gives the completion at any time."""

    __slots__ = ("_choices", "_top")

    def __init__(self) -> None:
        self._top: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}

    def add(self, chunk: Mapping[str, Any]) -> bool:
        """Takes a chunk; True if it said anything a reader would see."""
        said = False
        for name in _TOP:
            if name not in self._top and chunk.get(name) is not None:
                self._top[name] = chunk[name]
        for piece in chunk["choices"]:
            choice = self._choices.get(piece["index"])
            if choice is None:
                choice = self._choices[piece["index"]] = _Choice()
            said = choice.add(piece["delta"]) or said
            for name, values in (piece.get("logprobs") or {}).items():
                if isinstance(values, list):
                    choice.logprobs.setdefault(name, []).extend(values)
            if piece.get("finish_reason"):
                choice.finish_reason = piece["finish_reason"]
        return said

    @property
    def finish_reasons(self) -> tuple[str | None, ...]:
        """Of every choice seen, in order of index; None where it has not ended."""
        return tuple(choice.finish_reason for _, choice in sorted(self._choices.items()))

    def texts(self) -> str:
        """All text of all choices: what a token estimate counts."""
        return "\n".join(
            "".join(piece)
            for choice in self._choices.values()
            for piece in (*choice.texts.values(), *(c["arguments"] for c in choice.calls.values()))
        )

    def completion(self, usage: Mapping[str, Any]) -> dict[str, Any]:
        """The completion, in OpenAI's shape."""
        return {
            **self._top,
            "object": "chat.completion",
            "choices": [
                {
                    "index": index,
                    "message": choice.message(),
                    "logprobs": choice.logprobs or None,
                    "finish_reason": choice.finish_reason,
                }
                for index, choice in sorted(self._choices.items())
            ],
            "usage": dict(usage),
        }


def as_chunk(completion: bytes) -> bytes:
    """A whole completion as the one chunk of a stream, for hosts that ignore `stream`."""
    value = orjson.loads(completion)
    for choice in value["choices"]:
        message = choice.pop("message")
        for index, call in enumerate(message.get("tool_calls") or ()):
            call["index"] = index
        choice["delta"] = message
    value["object"] = "chat.completion.chunk"
    value.pop("usage", None)
    return orjson.dumps(value)
