"""Anthropic's messages and streams in their own format: shared/facts/wire-chat.md section 5."""

from typing import Any

import orjson
from recorded_hosts import Reply
from recorded_streams import Stream, text

SIGNATURE = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds"
USAGE = {
    "input_tokens": 4,
    "cache_creation_input_tokens": 3,
    "cache_read_input_tokens": 2,
    "output_tokens": 3,
    "service_tier": "standard",
}
THOUGHT = {"type": "thinking", "thinking": "Hm, look it up.", "signature": SIGNATURE}
SEALED = {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"}
USE = {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"q": "ä"}}
CALL = {
    "id": "toolu_1",
    "type": "function",
    "function": {"name": "look", "arguments": '{"q":"ä"}'},
}
BARE = {"type": "tool_use", "id": "toolu_2", "name": "stop", "input": {}}
BARE_CALL = {"id": "toolu_2", "type": "function", "function": {"name": "stop", "arguments": "{}"}}
FORMAT = {"format": "anthropic-claude-v1"}


def detail(place: int) -> dict[str, Any]:
    words = {"text": THOUGHT["thinking"], "signature": SIGNATURE}
    return {"type": "reasoning.text", **words, **FORMAT, "index": place}


def sealed(place: int) -> dict[str, Any]:
    return {"type": "reasoning.encrypted", "data": SEALED["data"], **FORMAT, "index": place}


def words(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content}


def message(*blocks: dict[str, Any], stop: str | None = "end_turn", **more: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x-2026",
        "content": [*blocks],
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": USAGE,
        **more,
    }


REFUSED = {
    "stop_details": {"type": "refusal", "category": "bio", "explanation": "This is not for me."}
}
THINKING = {
    "content": None,
    "reasoning_content": THOUGHT["thinking"],
    "reasoning_details": [detail(0), sealed(1)],
    "tool_calls": [CALL, BARE_CALL],
}
COUNTS = (9, 3, 2)
REPLIES = [
    Reply("plain", "anthropic", message(words("Hi")), {"content": "Hi"}, usage=COUNTS),
    Reply(
        "pieces of text, an end by sequence",
        "anthropic",
        message(words("Hi "), words("there"), stop="stop_sequence"),
        {"content": "Hi there"},
        usage=COUNTS,
    ),
    Reply(
        "cut by the limit",
        "anthropic",
        message(words("Hi"), stop="max_tokens"),
        {"content": "Hi"},
        "length",
        COUNTS,
    ),
    Reply(
        "no room in the context",
        "anthropic",
        message(words("Hi"), stop="model_context_window_exceeded"),
        {"content": "Hi"},
        "length",
        COUNTS,
    ),
    Reply(
        "thoughts, sealed thoughts, parallel calls",
        "anthropic",
        message(THOUGHT, SEALED, USE, BARE, stop="tool_use"),
        THINKING,
        "tool_calls",
        COUNTS,
    ),
    Reply(
        "refused with words",
        "anthropic",
        message(stop="refusal", **REFUSED),
        {"content": None, "refusal": "This is not for me."},
        "content_filter",
        COUNTS,
    ),
    Reply(
        "a server tool's blocks are nobody's",
        "anthropic",
        message(
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}, words("Hi")
        ),
        {"content": "Hi"},
        usage=COUNTS,
    ),
]


def event(kind: str, **more: Any) -> bytes:
    data = orjson.dumps({"type": kind, **more})
    return f"event: {kind}\ndata: ".encode() + data + b"\n\n"


def block(place: int, start: dict[str, Any], *deltas: dict[str, Any]) -> bytes:
    return b"".join(
        [
            event("content_block_start", index=place, content_block=start),
            *(event("content_block_delta", index=place, delta=delta) for delta in deltas),
            event("content_block_stop", index=place),
        ]
    )


def stream(*blocks: bytes, stop: str | None = "end_turn", **delta: Any) -> bytes:
    first = message(stop=None, usage={**USAGE, "output_tokens": 1})
    last = {"stop_reason": stop, "stop_sequence": None, **delta}
    return b"".join(
        [
            event("message_start", message=first),
            event("ping"),
            *blocks,
            event("message_delta", delta=last, usage={"output_tokens": 3}),
            event("message_stop"),
        ]
    )


def piece(json: str) -> dict[str, Any]:
    return {"type": "input_json_delta", "partial_json": json}


def said(content: str) -> dict[str, Any]:
    return {"type": "text_delta", "text": content}


GREETING = text("Hello, wörld \U0001f44b!")
HELLO = block(0, words(""), said("Hello, "), said("wörld \U0001f44b!"))
THINKS = block(
    0,
    {"type": "thinking", "thinking": "", "signature": ""},
    {"type": "thinking_delta", "thinking": "Hm, "},
    {"type": "thinking_delta", "thinking": "look it up."},
    {"type": "signature_delta", "signature": SIGNATURE[:9]},
    {"type": "signature_delta", "signature": SIGNATURE[9:]},
)
USES = {**USE, "input": {}}
STREAMS = [
    Stream("plain", stream(HELLO), GREETING),
    Stream(
        "thoughts, sealed thoughts, words, parallel calls",
        stream(
            THINKS,
            block(1, SEALED),
            block(2, words(""), said("I look.")),
            block(3, USES, piece(""), piece('{"q":'), piece('"ä"}')),
            block(4, BARE),
            stop="tool_use",
        ),
        text(
            "I look.",
            reasoning_content=THOUGHT["thinking"],
            reasoning_details=[detail(0), sealed(1)],
            tool_calls=[CALL, BARE_CALL],
        ),
        "tool_calls",
    ),
    Stream(
        "a call whose input comes at once",
        stream(block(0, USE), stop="tool_use"),
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": [CALL]},
        "tool_calls",
    ),
    Stream("cut by the limit", stream(HELLO, stop="max_tokens"), GREETING, "length"),
    Stream(
        "refused with words",
        stream(stop="refusal", **REFUSED),
        {"role": "assistant", "content": "", "refusal": "This is not for me."},
        "content_filter",
    ),
]
