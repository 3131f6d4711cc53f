"""Answers on the wire: the JSON of a chat or of embeddings, and a stream's frames."""

import base64
import hashlib
import math
from array import array
from dataclasses import dataclass
from typing import Any

import orjson

from simulator.answers import digest, filler, head_of, pieces, text_tokens, wanted_tokens
from simulator.config import Model, Output
from simulator.requests import ChatCall, EmbeddingCall
from simulator.schemas import satisfy

_PIECE_CHARS = 16
DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says. `text` is the content, or the arguments where a tool is called."""

    text: str
    head: str
    tokens: int
    finish_reason: str
    tool_name: str | None = None


def compose(call: ChatCall, model: Model, output: Output) -> Reply:
    """The answer to a call: a function of the call and the configuration alone."""
    allowed = min(call.max_tokens or model.max_output_tokens, model.max_output_tokens)
    if call.tool is not None:
        arguments = _json(call.tool.get("parameters") or {"type": "object"}, call.question)
        return _bounded(arguments, allowed, "tool_calls", str(call.tool["name"]))
    if call.wants_json:
        schema = call.schema or {"type": "object", "properties": {"answer": {"type": "string"}}}
        return _bounded(_json(schema, call.question), allowed, "stop", None)
    wanted = wanted_tokens(output, call.question)
    tokens = min(wanted, allowed)
    head = head_of(call.question)
    reason = "stop" if wanted <= allowed else "length"
    return Reply(head + filler(tokens - 1), head, tokens, reason)


def _json(schema: Any, question: str) -> str:
    return orjson.dumps(satisfy(schema, f"sim-{digest(question)}")).decode()


def _bounded(text: str, allowed: int, reason: str, tool_name: str | None) -> Reply:
    tokens = max(1, text_tokens(text))
    if tokens > allowed:
        return Reply(text[: allowed * 4], "", allowed, "length", tool_name)
    return Reply(text, "", tokens, reason, tool_name)


def _usage(prompt: int, completion: int) -> dict[str, Any]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def chat_body(call: ChatCall, reply: Reply, number: int, created_s: int) -> bytes:
    """The body of a chat completion that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None}
    if reply.tool_name is not None:
        message["content"] = None
        message["tool_calls"] = [tool_call(reply.tool_name, reply.text, f"call_sim{number}")]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": reply.finish_reason,
    }
    return orjson.dumps(
        {
            "id": f"chatcmpl-sim{number}",
            "object": "chat.completion",
            "created": created_s,
            "model": call.model,
            "choices": [choice],
            "usage": _usage(call.prompt_tokens, reply.tokens),
            "system_fingerprint": "fp_sim",
        }
    )


def tool_call(name: str, arguments: str, call_id: str) -> dict[str, Any]:
    """A function call as OpenAI and its likes write it."""
    function = {"name": name, "arguments": arguments}
    return {"id": call_id, "type": "function", "function": function}


def words(reply: Reply) -> list[str]:
    """The text of an answer in the pieces a stream sends it in."""
    return pieces(reply.head, reply.tokens) if reply.head else cut(reply.text)


def stream_frames(call: ChatCall, reply: Reply, number: int, created_s: int) -> list[bytes]:
    """Every SSE frame of the answer: role, one a token, finish, usage if asked for, `[DONE]`."""
    base = {
        "id": f"chatcmpl-sim{number}",
        "object": "chat.completion.chunk",
        "created": created_s,
        "model": call.model,
        "system_fingerprint": "fp_sim",
    }
    opening = orjson.dumps(base)[:-1]

    def frame(delta: bytes, reason: bytes = b"null") -> bytes:
        return (
            b'data: %b,"choices":[{"index":0,"delta":%b,"logprobs":null,"finish_reason":%b}]}\n\n'
        ) % (opening, delta, reason)

    frames = [frame(delta) for delta in _deltas(reply, number)]
    frames.append(frame(b"{}", orjson.dumps(reply.finish_reason)))
    if call.include_usage:
        usage = base | {"choices": [], "usage": _usage(call.prompt_tokens, reply.tokens)}
        frames.append(b"data: " + orjson.dumps(usage) + b"\n\n")
    frames.append(DONE)
    return frames


def _deltas(reply: Reply, number: int) -> list[bytes]:
    if reply.tool_name is not None:
        opening = tool_call(reply.tool_name, "", f"call_sim{number}") | {"index": 0}
        first = {"role": "assistant", "content": None, "tool_calls": [opening]}
        parts = [
            {"tool_calls": [{"index": 0, "function": {"arguments": part}}]}
            for part in cut(reply.text)
        ]
        return [orjson.dumps(first), *map(orjson.dumps, parts)]
    return [
        b'{"role":"assistant","content":"","refusal":null}',
        *(b'{"content":%b}' % orjson.dumps(part) for part in words(reply)),
    ]


def cut(text: str) -> list[str]:
    """A text in pieces of a few characters; one piece where it is empty."""
    return [text[i : i + _PIECE_CHARS] for i in range(0, max(1, len(text)), _PIECE_CHARS)]


def embedding_of(text: str, dimensions: int) -> "array[float]":
    """A unit vector (32-bit floats) that follows from the text and the length alone."""
    raw = array("h", hashlib.shake_128(text.encode("utf-8", "replace")).digest(2 * dimensions))
    length = math.sqrt(sum(x * x for x in raw)) or 1.0
    return array("f", [x / length for x in raw])


def embedding_body(call: EmbeddingCall, model: Model) -> bytes:
    """The body of an embeddings answer."""
    data = []
    for i, text in enumerate(call.inputs):
        vector = embedding_of(text, call.dimensions or model.dimensions)
        shown = base64.b64encode(vector.tobytes()).decode() if call.as_base64 else vector.tolist()
        data.append({"object": "embedding", "index": i, "embedding": shown})
    usage = {"prompt_tokens": call.prompt_tokens, "total_tokens": call.prompt_tokens}
    return orjson.dumps({"object": "list", "data": data, "model": call.model, "usage": usage})
