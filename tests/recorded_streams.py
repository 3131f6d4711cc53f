"""Streams in providers' own formats: shared/facts/wire-chat.md sections 1.6, 3, 4 and 6."""

from dataclasses import dataclass, field
from typing import Any

import orjson

BASE = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "m1-2026"}
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
CALL = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"q":"a"}'}}


@dataclass(frozen=True)
class Stream:
    """A recorded stream and the message it must become."""

    name: str
    raw: bytes
    message: dict[str, Any]
    finish_reason: str = "stop"
    usage: tuple[int, int] = (9, 3)
    estimated: bool = False
    request: dict[str, Any] = field(default_factory=dict)


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {**BASE, "choices": choices, **more}


def sse(*events: Any, end: bytes = b"\n\n", done: bool = True) -> bytes:
    lines = [b"data: " + orjson.dumps(event) + end for event in events]
    return b"".join(lines) + (b"data: [DONE]" + end if done else b"")


def text(content: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "refusal": None, **more}


ROLE = {"role": "assistant", "content": ""}
HELLO = text("Hello, wörld \U0001f44b!")
PIECES = (chunk(ROLE), chunk({"content": "Hello, "}), chunk({"content": "wörld \U0001f44b!"}))


def piece(index: int, arguments: str, **more: Any) -> dict[str, Any]:
    return {"index": index, "function": {"arguments": arguments, **more.pop("f", {})}, **more}


STREAMS = [
    Stream("openai", sse(*PIECES, chunk({}, "stop"), chunk(None, usage=USAGE)), HELLO),
    Stream(
        "openai with null usage on every chunk",
        sse(
            *({**each, "usage": None} for each in PIECES),
            chunk({}, "stop", usage=None),
            chunk(None, usage=USAGE),
        ),
        HELLO,
    ),
    Stream(
        "crlf, comments, event names and ids",
        b": OPENROUTER PROCESSING\r\n\r\nid: 7\r\nevent: message\r\n"
        + sse(*PIECES, chunk({}, "stop"), chunk(None, usage=USAGE), end=b"\r\n\r\n"),
        HELLO,
    ),
    Stream(
        "lone cr, byte order mark, no space after the colon",
        b"\xef\xbb\xbf"
        + sse(*PIECES, chunk({}, "stop"), chunk(None, usage=USAGE), end=b"\r\r").replace(
            b"data: ", b"data:"
        ),
        HELLO,
    ),
    Stream("no done, close only", sse(*PIECES, chunk({}, "stop", usage=USAGE), done=False), HELLO),
    Stream(
        "no newline at the very end",
        sse(*PIECES, chunk({}, "stop"), chunk(None, usage=USAGE)).rstrip(b"\n"),
        HELLO,
    ),
    Stream(
        "several data lines in one event",
        sse(*PIECES[:2], done=False)
        + b"data: "
        + orjson.dumps(PIECES[2]).replace(b',"choices"', b',\ndata: "choices"')
        + b"\n\n"
        + sse(chunk({}, "stop", usage=USAGE)),
        HELLO,
    ),
    Stream(
        "groq: usage in x_groq only",
        sse(
            chunk(ROLE, x_groq={"id": "req_1"}),
            *PIECES[1:],
            chunk({}, "stop", x_groq={"id": "req_1", "usage": USAGE}),
        ),
        HELLO,
    ),
    Stream(
        "usage on every chunk, cumulative",
        sse(
            chunk({"content": "Hello, "}, usage={**USAGE, "completion_tokens": 1}),
            chunk({"content": "wörld \U0001f44b!"}, "stop", usage=USAGE),
        ),
        HELLO,
    ),
    Stream(
        "no usage at all", sse(*PIECES, chunk({}, "stop")), HELLO, usage=(12, 15), estimated=True
    ),
    Stream(
        "azure: filter results before the first choice",
        sse({**chunk(None), "prompt_filter_results": []}, *PIECES, chunk({}, "stop", usage=USAGE)),
        HELLO,
    ),
    Stream(
        "hosts that leave out id, object, created, model, index and role",
        sse(
            {"choices": [{"delta": {"content": "Hello, "}}]},
            {"choices": [{"delta": {"content": "wörld \U0001f44b!"}, "finish_reason": "eos"}]},
            {"choices": [], "usage": USAGE},
        ),
        HELLO,
    ),
    Stream(
        "finish reason repeated",
        sse(*PIECES, chunk({}, "stop"), chunk({}, "stop", usage=USAGE)),
        HELLO,
    ),
    Stream(
        "tool call in pieces",
        sse(
            chunk({"role": "assistant", "content": None}),
            chunk({"tool_calls": [piece(0, "", id="call_1", type="function", f={"name": "look"})]}),
            chunk({"tool_calls": [piece(0, '{"q":')]}),
            chunk({"tool_calls": [piece(0, '"a"}')]}),
            chunk({}, "tool_calls", usage=USAGE),
        ),
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": [CALL]},
        "tool_calls",
    ),
    Stream(
        "mistral: whole call, arguments an object, model_length as length",
        sse(
            chunk(
                {
                    "tool_calls": [
                        {"id": "call_1", "function": {"name": "look", "arguments": {"q": "a"}}}
                    ]
                }
            ),
            chunk({"content": ""}, "model_length", usage=USAGE),
        ),
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": [CALL]},
        "length",
    ),
    Stream(
        "mistral: thinking and text parts",
        sse(
            chunk(
                {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]}
            ),
            chunk({"content": [{"type": "text", "text": "Hi"}]}, "stop", usage=USAGE),
        ),
        text("Hi", reasoning_content="Hm"),
    ),
    Stream(
        "reasoning, then text",
        sse(
            chunk({"role": "assistant", "reasoning": "Hm"}),
            chunk({"content": "Hi"}, "stop", usage=USAGE),
        ),
        text("Hi", reasoning_content="Hm"),
    ),
    Stream(
        "all tokens spent on nothing visible",
        sse(chunk(ROLE), chunk({}, "length", usage=USAGE)),
        text(""),
        "length",
    ),
    Stream(
        "filtered before the first word",
        sse(chunk(ROLE), chunk({}, "content_filter", usage=USAGE)),
        text(""),
        "content_filter",
    ),
    Stream(
        "cloudflare: a number for content",
        sse(chunk({"content": 7}), chunk({}, "stop", usage=USAGE)),
        text("7"),
    ),
    Stream(
        "two choices",
        sse(
            {**BASE, "choices": [{"index": 1, "delta": {"content": "B"}, "finish_reason": "stop"}]},
            {**BASE, "choices": [{"index": 0, "delta": {"content": "A"}, "finish_reason": "stop"}]},
            chunk(None, usage=USAGE),
        ),
        text("A"),
        request={"n": 2},
    ),
]
