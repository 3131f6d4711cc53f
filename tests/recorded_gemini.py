"""Gemini's answers in its own format: shared/facts/wire-chat.md 1.3 and 1.4."""

from dataclasses import dataclass, field
from typing import Any

from recorded_streams import sse

SIGNATURE = "CiQB0e2KbxYz+/8ahF8kQ2Vn5g=="
USAGE = {
    "promptTokenCount": 9,
    "candidatesTokenCount": 3,
    "totalTokenCount": 12,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}],
}
TOP = {"modelVersion": "gemini-3.8-flash", "responseId": "mAitaLmkHPP"}
RATINGS = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "NEGLIGIBLE"}]


@dataclass(frozen=True)
class Reply:
    """Recorded pieces (one: a whole answer) and the message they must become."""

    name: str
    pieces: tuple[dict[str, Any], ...]
    message: dict[str, Any]
    finish_reason: str = "stop"
    usage: tuple[int, int, int, int] = (9, 3, 0, 0)  # input, output, cached, reasoning
    request: dict[str, Any] = field(default_factory=dict)

    @property
    def raw(self) -> bytes:
        return sse(*self.pieces, end=b"\r\n\r\n", done=False)


def candidate(*parts: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    made: dict[str, Any] = {"index": 0, **more}
    if parts:
        made["content"] = {"role": "model", "parts": list(parts)}
    if finish:
        made["finishReason"] = finish
    return made


def piece(*candidates: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"candidates": list(candidates), "usageMetadata": USAGE, **TOP, **more}


def text(value: str, **more: Any) -> dict[str, Any]:
    return {"text": value, **more}


def calls(name: str, args: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    call: dict[str, Any] = {"name": name}
    if args is not None:
        call["args"] = args
    if "id" in more:
        call["id"] = more.pop("id")
    return {"functionCall": call, **more}


def called(id_: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


HELLO = "Hello, wörld \U0001f44b!"
THOUGHTS = {**USAGE, "thoughtsTokenCount": 30, "totalTokenCount": 42}
WHOLE = [
    Reply(
        "plain",
        (piece(candidate(text("Hi"), finish="STOP", safetyRatings=RATINGS)),),
        {"content": "Hi"},
    ),
    Reply(
        "several texts", (piece(candidate(text("H"), text("i"), finish="STOP")),), {"content": "Hi"}
    ),
    Reply(
        "thoughts, cached input, a tool's input",
        (
            piece(
                candidate(text("Hm", thought=True), text("Hi"), finish="STOP"),
                usageMetadata={
                    **THOUGHTS,
                    "cachedContentTokenCount": 4,
                    "toolUsePromptTokenCount": 5,
                    "totalTokenCount": 47,
                },
            ),
        ),
        {"content": "Hi", "reasoning_content": "Hm"},
        usage=(14, 33, 4, 30),
    ),
    Reply(
        "no content, all spent on thinking",
        (
            piece(
                candidate(finish="MAX_TOKENS"),
                usageMetadata={
                    "promptTokenCount": 9,
                    "thoughtsTokenCount": 20,
                    "totalTokenCount": 29,
                },
            ),
        ),
        {"content": None},
        "length",
        (9, 20, 0, 20),
    ),
    Reply(
        "cut by length",
        (piece(candidate(text("Hel"), finish="MAX_TOKENS")),),
        {"content": "Hel"},
        "length",
    ),
    Reply(
        "two calls, one without arguments",
        (
            piece(
                candidate(calls("look", {"q": "a"}, id="x1"), calls("stop", id="x2"), finish="STOP")
            ),
        ),
        {
            "content": None,
            "tool_calls": [called("x1", "look", '{"q":"a"}'), called("x2", "stop", "{}")],
        },
        "tool_calls",
    ),
    Reply(
        "a call without an id, as before Gemini 3",
        (piece(candidate(text("Wait."), calls("look", {"q": "a"}), finish="STOP")),),
        {"content": "Wait.", "tool_calls": [called("call_1_0", "look", '{"q":"a"}')]},
        "tool_calls",
    ),
    Reply(
        "stopped by safety, nothing said",
        (piece(candidate(finish="SAFETY", safetyRatings=RATINGS)),),
        {"content": None, "refusal": "Gemini stopped this answer: SAFETY"},
        "content_filter",
    ),
    Reply(
        "stopped by recitation in the middle",
        (piece(candidate(text("Once"), finish="RECITATION")),),
        {"content": "Once"},
        "content_filter",
    ),
    Reply(
        "a blocked prompt",
        (
            {
                "promptFeedback": {"blockReason": "PROHIBITED_CONTENT", "safetyRatings": RATINGS},
                "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9},
                **TOP,
            },
        ),
        {"content": None, "refusal": "Gemini blocked the prompt: the prompt is PROHIBITED_CONTENT"},
        "content_filter",
        (9, 0, 0, 0),
    ),
    Reply(
        "a reason not known yet", (piece(candidate(text("Hi"), finish="OTHER")),), {"content": "Hi"}
    ),
    Reply(
        "a broken call after words",
        (piece(candidate(text("Hi"), finish="MALFORMED_FUNCTION_CALL")),),
        {"content": "Hi"},
    ),
    Reply(
        "a name the caller gave and Gemini would refuse",
        (piece(candidate(calls("f_1st_e01ddf65", {}, id="x1"), finish="STOP")),),
        {"content": None, "tool_calls": [called("x1", "1st", "{}")]},
        "tool_calls",
        request={"tools": [{"type": "function", "function": {"name": "1st"}}]},
    ),
]
STREAMS = [
    Reply(
        "increments, usage on each",
        (
            piece(
                candidate(text("Hello, ")),
                usageMetadata={"promptTokenCount": 9, "totalTokenCount": 9},
            ),
            piece(candidate(text("wörld \U0001f44b!"))),
            piece(candidate(finish="STOP")),
        ),
        {"content": HELLO},
    ),
    Reply(
        "an empty text with a signature at the end",
        (
            piece(candidate(text("Hm", thought=True)), usageMetadata=THOUGHTS),
            piece(candidate(text(HELLO)), usageMetadata=THOUGHTS),
            piece(
                candidate(text("", thoughtSignature=SIGNATURE), finish="STOP"),
                usageMetadata=THOUGHTS,
            ),
        ),
        {
            "content": HELLO,
            "reasoning_content": "Hm",
            "extra_content": {
                "google": {"thought_signature": SIGNATURE, "model": "gemini-3.8-flash"}
            },
        },
        usage=(9, 33, 0, 30),
    ),
    Reply(
        "parallel calls over several pieces",
        (
            piece(candidate(calls("look", {"q": "ä"}, id="x1"))),
            piece(candidate(calls("look", {"q": "b"}, id="x2"))),
            piece(candidate(text(""), finish="STOP")),
        ),
        {
            "content": None,
            "tool_calls": [called("x1", "look", '{"q":"ä"}'), called("x2", "look", '{"q":"b"}')],
        },
        "tool_calls",
    ),
    Reply(
        "words, then a call, in one piece with the end",
        (piece(candidate(text("Wait."))), piece(candidate(calls("stop"), finish="STOP"))),
        {"content": "Wait.", "tool_calls": [called("call_1_0", "stop", "{}")]},
        "tool_calls",
    ),
    Reply(
        "cut by safety in the middle",
        (piece(candidate(text("Once"))), piece(candidate(finish="SAFETY"))),
        {"content": "Once"},
        "content_filter",
    ),
]


def shell(reply: Reply) -> dict[str, Any]:
    """The message as an assembled answer holds it."""
    return {"role": "assistant", "content": None, "refusal": None, **reply.message}
