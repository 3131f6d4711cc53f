"""Cohere's v2 answers and streams in their own format: shared/facts/wire-chat.md section 2."""

from typing import Any

import orjson
from recorded_hosts import Reply
from recorded_streams import Stream, text

USAGE = {
    "billed_units": {"input_tokens": 5.0, "output_tokens": 2.0},
    "tokens": {"input_tokens": 9.0, "output_tokens": 3.0},
    "cached_tokens": 2.0,
}
CALL = {"id": "look_1", "type": "function", "function": {"name": "look", "arguments": '{"q":"ä"}'}}
BARE = {"id": "stop_2", "type": "function", "function": {"name": "stop", "arguments": ""}}
BARE_CALL = {**BARE, "function": {"name": "stop", "arguments": "{}"}}
CITATION = {"start": 0, "end": 5, "text": "Hello", "sources": [], "type": "TEXT_CONTENT"}


def answer(finish: str | None = "COMPLETE", **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", **message}
    return {"id": "c-1", "finish_reason": finish, "message": said, "usage": USAGE}


def words(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content}


COUNTS = (9, 3, 2)
REPLIES = [
    Reply("plain", "cohere", answer(content=[words("Hi")]), {"content": "Hi"}, usage=COUNTS),
    Reply(
        "thoughts and a citation",
        "cohere",
        answer(
            content=[{"type": "thinking", "thinking": "Hm"}, words("Hello")], citations=[CITATION]
        ),
        {
            "content": "Hello",
            "reasoning_content": "Hm",
            "citations": [{**CITATION, "index": 0}],
        },
        usage=COUNTS,
    ),
    Reply(
        "a plan and parallel calls",
        "cohere",
        answer("TOOL_CALL", tool_plan="I look.", tool_calls=[CALL, BARE_CALL]),
        {"content": "I look.", "tool_calls": [CALL, BARE_CALL]},
        "tool_calls",
        COUNTS,
    ),
    Reply(
        "calls alone",
        "cohere",
        answer("TOOL_CALL", tool_calls=[CALL]),
        {"content": None, "tool_calls": [CALL]},
        "tool_calls",
        COUNTS,
    ),
    Reply(
        "cut by the limit",
        "cohere",
        answer("MAX_TOKENS", content=[words("Hi")]),
        {"content": "Hi"},
        "length",
        COUNTS,
    ),
    Reply(
        "an end by sequence",
        "cohere",
        answer("STOP_SEQUENCE", content=[words("Hi")]),
        {"content": "Hi"},
        usage=COUNTS,
    ),
    Reply(
        "toxic, as older models say it",
        "cohere",
        answer("ERROR_TOXIC", content=[]),
        {"content": None},
        "content_filter",
        COUNTS,
    ),
]


def event(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: ".encode() + orjson.dumps({"type": kind, **more}) + b"\n\n"


def said(kind: str, index: int | None = None, **message: Any) -> bytes:
    place = {} if index is None else {"index": index}
    return event(kind, **place, delta={"message": message})


def content(index: int, kind: str, *pieces: str) -> bytes:
    name = "thinking" if kind == "thinking" else "text"
    return b"".join(
        [
            said("content-start", index, content={"type": kind, name: ""}),
            *(said("content-delta", index, content={name: each}) for each in pieces),
            event("content-end", index=index),
        ]
    )


def call(index: int, value: dict[str, Any], *pieces: str) -> bytes:
    begun = {**value, "function": {**value["function"], "arguments": ""}}
    return b"".join(
        [
            said("tool-call-start", index, tool_calls=begun),
            *(
                said("tool-call-delta", index, tool_calls={"function": {"arguments": each}})
                for each in pieces
            ),
            event("tool-call-end", index=index),
        ]
    )


def stream(*events: bytes, finish: str = "COMPLETE", **delta: Any) -> bytes:
    end = {"finish_reason": finish, "usage": USAGE, **delta}
    start = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": []}
    first = event("message-start", id="c-1", delta={"message": start})
    return b"".join([first, *events, event("message-end", delta=end)])


GREETING = text("Hello, wörld \U0001f44b!")
HELLO = content(0, "text", "Hello, ", "wörld \U0001f44b!")
STREAMS = [
    Stream("plain", stream(HELLO), GREETING),
    Stream(
        "thoughts, words and citations",
        stream(
            event("debug", prompt="x"),
            content(0, "thinking", "Hm", ", yes."),
            content(1, "text", "Hello"),
            said("citation-start", 0, citations=CITATION),
            event("citation-end", index=0),
            said("citation-start", 1, citations=CITATION),
        ),
        text(
            "Hello",
            reasoning_content="Hm, yes.",
            citations=[{**CITATION, "index": 0}, {**CITATION, "index": 1}],
        ),
    ),
    Stream(
        "a plan and parallel calls",
        stream(
            said("tool-plan-delta", tool_plan="I "),
            said("tool-plan-delta", tool_plan="look."),
            call(0, CALL, '{"q":', '"ä"}'),
            call(1, BARE),
            finish="TOOL_CALL",
        ),
        text("I look.", tool_calls=[CALL, BARE_CALL]),
        "tool_calls",
    ),
    Stream("cut by the limit", stream(HELLO, finish="MAX_TOKENS"), GREETING, "length"),
]
